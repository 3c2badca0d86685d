/* A graphics card made of ordinary code, for tests without one. The kernels are the real ones: blocks run one after another, the
 * threads of a block as fibers that take turns at every barrier, and each CUDA operation is the IEEE-754 operation that it
 * is defined to be. Below them, a driver library with the functions that ours calls. */
#include <dlfcn.h>
#include <map>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <vector>

struct extent { unsigned int x; };
static extent blockIdx, threadIdx, blockDim;

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __shared__ static

static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static void __syncthreads();

#include "kernels.cu"

enum { STACK = 65536 };
struct fiber { ucontext_t context; bool done; };
static ucontext_t scheduler;
static std::vector<fiber> fibers;
static std::vector<char> stacks;
static void (*kernel_now)(record, uint32_t);
static const record *record_now;
static uint32_t step_now;

static void __syncthreads() { swapcontext(&fibers[threadIdx.x].context, &scheduler); }

static void enter() {
    kernel_now(*record_now, step_now);
    fibers[threadIdx.x].done = true;
}

static void run_block(unsigned int threads) {
    for (unsigned int t = 0; t < threads; t++) {
        getcontext(&fibers[t].context);
        fibers[t].context.uc_stack.ss_sp = &stacks[(size_t)t * STACK];
        fibers[t].context.uc_stack.ss_size = STACK;
        fibers[t].context.uc_link = &scheduler;
        fibers[t].done = false;
        makecontext(&fibers[t].context, enter, 0);
    }
    for (bool busy = true; busy;) {
        busy = false;
        for (unsigned int t = 0; t < threads; t++) {
            if (fibers[t].done) continue;
            busy = true;
            threadIdx.x = t;
            swapcontext(&scheduler, &fibers[t].context);
        }
    }
}

/* -- The part of the CUDA driver that ml/cuda/driver.py calls, on this process's memory. Every misuse that can be told is an error:
 * a missing context, a wild copy, a block that is too large. */
typedef unsigned long long address;
static std::map<address, size_t> allocated;
static bool started, current;
enum { SUCCESS = 0, INVALID = 1, NOT_FOUND = 500 };

static bool is_inside(address at, size_t size) {
    auto next = allocated.upper_bound(at);
    if (next == allocated.begin()) return false;
    --next;
    return at + size <= next->first + next->second;
}

extern "C" {
int cuGetErrorString(int result, const char **text) {
    *text = result == NOT_FOUND ? "named symbol not found" : "invalid argument";
    return SUCCESS;
}
int cuInit(unsigned int flags) {
    started = flags == 0;
    return started ? SUCCESS : INVALID;
}
int cuDeviceGet(int *device, int number) {
    *device = 7;
    return started && number == 0 ? SUCCESS : INVALID;
}
int cuDeviceGetName(char *name, int size, int device) {
    strncpy(name, "Host", (size_t)size);
    return device == 7 ? SUCCESS : INVALID;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 8 : 6;
    return device == 7 && (attribute == 75 || attribute == 76) ? SUCCESS : INVALID;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = &allocated;
    return device == 7 ? SUCCESS : INVALID;
}
int cuCtxSetCurrent(void *context) {
    current = context == &allocated;
    return current ? SUCCESS : INVALID;
}
int cuModuleLoadData(void **module, const void *image) {
    *module = &fibers;
    return current && image != NULL ? SUCCESS : INVALID;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
    Dl_info self;
    if (module != &fibers || dladdr((void *)cuModuleGetFunction, &self) == 0) return INVALID;
    *function = dlsym(dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD), name);
    return *function != NULL ? SUCCESS : NOT_FOUND;
}
int cuMemAlloc_v2(address *at, size_t size) {
    if (!current || size == 0) return INVALID;
    *at = (address)aligned_alloc(256, (size + 255) / 256 * 256);
    allocated[*at] = size;
    return SUCCESS;
}
int cuMemFree_v2(address at) {
    if (allocated.erase(at) != 1) return INVALID;
    free((void *)at);
    return SUCCESS;
}
int cuMemsetD8_v2(address at, unsigned char value, size_t count) {
    if (!is_inside(at, count)) return INVALID;
    memset((void *)at, value, count);
    return SUCCESS;
}
int cuMemcpyHtoD_v2(address to, const void *from, size_t size) {
    if (!is_inside(to, size)) return INVALID;
    memcpy((void *)to, from, size);
    return SUCCESS;
}
int cuMemcpyDtoH_v2(void *to, address from, size_t size) {
    if (!is_inside(from, size)) return INVALID;
    memcpy(to, (const void *)from, size);
    return SUCCESS;
}
int cuLaunchKernel(void *function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z, unsigned int block_x,
                   unsigned int block_y, unsigned int block_z, unsigned int shared, void *stream, void **parameters,
                   void **extra) {
    if (!current || grid_x == 0 || grid_y != 1 || grid_z != 1 || block_x == 0 || block_x > 1024 || block_y != 1 ||
        block_z != 1 || shared != 0 || stream != NULL || extra != NULL)
        return INVALID;
    kernel_now = (void (*)(record, uint32_t))function;
    record_now = (const record *)parameters[0];
    step_now = *(const uint32_t *)parameters[1];
    fibers.resize(block_x);
    stacks.resize((size_t)block_x * STACK);
    blockDim.x = block_x;
    for (blockIdx.x = 0; blockIdx.x < grid_x; blockIdx.x++) run_block(block_x);
    return SUCCESS;
}
}

/* The graphics card's kernels as ordinary code, for tests without a card: blocks run one after another, the threads of a block as
 * fibers that take turns at every barrier. Each CUDA operation is the IEEE-754 operation that it is defined to be. */
#include <math.h>
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

extern "C" void solvent_host_launch(void *kernel, const struct solvent_instruction *in, uint32_t step, unsigned int blocks,
                                    unsigned int threads) {
    kernel_now = (void (*)(record, uint32_t))kernel;
    record_now = in;
    step_now = step;
    fibers.resize(threads);
    stacks.resize((size_t)threads * STACK);
    blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) run_block(threads);
}

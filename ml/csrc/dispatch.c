/* Which kernels run: the best instruction set that this processor has, unless the caller names another. */
#define _GNU_SOURCE
#include "solvent.h"

#include <stddef.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static const struct solvent_kernels *kernels_at(int index) {
    int found = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    int has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                     __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    if (has_avx512 && found++ == index) return &solvent_avx512;
    if (has_avx2 && found++ == index) return &solvent_avx2;
#endif
    if (found == index) return &solvent_baseline;
    return NULL;
}

/* Name of an available instruction set, best first; NULL past the last. */
const char *solvent_instruction_set(int index) {
    const struct solvent_kernels *kernels = kernels_at(index);
    return kernels == NULL ? NULL : kernels->name;
}

/* The digest of the sources that this was compiled from (kernel_build.py). */
#if !defined(SOLVENT_SOURCES)
#define SOLVENT_SOURCES ""
#endif
const char *solvent_sources(void) { return SOLVENT_SOURCES; }

/* 0 when subnormals are kept and rounding is to nearest, ties to even; else what is wrong (see FPU_FAULTS in kernels.py). */
int solvent_fpu_fault(void) {
#if defined(__x86_64__)
    unsigned int control = _mm_getcsr();
    if (control & 0x8000u) return 1; /* flush results to zero */
    if (control & 0x0040u) return 2; /* treat subnormal operands as zero */
    if (control & 0x6000u) return 3; /* rounding control */
#elif defined(__aarch64__)
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    if (control & (1ull << 24)) return 1; /* FZ */
    if (control & 1ull) return 2;         /* FIZ */
    if (control & (3ull << 22)) return 3; /* RMode */
#else
    volatile float tiny = 0x1p-126f, half = 0.5f, one = 1.0f, ulp = 0x1p-24f;
    if (tiny * half == 0.0f) return 1;
    if (one + ulp != one || one - ulp * half != one || -one - ulp != -one) return 3;
#endif
    return 0;
}

/* Below this, waking a sleeping thread costs more than it saves. */
enum { WORTH_A_THREAD = 24000 };

/* Execute plan[first..last) in order. Returns 0, or the FPU fault that made it refuse. */
int solvent_run(struct solvent_pool *pool, int instruction_set, const struct solvent_instruction *plan, int64_t first,
                int64_t last, uint32_t step) {
    int fault = solvent_fpu_fault();
    if (fault != 0) return fault;
    const struct solvent_kernels *kernels = kernels_at(instruction_set);
    if (kernels == NULL) return -1;
    int threads = solvent_pool_threads(pool);
    for (int64_t i = first; i < last; i++) {
        int parts = plan[i].work >= WORTH_A_THREAD ? threads : 1;
        solvent_pool_run(pool, kernels, &plan[i], step, parts);
    }
    return 0;
}

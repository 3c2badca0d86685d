/* One vector of floats in the width of the instruction set that this translation unit is compiled for.
 * LANES, ROWS (rows of a matmul tile) and COLUMNS (vectors across it) are set by the including file. */
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#define UNROLL _Pragma("GCC unroll 16")
#endif

#include "scalars.h"

typedef float lanes __attribute__((vector_size(LANES * 4)));
typedef int32_t lane_bits __attribute__((vector_size(LANES * 4)));
typedef float loose_lanes __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

INLINE lanes load(const float *p) { return *(const loose_lanes *)p; }
INLINE void store(float *p, lanes v) { *(loose_lanes *)p = v; }
INLINE lanes broadcast(float x) { return x - (lanes){0}; }

INLINE lanes canonical_lanes(lanes v) {
    lane_bits ordered = v == v;
    lane_bits nan = (lane_bits){0} + 0x7fc00000;
    return (lanes)(((lane_bits)v & ordered) | (nan & ~ordered));
}

/* a * b + c rounded once. Without the instruction: the product of two floats is exact in double; TwoSum gives the sum's error;
 * rounding the sum to odd makes the second rounding, to float, that of the exact value (Boldo & Melquiond 2008). */
#if defined(SOLVENT_FUSED)
INLINE lanes fused(lanes a, lanes b, lanes c) { return SOLVENT_FUSED(a, b, c); }
#else
INLINE float fused_one(float a, float b, float c) {
#if defined(FP_FAST_FMAF) || (defined(__riscv_flen) && __riscv_flen >= 32)
    return __builtin_fmaf(a, b, c);
#else
    double product = (double)a * (double)b, addend = (double)c;
    double sum = product + addend, part = sum - product;
    double error = (product - (sum - part)) + (addend - part);
    uint64_t bits;
    memcpy(&bits, &sum, 8);
    if (error != 0.0 && (bits & 1) == 0 && error - error == 0.0) {
        bits += (error > 0.0) == (sum > 0.0) ? 1 : ~(uint64_t)0;
        memcpy(&sum, &bits, 8);
    }
    return (float)sum;
#endif
}
INLINE lanes fused(lanes a, lanes b, lanes c) {
    lanes r;
    UNROLL
    for (int i = 0; i < LANES; i++) r[i] = fused_one(a[i], b[i], c[i]);
    return r;
}
#endif

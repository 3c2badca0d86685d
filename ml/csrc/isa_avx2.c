/* AVX2 and FMA: 8 lanes, 16 registers. */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#include <immintrin.h>
#define LANES 8
#define ROWS 6
#define COLUMNS 2
#define KERNELS solvent_avx2
#define SET_NAME "avx2"
#define SOLVENT_FUSED(a, b, c) (lanes) _mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c))
#include "kernels.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif

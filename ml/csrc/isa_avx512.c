/* AVX-512 (F, VL, BW, DQ): 16 lanes, 32 registers. */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,prefer-vector-width=512")
#endif
#include <immintrin.h>
#define LANES 16
#define ROWS 8
#define COLUMNS 2
#define KERNELS solvent_avx512
#define SET_NAME "avx512"
#define SOLVENT_FUSED(a, b, c) (lanes) _mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c))
#include "kernels.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif

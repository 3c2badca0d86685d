/* Solvent's kernels for a graphics card: one for each operator of ml/csrc/solvent.h, of the same instruction record, with the same
 * bits. What one scalar operation is comes from the headers of ml/csrc; here is only who computes which element, and in
 * which order. Compiled at run time without contraction, flushing or approximations (compiler.py), or by an ordinary
 * C++ compiler for tests (tests/ml/cuda_host.cpp). */
#include "solvent.h"

#define INLINE static __device__ __forceinline__
#include "scalars.h"
#include "exact.h"
#include "approximations.h"
#include "operations.h"
#include "window.h"

#define KERNEL extern "C" __global__ void
typedef struct solvent_instruction record;

INLINE float exp_one(float x) {
    double y = exp_double(x), error = y * TOLERANCE;
    float low = (float)(y - error), high = (float)(y + error);
    return to_bits(low) == to_bits(high) || x != x ? canonical(low) : solvent_exp_exact(x);
}

INLINE float log_one(float x) {
    if (!(x > 0.0f && x <= 0x1.fffffep127f)) return solvent_log_exact(x);
    double y = log_double(x), error = y * TOLERANCE;
    float low = (float)(y - error), high = (float)(y + error);
    return to_bits(low) == to_bits(high) ? low : solvent_log_exact(x);
}

/* The element that this thread computes: thread t of block b has number b * threads + t. */
INLINE int64_t element() { return (int64_t)blockIdx.x * blockDim.x + threadIdx.x; }

INLINE int64_t elements(const record &in) {
    int64_t count = 1;
    for (int d = 0; d < in.rank; d++) count *= in.size[d];
    return count;
}

/* Where element `at` of the output is read from in an input. */
INLINE int64_t place_of(const record &in, int input, int64_t at) {
    int64_t place = 0;
    for (int d = in.rank - 1; d >= 0; d--) {
        place += at % in.size[d] * in.stride[input][d];
        at /= in.size[d];
    }
    return place;
}

template <class type> INLINE const type *input(const record &in, int number) { return (const type *)in.in[number]; }
template <class type> INLINE type *output(const record &in, int number) { return (type *)in.out[number]; }

#include "elementwise.cuh"
#include "places.cuh"
#include "rows.cuh"
#include "products.cuh"

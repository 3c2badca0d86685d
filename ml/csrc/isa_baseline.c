/* What every processor of the architecture runs. On aarch64 that is NEON with its fused multiply-add (4 lanes, 32 registers);
 * on x86-64 it is SSE2, where fused multiply-add is computed in software (vectors.h): the same bits, slowly. */
#define LANES 4
#define COLUMNS 2
#define KERNELS solvent_baseline
#if defined(__aarch64__)
#include <arm_neon.h>
#define ROWS 8
#define SET_NAME "neon"
#define SOLVENT_FUSED(a, b, c) (lanes) vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b))
#else
#define ROWS 4
#define SET_NAME "baseline"
#endif
#include "kernels.h"

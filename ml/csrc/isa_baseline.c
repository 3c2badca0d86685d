/* What every processor of the architecture runs. On aarch64 that includes fused multiply-add; on x86-64 it is computed in
 * software (vectors.h): the same bits, slowly. */
#define LANES 4
#define ROWS 4
#define COLUMNS 2
#define KERNELS solvent_baseline
#define SET_NAME "baseline"
#if defined(__aarch64__)
#include <arm_neon.h>
#undef ROWS
#define ROWS 8
#define SOLVENT_FUSED(a, b, c) vfmaq_f32(c, a, b)
#endif
#include "kernels.h"

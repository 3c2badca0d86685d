/* Solvent's CPU kernels: the types that Python and every translation unit share.
 *
 * An *instruction* is one operator application with its buffers already placed. A *plan* is an array of them: a whole
 * training step. `solvent_run` executes part of a plan in order, so a step costs one call from Python.
 *
 * Every kernel computes exactly what the operator table in runtime/vm defines: the order of every addition is fixed,
 * nothing is contracted, subnormals are kept, and a NaN that leaves an operator is 0x7fc00000. What a thread or a vector
 * lane works on is always a set of whole output elements, so neither their number nor their width can change a result. */
#ifndef SOLVENT_H
#define SOLVENT_H

#include <stdint.h>

/* What no compiler option or target may take away. (The self-test would find it too, but later and without a reason.) */
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "fast-math reorders sums and forgets NaN: compile without it"
#endif
#if __FLT_EVAL_METHOD__ != 0
#error "this target computes floats in a wider format (x87): every operation must round to its own type"
#endif
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || __SIZEOF_POINTER__ != 8
#error "the kernels need a little-endian 64-bit target"
#endif

#define SOLVENT_RANK 8
#define SOLVENT_INPUTS 8
#define SOLVENT_OUTPUTS 4
#define SOLVENT_SCALARS 16

enum solvent_op {
    OP_MATMUL,
    OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_MAXIMUM, OP_MINIMUM, OP_EQUAL, OP_LESS, OP_LESS_EQUAL,
    OP_RELU_BACKWARD,
    OP_NEG, OP_ABS, OP_SQRT, OP_EXP, OP_LOG, OP_RELU,
    OP_SELECT, OP_SELECT_WORD,
    OP_ROW_SUM, OP_COL_SUM, OP_BLOCK_SUM,
    OP_LOG_SOFTMAX, OP_LOG_SOFTMAX_BACKWARD, OP_NLL, OP_NLL_BACKWARD,
    OP_SGD,
    OP_U8_TO_F32, OP_I32_TO_F32, OP_U32_TO_F32, OP_F32_TO_I32, OP_U8_TO_I32,
    OP_FILL, OP_UNIFORM,
    OP_MOVE_F32, OP_MOVE_WORD, OP_MOVE_BYTE,
    OP_MAP, OP_BATCH_MATMUL, OP_BLOCK_SQUARE_SUM, OP_PAD, OP_CONCAT, OP_IOTA,
    OP_TAKE_ROWS, OP_SCATTER_ROWS, OP_ROW_MAX,
    OP_SOFTMAX, OP_SOFTMAX_BACKWARD, OP_LAYER_NORM, OP_LAYER_NORM_BACKWARD,
    OP_CONV2D, OP_MAX_POOL, OP_MAX_POOL_BACKWARD,
    OP_COUNT
};

/* rank, size, stride: the output's shape, outermost first, and the element strides of each input along it (0 where an
 * input is broadcast), read from element offset[i] on. Operators with a fixed layout use size alone: matmul (m, n, k), row
 * operators (rows, columns), flat ones (elements). scalar: f32 bit patterns and flags, as the operator lists them. code: the
 * line of a map, as in map.h. work: estimated nanoseconds. */
struct solvent_instruction {
    int32_t op;
    int32_t rank;
    int32_t inputs;
    int32_t outputs;
    uint32_t scalar[SOLVENT_SCALARS];
    int64_t size[SOLVENT_RANK];
    int64_t stride[SOLVENT_INPUTS][SOLVENT_RANK];
    int64_t offset[2];
    const void *in[SOLVENT_INPUTS];
    void *out[SOLVENT_OUTPUTS];
    const int32_t *code;
    int64_t work;
};

/* What an instruction set provides: part `part` of `parts` of one instruction. `scratch` holds SCRATCH_FLOATS floats. */
struct solvent_kernels {
    const char *name;
    void (*run)(const struct solvent_instruction *instruction, uint32_t step, int part, int parts, float *scratch);
};

/* A panel of a product, or the image of a convolution with its padding (convolution.h). */
#define SCRATCH_FLOATS (1 << 20)

extern const struct solvent_kernels solvent_baseline;
#if defined(__x86_64__)
extern const struct solvent_kernels solvent_avx2;
extern const struct solvent_kernels solvent_avx512;
#endif

/* Correctly rounded exp and log for the rare arguments that the fast path cannot decide (exact.c). */
float solvent_exp_exact(float x);
float solvent_log_exact(float x);

/* The public face (dispatch.c, pool.c). */
struct solvent_pool;
struct solvent_pool *solvent_pool_open(int threads);
void solvent_pool_close(struct solvent_pool *pool);
void solvent_pool_run(struct solvent_pool *pool, const struct solvent_kernels *kernels,
                      const struct solvent_instruction *instruction, uint32_t step, int parts);
int solvent_pool_threads(const struct solvent_pool *pool);

int solvent_fpu_fault(void);
const char *solvent_sources(void);
const char *solvent_instruction_set(int index);
int solvent_run(struct solvent_pool *pool, int instruction_set, const struct solvent_instruction *plan, int64_t first,
                int64_t last, uint32_t step);

#endif

/* The body of every instruction set: included once per translation unit, after LANES, ROWS, COLUMNS and KERNELS are set. */
#include "solvent.h"
#include "vectors.h"
#include "operations.h"
#include "gemm.h"
#include "transcendental.h"
#include "elementwise.h"
#include "rows.h"
#include "approximations.h"
#include "map.h"
#include "places.h"
#include "normal.h"
#include "window.h"
#include "convolution.h"
#include "pooling.h"

static void run(const struct solvent_instruction *in, uint32_t step, int part, int parts, float *scratch) {
    switch (in->op) {
        case OP_MATMUL: matmul(in, part, parts, scratch); break;
        case OP_ADD: case OP_SUB: case OP_MUL: case OP_DIV: case OP_MAXIMUM: case OP_MINIMUM:
        case OP_EQUAL: case OP_LESS: case OP_LESS_EQUAL: case OP_RELU_BACKWARD: binary(in, part, parts); break;
        case OP_NEG: case OP_ABS: case OP_SQRT: case OP_EXP: case OP_LOG: case OP_RELU: case OP_U8_TO_F32:
        case OP_I32_TO_F32: case OP_U32_TO_F32: case OP_F32_TO_I32: case OP_U8_TO_I32: unary(in, part, parts); break;
        case OP_SELECT: case OP_SELECT_WORD: select_where(in, part, parts); break;
        case OP_ROW_SUM: row_sum(in, part, parts); break;
        case OP_COL_SUM: col_sum(in, part, parts); break;
        case OP_BLOCK_SUM: block_sum(in, part, parts); break;
        case OP_LOG_SOFTMAX: log_softmax(in, part, parts); break;
        case OP_LOG_SOFTMAX_BACKWARD: log_softmax_backward(in, part, parts); break;
        case OP_NLL: nll(in, part, parts); break;
        case OP_NLL_BACKWARD: nll_backward(in, part, parts); break;
        case OP_SGD: sgd(in, part, parts); break;
        case OP_FILL: fill(in, part, parts); break;
        case OP_UNIFORM: uniform(in, step, part, parts); break;
        case OP_MOVE_F32: case OP_MOVE_WORD: case OP_MOVE_BYTE: move_strided(in, part, parts); break;
        case OP_MAP: map_line(in, part, parts, scratch); break;
        case OP_BATCH_MATMUL: batch_matmul(in, part, parts, scratch); break;
        case OP_BLOCK_SQUARE_SUM: block_square_sum(in, part, parts); break;
        case OP_PAD: pad(in, part, parts); break;
        case OP_CONCAT: concat(in, part, parts); break;
        case OP_IOTA: iota(in, part, parts); break;
        case OP_TAKE_ROWS: take_rows(in, part, parts); break;
        case OP_SCATTER_ROWS: scatter_rows(in, part, parts); break;
        case OP_ROW_MAX: row_max(in, part, parts); break;
        case OP_SOFTMAX: softmax(in, part, parts); break;
        case OP_SOFTMAX_BACKWARD: softmax_backward(in, part, parts); break;
        case OP_LAYER_NORM: layer_norm(in, part, parts); break;
        case OP_LAYER_NORM_BACKWARD: layer_norm_backward(in, part, parts); break;
        case OP_CONV2D: conv2d(in, part, parts, scratch); break;
        case OP_MAX_POOL: max_pool(in, part, parts); break;
        case OP_MAX_POOL_BACKWARD: max_pool_backward(in, part, parts); break;
        default: break;
    }
}

const struct solvent_kernels KERNELS = {SET_NAME, run};

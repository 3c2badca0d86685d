/* Element-wise operations as expressions of x and y: code, type of the result, type of the operands (f32 where none is named),
 * result. Whoever includes this decides what is done with them: a loop on the CPU, one element on a graphics card. */

#define BINARY_OPERATIONS(BINARY) \
    BINARY(OP_ADD, float, canonical(x + y)) \
    BINARY(OP_SUB, float, canonical(x - y)) \
    BINARY(OP_MUL, float, canonical(x * y)) \
    BINARY(OP_DIV, float, canonical(x / y)) \
    BINARY(OP_MAXIMUM, float, maximum(x, y)) \
    BINARY(OP_MINIMUM, float, minimum(x, y)) \
    BINARY(OP_EQUAL, int32_t, x == y) \
    BINARY(OP_LESS, int32_t, x < y) \
    BINARY(OP_LESS_EQUAL, int32_t, x <= y) \
    BINARY(OP_RELU_BACKWARD, float, y <= 0.0f ? 0.0f : canonical(x))

#define UNARY_OPERATIONS(UNARY) \
    UNARY(OP_NEG, float, float, canonical(from_bits(to_bits(x) ^ 0x80000000u))) \
    UNARY(OP_ABS, float, float, canonical(from_bits(to_bits(x) & 0x7fffffffu))) \
    UNARY(OP_SQRT, float, float, canonical(sqrtf(x))) \
    UNARY(OP_RELU, float, float, x > 0.0f ? x : (x == x ? 0.0f : from_bits(0x7fc00000u))) \
    UNARY(OP_U8_TO_F32, float, uint8_t, (float)x) \
    UNARY(OP_I32_TO_F32, float, int32_t, (float)x) \
    UNARY(OP_U32_TO_F32, float, uint32_t, (float)x) \
    UNARY(OP_F32_TO_I32, int32_t, float, truncate(x)) \
    UNARY(OP_U8_TO_I32, int32_t, uint8_t, (int32_t)x)

/* Of a map's line; its exp, log and choices are written out where they are used. */
enum map_code {
    MAP_ADD, MAP_SUB, MAP_MUL, MAP_DIV, MAP_MAX, MAP_MIN, MAP_EQUAL, MAP_LESS, MAP_LESS_EQUAL, MAP_NEG, MAP_ABS, MAP_SQRT,
    MAP_RSQRT, MAP_EXP, MAP_LOG, MAP_TANH, MAP_SIGMOID, MAP_ERF, MAP_GELU, MAP_GELU_SLOPE, MAP_SELECT_F32, MAP_SELECT_I32,
    MAP_I32_TO_F32, MAP_F32_TO_I32, MAP_ADD_I32, MAP_SUB_I32, MAP_MUL_I32, MAP_EQUAL_I32, MAP_LESS_I32,
    MAP_SIN, MAP_COS
};
enum { MAP_SLOTS = SOLVENT_INPUTS + 32 };

#define MAP_OPERATIONS(BINARY, UNARY) \
    BINARY(MAP_ADD, float, float, x + y) \
    BINARY(MAP_SUB, float, float, x - y) \
    BINARY(MAP_MUL, float, float, x * y) \
    BINARY(MAP_DIV, float, float, x / y) \
    BINARY(MAP_MAX, float, float, maximum(x, y)) \
    BINARY(MAP_MIN, float, float, minimum(x, y)) \
    BINARY(MAP_EQUAL, int32_t, float, x == y) \
    BINARY(MAP_LESS, int32_t, float, x < y) \
    BINARY(MAP_LESS_EQUAL, int32_t, float, x <= y) \
    UNARY(MAP_NEG, float, float, from_bits(to_bits(x) ^ 0x80000000u)) \
    UNARY(MAP_ABS, float, float, from_bits(to_bits(x) & 0x7fffffffu)) \
    UNARY(MAP_SQRT, float, float, sqrtf(x)) \
    UNARY(MAP_RSQRT, float, float, rsqrt_one(x)) \
    UNARY(MAP_TANH, float, float, tanh_one(x)) \
    UNARY(MAP_SIGMOID, float, float, sigmoid_one(x)) \
    UNARY(MAP_ERF, float, float, erf_one(x)) \
    UNARY(MAP_GELU, float, float, gelu_one(x)) \
    UNARY(MAP_GELU_SLOPE, float, float, gelu_slope_one(x)) \
    UNARY(MAP_SIN, float, float, turned_one(x, 0)) \
    UNARY(MAP_COS, float, float, turned_one(x, 1)) \
    UNARY(MAP_I32_TO_F32, float, int32_t, (float)x) \
    UNARY(MAP_F32_TO_I32, int32_t, float, truncate(x)) \
    BINARY(MAP_ADD_I32, uint32_t, uint32_t, x + y) \
    BINARY(MAP_SUB_I32, uint32_t, uint32_t, x - y) \
    BINARY(MAP_MUL_I32, uint32_t, uint32_t, x * y) \
    BINARY(MAP_EQUAL_I32, int32_t, int32_t, x == y) \
    BINARY(MAP_LESS_I32, int32_t, int32_t, x < y)

/* One rounded operation per element, with NumPy broadcasting. The loops are plain: the compiler widens them for the
 * instruction set of the translation unit. An output may be the very buffer of an input (same index, so INDEPENDENT). */

/* The four ways the innermost dimension can be laid out each get a loop of their own. */
#define BINARY_LOOPS(code, type, expression) \
    case code: if (sa == 1 && sb == 1) { \
        INDEPENDENT \
        for (int64_t i = 0; i < n; i++) { float x = a[i], y = b[i]; ((type *)out)[i] = expression; } \
    } else if (sa == 1 && sb == 0) { \
        float y = *b; \
        INDEPENDENT \
        for (int64_t i = 0; i < n; i++) { float x = a[i]; ((type *)out)[i] = expression; } \
    } else if (sa == 0 && sb == 1) { \
        float x = *a; \
        INDEPENDENT \
        for (int64_t i = 0; i < n; i++) { float y = b[i]; ((type *)out)[i] = expression; } \
    } else { \
        for (int64_t i = 0; i < n; i++) { float x = a[i * sa], y = b[i * sb]; ((type *)out)[i] = expression; } \
    } \
    break;

static void binary_run(int op, int64_t n, const float *a, int64_t sa, const float *b, int64_t sb, void *out) {
    switch (op) {
        BINARY_OPERATIONS(BINARY_LOOPS)
        default: break;
    }
}

/* Walk the outer dimensions of a broadcast, innermost runs at a time. A one-dimensional one is split along its run. */
struct odometer { int64_t index[SOLVENT_RANK], offset[2]; };

static struct odometer seek(const struct solvent_instruction *in, int64_t row) {
    struct odometer at = {{0}, {0, 0}};
    for (int d = in->rank - 2; d >= 0; d--) {
        at.index[d] = row % in->size[d];
        row /= in->size[d];
        at.offset[0] += at.index[d] * in->stride[0][d];
        at.offset[1] += at.index[d] * in->stride[1][d];
    }
    return at;
}

static void advance(const struct solvent_instruction *in, struct odometer *at) {
    for (int d = in->rank - 2; d >= 0; d--) {
        at->offset[0] += in->stride[0][d];
        at->offset[1] += in->stride[1][d];
        if (++at->index[d] < in->size[d]) return;
        at->index[d] = 0;
        at->offset[0] -= in->size[d] * in->stride[0][d];
        at->offset[1] -= in->size[d] * in->stride[1][d];
    }
}

static int64_t row_count(const struct solvent_instruction *in) {
    int64_t rows = 1;
    for (int d = 0; d + 1 < in->rank; d++) rows *= in->size[d];
    return rows;
}

static void binary(const struct solvent_instruction *in, int part, int parts) {
    int last = in->rank - 1;
    int64_t n = in->size[last], sa = in->stride[0][last], sb = in->stride[1][last];
    const float *a = in->in[0], *b = in->in[1];
    if (in->rank == 1) {
        struct share mine = share_of(n, part, parts);
        binary_run(in->op, mine.last - mine.first, a + mine.first * sa, sa, b + mine.first * sb, sb,
                   (uint32_t *)in->out[0] + mine.first);
        return;
    }
    struct share mine = share_of(row_count(in), part, parts);
    struct odometer at = seek(in, mine.first);
    for (int64_t row = mine.first; row < mine.last; row++) {
        binary_run(in->op, n, a + at.offset[0], sa, b + at.offset[1], sb, (uint32_t *)in->out[0] + row * n);
        advance(in, &at);
    }
}

#define UNARY(code, type, from, expression) \
    case code: { \
        const from *source = (const from *)in->in[0] + mine.first; \
        type *out = (type *)in->out[0] + mine.first; \
        INDEPENDENT \
        for (int64_t i = 0; i < n; i++) { from x = source[i]; out[i] = expression; } \
        break; \
    }

static void unary(const struct solvent_instruction *in, int part, int parts) {
    struct share mine = share_of(in->size[0], part, parts);
    int64_t n = mine.last - mine.first;
    switch (in->op) {
        UNARY_OPERATIONS(UNARY)
        case OP_EXP:
        case OP_LOG: {
            const float *x = (const float *)in->in[0] + mine.first;
            float *out = (float *)in->out[0] + mine.first;
            for (int64_t i = 0; i < n; i += RUN) {
                int64_t count = n - i < RUN ? n - i : RUN;
                if (in->op == OP_EXP) exp_run(x + i, 0.0f, out + i, count);
                else log_run(x + i, out + i, count);
            }
            break;
        }
        default: break;
    }
}

/* in: condition, a, b. i32 choices pass through as words. */
static void select_where(const struct solvent_instruction *in, int part, int parts) {
    struct share mine = share_of(in->size[0], part, parts);
    const int32_t *condition = in->in[0];
    const uint32_t *a = in->in[1], *b = in->in[2];
    uint32_t *out = in->out[0];
    if (in->op == OP_SELECT_WORD) {
        INDEPENDENT
        for (int64_t i = mine.first; i < mine.last; i++) out[i] = condition[i] != 0 ? a[i] : b[i];
    } else {
        INDEPENDENT
        for (int64_t i = mine.first; i < mine.last; i++) {
            uint32_t chosen = condition[i] != 0 ? a[i] : b[i];
            out[i] = (chosen & 0x7fffffffu) > 0x7f800000u ? 0x7fc00000u : chosen;
        }
    }
}

/* reshape, transpose and broadcast_to: out is contiguous, in[0] is read through strides. */
#define MOVE(type, expression) { \
        const type *source = (const type *)in->in[0] + in->offset[0] + at.offset[0]; \
        type *out = (type *)in->out[0] + row * n; \
        INDEPENDENT \
        for (int64_t i = first; i < end; i++) { type x = source[i * stride]; out[i] = expression; } \
        break; \
    }

static void move_strided(const struct solvent_instruction *in, int part, int parts) {
    int last = in->rank - 1;
    int64_t n = in->size[last], stride = in->stride[0][last], first = 0, end = n;
    struct share mine = {0, 1};
    if (in->rank == 1) {
        struct share slice = share_of(n, part, parts);
        first = slice.first;
        end = slice.last;
    } else {
        mine = share_of(row_count(in), part, parts);
    }
    struct odometer at = seek(in, mine.first);
    for (int64_t row = mine.first; row < mine.last; row++) {
        switch (in->op) {
            case OP_MOVE_F32: MOVE(float, canonical(x))
            case OP_MOVE_WORD: MOVE(uint32_t, x)
            case OP_MOVE_BYTE: MOVE(uint8_t, x)
            default: break;
        }
        advance(in, &at);
    }
}

static void fill(const struct solvent_instruction *in, int part, int parts) {
    struct share mine = share_of(in->size[0], part, parts);
    uint32_t *out = in->out[0], bits = in->scalar[0];
    for (int64_t i = mine.first; i < mine.last; i++) out[i] = bits;
}

/* Element e is word e mod 4 of counter (e div 4, node, step). */
static void uniform(const struct solvent_instruction *in, uint32_t step, int part, int parts) {
    struct share mine = share_of((in->size[0] + 3) / 4, part, parts);
    const uint32_t *key = in->in[0];
    float low = from_bits(in->scalar[0]), high = from_bits(in->scalar[1]), width = high - low, *out = in->out[0];
    for (int64_t group = mine.first; group < mine.last; group++) {
        uint32_t c[4] = {(uint32_t)group, (uint32_t)(group >> 32), in->scalar[2], step};
        philox(c, key[0], key[1]);
        for (int64_t i = 0; i < 4 && group * 4 + i < in->size[0]; i++) out[group * 4 + i] = uniform_of(c[i], low, width);
    }
}

/* Momentum SGD, every operation rounded by itself. in: param, grad, buffer, lr; out: buffer', param'.
 * scalar: momentum, weight decay, nesterov. */
static void sgd(const struct solvent_instruction *in, int part, int parts) {
    struct share mine = share_of(in->size[0], part, parts);
    const float *param = in->in[0], *grad = in->in[1], *buffer = in->in[2];
    float rate = *(const float *)in->in[3], momentum = from_bits(in->scalar[0]), decay = from_bits(in->scalar[1]);
    float *buffer_out = in->out[0], *param_out = in->out[1];
#define SGD_LOOP(gradient, direction) { \
        INDEPENDENT \
        for (int64_t i = mine.first; i < mine.last; i++) { \
            float p = param[i], g = gradient; \
            float b = momentum * buffer[i] + g; \
            buffer_out[i] = canonical(b); \
            param_out[i] = canonical(p - rate * (direction)); \
        } \
    }
    if (in->scalar[1] != 0) {
        if (in->scalar[2]) SGD_LOOP(grad[i] + decay * p, g + momentum * b)
        else SGD_LOOP(grad[i] + decay * p, b)
    } else {
        if (in->scalar[2]) SGD_LOOP(grad[i], g + momentum * b)
        else SGD_LOOP(grad[i], b)
    }
}

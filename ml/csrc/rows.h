/* Sums in a fixed order, and the row operators that classification losses are made of. */

/* 16 lanes from +0, lane l takes x[l], x[l+16], ...; then l += l+8, +4, +2, +1. No lane can be -0, so an absent element
 * may be added as +0. */
typedef float sixteen __attribute__((vector_size(64)));
typedef float loose_sixteen __attribute__((vector_size(64), aligned(4), may_alias));
typedef float eight __attribute__((vector_size(32)));

/* Lanes pass through memory: a 64-byte vector argument would have an instruction-set dependent calling convention. */
INLINE void add_to_lanes(float sums[16], const float *x, int64_t n) {
    sixteen s = *(const loose_sixteen *)sums;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) s += *(const loose_sixteen *)(x + i);
    if (i < n) {
        float rest[16] = {0};
        for (int64_t j = i; j < n; j++) rest[j - i] = x[j];
        s += *(const loose_sixteen *)rest;
    }
    *(loose_sixteen *)sums = s;
}

INLINE float row_total(const float *x, int64_t n) {
    float sums[16] = {0};
    add_to_lanes(sums, x, n);
    return fold(sums);
}

static void row_sum(const struct solvent_instruction *in, int part, int parts) {
    struct share mine = share_of(in->size[0], part, parts);
    for (int64_t r = mine.first; r < mine.last; r++)
        ((float *)in->out[0])[r] = row_total((const float *)in->in[0] + r * in->size[1], in->size[1]);
}

/* Blocks of 256 rows; in a block s = +0, s = s + x; the blocks' sums are added in order. */
static void col_sum(const struct solvent_instruction *in, int part, int parts) {
    enum { STRIP = 128 };
    int64_t rows = in->size[0], columns = in->size[1];
    struct share mine = share_of(columns, part, parts);
    float *out = in->out[0];
    for (int64_t c = mine.first; c < mine.last; c += STRIP) {
        int64_t width = mine.last - c < STRIP ? mine.last - c : STRIP;
        float total[STRIP] = {0}, sum[STRIP];
        for (int64_t start = 0; start < rows; start += 256) {
            int64_t end = start + 256 < rows ? start + 256 : rows;
            memset(sum, 0, sizeof sum);
            for (int64_t r = start; r < end; r++) {
                const float *x = (const float *)in->in[0] + r * columns + c;
                INDEPENDENT
                for (int64_t j = 0; j < width; j++) sum[j] += x[j];
            }
            for (int64_t j = 0; j < width; j++) total[j] = start == 0 ? sum[j] : total[j] + sum[j];
        }
        for (int64_t j = 0; j < width; j++) out[c + j] = canonical(total[j]);
    }
}

static void block_sum(const struct solvent_instruction *in, int part, int parts) {
    enum { SPAN = 4096 };
    int64_t n = in->size[0];
    struct share mine = share_of((n + SPAN - 1) / SPAN, part, parts);
    for (int64_t b = mine.first; b < mine.last; b++)
        ((float *)in->out[0])[b] = row_total((const float *)in->in[0] + b * SPAN, n - b * SPAN < SPAN ? n - b * SPAN : SPAN);
}

static void block_square_sum(const struct solvent_instruction *in, int part, int parts) {
    enum { SPAN = 4096, PIECE = 256 };
    int64_t n = in->size[0];
    struct share mine = share_of((n + SPAN - 1) / SPAN, part, parts);
    for (int64_t b = mine.first; b < mine.last; b++) {
        int64_t end = n - b * SPAN < SPAN ? n - b * SPAN : SPAN;
        const float *x = (const float *)in->in[0] + b * SPAN;
        float sums[16] = {0}, squares[PIECE];
        for (int64_t i = 0; i < end; i += PIECE) {
            int64_t count = end - i < PIECE ? end - i : PIECE;
            INDEPENDENT
            for (int64_t j = 0; j < count; j++) squares[j] = x[i + j] * x[i + j];
            add_to_lanes(sums, squares, count);
        }
        ((float *)in->out[0])[b] = fold(sums);
    }
}

/* The largest of n values, NaN winning and +0 above -0: associative, so any order of comparison gives the same bits. */
INLINE float row_maximum(const float *x, int64_t n) {
    float best[16];
    for (int l = 0; l < 16; l++) best[l] = x[l < n ? l : 0];
    int64_t i = 16;
    for (; i + 16 <= n; i += 16)
        for (int l = 0; l < 16; l++) best[l] = maximum(best[l], x[i + l]);
    for (; i < n; i++) best[0] = maximum(best[0], x[i]);
    for (int l = 1; l < 16; l++) best[0] = maximum(best[0], best[l]);
    return canonical(best[0]);
}

/* out: max[R], log of the total[R], log-probabilities[R, C]. */
static void log_softmax(const struct solvent_instruction *in, int part, int parts) {
    int64_t columns = in->size[1];
    struct share mine = share_of(in->size[0], part, parts);
    for (int64_t r = mine.first; r < mine.last; r++) {
        const float *x = (const float *)in->in[0] + r * columns;
        float *out = (float *)in->out[2] + r * columns, largest = row_maximum(x, columns), sums[16] = {0}, powers[RUN];
        for (int64_t i = 0; i < columns; i += RUN) {
            int64_t count = columns - i < RUN ? columns - i : RUN;
            exp_run(x + i, largest, powers, count);
            add_to_lanes(sums, powers, count);
        }
        float total = log_one(fold(sums));
        ((float *)in->out[0])[r] = largest;
        ((float *)in->out[1])[r] = total;
        INDEPENDENT
        for (int64_t c = 0; c < columns; c++) out[c] = canonical((x[c] - largest) - total);
    }
}

/* in: grad, out; out: total[R] of grad, main = grad - exp(out) * total. */
static void log_softmax_backward(const struct solvent_instruction *in, int part, int parts) {
    int64_t columns = in->size[1];
    struct share mine = share_of(in->size[0], part, parts);
    for (int64_t r = mine.first; r < mine.last; r++) {
        const float *grad = (const float *)in->in[0] + r * columns, *log_p = (const float *)in->in[1] + r * columns;
        float *out = (float *)in->out[1] + r * columns, total = row_total(grad, columns), powers[RUN];
        ((float *)in->out[0])[r] = total;
        for (int64_t i = 0; i < columns; i += RUN) {
            int64_t count = columns - i < RUN ? columns - i : RUN;
            exp_run(log_p + i, 0.0f, powers, count);
            INDEPENDENT
            for (int64_t c = 0; c < count; c++) out[i + c] = canonical(grad[i + c] - powers[c] * total);
        }
    }
}

/* size: R, C. A label outside [0, C) reads NaN. */
static void nll(const struct solvent_instruction *in, int part, int parts) {
    int64_t columns = in->size[1];
    struct share mine = share_of(in->size[0], part, parts);
    const int32_t *labels = in->in[1];
    for (int64_t r = mine.first; r < mine.last; r++) {
        int64_t label = labels[r];
        float picked = label >= 0 && label < columns ? ((const float *)in->in[0])[r * columns + label] : __builtin_nanf("");
        ((float *)in->out[0])[r] = canonical(from_bits(to_bits(picked) ^ 0x80000000u));
    }
}

static void nll_backward(const struct solvent_instruction *in, int part, int parts) {
    int64_t columns = in->size[1];
    struct share mine = share_of(in->size[0], part, parts);
    const int32_t *labels = in->in[1];
    float value = canonical(from_bits(to_bits(*(const float *)in->in[0]) ^ 0x80000000u));
    for (int64_t r = mine.first; r < mine.last; r++)
        for (int64_t c = 0; c < columns; c++)
            ((float *)in->out[0])[r * columns + c] = c == labels[r] ? value : 0.0f;
}

/* Operators that put elements elsewhere: padding, joining, counting, rows of tables. */

static void copy_words(void *to, const void *from, int64_t n, int is_float) {
    if (!is_float) {
        memcpy(to, from, (size_t)n * 4);
        return;
    }
    const float *source = from;
    float *out = to;
    INDEPENDENT
    for (int64_t i = 0; i < n; i++) out[i] = canonical(source[i]);
}

/* size: output shape; stride[0]: elements before, stride[1]: distance of neighbours, stride[2]: input shape.
 * scalar: fill bits, 1 for f32. */
static void pad(const struct solvent_instruction *in, int part, int parts) {
    int last = in->rank - 1, is_float = (int)in->scalar[1];
    int64_t n = in->size[last], rows = 1;
    for (int d = 0; d < last; d++) rows *= in->size[d];
    struct share mine = share_of(rows, part, parts);
    const int64_t *before = in->stride[0], *apart = in->stride[1], *sizes = in->stride[2];
    for (int64_t row = mine.first; row < mine.last; row++) {
        uint32_t *out = (uint32_t *)in->out[0] + row * n;
        int64_t rest = row, place = 0, step = sizes[last];
        int inside = 1;
        for (int d = last - 1; d >= 0; d--) {
            int64_t index = rest % in->size[d] - before[d];
            rest /= in->size[d];
            if (index < 0 || index % apart[d] != 0 || index / apart[d] >= sizes[d]) inside = 0;
            else place += index / apart[d] * step;
            step *= sizes[d];
        }
        for (int64_t i = 0; i < n; i++) out[i] = in->scalar[0];
        if (!inside) continue;
        const uint32_t *from = (const uint32_t *)in->in[0] + place;
        if (apart[last] == 1) {
            copy_words(out + before[last], from, sizes[last], is_float);
            continue;
        }
        for (int64_t i = 0; i < sizes[last]; i++) copy_words(out + before[last] + i * apart[last], from + i, 1, is_float);
    }
}

/* size: rows, and elements of a row of each input in turn. scalar: 1 for f32. */
static void concat(const struct solvent_instruction *in, int part, int parts) {
    struct share mine = share_of(in->size[0], part, parts);
    int64_t width = 0, at = 0;
    for (int k = 0; k < in->inputs; k++) width += in->stride[k][0];
    for (int k = 0; k < in->inputs; k++) {
        int64_t n = in->stride[k][0];
        for (int64_t row = mine.first; row < mine.last; row++)
            copy_words((uint32_t *)in->out[0] + row * width + at, (const uint32_t *)in->in[k] + row * n, n, (int)in->scalar[0]);
        at += n;
    }
}

static void iota(const struct solvent_instruction *in, int part, int parts) {
    struct share mine = share_of(in->size[0], part, parts);
    uint32_t *out = in->out[0];
    for (int64_t i = mine.first; i < mine.last; i++) out[i] = in->scalar[0] + in->scalar[1] * (uint32_t)i;
}

/* size: places, columns, rows of the table. */
static void take_rows(const struct solvent_instruction *in, int part, int parts) {
    int64_t columns = in->size[1];
    struct share mine = share_of(in->size[0], part, parts);
    const int32_t *index = in->in[1];
    for (int64_t p = mine.first; p < mine.last; p++) {
        float *out = (float *)in->out[0] + p * columns;
        if (index[p] >= 0 && index[p] < in->size[2]) {
            copy_words(out, (const float *)in->in[0] + index[p] * columns, columns, 1);
            continue;
        }
        for (int64_t c = 0; c < columns; c++) out[c] = __builtin_nanf("");
    }
}

/* size: places, columns, rows of the table. Each part sums columns of its own, over all places in order. */
static void scatter_rows(const struct solvent_instruction *in, int part, int parts) {
    int64_t columns = in->size[1];
    struct share mine = share_of(columns, part, parts);
    int64_t n = mine.last - mine.first;
    const int32_t *index = in->in[1];
    for (int64_t row = 0; row < in->size[2]; row++)
        memset((float *)in->out[0] + row * columns + mine.first, 0, (size_t)n * sizeof(float));
    for (int64_t p = 0; p < in->size[0]; p++) {
        if (index[p] < 0 || index[p] >= in->size[2]) continue;
        const float *grad = (const float *)in->in[0] + p * columns + mine.first;
        float *out = (float *)in->out[0] + index[p] * columns + mine.first;
        INDEPENDENT
        for (int64_t c = 0; c < n; c++) out[c] = canonical(out[c] + grad[c]);
    }
}

/* size: rows, columns. out: largest, and its first place (0 where the largest is NaN). */
static void row_max(const struct solvent_instruction *in, int part, int parts) {
    int64_t columns = in->size[1];
    struct share mine = share_of(in->size[0], part, parts);
    for (int64_t r = mine.first; r < mine.last; r++) {
        const float *x = (const float *)in->in[0] + r * columns;
        float largest = row_maximum(x, columns);
        int64_t place = 0;
        while (place < columns && x[place] != largest) place++;
        ((float *)in->out[0])[r] = largest;
        ((int32_t *)in->out[1])[r] = place < columns ? (int32_t)place : 0;
    }
}

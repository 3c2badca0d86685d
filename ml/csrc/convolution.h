/* Convolution as a product of weights [O, K] with a matrix [K, columns] that is packed panel by panel straight from the
 * image: a column is one output position of one image, a row k = (channel, kernel row, kernel column). Elements outside the
 * image or between its spread pixels are +0. The order of additions is that of gemm.h. */

struct column { int64_t plane, top, left; };

static void locate_columns(const struct convolution *c, int64_t group, int64_t first, int64_t count, struct column *at) {
    int64_t places = c->out_height * c->out_width;
    for (int64_t j = 0; j < count; j++) {
        int64_t image = (first + j) / places, place = (first + j) % places;
        at[j].plane = (image * c->channels + group * c->inner) * c->height * c->width;
        at[j].top = place / c->out_width * c->v.stride - c->v.before;
        at[j].left = place % c->out_width * c->h.stride - c->h.before;
    }
}

/* One kernel row of one column: kernel_width elements, WIDTH apart in the panel. */
INLINE void pack_taps(const struct convolution *c, const struct column *at, int64_t channel, int64_t i, int64_t from,
                      int64_t until, float *to) {
    int64_t row = pixel_at(at->top + i * c->v.apart, c->v.spread, c->height);
    const float *line = c->image + at->plane + (channel * c->height + row) * c->width;
    for (int64_t k = from; k < until; k++) {
        int64_t x = row < 0 ? -1 : pixel_at(at->left + k * c->h.apart, c->h.spread, c->width);
        to[(k - from) * WIDTH] = x < 0 ? 0.0f : line[x];
    }
}

/* As above where pixels are not spread, so that the taps inside the image are one run. */
INLINE void pack_taps_plain(const struct convolution *c, const struct column *at, int64_t channel, int64_t i, int64_t from,
                            int64_t until, float *to) {
    int64_t row = at->top + i * c->v.apart, apart = c->h.apart;
    int64_t low = at->left < 0 ? (apart - 1 - at->left) / apart : 0;
    int64_t high = at->left < c->width ? (c->width - 1 - at->left) / apart + 1 : 0;
    if (row < 0 || row >= c->height) low = high = until;
    low = low < from ? from : low > until ? until : low;
    high = high < low ? low : high > until ? until : high;
    const float *line = c->image + at->plane + (channel * c->height + row) * c->width + at->left;
    int64_t k = from;
    for (; k < low; k++) to[(k - from) * WIDTH] = 0.0f;
    for (; k < high; k++) to[(k - from) * WIDTH] = line[k * apart];
    for (; k < until; k++) to[(k - from) * WIDTH] = 0.0f;
}

/* One row k of the panel where outputs of a line lie side by side: runs of columns read runs of pixels. */
INLINE void pack_row(const struct convolution *c, const struct column *at, int64_t count, int64_t channel, int64_t i,
                     int64_t k, float *to) {
    for (int64_t j = 0; j < count;) {
        int64_t run = 1;
        while (j + run < count && at[j + run].top == at[j].top && at[j + run].plane == at[j].plane) run++;
        int64_t row = at[j].top + i * c->v.apart, left = at[j].left + k * c->h.apart, step = c->h.stride;
        int64_t low = left < 0 ? (step - 1 - left) / step : 0, high = left < c->width ? (c->width - 1 - left) / step + 1 : 0;
        if (row < 0 || row >= c->height) low = high = run;
        if (low > run) low = run;
        if (high > run) high = run;
        if (high < low) high = low;
        const float *line = c->image + at[j].plane + (channel * c->height + row) * c->width + left;
        for (int64_t t = 0; t < low; t++) to[j + t] = 0.0f;
        if (step == 1) memcpy(to + j + low, line + low, (size_t)(high - low) * sizeof(float));
        else for (int64_t t = low; t < high; t++) to[j + t] = line[t * step];
        for (int64_t t = high; t < run; t++) to[j + t] = 0.0f;
        j += run;
    }
}

/* Rows [start, start + depth) of the matrix, for `count` columns. */
static void pack_image(const struct convolution *c, const struct column *at, int64_t count, int64_t start, int64_t depth,
                       float *panel) {
    int64_t area = c->kernel_height * c->kernel_width;
    int plain = c->v.spread == 1 && c->h.spread == 1, by_rows = plain && c->out_width >= 8;
    if (count < WIDTH) memset(panel, 0, (size_t)(depth * WIDTH) * sizeof(float));
    for (int64_t k = start; k < start + depth;) {
        int64_t channel = k / area, i = k % area / c->kernel_width, tap = k % c->kernel_width;
        int64_t until = tap + (start + depth - k) < c->kernel_width ? tap + (start + depth - k) : c->kernel_width;
        float *to = panel + (k - start) * WIDTH;
        if (by_rows)
            for (int64_t t = tap; t < until; t++) pack_row(c, at, count, channel, i, t, to + (t - tap) * WIDTH);
        else if (plain)
            for (int64_t j = 0; j < count; j++) pack_taps_plain(c, at + j, channel, i, tap, until, to + j);
        else
            for (int64_t j = 0; j < count; j++) pack_taps(c, at + j, channel, i, tap, until, to + j);
        k += until - tap;
    }
}

/* One panel of columns of one group against the weights of rows [rows.first, rows.last). */
static void convolve_panel(const struct convolution *c, const float *weights, int64_t group, int64_t first,
                           struct share rows, float *out, float *scratch) {
    int64_t places = c->out_height * c->out_width, total = c->images * places;
    int64_t count = total - first < WIDTH ? total - first : WIDTH, inner = c->inner * c->kernel_height * c->kernel_width;
    int vectors = count <= LANES ? 1 : COLUMNS;
    struct column at[WIDTH];
    int64_t offset[WIDTH];
    float sums[ROWS * WIDTH] __attribute__((aligned(64)));
    locate_columns(c, group, first, count, at);
    for (int64_t j = 0; j < count; j++) {
        int64_t image = (first + j) / places;
        offset[j] = (image * c->groups + group) * c->outputs * places + (first + j) % places;
    }
    for (int64_t k = 0; k < inner; k += DEPTH) {
        int64_t depth = inner - k < DEPTH ? inner - k : DEPTH;
        pack_image(c, at, count, k, depth, scratch);
        for (int64_t i = rows.first; i < rows.last; i += ROWS) {
            int height = rows.last - i < ROWS ? (int)(rows.last - i) : ROWS;
            if (k > 0)
                for (int r = 0; r < height; r++)
                    for (int64_t j = 0; j < count; j++) sums[r * WIDTH + j] = out[offset[j] + (i + r) * places];
            any_tile(height, vectors, depth, weights + (group * c->outputs + i) * inner + k, inner, 1, scratch, WIDTH, sums,
                     k > 0);
            for (int r = 0; r < height; r++)
                for (int64_t j = 0; j < count; j++) out[offset[j] + (i + r) * places] = canonical(sums[r * WIDTH + j]);
        }
    }
}

/* -- Without packing: a line of outputs as lanes -------------------------------------------------------------------------
 * The image of one group is spread out once, with its padding, its lines split into as many phases as the horizontal stride, so
 * that neighbouring outputs always read neighbouring floats. Then a tile reads it in place: row k of the matrix begins
 * shift[k] floats after where the vector's outputs begin. Lanes beyond the end of a line compute what nobody stores. */
enum { MAX_SHIFTS = 8192 };

INLINE void shifted_tile(const int rows, const int vectors, int64_t inner, const float *p, int64_t p_row,
                         const float *const *from, const int32_t *shift, float *sums) {
    for (int64_t start = 0; start < inner; start += BLOCK) {
        int64_t end = inner - start < BLOCK ? inner : start + BLOCK;
        lanes s[ROWS][COLUMNS];
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int v = 0; v < vectors; v++) s[i][v] = (lanes){0};
        }
        for (int64_t k = start; k < end; k++) {
            lanes right[COLUMNS];
            UNROLL
            for (int v = 0; v < vectors; v++) right[v] = load(from[v] + shift[k]);
            UNROLL
            for (int i = 0; i < rows; i++) {
                lanes left = broadcast(p[i * p_row + k]);
                UNROLL
                for (int v = 0; v < vectors; v++) s[i][v] = fused(left, right[v], s[i][v]);
            }
        }
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int v = 0; v < vectors; v++) {
                float *sum = sums + (i * COLUMNS + v) * LANES;
                store(sum, start == 0 ? s[i][v] : load(sum) + s[i][v]);
            }
        }
    }
}

#define SHIFTED_CASE(n) \
    case n: \
        if (vectors == 1) shifted_tile(n, 1, inner, p, p_row, from, shift, sums); \
        else shifted_tile(n, COLUMNS, inner, p, p_row, from, shift, sums); \
        break;

static __attribute__((noinline)) void any_shifted_tile(int rows, int vectors, int64_t inner, const float *p, int64_t p_row,
                                                       const float *const *from, const int32_t *shift, float *sums) {
    switch (rows) {
        SHIFTED_CASE(1) SHIFTED_CASE(2) SHIFTED_CASE(3) SHIFTED_CASE(4)
#if ROWS > 4
        SHIFTED_CASE(5) SHIFTED_CASE(6)
#endif
#if ROWS > 6
        SHIFTED_CASE(7) SHIFTED_CASE(8)
#endif
        default: break;
    }
}

/* How the spread image lies in memory: lines of `phases` runs of `run` floats. */
struct spread { int64_t lines, run, line, size; };

static struct spread spread_of(const struct convolution *c) {
    struct spread s;
    s.lines = (c->out_height - 1) * c->v.stride + (c->kernel_height - 1) * c->v.apart + 1;
    int64_t vectors = (c->out_width + LANES - 1) / LANES;
    s.run = vectors * LANES + (c->kernel_width - 1) * c->h.apart / c->h.stride + 1;
    s.line = s.run * c->h.stride;
    s.size = c->inner * s.lines * s.line;
    return s;
}

static int fits_in_place(const struct convolution *c) {
    int64_t wasted = (c->out_width + LANES - 1) / LANES * LANES;
    return 2 * c->out_width >= wasted && c->inner * c->kernel_height * c->kernel_width <= MAX_SHIFTS &&
           spread_of(c).size <= SCRATCH_FLOATS;
}

/* One line of pixels to where its phases lie, without dividing: at most two additions a pixel. */
INLINE void spread_line(const struct convolution *c, struct spread s, const float *in, float *out) {
    int64_t stride = c->h.stride, x = c->h.before < 0 ? (c->h.spread - 1 - c->h.before) / c->h.spread : 0;
    int64_t at = x * c->h.spread + c->h.before, phase = at % stride, place = at / stride;
    if (stride == 1 && c->h.spread == 1) {
        int64_t count = c->width - x < s.run - place ? c->width - x : s.run - place;
        if (count > 0) memcpy(out + place, in + x, (size_t)count * sizeof(float));
        return;
    }
    for (; x < c->width && place < s.run; x++) {
        out[phase * s.run + place] = in[x];
        for (phase += c->h.spread; phase >= stride; phase -= stride) place++;
    }
}

static void spread_image(const struct convolution *c, struct spread s, int64_t image, int64_t group, float *to) {
    const float *from = c->image + (image * c->channels + group * c->inner) * c->height * c->width;
    memset(to, 0, (size_t)s.size * sizeof(float));
    for (int64_t channel = 0; channel < c->inner; channel++)
        for (int64_t y = 0; y < c->height; y++) {
            int64_t line = y * c->v.spread + c->v.before;
            if (line < 0 || line >= s.lines) continue;
            spread_line(c, s, from + (channel * c->height + y) * c->width, to + (channel * s.lines + line) * s.line);
        }
}

/* For each row k of the matrix, how far after the first pixel of an output's window its pixel lies. */
static void find_shifts(const struct convolution *c, struct spread s, int32_t *shift) {
    for (int64_t channel = 0; channel < c->inner; channel++)
        for (int64_t i = 0; i < c->kernel_height; i++)
            for (int64_t j = 0; j < c->kernel_width; j++) {
                int64_t x = j * c->h.apart, line = channel * s.lines + i * c->v.apart;
                *shift++ = (int32_t)(line * s.line + x % c->h.stride * s.run + x / c->h.stride);
            }
}

static void convolve_image(const struct convolution *c, const float *weights, int64_t image, int64_t group, struct share rows,
                           float *out, float *scratch) {
    struct spread s = spread_of(c);
    int32_t shift[MAX_SHIFTS];
    int64_t inner = c->inner * c->kernel_height * c->kernel_width;
    int64_t per_line = (c->out_width + LANES - 1) / LANES, total = per_line * c->out_height;
    find_shifts(c, s, shift);
    spread_image(c, s, image, group, scratch);
    float sums[ROWS * WIDTH] __attribute__((aligned(64)));
    for (int64_t first = 0; first < total; first += COLUMNS) {
        int vectors = total - first < COLUMNS ? 1 : COLUMNS, count = total - first < COLUMNS ? (int)(total - first) : 1;
        for (int single = 0; single < count; single++) {
            const float *from[COLUMNS];
            for (int v = 0; v < vectors; v++) {
                int64_t place = first + single + v;
                from[v] = scratch + place / per_line * c->v.stride * s.line + place % per_line * LANES;
            }
            for (int64_t i = rows.first; i < rows.last; i += ROWS) {
                int height = rows.last - i < ROWS ? (int)(rows.last - i) : ROWS;
                any_shifted_tile(height, vectors, inner, weights + (group * c->outputs + i) * inner, inner, from, shift, sums);
                for (int r = 0; r < height; r++)
                    for (int v = 0; v < vectors; v++) {
                        int64_t place = first + single + v, x = place % per_line * LANES;
                        int64_t width = c->out_width - x < LANES ? c->out_width - x : LANES;
                        float *to = out + (((image * c->groups + group) * c->outputs + i + r) * c->out_height +
                                           place / per_line) * c->out_width + x;
                        const float *sum = sums + (r * COLUMNS + v) * LANES;
                        for (int64_t l = 0; l < width; l++) to[l] = canonical(sum[l]);
                    }
            }
        }
    }
}

/* -- Outputs as lanes --------------------------------------------------------------------------------------------------
 * Where lines are short (gradients of weights, small images) the lanes are output channels: the weights are packed once, [K,
 * channels], and each pixel of the spread image is broadcast from where it lies. */
INLINE void outputs_tile(const int rows, const int vectors, int64_t inner, const float *const *from, const int32_t *shift,
                         const float *weights, float *sums) {
    for (int64_t start = 0; start < inner; start += BLOCK) {
        int64_t end = inner - start < BLOCK ? inner : start + BLOCK;
        lanes s[ROWS][COLUMNS];
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int v = 0; v < vectors; v++) s[i][v] = (lanes){0};
        }
        for (int64_t k = start; k < end; k++) {
            lanes right[COLUMNS];
            UNROLL
            for (int v = 0; v < vectors; v++) right[v] = load(weights + (k * vectors + v) * LANES);
            UNROLL
            for (int i = 0; i < rows; i++) {
                lanes left = broadcast(from[i][shift[k]]);
                UNROLL
                for (int v = 0; v < vectors; v++) s[i][v] = fused(left, right[v], s[i][v]);
            }
        }
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int v = 0; v < vectors; v++) {
                float *sum = sums + (i * COLUMNS + v) * LANES;
                store(sum, start == 0 ? s[i][v] : load(sum) + s[i][v]);
            }
        }
    }
}

#define OUTPUTS_CASE(n) \
    case n: \
        if (vectors == 1) outputs_tile(n, 1, inner, from, shift, weights, sums); \
        else outputs_tile(n, COLUMNS, inner, from, shift, weights, sums); \
        break;

static __attribute__((noinline)) void any_outputs_tile(int rows, int vectors, int64_t inner, const float *const *from,
                                                       const int32_t *shift, const float *weights, float *sums) {
    switch (rows) {
        OUTPUTS_CASE(1) OUTPUTS_CASE(2) OUTPUTS_CASE(3) OUTPUTS_CASE(4)
#if ROWS > 4
        OUTPUTS_CASE(5) OUTPUTS_CASE(6)
#endif
#if ROWS > 6
        OUTPUTS_CASE(7) OUTPUTS_CASE(8)
#endif
        default: break;
    }
}

/* Floats of scratch: packed weights, shifts, the spread image. */
static int64_t outputs_scratch(const struct convolution *c) {
    int64_t inner = c->inner * c->kernel_height * c->kernel_width;
    int64_t wide = c->outputs <= LANES ? LANES : (c->outputs + WIDTH - 1) / WIDTH * WIDTH;
    return inner * (wide + 1) + LANES + spread_of(c).size;
}

/* Whether fewer lanes are wasted on channels than on the ends of lines. */
static int prefers_outputs(const struct convolution *c) {
    int64_t line = (c->out_width + LANES - 1) / LANES * LANES, wide = (c->outputs + LANES - 1) / LANES * LANES;
    return c->groups == 1 && c->out_width * wide < c->outputs * line && outputs_scratch(c) <= SCRATCH_FLOATS;
}

/* Units are tiles of output places; a part takes neighbouring ones. Tiles of an image are of nearly equal height. */
static void convolve_outputs(const struct convolution *c, const float *weights, int part, int parts, float *out,
                             float *scratch) {
    struct spread s = spread_of(c);
    int64_t inner = c->inner * c->kernel_height * c->kernel_width, places = c->out_height * c->out_width;
    int64_t tiles = (places + ROWS - 1) / ROWS, width = c->outputs <= LANES ? LANES : WIDTH;
    int64_t panels = (c->outputs + width - 1) / width, spread_first = -1;
    struct share mine = share_of(c->images * tiles, part, parts);
    if (mine.first >= mine.last) return;
    for (int64_t p = 0; p < panels; p++) {
        int64_t columns = c->outputs - p * width < width ? c->outputs - p * width : width;
        for (int64_t k = 0; k < inner; k += DEPTH) {
            const float *from = weights + p * width * inner + k;
            float *to = scratch + (p * inner + k) * width;
            int64_t depth = inner - k < DEPTH ? inner - k : DEPTH;
            if (width == LANES) pack_wide(LANES, to, from, columns, depth, inner, 1);
            else pack(to, from, columns, depth, inner, 1);
        }
    }
    int32_t *shift = (int32_t *)(scratch + panels * width * inner);
    float *image = scratch + panels * width * inner + (inner + LANES - 1) / LANES * LANES;
    float sums[ROWS * WIDTH] __attribute__((aligned(64)));
    find_shifts(c, s, shift);
    for (int64_t unit = mine.first; unit < mine.last; unit++) {
        int64_t number = unit / tiles;
        struct share rows = share_of(places, (int)(unit % tiles), (int)tiles);
        const float *from[ROWS];
        if (number != spread_first) spread_image(c, s, number, 0, image);
        spread_first = number;
        for (int64_t i = rows.first; i < rows.last; i++)
            from[i - rows.first] = image + i / c->out_width * c->v.stride * s.line + i % c->out_width;
        for (int64_t p = 0; p < panels; p++) {
            int64_t columns = c->outputs - p * width < width ? c->outputs - p * width : width;
            any_outputs_tile((int)(rows.last - rows.first), (int)(width / LANES), inner, from, shift,
                             scratch + p * inner * width, sums);
            for (int64_t i = 0; i < rows.last - rows.first; i++)
                for (int64_t j = 0; j < columns; j++)
                    out[(number * c->outputs + p * width + j) * places + rows.first + i] = canonical(sums[i * WIDTH + j]);
        }
    }
}

static void conv2d(const struct solvent_instruction *in, int part, int parts, float *scratch) {
    struct convolution c = convolution_of(in);
    if (prefers_outputs(&c)) {
        convolve_outputs(&c, in->in[1], part, parts, in->out[0], scratch);
        return;
    }
    struct share images = share_of(c.images * c.groups, part, parts);
    if (fits_in_place(&c) && c.images * c.groups >= parts) {
        for (int64_t unit = images.first; unit < images.last; unit++)
            convolve_image(&c, in->in[1], unit / c.groups, unit % c.groups, (struct share){0, c.outputs}, in->out[0], scratch);
        return;
    }
    int64_t panels = (c.images * c.out_height * c.out_width + WIDTH - 1) / WIDTH, units = panels * c.groups;
    struct share mine = share_of(units, part, parts), rows = {0, c.outputs};
    if (units < parts) {
        mine = (struct share){0, units};
        rows = share_of(c.outputs, part, parts);
    }
    if (rows.first >= rows.last) return;
    for (int64_t unit = mine.first; unit < mine.last; unit++)
        convolve_panel(&c, in->in[1], unit / panels, unit % panels * WIDTH, rows, in->out[0], scratch);
}

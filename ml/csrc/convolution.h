/* Convolution as a product of weights [O, K] with a matrix [K, columns] that is packed panel by panel straight from the
 * image: a column is one output position of one image, a row k = (channel, kernel row, kernel column). Elements outside the
 * image or between its spread pixels are +0. The order of additions is that of gemm.h. */
struct window { int64_t stride, before, spread, apart; }; /* along one axis; see operators_convolution.py */

struct convolution {
    const float *image;
    int64_t images, channels, height, width, groups, inner, kernel_height, kernel_width, outputs, out_height, out_width;
    struct window v, h;
};

/* The pixel that a window position asks for, or -1. */
INLINE int64_t pixel_at(int64_t position, int64_t spread, int64_t size) {
    if (position < 0 || position % spread != 0) return -1;
    return position / spread < size ? position / spread : -1;
}

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

/* size: output shape. stride[0]: image shape; stride[1]: channels of a group, kernel height and width, groups; stride[2] and
 * stride[3]: stride, elements before, spread of pixels, distance of taps, along height and width. */
static void conv2d(const struct solvent_instruction *in, int part, int parts, float *scratch) {
    const int64_t *image = in->stride[0], *kernel = in->stride[1], *v = in->stride[2], *h = in->stride[3];
    struct convolution c = {in->in[0], image[0], image[1], image[2], image[3], kernel[3], kernel[0], kernel[1], kernel[2],
                            in->size[1] / kernel[3], in->size[2], in->size[3], {v[0], v[1], v[2], v[3]},
                            {h[0], h[1], h[2], h[3]}};
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

/* size: output shape (images times channels, height, width). stride[0]: image height and width; stride[2] and stride[3]:
 * stride, elements before, taps, distance of taps. out: the largest of each window, and its place in the image. */
static void max_pool(const struct solvent_instruction *in, int part, int parts) {
    int64_t height = in->stride[0][0], width = in->stride[0][1], out_height = in->size[1], out_width = in->size[2];
    const int64_t *v = in->stride[2], *h = in->stride[3];
    struct share mine = share_of(in->size[0], part, parts);
    for (int64_t plane = mine.first; plane < mine.last; plane++) {
        const float *x = (const float *)in->in[0] + plane * height * width;
        float *values = (float *)in->out[0] + plane * out_height * out_width;
        int32_t *places = (int32_t *)in->out[1] + plane * out_height * out_width;
        for (int64_t i = 0; i < out_height; i++)
            for (int64_t j = 0; j < out_width; j++) {
                float best = 0.0f;
                int64_t place = -1, fallback = -1;
                for (int64_t a = 0; a < v[2]; a++) {
                    int64_t row = i * v[0] - v[1] + a * v[3];
                    if (row < 0 || row >= height) continue;
                    for (int64_t b = 0; b < h[2]; b++) {
                        int64_t column = j * h[0] - h[1] + b * h[3];
                        if (column < 0 || column >= width) continue;
                        float value = x[row * width + column];
                        if (fallback < 0) {
                            fallback = place = row * width + column;
                            best = value;
                            continue;
                        }
                        if (value > best) place = row * width + column;
                        best = maximum(best, value);
                    }
                }
                values[i * out_width + j] = canonical(best);
                places[i * out_width + j] = (int32_t)(best == best ? place : fallback);
            }
    }
}

/* size: input shape (images times channels, height, width). stride[0]: height and width of the gradient; stride[2] and
 * stride[3] as above. in: gradient, places. */
static void max_pool_backward(const struct solvent_instruction *in, int part, int parts) {
    int64_t height = in->size[1], width = in->size[2], columns = in->stride[0][1], count = in->stride[0][0] * columns;
    const int64_t *v = in->stride[2], *h = in->stride[3];
    struct share mine = share_of(in->size[0], part, parts);
    for (int64_t plane = mine.first; plane < mine.last; plane++) {
        const float *grad = (const float *)in->in[0] + plane * count;
        const int32_t *places = (const int32_t *)in->in[1] + plane * count;
        float *out = (float *)in->out[0] + plane * height * width;
        memset(out, 0, (size_t)(height * width) * sizeof(float));
        for (int64_t w = 0; w < count; w++) {
            if (places[w] < 0 || places[w] >= height * width) continue;
            int64_t y = places[w] / width + v[1] - w / columns * v[0], x = places[w] % width + h[1] - w % columns * h[0];
            if (y < 0 || y > (v[2] - 1) * v[3] || x < 0 || x > (h[2] - 1) * h[3]) continue; /* outside this window */
            out[places[w]] = canonical(out[places[w]] + grad[w]);
        }
    }
}

/* Max pooling and its gradient. */

/* Neighbouring windows that lie within the line, tap by tap in the order of `pool_window`, so that the compiler can widen. */
INLINE void pool_run(const int64_t stride, const struct solvent_instruction *in, const float *x, int64_t i, int64_t j,
                     int64_t n, float *restrict values, int32_t *restrict places) {
    int64_t height = in->stride[0][0], width = in->stride[0][1];
    const int64_t *v = in->stride[2], *h = in->stride[3];
    int64_t top = i * v[0] - v[1], a = top < 0 ? (v[3] - 1 - top) / v[3] : 0;
    int32_t first = (int32_t)((top + a * v[3]) * width + j * h[0] - h[1]);
    for (int64_t t = 0; t < n; t++) values[t] = x[first + t * stride];
    for (int64_t t = 0; t < n; t++) places[t] = first + (int32_t)(t * stride);
    for (; a < v[2] && top + a * v[3] < height; a++)
        for (int64_t b = 0; b < h[2]; b++) {
            int32_t from = (int32_t)((top + a * v[3]) * width + j * h[0] - h[1] + b * h[3]);
            const float *line = x + from;
            INDEPENDENT
            for (int64_t t = 0; t < n; t++) {
                float value = line[t * stride], best = values[t];
                places[t] = value > best ? from + (int32_t)(t * stride) : places[t];
                values[t] = maximum(best, value);
            }
        }
    INDEPENDENT
    for (int64_t t = 0; t < n; t++) {
        int ordered = values[t] == values[t];
        places[t] = ordered ? places[t] : first + (int32_t)(t * stride);
        values[t] = canonical(values[t]);
    }
}

/* size: output shape (images times channels, height, width). stride[0]: image height and width; stride[2] and stride[3]:
 * stride, elements before, taps, distance of taps. out: the largest of each window, and its place in the image. */
static void max_pool(const struct solvent_instruction *in, int part, int parts) {
    int64_t height = in->stride[0][0], width = in->stride[0][1], out_height = in->size[1], out_width = in->size[2];
    const int64_t *h = in->stride[3];
    struct share mine = share_of(in->size[0], part, parts);
    int64_t inside = h[1] > 0 ? (h[1] + h[0] - 1) / h[0] : 0; /* windows [inside, beyond) lie within the line */
    int64_t room = width + h[1] - (h[2] - 1) * h[3] - 1, beyond = room < 0 ? 0 : room / h[0] + 1;
    if (beyond > out_width) beyond = out_width;
    if (inside > beyond) inside = beyond;
    for (int64_t plane = mine.first; plane < mine.last; plane++) {
        const float *x = (const float *)in->in[0] + plane * height * width;
        for (int64_t i = 0; i < out_height; i++) {
            int64_t at = (plane * out_height + i) * out_width;
            float *values = (float *)in->out[0] + at;
            int32_t *places = (int32_t *)in->out[1] + at;
            for (int64_t j = 0; j < inside; j++) pool_window(in, x, i, j, values + j, places + j);
            for (int64_t j = inside; j < beyond; j += RUN) {
                int64_t n = beyond - j < RUN ? beyond - j : RUN;
                if (h[0] == 1) pool_run(1, in, x, i, j, n, values + j, places + j);
                else if (h[0] == 2) pool_run(2, in, x, i, j, n, values + j, places + j);
                else pool_run(h[0], in, x, i, j, n, values + j, places + j);
            }
            for (int64_t j = beyond; j < out_width; j++) pool_window(in, x, i, j, values + j, places + j);
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

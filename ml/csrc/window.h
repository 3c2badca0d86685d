/* The windows of convolutions and of pools, shared by the CPU's kernels and the graphics card's. */
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

/* size: output shape. stride[0]: image shape; stride[1]: channels of a group, kernel height and width, groups; stride[2] and
 * stride[3]: stride, elements before, spread of pixels, distance of taps, along height and width. */
INLINE struct convolution convolution_of(const struct solvent_instruction *in) {
    const int64_t *image = in->stride[0], *kernel = in->stride[1], *v = in->stride[2], *h = in->stride[3];
    struct convolution c = {(const float *)in->in[0], image[0], image[1], image[2], image[3], kernel[3], kernel[0], kernel[1],
                            kernel[2], in->size[1] / kernel[3], in->size[2], in->size[3], {v[0], v[1], v[2], v[3]},
                            {h[0], h[1], h[2], h[3]}};
    return c;
}

/* The largest of one window, and its place; the first place where that is NaN. */
INLINE void pool_window(const struct solvent_instruction *in, const float *x, int64_t i, int64_t j, float *value_out,
                        int32_t *place_out) {
    int64_t height = in->stride[0][0], width = in->stride[0][1];
    const int64_t *v = in->stride[2], *h = in->stride[3];
    int64_t top = i * v[0] - v[1], left = j * h[0] - h[1];
    int64_t a = top < 0 ? (v[3] - 1 - top) / v[3] : 0, b_first = left < 0 ? (h[3] - 1 - left) / h[3] : 0;
    int64_t b_end = (width - 1 - left) / h[3] + 1 < h[2] ? (width - 1 - left) / h[3] + 1 : h[2];
    int64_t place = (top + a * v[3]) * width + left + b_first * h[3], fallback = place;
    float best = x[place];
    for (; a < v[2] && top + a * v[3] < height; a++) {
        const float *line = x + (top + a * v[3]) * width + left;
        for (int64_t b = b_first; b < b_end; b++) {
            float value = line[b * h[3]];
            place = value > best ? line + b * h[3] - x : place;
            best = maximum(best, value);
        }
    }
    *value_out = canonical(best);
    *place_out = (int32_t)(best == best ? place : fallback);
}

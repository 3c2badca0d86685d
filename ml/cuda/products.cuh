/* Matrix products and convolutions: for each output, blocks of 256 along k; in a block s = fma(a, b, s) from +0, k ascending;
 * the blocks' sums are added in order. A block of 16 x 16 threads computes a tile of 64 x 64 outputs, each thread 4 x 4,
 * from pieces of both operands in shared memory. No k beyond the end enters a sum. */
enum { TILE = 64, DEEP = 16, SIDE = 16, EACH = 4, SUM_BLOCK = 256 };

/* Element (i, k) of one operand, and whether neighbours along k lie side by side. */
struct strided_side {
    const float *at;
    int64_t row, next;
    INLINE float read(const strided_side &s, int64_t i, int64_t k) { return s.at[i * s.row + k * s.next]; }
    INLINE bool along_k(const strided_side &s) { return s.next == 1; }
};

/* Column i of a convolution's matrix: output place i of all images, k = (channel, kernel row, kernel column). */
struct image_side {
    struct convolution c;
    int64_t group;
    INLINE float read(const image_side &s, int64_t i, int64_t k) {
        const struct convolution &c = s.c;
        int64_t places = c.out_height * c.out_width, image = i / places, place = i % places;
        int64_t area = c.kernel_height * c.kernel_width, channel = k / area, tap = k % area;
        int64_t top = place / c.out_width * c.v.stride - c.v.before, left = place % c.out_width * c.h.stride - c.h.before;
        int64_t y = pixel_at(top + tap / c.kernel_width * c.v.apart, c.v.spread, c.height);
        int64_t x = pixel_at(left + tap % c.kernel_width * c.h.apart, c.h.spread, c.width);
        if (y < 0 || x < 0) return 0.0f;
        return c.image[((image * c.channels + s.group * c.inner + channel) * c.height + y) * c.width + x];
    }
    INLINE bool along_k(const image_side &s) { return false; }
};

struct matrix_out {
    float *at;
    int64_t row;
    INLINE void write(const matrix_out &o, int64_t i, int64_t j, float value) { o.at[i * o.row + j] = value; }
};

struct image_out {
    float *at;
    int64_t places, step; /* outputs of one image and channel, and of one image */
    INLINE void write(const image_out &o, int64_t i, int64_t j, float value) {
        o.at[j / o.places * o.step + i * o.places + j % o.places] = value;
    }
};

template <class side> INLINE void load_piece(float (*piece)[TILE + 1], const side &s, int64_t first, int64_t count, int64_t k,
                                             int64_t inner) {
    for (int e = (int)threadIdx.x; e < TILE * DEEP; e += SIDE * SIDE) {
        int i = side::along_k(s) ? e / DEEP : e % TILE, d = side::along_k(s) ? e % DEEP : e / TILE;
        if (first + i < count && k + d < inner) piece[d][i] = side::read(s, first + i, k + d);
    }
}

template <class left_side, class right_side, class out_side>
INLINE void product(int64_t tile, int64_t m, int64_t n, int64_t inner, const left_side &left, const right_side &right,
                    const out_side &out) {
    __shared__ float p[DEEP][TILE + 1], q[DEEP][TILE + 1];
    int64_t across = (n + TILE - 1) / TILE, top = tile / across * TILE, start = tile % across * TILE;
    int down = (int)(threadIdx.x / SIDE) * EACH, along = (int)(threadIdx.x % SIDE) * EACH;
    float total[EACH][EACH], s[EACH][EACH];
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) total[i][j] = s[i][j] = 0.0f;
    for (int64_t k = 0; k < inner; k += DEEP) {
        if (k > 0 && k % SUM_BLOCK == 0)
            for (int i = 0; i < EACH; i++)
                for (int j = 0; j < EACH; j++) {
                    total[i][j] = k == SUM_BLOCK ? s[i][j] : total[i][j] + s[i][j];
                    s[i][j] = 0.0f;
                }
        load_piece(p, left, top, m, k, inner);
        load_piece(q, right, start, n, k, inner);
        __syncthreads();
        int depth = inner - k < DEEP ? (int)(inner - k) : (int)DEEP;
        for (int d = 0; d < depth; d++)
            for (int i = 0; i < EACH; i++)
                for (int j = 0; j < EACH; j++) s[i][j] = __fmaf_rn(p[d][down + i], q[d][along + j], s[i][j]);
        __syncthreads();
    }
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++)
            if (top + down + i < m && start + along + j < n)
                out_side::write(out, top + down + i, start + along + j,
                                canonical(inner <= SUM_BLOCK ? s[i][j] : total[i][j] + s[i][j]));
}

INLINE int64_t tiles_of(int64_t m, int64_t n) { return (m + TILE - 1) / TILE * ((n + TILE - 1) / TILE); }

/* size: m, n, k. scalar: ta, tb. */
KERNEL solvent_matmul(record in, uint32_t step) {
    int64_t m = in.size[0], n = in.size[1], inner = in.size[2];
    struct strided_side a = {input<float>(in, 0), in.scalar[0] ? 1 : inner, in.scalar[0] ? m : 1};
    struct strided_side b = {input<float>(in, 1), in.scalar[1] ? inner : 1, in.scalar[1] ? 1 : n};
    struct matrix_out out = {output<float>(in, 0), n};
    product(blockIdx.x, m, n, inner, a, b, out);
}

/* size: B1, B2, M, N, K. stride[0]: A along B1, B2, M, K; stride[1]: B along B1, B2, K, N. scalar: 1 for [B1, M, B2, N]. */
KERNEL solvent_batch_matmul(record in, uint32_t step) {
    int64_t second = in.size[1], m = in.size[2], n = in.size[3], inner = in.size[4], tiles = tiles_of(m, n);
    int64_t number = blockIdx.x / tiles, outer = number / second, batch = number % second;
    const int64_t *sa = in.stride[0], *sb = in.stride[1];
    struct strided_side a = {input<float>(in, 0) + in.offset[0] + outer * sa[0] + batch * sa[1], sa[2], sa[3]};
    struct strided_side b = {input<float>(in, 1) + in.offset[1] + outer * sb[0] + batch * sb[1], sb[3], sb[2]};
    int64_t first = in.scalar[0] ? outer * m * second * n + batch * n : number * m * n;
    struct matrix_out out = {output<float>(in, 0) + first, in.scalar[0] ? second * n : n};
    product(blockIdx.x % tiles, m, n, inner, a, b, out);
}

KERNEL solvent_conv2d(record in, uint32_t step) {
    struct convolution c = convolution_of(&in);
    int64_t places = c.out_height * c.out_width, inner = c.inner * c.kernel_height * c.kernel_width;
    int64_t tiles = tiles_of(c.outputs, c.images * places), group = blockIdx.x / tiles;
    struct strided_side weights = {input<float>(in, 1) + group * c.outputs * inner, inner, 1};
    struct image_side image = {c, group};
    struct image_out out = {output<float>(in, 0) + group * c.outputs * places, places, c.groups * c.outputs * places};
    product(blockIdx.x % tiles, c.outputs, c.images * places, inner, weights, image, out);
}

/* Matrix product, bit-exact: for each output, blocks of 256 along k; in a block s = fma(a_k, b_k, s) from +0, k ascending;
 * the blocks' sums are added in order. Vector lanes and registers run over different outputs, never over k.
 *
 * One operand (Q) is spread over vector lanes and packed into panels of WIDTH columns; elements of the other (P) are
 * broadcast. fma(a, b, s) = fma(b, a, s), so either matrix may be Q: whichever is cheaper to pack, and wastes fewer lanes. */
enum { WIDTH = LANES * COLUMNS, BLOCK = 256, DEPTH = 2048 };

/* (i, k) of P is p[i*row + k*next], (k, j) of Q is q[k*next + j*row], (i, j) of the output is out[i*out_row + j*out_column]. */
struct side { const float *at; int64_t count, row, next; };

/* A tile of rows x (vectors * LANES) outputs over `depth` <= DEPTH values of k. `add_to`: an earlier DEPTH was done. */
INLINE void tile(const int rows, const int vectors, int64_t depth, const float *p, int64_t p_row, int64_t p_next,
                 const float *q, int64_t q_next, float *sums, int add_to) {
    for (int64_t start = 0; start < depth; start += BLOCK) {
        int64_t block = depth - start < BLOCK ? depth - start : BLOCK;
        lanes s[ROWS][COLUMNS];
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int v = 0; v < vectors; v++) s[i][v] = (lanes){0};
        }
        for (int64_t k = 0; k < block; k++) {
            lanes right[COLUMNS];
            UNROLL
            for (int v = 0; v < vectors; v++) right[v] = load(q + v * LANES);
            UNROLL
            for (int i = 0; i < rows; i++) {
                lanes left = broadcast(p[i * p_row]);
                UNROLL
                for (int v = 0; v < vectors; v++) s[i][v] = fused(left, right[v], s[i][v]);
            }
            p += p_next;
            q += q_next;
        }
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int v = 0; v < vectors; v++) {
                float *sum = sums + (i * COLUMNS + v) * LANES;
                store(sum, start == 0 && !add_to ? s[i][v] : load(sum) + s[i][v]);
            }
        }
    }
}

#define ROW_CASE(n) \
    case n: \
        if (vectors == 1) tile(n, 1, depth, p, p_row, p_next, q, q_next, sums, add_to); \
        else tile(n, COLUMNS, depth, p, p_row, p_next, q, q_next, sums, add_to); \
        break;

static __attribute__((noinline)) void any_tile(int rows, int vectors, int64_t depth, const float *p, int64_t p_row,
                                               int64_t p_next, const float *q, int64_t q_next, float *sums, int add_to) {
    switch (rows) {
        ROW_CASE(1) ROW_CASE(2) ROW_CASE(3) ROW_CASE(4)
#if ROWS > 4
        ROW_CASE(5) ROW_CASE(6)
#endif
#if ROWS > 6
        ROW_CASE(7) ROW_CASE(8)
#endif
        default: break;
    }
}

typedef float four __attribute__((vector_size(16)));
typedef float loose_four __attribute__((vector_size(16), aligned(4), may_alias));

/* Copy columns [0, columns) x k [0, depth) of Q into a panel of `width` floats per k; missing columns are +0. */
INLINE void pack_wide(const int64_t width, float *panel, const float *q, int64_t columns, int64_t depth, int64_t row,
                      int64_t next) {
    if (columns < width) memset(panel, 0, (size_t)(depth * width) * sizeof(float));
    if (row == 1) {
        for (int64_t k = 0; k < depth; k++) memcpy(panel + k * width, q + k * next, (size_t)columns * sizeof(float));
        return;
    }
    int64_t j = 0, whole = next == 1 ? depth - depth % 4 : 0;
    for (; j + 4 <= columns; j += 4) {
        const float *r0 = q + j * row, *r1 = r0 + row, *r2 = r1 + row, *r3 = r2 + row;
        for (int64_t k = 0; k < whole; k += 4) {
            four a = *(const loose_four *)(r0 + k), b = *(const loose_four *)(r1 + k);
            four c = *(const loose_four *)(r2 + k), d = *(const loose_four *)(r3 + k);
            four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
            four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
            float *to = panel + k * width + j;
            *(loose_four *)to = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
            *(loose_four *)(to + width) = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
            *(loose_four *)(to + 2 * width) = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
            *(loose_four *)(to + 3 * width) = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
        }
        for (int64_t k = whole; k < depth; k++)
            for (int i = 0; i < 4; i++) panel[k * width + j + i] = q[(j + i) * row + k * next];
    }
    for (; j < columns; j++)
        for (int64_t k = 0; k < depth; k++) panel[k * width + j] = q[j * row + k * next];
}

static void pack(float *panel, const float *q, int64_t columns, int64_t depth, int64_t row, int64_t next) {
    pack_wide(WIDTH, panel, q, columns, depth, row, next);
}

/* Move a tile between its sums and the output matrix; on the last visit NaN becomes canonical. */
static void load_tile(float *sums, const float *out, int rows, int64_t columns, int64_t out_row, int64_t out_column) {
    for (int i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) sums[i * WIDTH + j] = out[i * out_row + j * out_column];
}

static void store_tile(const float *sums, float *out, int rows, int64_t columns, int64_t out_row, int64_t out_column) {
    for (int i = 0; i < rows; i++) {
        int64_t j = 0;
        if (out_column == 1)
            for (; j + LANES <= columns; j += LANES)
                store(out + i * out_row + j, canonical_lanes(load(sums + i * WIDTH + j)));
        for (; j < columns; j++) out[i * out_row + j * out_column] = canonical(sums[i * WIDTH + j]);
    }
}

struct share { int64_t first, last; };
INLINE struct share share_of(int64_t count, int part, int parts) {
    return (struct share){count * part / parts, count * (part + 1) / parts};
}

/* P rows [rows.first, rows.last) against one panel of Q: every k, a tile at a time. */
static void multiply_panel(struct side p, struct share rows, struct side q, int64_t first, int64_t inner, float *out,
                           int64_t out_row, int64_t out_column, float *scratch) {
    int64_t columns = q.count - first < WIDTH ? q.count - first : WIDTH;
    int vectors = columns <= LANES ? 1 : COLUMNS;
    int64_t tiles = (rows.last - rows.first + ROWS - 1) / ROWS;
    int direct = q.row == 1 && columns % LANES == 0 && (columns == WIDTH || columns == LANES) && tiles <= 4;
    float sums[ROWS * WIDTH] __attribute__((aligned(64)));
    for (int64_t k = 0; k < inner || k == 0; k += DEPTH) {
        int64_t depth = inner - k < DEPTH ? inner - k : DEPTH;
        const float *from = q.at + first * q.row + k * q.next;
        if (!direct) pack(scratch, from, columns, depth, q.row, q.next);
        for (int64_t i = rows.first; i < rows.last; i += ROWS) {
            int count = rows.last - i < ROWS ? (int)(rows.last - i) : ROWS;
            float *corner = out + i * out_row + first * out_column;
            if (k > 0) load_tile(sums, corner, count, columns, out_row, out_column);
            any_tile(count, vectors, depth, p.at + i * p.row + k * p.next, p.row, p.next, direct ? from : scratch,
                     direct ? q.next : WIDTH, sums, k > 0);
            store_tile(sums, corner, count, columns, out_row, out_column);
        }
    }
}

/* Rough cost in cycles of having Q on the lanes. */
static int64_t cost_of(struct side p, struct side q, int64_t inner, int transposed) {
    int64_t vectors = (q.count + LANES - 1) / LANES, tiles = (p.count + ROWS - 1) / ROWS;
    int64_t packing = q.row == 1 ? vectors * inner : q.count * inner / 2;
    return vectors * tiles * ROWS * inner + packing + (transposed ? p.count * q.count : p.count * q.count / LANES);
}

/* size: m, n, k. scalar: ta, tb. */
static void matmul(const struct solvent_instruction *in, int part, int parts, float *scratch) {
    int64_t m = in->size[0], n = in->size[1], inner = in->size[2];
    struct side a = {in->in[0], m, in->scalar[0] ? 1 : inner, in->scalar[0] ? m : 1};
    struct side b = {in->in[1], n, in->scalar[1] ? inner : 1, in->scalar[1] ? 1 : n};
    int swap = cost_of(b, a, inner, 1) < cost_of(a, b, inner, 0);
    struct side p = swap ? b : a, q = swap ? a : b;
    int64_t out_row = swap ? 1 : n, out_column = swap ? n : 1;
    int64_t panels = (q.count + WIDTH - 1) / WIDTH, tiles = (p.count + ROWS - 1) / ROWS;
    struct share columns = {0, panels}, rows = {0, p.count};
    if (panels >= 2 * parts || panels % parts == 0 || panels > tiles) {
        columns = share_of(panels, part, parts);
    } else {
        rows = share_of(tiles, part, parts);
        rows.first *= ROWS;
        rows.last = rows.last * ROWS < p.count ? rows.last * ROWS : p.count;
    }
    if (rows.first >= rows.last) return;
    for (int64_t j = columns.first; j < columns.last; j++)
        multiply_panel(p, rows, q, j * WIDTH, inner, in->out[0], out_row, out_column, scratch);
}

/* size: B1, B2, M, N, K. stride[0]: A along B1, B2, M, K; stride[1]: B along B1, B2, K, N. scalar: 1 for [B1, M, B2, N].
 * Parts share the products; where there are fewer of them than parts, the rows of each. */
static void batch_matmul(const struct solvent_instruction *in, int part, int parts, float *scratch) {
    int64_t second = in->size[1], m = in->size[2], n = in->size[3], inner = in->size[4], count = in->size[0] * second;
    const int64_t *sa = in->stride[0], *sb = in->stride[1];
    int64_t row_step = in->scalar[0] ? second * n : n;
    int split = count < parts;
    struct share mine = split ? (struct share){0, count} : share_of(count, part, parts);
    struct share rows = split ? share_of(m, part, parts) : (struct share){0, m};
    if (rows.first >= rows.last) return;
    for (int64_t b = mine.first; b < mine.last; b++) {
        int64_t outer = b / second, batch = b % second;
        const float *a_at = (const float *)in->in[0] + in->offset[0] + outer * sa[0] + batch * sa[1];
        const float *b_at = (const float *)in->in[1] + in->offset[1] + outer * sb[0] + batch * sb[1];
        float *out = (float *)in->out[0] + (in->scalar[0] ? outer * m * second * n + batch * n : b * m * n);
        struct side left = {a_at + rows.first * sa[2], rows.last - rows.first, sa[2], sa[3]};
        struct side right = {b_at, n, sb[3], sb[2]};
        out += rows.first * row_step;
        int swap = cost_of(right, left, inner, 1) < cost_of(left, right, inner, 0);
        struct side p = swap ? right : left, q = swap ? left : right;
        struct share all = {0, p.count};
        for (int64_t j = 0; j < (q.count + WIDTH - 1) / WIDTH; j++)
            multiply_panel(p, all, q, j * WIDTH, inner, out, swap ? 1 : row_step, swap ? row_step : 1, scratch);
    }
}

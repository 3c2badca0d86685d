/* Sums in their fixed order. Sixteen neighbouring threads are the sixteen lanes of a row, a block has eight rows; threads of a
 * row that does not exist take part in the exchanges and write nothing. */
enum { LANE_COUNT = 16, ROWS_OF_BLOCK = 8 };

struct lane { int64_t row, columns; int number, slot; bool exists; };

INLINE struct lane lane_of(int64_t rows, int64_t columns) {
    struct lane l;
    l.number = (int)(threadIdx.x % LANE_COUNT);
    l.slot = (int)(threadIdx.x / LANE_COUNT);
    l.row = (int64_t)blockIdx.x * ROWS_OF_BLOCK + l.slot;
    l.exists = l.row < rows;
    l.columns = l.exists ? columns : 0;
    if (!l.exists) l.row = 0;
    return l;
}

/* The sum of the lanes, told to all of them. */
INLINE float sum_lanes(struct lane l, float mine) {
    __shared__ float sums[ROWS_OF_BLOCK][LANE_COUNT];
    sums[l.slot][l.number] = mine;
    __syncthreads();
    float total = fold(sums[l.slot]);
    __syncthreads();
    return total;
}

/* The largest of a row of at least one element; the order of comparisons does not matter. */
INLINE float largest_of(struct lane l, const float *x, float scale, int64_t count) {
    __shared__ float best[ROWS_OF_BLOCK][LANE_COUNT];
    float mine = 0.0f;
    if (l.exists) {
        mine = x[l.number < count ? l.number : 0] * scale;
        for (int64_t c = l.number + LANE_COUNT; c < count; c += LANE_COUNT) mine = maximum(mine, x[c] * scale);
    }
    best[l.slot][l.number] = mine;
    __syncthreads();
    float largest = best[l.slot][0];
    for (int i = 1; i < LANE_COUNT; i++) largest = maximum(largest, best[l.slot][i]);
    __syncthreads();
    return canonical(largest);
}

#define EACH_COLUMN(l) for (int64_t c = (l).number; c < (l).columns; c += LANE_COUNT)

KERNEL solvent_row_sum(record in, uint32_t step) {
    struct lane l = lane_of(in.size[0], in.size[1]);
    const float *x = input<float>(in, 0) + l.row * in.size[1];
    float sum = 0.0f;
    EACH_COLUMN(l) sum = sum + x[c];
    sum = sum_lanes(l, sum);
    if (l.exists && l.number == 0) output<float>(in, 0)[l.row] = sum;
}

/* Blocks of 4096 elements, each summed like a row; of squares where the operator says so. */
KERNEL solvent_block_sum(record in, uint32_t step) {
    const int64_t span = 4096;
    struct lane l = lane_of((in.size[0] + span - 1) / span, span);
    const float *x = input<float>(in, 0) + l.row * span;
    int64_t count = in.size[0] - l.row * span;
    if (count < l.columns) l.columns = count;
    float sum = 0.0f;
    EACH_COLUMN(l) sum = sum + (in.op == OP_BLOCK_SUM ? x[c] : x[c] * x[c]);
    sum = sum_lanes(l, sum);
    if (l.exists && l.number == 0) output<float>(in, 0)[l.row] = sum;
}

/* A thread sums a column: blocks of 256 rows, their sums in order. */
KERNEL solvent_col_sum(record in, uint32_t step) {
    int64_t rows = in.size[0], columns = in.size[1], column = element();
    if (column >= columns) return;
    float total = 0.0f, sum = 0.0f;
    for (int64_t r = 0; r < rows; r++) {
        if (r > 0 && r % 256 == 0) {
            total = r == 256 ? sum : total + sum;
            sum = 0.0f;
        }
        sum = sum + input<float>(in, 0)[r * columns + column];
    }
    output<float>(in, 0)[column] = canonical(rows <= 256 ? sum : total + sum);
}

/* out: largest, and its first place (0 where the largest is NaN). */
KERNEL solvent_row_max(record in, uint32_t step) {
    struct lane l = lane_of(in.size[0], in.size[1]);
    const float *x = input<float>(in, 0) + l.row * in.size[1];
    float largest = largest_of(l, x, 1.0f, in.size[1]);
    if (!l.exists || l.number != 0) return;
    int64_t place = 0;
    while (place < l.columns && x[place] != largest) place++;
    output<float>(in, 0)[l.row] = largest;
    output<int32_t>(in, 1)[l.row] = place < l.columns ? (int32_t)place : 0;
}

/* out: max, log of the total, log-probabilities. */
KERNEL solvent_log_softmax(record in, uint32_t step) {
    struct lane l = lane_of(in.size[0], in.size[1]);
    const float *x = input<float>(in, 0) + l.row * in.size[1];
    float largest = largest_of(l, x, 1.0f, in.size[1]), sum = 0.0f;
    EACH_COLUMN(l) sum = sum + exp_one(x[c] - largest);
    float total = log_one(sum_lanes(l, sum));
    EACH_COLUMN(l) output<float>(in, 2)[l.row * in.size[1] + c] = canonical((x[c] - largest) - total);
    if (!l.exists || l.number != 0) return;
    output<float>(in, 0)[l.row] = largest;
    output<float>(in, 1)[l.row] = total;
}

/* in: grad, log-probabilities; out: total of grad, grad - exp(out) * total. */
KERNEL solvent_log_softmax_backward(record in, uint32_t step) {
    struct lane l = lane_of(in.size[0], in.size[1]);
    const float *grad = input<float>(in, 0) + l.row * in.size[1], *log_p = input<float>(in, 1) + l.row * in.size[1];
    float sum = 0.0f;
    EACH_COLUMN(l) sum = sum + grad[c];
    float total = sum_lanes(l, sum);
    EACH_COLUMN(l) output<float>(in, 1)[l.row * in.size[1] + c] = canonical(grad[c] - exp_one(log_p[c]) * total);
    if (l.exists && l.number == 0) output<float>(in, 0)[l.row] = total;
}

/* scalar: scale, causal flag; size[2]: rows of a matrix. out: max, total, probabilities. */
KERNEL solvent_softmax(record in, uint32_t step) {
    struct lane l = lane_of(in.size[0], in.size[1]);
    const float *x = input<float>(in, 0) + l.row * in.size[1];
    float *out = output<float>(in, 2) + l.row * in.size[1], scale = from_bits(in.scalar[0]), sum = 0.0f;
    int64_t seen = in.scalar[1] ? l.row % in.size[2] + 1 : l.columns;
    if (seen > l.columns) seen = l.columns;
    float largest = largest_of(l, x, scale, seen);
    for (int64_t c = l.number; c < seen; c += LANE_COUNT) {
        float power = exp_one(x[c] * scale - largest);
        sum = sum + power;
        out[c] = power; /* out may be x itself: a lane writes only where it alone reads, after the exchange of the largest */
    }
    float total = sum_lanes(l, sum);
    EACH_COLUMN(l) out[c] = c < seen ? canonical(out[c] / total) : 0.0f;
    if (!l.exists || l.number != 0) return;
    output<float>(in, 0)[l.row] = largest;
    output<float>(in, 1)[l.row] = total;
}

/* in: grad, probabilities. scalar: scale. out: dot, gradient. */
KERNEL solvent_softmax_backward(record in, uint32_t step) {
    struct lane l = lane_of(in.size[0], in.size[1]);
    const float *grad = input<float>(in, 0) + l.row * in.size[1], *p = input<float>(in, 1) + l.row * in.size[1];
    float scale = from_bits(in.scalar[0]), sum = 0.0f;
    EACH_COLUMN(l) sum = sum + grad[c] * p[c];
    float dot = sum_lanes(l, sum);
    EACH_COLUMN(l) output<float>(in, 1)[l.row * in.size[1] + c] = canonical(((grad[c] - dot) * p[c]) * scale);
    if (l.exists && l.number == 0) output<float>(in, 0)[l.row] = dot;
}

/* in: x, weight, bias. scalar: epsilon, number of inputs. out: mean, rstd, normalised. */
KERNEL solvent_layer_norm(record in, uint32_t step) {
    struct lane l = lane_of(in.size[0], in.size[1]);
    const float *x = input<float>(in, 0) + l.row * in.size[1];
    float count = (float)in.size[1], sum = 0.0f, squares = 0.0f;
    EACH_COLUMN(l) sum = sum + x[c];
    float mean = canonical(sum_lanes(l, sum) / count);
    EACH_COLUMN(l) squares = squares + (x[c] - mean) * (x[c] - mean);
    float variance = sum_lanes(l, squares) / count, rstd = canonical(rsqrt_one(variance + from_bits(in.scalar[0])));
    EACH_COLUMN(l) {
        float y = (x[c] - mean) * rstd;
        if (in.scalar[1] >= 2) y = y * input<float>(in, 1)[c];
        if (in.scalar[1] >= 3) y = y + input<float>(in, 2)[c];
        output<float>(in, 2)[l.row * in.size[1] + c] = canonical(y);
    }
    if (!l.exists || l.number != 0) return;
    output<float>(in, 0)[l.row] = mean;
    output<float>(in, 1)[l.row] = rstd;
}

/* in: grad, x, mean, rstd, weight. scalar: number of inputs. out: mean of g, mean of g xhat, gradient of x. */
KERNEL solvent_layer_norm_backward(record in, uint32_t step) {
    struct lane l = lane_of(in.size[0], in.size[1]);
    const float *grad = input<float>(in, 0) + l.row * in.size[1], *x = input<float>(in, 1) + l.row * in.size[1];
    bool weighted = in.scalar[0] == 5;
    const float *weight = input<float>(in, 4);
    float count = (float)in.size[1], mean = input<float>(in, 2)[l.row], rstd = input<float>(in, 3)[l.row];
    float sum = 0.0f, products = 0.0f;
    EACH_COLUMN(l) {
        float g = weighted ? grad[c] * weight[c] : grad[c];
        sum = sum + g;
        products = products + g * ((x[c] - mean) * rstd);
    }
    float g_mean = canonical(sum_lanes(l, sum) / count), product_mean = canonical(sum_lanes(l, products) / count);
    EACH_COLUMN(l) {
        float g = weighted ? grad[c] * weight[c] : grad[c];
        float rest = (g - g_mean) - ((x[c] - mean) * rstd) * product_mean;
        output<float>(in, 2)[l.row * in.size[1] + c] = canonical(rest * rstd);
    }
    if (!l.exists || l.number != 0) return;
    output<float>(in, 0)[l.row] = g_mean;
    output<float>(in, 1)[l.row] = product_mean;
}

/* Softmax and layer norm over rows, with their gradients. size: rows, columns. */

/* scalar: scale, causal flag; size[2]: rows of a matrix. out: max, total, probabilities. */
static void softmax(const struct solvent_instruction *in, int part, int parts) {
    int64_t columns = in->size[1];
    float scale = from_bits(in->scalar[0]);
    struct share mine = share_of(in->size[0], part, parts);
    for (int64_t r = mine.first; r < mine.last; r++) {
        const float *x = (const float *)in->in[0] + r * columns;
        float *out = (float *)in->out[2] + r * columns, sums[16] = {0};
        int64_t seen = in->scalar[1] ? r % in->size[2] + 1 : columns;
        if (seen > columns) seen = columns;
        INDEPENDENT
        for (int64_t c = 0; c < seen; c++) out[c] = x[c] * scale;
        float largest = row_maximum(out, seen);
        for (int64_t c = 0; c < seen; c += RUN) {
            int64_t count = seen - c < RUN ? seen - c : RUN;
            exp_run(out + c, largest, out + c, count);
            add_to_lanes(sums, out + c, count);
        }
        float total = fold(sums);
        ((float *)in->out[0])[r] = largest;
        ((float *)in->out[1])[r] = total;
        INDEPENDENT
        for (int64_t c = 0; c < seen; c++) out[c] = canonical(out[c] / total);
        for (int64_t c = seen; c < columns; c++) out[c] = 0.0f;
    }
}

/* in: grad, probabilities. scalar: scale. out: dot, gradient. */
static void softmax_backward(const struct solvent_instruction *in, int part, int parts) {
    int64_t columns = in->size[1];
    float scale = from_bits(in->scalar[0]);
    struct share mine = share_of(in->size[0], part, parts);
    for (int64_t r = mine.first; r < mine.last; r++) {
        const float *grad = (const float *)in->in[0] + r * columns, *p = (const float *)in->in[1] + r * columns;
        float *out = (float *)in->out[1] + r * columns, sums[16] = {0}, products[RUN];
        for (int64_t c = 0; c < columns; c += RUN) {
            int64_t count = columns - c < RUN ? columns - c : RUN;
            INDEPENDENT
            for (int64_t i = 0; i < count; i++) products[i] = grad[c + i] * p[c + i];
            add_to_lanes(sums, products, count);
        }
        float dot = fold(sums);
        ((float *)in->out[0])[r] = dot;
        INDEPENDENT
        for (int64_t c = 0; c < columns; c++) out[c] = canonical(((grad[c] - dot) * p[c]) * scale);
    }
}

/* in: x, weight, bias. scalar: epsilon, number of inputs. out: mean, rstd, normalised. */
static void layer_norm(const struct solvent_instruction *in, int part, int parts) {
    int64_t columns = in->size[1];
    float epsilon = from_bits(in->scalar[0]), count = (float)columns;
    const float *weight = in->in[1], *bias = in->in[2];
    struct share mine = share_of(in->size[0], part, parts);
    for (int64_t r = mine.first; r < mine.last; r++) {
        const float *x = (const float *)in->in[0] + r * columns;
        float *out = (float *)in->out[2] + r * columns, sums[16] = {0}, squares[RUN];
        float mean = canonical(row_total(x, columns) / count);
        for (int64_t c = 0; c < columns; c += RUN) {
            int64_t n = columns - c < RUN ? columns - c : RUN;
            INDEPENDENT
            for (int64_t i = 0; i < n; i++) squares[i] = (x[c + i] - mean) * (x[c + i] - mean);
            add_to_lanes(sums, squares, n);
        }
        float variance = fold(sums) / count, rstd = canonical(rsqrt_one(variance + epsilon));
        ((float *)in->out[0])[r] = mean;
        ((float *)in->out[1])[r] = rstd;
        if (in->scalar[1] == 3) {
            INDEPENDENT
            for (int64_t c = 0; c < columns; c++) out[c] = canonical(((x[c] - mean) * rstd) * weight[c] + bias[c]);
        } else if (in->scalar[1] == 2) {
            INDEPENDENT
            for (int64_t c = 0; c < columns; c++) out[c] = canonical(((x[c] - mean) * rstd) * weight[c]);
        } else {
            INDEPENDENT
            for (int64_t c = 0; c < columns; c++) out[c] = canonical((x[c] - mean) * rstd);
        }
    }
}

/* in: grad, x, mean, rstd, weight. scalar: number of inputs. out: mean of g, mean of g xhat, gradient of x. */
static void layer_norm_backward(const struct solvent_instruction *in, int part, int parts) {
    int64_t columns = in->size[1];
    int weighted = in->scalar[0] == 5;
    float count = (float)columns;
    const float *weight = in->in[4];
    struct share mine = share_of(in->size[0], part, parts);
    for (int64_t r = mine.first; r < mine.last; r++) {
        const float *grad = (const float *)in->in[0] + r * columns, *x = (const float *)in->in[1] + r * columns;
        float mean = ((const float *)in->in[2])[r], rstd = ((const float *)in->in[3])[r];
        float *out = (float *)in->out[2] + r * columns, g_sums[16] = {0}, product_sums[16] = {0}, g[RUN], products[RUN];
        for (int64_t c = 0; c < columns; c += RUN) {
            int64_t n = columns - c < RUN ? columns - c : RUN;
            INDEPENDENT
            for (int64_t i = 0; i < n; i++) {
                g[i] = weighted ? grad[c + i] * weight[c + i] : grad[c + i];
                products[i] = g[i] * ((x[c + i] - mean) * rstd);
            }
            add_to_lanes(g_sums, g, n);
            add_to_lanes(product_sums, products, n);
        }
        float g_mean = canonical(fold(g_sums) / count), product_mean = canonical(fold(product_sums) / count);
        ((float *)in->out[0])[r] = g_mean;
        ((float *)in->out[1])[r] = product_mean;
        INDEPENDENT
        for (int64_t c = 0; c < columns; c++) {
            float weighted_grad = weighted ? grad[c] * weight[c] : grad[c];
            float rest = (weighted_grad - g_mean) - ((x[c] - mean) * rstd) * product_mean;
            out[c] = canonical(rest * rstd);
        }
    }
}

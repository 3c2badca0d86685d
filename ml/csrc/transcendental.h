/* exp and log over runs of elements; what decides between the two paths is in scalars.h. */
enum { RUN = 256 };

/* out = exp(x - shift) for n <= RUN elements; x - shift is itself a rounded float. */
static void exp_run(const float *x, float shift, float *out, int64_t n) {
    float argument[RUN], low[RUN], high[RUN];
    uint32_t undecided = 0;
    INDEPENDENT
    for (int64_t i = 0; i < n; i++) argument[i] = x[i] - shift;
    INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        double y = exp_double(argument[i]), error = y * TOLERANCE;
        low[i] = (float)(y - error);
        high[i] = (float)(y + error);
    }
    for (int64_t i = 0; i < n; i++) undecided |= to_bits(low[i]) ^ to_bits(high[i]);
    INDEPENDENT
    for (int64_t i = 0; i < n; i++) out[i] = canonical(low[i]);
    if (undecided != 0)
        for (int64_t i = 0; i < n; i++)
            if (to_bits(low[i]) != to_bits(high[i])) out[i] = solvent_exp_exact(argument[i]);
}

static void log_run(const float *x, float *out, int64_t n) {
    float low[RUN], high[RUN];
    uint32_t undecided = 0;
    INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        float positive = x[i] > 0.0f && x[i] <= 0x1.fffffep127f ? x[i] : 1.0f;
        double y = log_double(positive), error = y * TOLERANCE;
        low[i] = (float)(y - error);
        high[i] = (float)(y + error);
    }
    for (int64_t i = 0; i < n; i++) {
        float value = x[i];
        int ordinary = value > 0.0f && value <= 0x1.fffffep127f;
        if (!ordinary || to_bits(low[i]) != to_bits(high[i])) undecided = 1;
    }
    if (undecided == 0) {
        memmove(out, low, (size_t)n * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float value = x[i];
        int ordinary = value > 0.0f && value <= 0x1.fffffep127f;
        out[i] = ordinary && to_bits(low[i]) == to_bits(high[i]) ? low[i] : solvent_log_exact(value);
    }
}

INLINE float log_one(float x) {
    float out;
    log_run(&x, &out, 1);
    return out;
}

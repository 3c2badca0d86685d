/* exp and log of floats, correctly rounded: a double with a proven error bound, then a rounding test (Ziv 1991).
 *
 * exp: x = k ln 2 + r, |r| <= 0.3466. k ln2_high is exact (42 + 9 bits) and so is x minus it (both are multiples of 2^-50
 * below 2^8 where k != 0), so r is off by at most 2^-54 and exp(r), absolutely and relatively, by 2^-54; the degree-13
 * Taylor remainder is below 2^-57; Horner's roundings add less than 2^-52 (the last two steps 2^-53 each relative to a
 * result >= 0.7, the others shrink by |r|/n). Together < 2^-51.
 * log: x = 2^e m, m in [sqrt(1/2), sqrt 2): log m = 2 atanh(f / (2 + f)), f = m - 1 exact. The series, cut after s^25, is off
 * by 2^-70; the quotient, product and sums add at most four roundings of 2^-53 of the result; e ln 2 (e ln2_high is exact)
 * does not cancel: |e| ln 2 >= 0.69 against |log m| <= 0.35, which at most doubles the error of log m relative to the sum. < 2^-50.5.
 * TOLERANCE = 2^-50 exceeds both. Where y (1 - 2^-50) and y (1 + 2^-50) round to one float, that is the answer, also among
 * subnormals and at overflow; elsewhere (about one argument in 2^24) exact.c decides.
 * Compared once with another double implementation (log: every positive float; exp: 604 million, all that are not plainly 1,
 * 0 or infinite), and with 200-bit arithmetic for the 17 arguments within 2^-52 of a boundary: no difference. */
#define TOLERANCE 0x1p-50

INLINE double from_bits64(uint64_t bits) {
    double x;
    memcpy(&x, &bits, 8);
    return x;
}
INLINE uint64_t to_bits64(double x) {
    uint64_t bits;
    memcpy(&bits, &x, 8);
    return bits;
}

/* Also right for NaN (stays one) and infinities: the clamp is by selection, and beyond it the result rounds to 0 or inf. */
INLINE double exp_double(float x) {
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    double k = (double)x * 0x1.71547652b82fep0 + 0x1.8p52;
    uint64_t scale = (to_bits64(k) + 1023) << 52;
    k -= 0x1.8p52;
    double r = ((double)x - k * 0x1.62e42fefa3800p-1) - k * 0x1.ef35793c76730p-45;
    double y = 1.0 / 6227020800.0;
    y = y * r + 1.0 / 479001600.0;
    y = y * r + 1.0 / 39916800.0;
    y = y * r + 1.0 / 3628800.0;
    y = y * r + 1.0 / 362880.0;
    y = y * r + 1.0 / 40320.0;
    y = y * r + 1.0 / 5040.0;
    y = y * r + 1.0 / 720.0;
    y = y * r + 1.0 / 120.0;
    y = y * r + 1.0 / 24.0;
    y = y * r + 1.0 / 6.0;
    y = y * r + 0.5;
    y = y * r + 1.0;
    y = y * r + 1.0;
    return y * from_bits64(scale);
}

/* For positive finite x; the caller patches the rest. */
INLINE double log_double(float x) {
    uint64_t bits = to_bits64((double)x), shifted = bits - 0x3fe6a09e667f3bcdull + (1024ull << 52);
    uint64_t biased = shifted >> 52; /* e + 1024 */
    double e = from_bits64(biased | 0x4330000000000000ull) - (0x1p52 + 1024.0);
    double f = from_bits64(bits - ((biased - 1024) << 52)) - 1.0;
    double s = f / (2.0 + f), z = s * s;
    double y = 2.0 / 25.0;
    y = y * z + 2.0 / 23.0;
    y = y * z + 2.0 / 21.0;
    y = y * z + 2.0 / 19.0;
    y = y * z + 2.0 / 17.0;
    y = y * z + 2.0 / 15.0;
    y = y * z + 2.0 / 13.0;
    y = y * z + 2.0 / 11.0;
    y = y * z + 2.0 / 9.0;
    y = y * z + 2.0 / 7.0;
    y = y * z + 2.0 / 5.0;
    y = y * z + 2.0 / 3.0;
    return e * 0x1.62e42fefa3800p-1 + (2.0 * s + (s * z * y + e * 0x1.ef35793c76730p-45));
}

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

/* What one scalar operation is. Shared by the CPU's kernels and the graphics card's (ml/cuda): plain C without vectors, and
 * no libraries but memcpy, sqrt, floor and ldexp. */

INLINE float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
INLINE uint32_t to_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

/* NaN leaves every operator as 0x7fc00000. */
INLINE float canonical(float x) { return x == x ? x : from_bits(0x7fc00000u); }

INLINE float maximum(float a, float b) {
    float same = from_bits(to_bits(a) & to_bits(b)); /* equal floats differ at most in the sign of zero; +0 wins */
    float larger = a > b ? a : b;
    larger = a == b ? same : larger;
    return a != a || b != b ? from_bits(0x7fc00000u) : larger;
}
INLINE float minimum(float a, float b) {
    float same = from_bits(to_bits(a) | to_bits(b));
    float smaller = a < b ? a : b;
    smaller = a == b ? same : smaller;
    return a != a || b != b ? from_bits(0x7fc00000u) : smaller;
}


/* float to int: truncate, saturate, NaN to 0; the conversion itself only ever sees values it can represent. */
INLINE int32_t truncate(float x) {
    float inside = x >= -0x1p31f && x < 0x1p31f ? x : 0.0f;
    int32_t value = (int32_t)inside;
    value = x >= 0x1p31f ? INT32_MAX : value;
    return x < -0x1p31f ? INT32_MIN : value;
}


/* l += l+8, +4, +2, +1 over the 16 lanes of a row's sum. */
INLINE float fold(const float s[16]) {
    float a[8], b[4];
    for (int i = 0; i < 8; i++) a[i] = s[i] + s[i + 8];
    for (int i = 0; i < 4; i++) b[i] = a[i] + a[i + 4];
    float c = b[0] + b[2], d = b[1] + b[3];
    return canonical(c + d);
}


/* Philox4x32-10 (Salmon et al. 2011): the four words of one counter. */
INLINE void philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xd2511f53u * c[0], p1 = (uint64_t)0xcd9e8d57u * c[2];
        uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k0, (uint32_t)p1, (uint32_t)(p0 >> 32) ^ c[3] ^ k1, (uint32_t)p0};
        memcpy(c, next, sizeof next);
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
}

/* A word as a float in [low, low + width]. */
INLINE float uniform_of(uint32_t word, float low, float width) {
    float u = (float)(word >> 8) * 0x1p-24f, scaled = u * width;
    return canonical(low + scaled);
}

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

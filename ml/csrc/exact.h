/* exp and log of a float, correctly rounded, by double-double arithmetic (Dekker 1971; Knuth's TwoSum).
 *
 * Slow and simple: only arguments whose double result lies within 2^-50 (relative) of a rounding boundary come here, a
 * few dozen of all 2^32. A double-double carries about 2^-104; with the series below the relative error of exp stays under
 * 2^-96 and that of log under 2^-72 (the worst case is near x = 1, where |log x| >= 2^-25). For binary32, exp and log are
 * never closer than about 2^-58 to a boundary, and hit one only at exp(0) = 1 and log(1) = 0, which are exact here. */

typedef struct { double high, low; } pair;

static pair pair_of(double high, double low) {
    pair value = {high, low};
    return value;
}

static pair two_sum(double a, double b) {
    double sum = a + b, part = sum - a;
    return pair_of(sum, (a - (sum - part)) + (b - part));
}

static pair quick_sum(double a, double b) {
    double sum = a + b;
    return pair_of(sum, b - (sum - a));
}

/* Exact product by splitting into 26-bit halves; every magnitude here is far from overflow and underflow. */
static pair two_product(double a, double b) {
    double split_a = 134217729.0 * a, split_b = 134217729.0 * b;
    double a_high = split_a - (split_a - a), b_high = split_b - (split_b - b);
    double a_low = a - a_high, b_low = b - b_high, product = a * b;
    return pair_of(product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low);
}

static pair add(pair a, pair b) {
    pair sum = two_sum(a.high, b.high), tail = two_sum(a.low, b.low);
    sum = quick_sum(sum.high, sum.low + tail.high);
    return quick_sum(sum.high, sum.low + tail.low);
}

static pair multiply(pair a, pair b) {
    pair product = two_product(a.high, b.high);
    return quick_sum(product.high, product.low + (a.high * b.low + a.low * b.high));
}

static pair divide_by(pair a, double divisor) {
    double quotient = a.high / divisor;
    pair back = two_product(quotient, divisor);
    double rest = (a.high - back.high) - back.low + a.low;
    return quick_sum(quotient, rest / divisor);
}

/* exp(x) = result * 2^*exponent for a double x of moderate size: x = k ln 2 + r, then 1 + r/1 (1 + r/2 (1 + ...)). */
static pair exp_pair(double x, int *exponent) {
    static const double ln2[3] = {0x1.62e42fefa3800p-1, 0x1.ef35793c76730p-45, 0x1.f97b57a079a19p-103};
    double k = floor(x * 0x1.71547652b82fep0 + 0.5);
    pair r = two_sum(x, -k * ln2[0]); /* ln2[0] has 42 bits and k 9: the product is exact */
    pair middle = two_product(-k, ln2[1]);
    r = add(add(r, middle), pair_of(-k * ln2[2], 0.0));
    pair sum = {1.0, 0.0};
    for (int n = 27; n >= 1; n--) sum = add(pair_of(1.0, 0.0), divide_by(multiply(r, sum), n));
    *exponent = (int)k;
    return sum;
}

/* Round to odd at double precision: a later rounding to float is then that of the exact sum (Boldo & Melquiond 2008). */
static double round_to_odd(pair value) {
    uint64_t bits = to_bits64(value.high);
    if (value.low != 0.0 && (bits & 1) == 0) bits += (value.low > 0.0) == (value.high > 0.0) ? 1 : -(uint64_t)1;
    return from_bits64(bits);
}

float solvent_exp_exact(float x) {
    if (x != x) return from_bits(0x7fc00000u);
    if (x > 89.0f) return from_bits(0x7f800000u);
    if (x < -104.0f) return 0.0f;
    int exponent;
    pair value = exp_pair((double)x, &exponent);
    return (float)ldexp(round_to_odd(value), exponent);
}

float solvent_log_exact(float x) {
    if (x != x || x < 0.0f) return from_bits(0x7fc00000u);
    if (x == 0.0f) return from_bits(0xff800000u);
    if (x > 3.402823466e38f) return from_bits(0x7f800000u);
    if (x == 1.0f) return 0.0f;
    /* One Newton step: log x = y + log(1 + t), 1 + t = x exp(-y), |t| < 2^-40, so log(1 + t) = t - t^2/2 + O(2^-120). */
    double y = log_double(x);
    int exponent;
    pair value = exp_pair(-y, &exponent);
    pair scaled = multiply(value, pair_of(ldexp((double)x, exponent), 0.0));
    pair t = add(scaled, pair_of(-1.0, 0.0));
    pair square = multiply(t, t);
    pair correction = add(t, pair_of(-0.5 * square.high, -0.5 * square.low));
    return (float)round_to_odd(add(pair_of(y, 0.0), correction));
}

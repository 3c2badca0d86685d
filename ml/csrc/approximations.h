/* tanh, sigmoid, erf, GELU, its slope, rsqrt, sine, cosine: the f64 programs of runtime/vm/approximations.py, operation for operation,
 * each result rounded once to float. Loops are plain so that the compiler widens them; a NaN stays one throughout. */

INLINE double growth_of(double x, double *scale) {
    double k = x * 0x1.71547652b82fep0 + 0x1.8p52;
    *scale = from_bits64((to_bits64(k) + 1023) << 52);
    k -= 0x1.8p52;
    double r = (x - k * 0x1.62e42fefa3800p-1) - k * 0x1.ef35793c76730p-45;
    double y = from_bits64(0x3e5ae64567f544e4ull);
    y = y * r + from_bits64(0x3e927e4fb7789f5cull);
    y = y * r + from_bits64(0x3ec71de3a556c734ull);
    y = y * r + from_bits64(0x3efa01a01a01a01aull);
    y = y * r + from_bits64(0x3f2a01a01a01a01aull);
    y = y * r + from_bits64(0x3f56c16c16c16c17ull);
    y = y * r + from_bits64(0x3f81111111111111ull);
    y = y * r + from_bits64(0x3fa5555555555555ull);
    y = y * r + from_bits64(0x3fc5555555555555ull);
    y = y * r + 0.5;
    y = y * r + 1.0;
    return y * r;
}

INLINE double exp_program(double x) {
    double scale, growth = growth_of(x, &scale);
    return (growth + 1.0) * scale;
}

/* Phi(-a) exp(a^2 / 2) for 0 <= a <= 16. */
INLINE double tail_program(double a) {
    double t = (a - 4.0) / (a + 4.0), y = 0x1.d7a7b0bed1c36p-26;
    y = y * t + 0x1.0f51d3337b3a9p-22;
    y = y * t + 0x1.25fddcb26ddc6p-21;
    y = y * t + -0x1.f8a7d577043aep-21;
    y = y * t + -0x1.1ee8f47634b22p-18;
    y = y * t + 0x1.3b49405ee21d0p-18;
    y = y * t + 0x1.e0bc69aabe883p-16;
    y = y * t + -0x1.7e4d50102597ep-15;
    y = y * t + -0x1.888ffd73ccbbep-13;
    y = y * t + 0x1.4eec87d4bbac8p-11;
    y = y * t + 0x1.0a1bee21b833bp-11;
    y = y * t + -0x1.1644dcac1f4b5p-7;
    y = y * t + 0x1.f9b05eff2c899p-6;
    y = y * t + -0x1.25b6aa95c7a92p-4;
    y = y * t + 0x1.fd751a1fd550ep-4;
    y = y * t + -0x1.5cf97b0ae9530p-3;
    return y * t + 0x1.82b4bb8c94bfdp-4;
}

INLINE double erf_program(double s) {
    double y = -0x1.acbabf57ef501p-31;
    y = y * s + 0x1.d777c51831224p-27;
    y = y * s + -0x1.5c14fc0842667p-23;
    y = y * s + 0x1.b982295083cfcp-20;
    y = y * s + -0x1.f4ca8c11f4161p-17;
    y = y * s + 0x1.f9a2bee1b1f05p-14;
    y = y * s + -0x1.c02db06ca928fp-11;
    y = y * s + 0x1.565bccfa6f4bep-8;
    y = y * s + -0x1.b82ce31204d17p-6;
    y = y * s + 0x1.ce2f21a040fbfp-4;
    y = y * s + -0x1.812746b0379c1p-2;
    return y * s + 0x1.20dd750429b6dp+0;
}

INLINE double limited(float x, double limit) {
    double y = (double)x;
    y = y > limit ? limit : y;
    return y < -limit ? -limit : y;
}

INLINE float with_sign(double magnitude, float x) {
    return from_bits(to_bits((float)magnitude) | (to_bits(x) & 0x80000000u));
}

INLINE float tanh_one(float x) {
    double a = limited(from_bits(to_bits(x) & 0x7fffffffu), 20.0), scale, growth = growth_of(a + a, &scale);
    double e = growth * scale + (scale - 1.0);
    return with_sign(e / (e + 2.0), x);
}

INLINE float sigmoid_one(float x) { return (float)(1.0 / (1.0 + exp_program(-limited(x, 104.0)))); }

INLINE float erf_one(float x) {
    double a = limited(from_bits(to_bits(x) & 0x7fffffffu), 6.0), square = a * a;
    double tail = exp_program(-square) * tail_program(a * 0x1.6a09e667f3bcdp+0);
    double near = a * erf_program(square), far = 1.0 - (tail + tail);
    return with_sign(a < 1.0 ? near : far, x);
}

INLINE double normal_program(double x, double *bell) {
    *bell = exp_program(x * x * -0.5);
    double tail = *bell * tail_program(x < 0.0 ? -x : x);
    return x < 0.0 ? tail : 1.0 - tail;
}

INLINE float gelu_one(float x) {
    double bell, below = normal_program(limited(x, 16.0), &bell), y = (double)x;
    y = y < -16.0 ? -16.0 : y;
    return (float)(y * below);
}

INLINE float gelu_slope_one(float x) {
    double bell, near = limited(x, 16.0), below = normal_program(near, &bell);
    return (float)(below + near * (bell * 0x1.9884533d43651p-2));
}

INLINE float rsqrt_one(float x) { return (float)(1.0 / sqrt((double)x)); }

/* sin(x + quarters pi/2). */
INLINE float turned_one(float x, uint64_t quarters) {
    double a = (double)x, size = a < 0.0 ? -a : a;
    a = size < 0x1p31 ? a : from_bits64(0x7ff8000000000000ull);
    double k = a * 0x1.45f306dc9c883p-1 + 0x1.8p52;
    uint64_t quadrant = to_bits64(k) + quarters;
    k -= 0x1.8p52;
    double r = ((a - k * 0x1.921fb00000000p+0) - k * 0x1.5110b00000000p-22) - k * 0x1.18469898cc517p-44, s = r * r;
    double sine = 0x1.6124613a86d09p-33, cosine = -0x1.93974a8c07c9dp-37;
    sine = sine * s + -0x1.ae64567f544e4p-26;
    sine = sine * s + 0x1.71de3a556c734p-19;
    sine = sine * s + -0x1.a01a01a01a01ap-13;
    sine = sine * s + 0x1.1111111111111p-7;
    sine = sine * s + -0x1.5555555555555p-3;
    sine = sine * s + 1.0;
    cosine = cosine * s + 0x1.1eed8eff8d898p-29;
    cosine = cosine * s + -0x1.27e4fb7789f5cp-22;
    cosine = cosine * s + 0x1.a01a01a01a01ap-16;
    cosine = cosine * s + -0x1.6c16c16c16c17p-10;
    cosine = cosine * s + 0x1.5555555555555p-5;
    cosine = cosine * s + -0.5;
    cosine = cosine * s + 1.0;
    double result = quadrant & 1 ? cosine : r * sine;
    return (float)(quadrant & 2 ? -result : result);
}

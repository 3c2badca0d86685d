/* A thread computes one element. */

INLINE uint32_t raw(float x) { return to_bits(x); }
INLINE uint32_t raw(int32_t x) { return (uint32_t)x; }
INLINE uint32_t raw(uint32_t x) { return x; }
INLINE uint32_t raw(bool x) { return x; }
INLINE void unpack(uint32_t bits, float &x) { x = from_bits(bits); }
INLINE void unpack(uint32_t bits, int32_t &x) { x = (int32_t)bits; }
INLINE void unpack(uint32_t bits, uint32_t &x) { x = bits; }

#define ONE_BINARY(code, type, expression) \
    case code: output<type>(in, 0)[at] = expression; break;
KERNEL solvent_binary(record in, uint32_t step) {
    int64_t at = element();
    if (at >= elements(in)) return;
    float x = input<float>(in, 0)[place_of(in, 0, at)], y = input<float>(in, 1)[place_of(in, 1, at)];
    switch (in.op) { BINARY_OPERATIONS(ONE_BINARY) }
}

#define ONE_UNARY(code, type, from, expression) \
    case code: { from x = input<from>(in, 0)[at]; output<type>(in, 0)[at] = expression; break; }
KERNEL solvent_unary(record in, uint32_t step) {
    int64_t at = element();
    if (at >= in.size[0]) return;
    switch (in.op) {
        UNARY_OPERATIONS(ONE_UNARY)
        case OP_EXP: output<float>(in, 0)[at] = exp_one(input<float>(in, 0)[at]); break;
        case OP_LOG: output<float>(in, 0)[at] = log_one(input<float>(in, 0)[at]); break;
    }
}

KERNEL solvent_select(record in, uint32_t step) {
    int64_t at = element();
    if (at >= in.size[0]) return;
    uint32_t chosen = input<int32_t>(in, 0)[at] != 0 ? input<uint32_t>(in, 1)[at] : input<uint32_t>(in, 2)[at];
    output<uint32_t>(in, 0)[at] = in.op == OP_SELECT ? to_bits(canonical(from_bits(chosen))) : chosen;
}

/* One operation of a map's line on bit patterns. */
#define LINE_BINARY(code, type, from, expression) \
    case code: { from x, y; unpack(a, x); unpack(b, y); return raw((type)(expression)); }
#define LINE_UNARY(code, type, from, expression) \
    case code: { from x; unpack(a, x); return raw((type)(expression)); }
INLINE uint32_t line_step(int code, uint32_t a, uint32_t b, uint32_t c) {
    switch (code) {
        MAP_OPERATIONS(LINE_BINARY, LINE_UNARY)
        case MAP_EXP: return to_bits(exp_one(from_bits(a)));
        case MAP_LOG: return to_bits(log_one(from_bits(a)));
        case MAP_SELECT_F32: case MAP_SELECT_I32: return a != 0 ? b : c;
    }
    return 0;
}

/* The whole line for one element; see map.h of ml/csrc for its layout. All inputs are read before any output is written. */
KERNEL solvent_map(record in, uint32_t step) {
    int64_t at = element();
    if (at >= elements(in)) return;
    int constants = in.code[1], steps = in.code[2];
    const int32_t *bits = in.code + 3, *outputs = bits + constants, *line = outputs + 2 * in.outputs;
    uint32_t slot[MAP_SLOTS];
    for (int k = 0; k < in.inputs; k++) slot[k] = input<uint32_t>(in, k)[place_of(in, k, at)];
    for (int k = 0; k < constants; k++) slot[in.inputs + k] = (uint32_t)bits[k];
    for (int s = 0; s < steps; s++) {
        const int32_t *now = line + 5 * s;
        slot[now[1]] = line_step(now[0], slot[now[2]], slot[now[3]], slot[now[4]]);
    }
    for (int k = 0; k < in.outputs; k++) {
        uint32_t word = slot[outputs[2 * k]];
        output<uint32_t>(in, k)[at] = outputs[2 * k + 1] ? to_bits(canonical(from_bits(word))) : word;
    }
}

KERNEL solvent_fill(record in, uint32_t step) {
    int64_t at = element();
    if (at < in.size[0]) output<uint32_t>(in, 0)[at] = in.scalar[0];
}

KERNEL solvent_iota(record in, uint32_t step) {
    int64_t at = element();
    if (at < in.size[0]) output<uint32_t>(in, 0)[at] = in.scalar[0] + in.scalar[1] * (uint32_t)at;
}

/* A thread draws the four numbers of one counter. */
KERNEL solvent_uniform(record in, uint32_t step) {
    int64_t group = element();
    if (group * 4 >= in.size[0]) return;
    float low = from_bits(in.scalar[0]), width = from_bits(in.scalar[1]) - low;
    uint32_t c[4] = {(uint32_t)group, (uint32_t)(group >> 32), in.scalar[2], step};
    philox(c, input<uint32_t>(in, 0)[0], input<uint32_t>(in, 0)[1]);
    for (int i = 0; i < 4 && group * 4 + i < in.size[0]; i++)
        output<float>(in, 0)[group * 4 + i] = uniform_of(c[i], low, width);
}

/* in: param, grad, buffer, lr; out: buffer', param'. scalar: momentum, weight decay, nesterov. */
KERNEL solvent_sgd(record in, uint32_t step) {
    int64_t at = element();
    if (at >= in.size[0]) return;
    float p = input<float>(in, 0)[at], g = input<float>(in, 1)[at], rate = input<float>(in, 3)[0];
    float momentum = from_bits(in.scalar[0]), decay = from_bits(in.scalar[1]);
    if (in.scalar[1] != 0) g = g + decay * p;
    float b = momentum * input<float>(in, 2)[at] + g;
    float direction = in.scalar[2] ? g + momentum * b : b;
    output<float>(in, 0)[at] = canonical(b);
    output<float>(in, 1)[at] = canonical(p - rate * direction);
}

/* Elements put elsewhere: moves, padding, joining, rows of tables, pools. A thread writes one element. */

KERNEL solvent_move(record in, uint32_t step) {
    int64_t at = element();
    if (at >= elements(in)) return;
    int64_t from = in.offset[0] + place_of(in, 0, at);
    switch (in.op) {
        case OP_MOVE_F32: output<float>(in, 0)[at] = canonical(input<float>(in, 0)[from]); break;
        case OP_MOVE_WORD: output<uint32_t>(in, 0)[at] = input<uint32_t>(in, 0)[from]; break;
        case OP_MOVE_BYTE: output<uint8_t>(in, 0)[at] = input<uint8_t>(in, 0)[from]; break;
    }
}

INLINE uint32_t word_of(uint32_t bits, uint32_t is_float) { return is_float ? to_bits(canonical(from_bits(bits))) : bits; }

/* stride[0]: elements before; stride[1]: distance of neighbours; stride[2]: input shape. scalar: fill bits, 1 for f32. */
KERNEL solvent_pad(record in, uint32_t step) {
    int64_t at = element(), rest = at, place = 0, wide = 1;
    if (at >= elements(in)) return;
    bool inside = true;
    for (int d = in.rank - 1; d >= 0; d--) {
        int64_t index = rest % in.size[d] - in.stride[0][d];
        rest /= in.size[d];
        if (index < 0 || index % in.stride[1][d] != 0 || index / in.stride[1][d] >= in.stride[2][d]) inside = false;
        else place += index / in.stride[1][d] * wide;
        wide *= in.stride[2][d];
    }
    output<uint32_t>(in, 0)[at] = inside ? word_of(input<uint32_t>(in, 0)[place], in.scalar[1]) : in.scalar[0];
}

/* size: rows; stride[k][0]: elements of a row of input k. scalar: 1 for f32. */
KERNEL solvent_concat(record in, uint32_t step) {
    int64_t at = element(), width = 0;
    for (int k = 0; k < in.inputs; k++) width += in.stride[k][0];
    if (at >= in.size[0] * width) return;
    int64_t row = at / width, column = at % width;
    int k = 0;
    for (; column >= in.stride[k][0]; k++) column -= in.stride[k][0];
    output<uint32_t>(in, 0)[at] = word_of(input<uint32_t>(in, k)[row * in.stride[k][0] + column], in.scalar[0]);
}

/* size: places, columns, rows of the table. */
KERNEL solvent_take_rows(record in, uint32_t step) {
    int64_t at = element(), columns = in.size[1];
    if (at >= in.size[0] * columns) return;
    int64_t row = input<int32_t>(in, 1)[at / columns];
    bool known = row >= 0 && row < in.size[2];
    output<float>(in, 0)[at] = known ? canonical(input<float>(in, 0)[row * columns + at % columns]) : from_bits(0x7fc00000u);
}

KERNEL solvent_clear_rows(record in, uint32_t step) {
    int64_t at = element();
    if (at < in.size[2] * in.size[1]) output<float>(in, 0)[at] = 0.0f;
}

/* After solvent_clear_rows. A thread sums its column, over all places in order. */
KERNEL solvent_scatter_rows(record in, uint32_t step) {
    int64_t column = element(), columns = in.size[1];
    if (column >= columns) return;
    for (int64_t p = 0; p < in.size[0]; p++) {
        int64_t row = input<int32_t>(in, 1)[p];
        if (row < 0 || row >= in.size[2]) continue;
        float *sum = output<float>(in, 0) + row * columns + column;
        *sum = canonical(*sum + input<float>(in, 0)[p * columns + column]);
    }
}

/* size: rows, columns. A label outside of the columns reads NaN. */
KERNEL solvent_nll(record in, uint32_t step) {
    int64_t row = element();
    if (row >= in.size[0]) return;
    int64_t label = input<int32_t>(in, 1)[row];
    bool known = label >= 0 && label < in.size[1];
    float picked = known ? input<float>(in, 0)[row * in.size[1] + label] : from_bits(0x7fc00000u);
    output<float>(in, 0)[row] = canonical(from_bits(to_bits(picked) ^ 0x80000000u));
}

KERNEL solvent_nll_backward(record in, uint32_t step) {
    int64_t at = element();
    if (at >= in.size[0] * in.size[1]) return;
    float value = canonical(from_bits(to_bits(input<float>(in, 0)[0]) ^ 0x80000000u));
    output<float>(in, 0)[at] = at % in.size[1] == input<int32_t>(in, 1)[at / in.size[1]] ? value : 0.0f;
}

/* See ml/csrc/pooling.h for the layout of both. */
KERNEL solvent_max_pool(record in, uint32_t step) {
    int64_t at = element(), plane = in.size[1] * in.size[2];
    if (at >= elements(in)) return;
    const float *x = input<float>(in, 0) + at / plane * in.stride[0][0] * in.stride[0][1];
    int64_t row = at % plane / in.size[2], column = at % in.size[2];
    pool_window(&in, x, row, column, output<float>(in, 0) + at, output<int32_t>(in, 1) + at);
}

/* The windows [first, last] along one axis that reach a pixel. */
struct reach { int64_t first, last; };
INLINE struct reach windows_over(int64_t pixel, int64_t count, const int64_t *axis) {
    int64_t high = pixel + axis[1], low = high - (axis[2] - 1) * axis[3];
    struct reach windows = {low <= 0 ? 0 : (low + axis[0] - 1) / axis[0], high / axis[0]};
    if (windows.last >= count) windows.last = count - 1;
    return windows;
}

/* A pixel collects, in the order of the windows, from those that it was the largest of. */
KERNEL solvent_max_pool_backward(record in, uint32_t step) {
    int64_t at = element(), plane = in.size[1] * in.size[2], rows = in.stride[0][0], columns = in.stride[0][1];
    if (at >= elements(in)) return;
    int64_t place = at % plane, from = at / plane * rows * columns;
    struct reach down = windows_over(place / in.size[2], rows, in.stride[2]);
    struct reach along = windows_over(place % in.size[2], columns, in.stride[3]);
    float sum = 0.0f;
    for (int64_t i = down.first; i <= down.last; i++)
        for (int64_t j = along.first; j <= along.last; j++) {
            int64_t window = from + i * columns + j;
            if (input<int32_t>(in, 1)[window] == place) sum = canonical(sum + input<float>(in, 0)[window]);
        }
    output<float>(in, 0)[at] = sum;
}

/* A line of element-wise operations over blocks of RUN elements, so that everything between inputs and outputs stays in the
 * first-level cache. code: number of slots, constants, steps; bits of the constants; slots of the outputs, each with 1 where
 * it is f32; then five numbers a step: code (index into CODES of operators_map.py), slot written, up to three slots read. */
/* Elements [first, first + n) of the broadcast output, read from an input through its strides. */
static void gather(const struct solvent_instruction *in, int input, int64_t first, int64_t n, uint32_t *to) {
    const uint32_t *from = in->in[input];
    const int64_t *stride = in->stride[input];
    int64_t index[SOLVENT_RANK], offset = 0, rest = first;
    int last = in->rank - 1;
    for (int d = last; d >= 0; d--) {
        index[d] = rest % in->size[d];
        rest /= in->size[d];
        offset += index[d] * stride[d];
    }
    for (int64_t done = 0; done < n;) {
        int64_t run = in->size[last] - index[last], step = stride[last];
        if (run > n - done) run = n - done;
        if (step == 1) memcpy(to + done, from + offset, (size_t)run * 4);
        else for (int64_t i = 0; i < run; i++) to[done + i] = from[offset + i * step];
        done += run;
        offset -= index[last] * step;
        index[last] = 0;
        for (int d = last - 1; d >= 0; d--) {
            offset += stride[d];
            if (++index[d] < in->size[d]) break;
            offset -= in->size[d] * stride[d];
            index[d] = 0;
        }
    }
}

#define MAP_LOOP(code, type, from, expression) \
    case code: { \
        const from *a = read[0], *b = read[1]; \
        type *out = to; \
        (void)b; \
        INDEPENDENT \
        for (int64_t i = 0; i < n; i++) { from x = a[i], y = b[i]; (void)y; out[i] = expression; } \
        break; \
    }
#define MAP_UNARY(code, type, from, expression) \
    case code: { \
        const from *a = read[0]; \
        type *out = to; \
        INDEPENDENT \
        for (int64_t i = 0; i < n; i++) { from x = a[i]; out[i] = expression; } \
        break; \
    }

static void map_step(int code, const void *const read[3], void *to, int64_t n) {
    switch (code) {
        MAP_OPERATIONS(MAP_LOOP, MAP_UNARY)
        case MAP_EXP: exp_run(read[0], 0.0f, to, n); break;
        case MAP_LOG: log_run(read[0], to, n); break;
        case MAP_SELECT_F32:
        case MAP_SELECT_I32: {
            const int32_t *condition = read[0];
            const uint32_t *a = read[1], *b = read[2];
            uint32_t *out = to;
            INDEPENDENT
            for (int64_t i = 0; i < n; i++) out[i] = condition[i] != 0 ? a[i] : b[i];
            break;
        }
        default: break;
    }
}

/* Whether an input is as large as the output and lies like it: then it is read where it is. */
static int lies_plainly(const struct solvent_instruction *in, int input) {
    int64_t step = 1;
    for (int d = in->rank - 1; d >= 0; d--) {
        if (in->size[d] != 1 && in->stride[input][d] != step) return 0;
        step *= in->size[d];
    }
    return 1;
}

/* Outputs are written when a block is done, so that one may take the place of an input. */
static void map_line(const struct solvent_instruction *in, int part, int parts, float *scratch) {
    int slots = in->code[0], constants = in->code[1], steps = in->code[2], inputs = in->inputs;
    const int32_t *bits = in->code + 3, *outputs = bits + constants, *line = outputs + 2 * in->outputs;
    int64_t total = 1, all_zero[SOLVENT_INPUTS], plain[SOLVENT_INPUTS];
    for (int d = 0; d < in->rank; d++) total *= in->size[d];
    struct share mine = share_of((total + 15) / 16, part, parts);
    int64_t first = mine.first * 16, end = mine.last * 16 < total ? mine.last * 16 : total;
    const void *slot[MAP_SLOTS];
    for (int k = 0; k < slots; k++) slot[k] = scratch + k * RUN;
    for (int k = 0; k < inputs; k++) {
        plain[k] = lies_plainly(in, k);
        all_zero[k] = 1;
        for (int d = 0; d < in->rank; d++) all_zero[k] &= in->stride[k][d] == 0 || in->size[d] == 1;
        if (all_zero[k] && !plain[k])
            for (int i = 0; i < RUN; i++) ((uint32_t *)slot[k])[i] = *(const uint32_t *)in->in[k];
    }
    for (int k = 0; k < constants; k++)
        for (int i = 0; i < RUN; i++) ((uint32_t *)slot[inputs + k])[i] = (uint32_t)bits[k];
    for (int64_t at = first; at < end; at += RUN) {
        int64_t n = end - at < RUN ? end - at : RUN;
        for (int k = 0; k < inputs; k++) {
            if (plain[k]) slot[k] = (const uint32_t *)in->in[k] + at;
            else if (!all_zero[k]) gather(in, k, at, n, (uint32_t *)slot[k]);
        }
        for (int s = 0; s < steps; s++) {
            const int32_t *step = line + 5 * s;
            const void *read[3] = {slot[step[2]], slot[step[3]], slot[step[4]]};
            map_step(step[0], read, (void *)slot[step[1]], n);
        }
        for (int k = 0; k < in->outputs; k++) {
            if (!outputs[2 * k + 1]) {
                memcpy((uint32_t *)in->out[k] + at, slot[outputs[2 * k]], (size_t)n * 4);
                continue;
            }
            const float *from = slot[outputs[2 * k]];
            float *out = (float *)in->out[k] + at;
            INDEPENDENT
            for (int64_t i = 0; i < n; i++) out[i] = canonical(from[i]);
        }
    }
}

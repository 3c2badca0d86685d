/* Replays a suite (bench/cross_suite.py) on the kernels that it was compiled with, without Python: plans over blocks of
 * memory, what to write into them, what to run, what to read back. Everything read goes to the standard output.
 *
 *   cross                      print the instruction sets of this processor, a line each, best first
 *   cross SUITE SET THREADS    replay with the instruction set of that number
 *
 * A suite is a row of 64-bit little-endian numbers with bytes between them, padded to eight: a magic number, the size of an
 * instruction record, the number of cases; for each case the bytes of its memory, the number of records, their code words
 * and its actions; the records, whose pointers are 1 + a place in memory (0: none) and whose code is an index; the code;
 * the actions (kind and three arguments; a write is followed by its bytes). Under the address sanitizer, memory that is
 * forbidden may not be touched any more. */
#include "solvent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define FORBID(place, bytes) __asan_poison_memory_region(place, bytes)
#define ALLOW(place, bytes) __asan_unpoison_memory_region(place, bytes)
#else
#define FORBID(place, bytes) ((void)(place), (void)(bytes))
#define ALLOW(place, bytes) ((void)(place), (void)(bytes))
#endif

enum { MAGIC = 0x736f6c76, WRITE = 0, RUN = 1, READ = 2, GUARD = 3 };

static void die(const char *why) {
    fprintf(stderr, "cross: %s\n", why);
    exit(2);
}

static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) die("the suite cannot be read");
    *size = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*size);
    if (data == NULL || fread(data, 1, *size, file) != *size) die("the suite cannot be read");
    fclose(file);
    return data;
}

static const char *cursor, *end;

static const char *take(int64_t bytes) {
    const char *at = cursor;
    int64_t padded = (bytes + 7) / 8 * 8;
    if (bytes < 0 || padded > end - cursor) die("the suite ends too early");
    cursor += padded;
    return at;
}

static int64_t take_number(void) {
    int64_t number;
    memcpy(&number, take(8), 8);
    return number;
}

static void *place(char *memory, const void *pointer) {
    return pointer == NULL ? NULL : memory + ((uintptr_t)pointer - 1);
}

static void replay_case(struct solvent_pool *pool, int set) {
    int64_t bytes = take_number(), records = take_number(), words = take_number(), actions = take_number();
    struct solvent_instruction *plan = calloc((size_t)records + 1, sizeof *plan);
    int32_t *code = calloc((size_t)words + 1, sizeof *code);
    char *memory = aligned_alloc(64, ((size_t)bytes + 63) / 64 * 64 + 64);
    if (plan == NULL || code == NULL || memory == NULL) die("no memory");
    memset(memory, 0, (size_t)bytes);
    memcpy(plan, take(records * (int64_t)sizeof *plan), (size_t)records * sizeof *plan);
    memcpy(code, take(words * 4), (size_t)words * 4);
    for (int64_t i = 0; i < records; i++) {
        for (int k = 0; k < SOLVENT_INPUTS; k++) plan[i].in[k] = place(memory, plan[i].in[k]);
        for (int k = 0; k < SOLVENT_OUTPUTS; k++) plan[i].out[k] = place(memory, plan[i].out[k]);
        plan[i].code = code + (uintptr_t)plan[i].code;
    }
    for (int64_t i = 0; i < actions; i++) {
        int64_t kind = take_number(), a = take_number(), b = take_number(), c = take_number();
        if (kind == WRITE) memcpy(memory + a, take(b), (size_t)b);
        else if (kind == READ) fwrite(memory + a, 1, (size_t)b, stdout);
        else if (kind == GUARD) FORBID(memory + a, (size_t)b);
        else if (solvent_run(pool, set, plan, a, b, (uint32_t)c) != 0) die("the floating-point unit is in another mode");
    }
    ALLOW(memory, (size_t)bytes);
    free(plan);
    free(code);
    free(memory);
}

int main(int count, char **arguments) {
    if (count == 1) {
        for (int i = 0; solvent_instruction_set(i) != NULL; i++) puts(solvent_instruction_set(i));
        return 0;
    }
    if (count != 4) die("usage: cross [SUITE SET THREADS]");
    size_t size;
    char *data = read_file(arguments[1], &size);
    struct solvent_pool *pool = solvent_pool_open(atoi(arguments[3]));
    if (pool == NULL) die("no memory");
    cursor = data;
    end = data + size;
    if (take_number() != MAGIC || take_number() != (int64_t)sizeof(struct solvent_instruction)) die("another layout");
    for (int64_t cases = take_number(); cases > 0; cases--) replay_case(pool, atoi(arguments[2]));
    solvent_pool_close(pool);
    free(data);
    return fflush(stdout) == 0 ? 0 : 2;
}

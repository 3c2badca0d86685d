/* A small thread pool. Workers sleep on a condition variable: a spinning worker would steal the core of whoever else runs
 * here. Parts of an instruction are handed out by a counter, and the caller takes parts too, so a worker that the kernel
 * wakes late costs nothing: the caller does not wait for threads that have not started. */
#define _GNU_SOURCE
#include "solvent.h"

#include <fenv.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct solvent_pool;

struct worker {
    struct solvent_pool *pool;
    float *scratch;
    pthread_t thread;
};

struct solvent_pool {
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    int threads, started, active, open, stop;
    uint64_t generation;
    pid_t owner;
    const struct solvent_kernels *kernels;
    const struct solvent_instruction *instruction;
    uint32_t step;
    int parts;
    atomic_int next;
    struct worker *workers;
};

static void take_parts(struct solvent_pool *pool, float *scratch) {
    for (;;) {
        int part = atomic_fetch_add(&pool->next, 1);
        if (part >= pool->parts) return;
        pool->kernels->run(pool->instruction, pool->step, part, pool->parts, scratch);
    }
}

static void *work(void *argument) {
    struct worker *self = argument;
    struct solvent_pool *pool = self->pool;
    uint64_t seen = 0;
    fesetenv(FE_DFL_ENV);
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->stop && (!pool->open || pool->generation == seen)) pthread_cond_wait(&pool->wake, &pool->lock);
        if (pool->stop) break;
        seen = pool->generation;
        pool->active++;
        pthread_mutex_unlock(&pool->lock);
        take_parts(pool, self->scratch);
        pthread_mutex_lock(&pool->lock);
        if (--pool->active == 0) pthread_cond_signal(&pool->idle);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Start the workers; also in the child of a fork, where the parent's threads do not exist. */
static void start(struct solvent_pool *pool) {
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->idle, NULL);
    pool->active = pool->open = pool->stop = 0;
    pool->owner = getpid();
    pool->started = 0;
    for (int i = 1; i < pool->threads; i++) {
        if (pthread_create(&pool->workers[i].thread, NULL, work, &pool->workers[i]) != 0) break;
        pool->started++;
    }
}

struct solvent_pool *solvent_pool_open(int threads) {
    struct solvent_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) return NULL;
    pool->threads = threads < 1 ? 1 : threads;
    pool->workers = calloc((size_t)pool->threads, sizeof *pool->workers);
    if (pool->workers == NULL) {
        free(pool);
        return NULL;
    }
    for (int i = 0; i < pool->threads; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].scratch = aligned_alloc(64, SCRATCH_FLOATS * sizeof(float));
        if (pool->workers[i].scratch == NULL) {
            for (int j = 0; j < i; j++) free(pool->workers[j].scratch);
            free(pool->workers);
            free(pool);
            return NULL;
        }
    }
    start(pool);
    return pool;
}

void solvent_pool_close(struct solvent_pool *pool) {
    if (pool == NULL) return;
    if (pool->owner == getpid()) {
        pthread_mutex_lock(&pool->lock);
        pool->stop = 1;
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
        for (int i = 1; i <= pool->started; i++) pthread_join(pool->workers[i].thread, NULL);
        pthread_mutex_destroy(&pool->lock);
        pthread_cond_destroy(&pool->wake);
        pthread_cond_destroy(&pool->idle);
    }
    for (int i = 0; i < pool->threads; i++) free(pool->workers[i].scratch);
    free(pool->workers);
    free(pool);
}

int solvent_pool_threads(const struct solvent_pool *pool) { return pool->threads; }

void solvent_pool_run(struct solvent_pool *pool, const struct solvent_kernels *kernels,
                      const struct solvent_instruction *instruction, uint32_t step, int parts) {
    if (parts <= 1) {
        kernels->run(instruction, step, 0, 1, pool->workers[0].scratch);
        return;
    }
    if (pool->owner != getpid()) start(pool);
    pthread_mutex_lock(&pool->lock);
    pool->kernels = kernels;
    pool->instruction = instruction;
    pool->step = step;
    pool->parts = parts;
    atomic_store(&pool->next, 0);
    pool->open = 1;
    pool->generation++;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    take_parts(pool, pool->workers[0].scratch);
    pthread_mutex_lock(&pool->lock);
    pool->open = 0;
    while (pool->active > 0) pthread_cond_wait(&pool->idle, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

/* Two threads free the same block at the same moment, many times: `race BYTES`. Each such pair of frees is to be
 * reported once, and no block may come to two callers. Says how many had two. */
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { ROUNDS = 6000, EVERY = 100, BLOCKS = 2000, SPINS = 20000 };

static _Atomic(void *) block;
static atomic_int turn, done;
static size_t size;

/* Spins, so that both come at the same moment; where they share a processor, lets the other one run. */
static void wait_for(atomic_int *what, int value)
{
    for (int spins = 0; atomic_load(what) != value; spins++)
        if (spins % SPINS == SPINS - 1)
            sched_yield();
}

static void *other(void *unused)
{
    (void)unused;
    for (int i = 1; i <= ROUNDS; i++) {
        wait_for(&turn, i);
        free(atomic_load(&block));
        atomic_store(&done, i);
    }
    return NULL;
}

/* How many of the blocks that are handed out now come twice. */
static int handed_out_twice(void)
{
    static int *blocks[BLOCKS];
    int twice = 0;
    for (int i = 0; i < BLOCKS; i++) {
        CHECK((blocks[i] = malloc(size)) != NULL);
        *blocks[i] = i;
    }
    for (int i = 0; i < BLOCKS; i++)
        if (*blocks[i] != i) {
            twice++;
            blocks[i] = NULL;
        }
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    return twice;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    size = strtoul(argv[1], NULL, 10);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, other, NULL) == 0);
    int twice = 0;
    for (int i = 1; i <= ROUNDS; i++) {
        void *mine = malloc(size);
        CHECK(mine != NULL);
        atomic_store(&block, mine);
        atomic_store(&turn, i);
        free(mine);
        wait_for(&done, i);
        if (i % EVERY == 0)
            twice += handed_out_twice();
    }
    CHECK(pthread_join(thread, NULL) == 0);
    printf("%d rounds, %d blocks with two callers\n", ROUNDS, twice);
    return 0;
}

/* What a block holds says nothing of how long its free takes: `contents BYTES`. Blocks that hold what a free block
 * holds are freed, and others, and it says how long either took a free, in nanoseconds. */
#include "check.h"

#include <time.h>

enum { BLOCKS = 8192, ROUNDS = 5 };

static unsigned char *blocks[BLOCKS];
static uint64_t words[BLOCKS];
static size_t size;

static uint64_t now(void)
{
    struct timespec time;
    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static volatile uint64_t *second(unsigned char *block)
{
    return (volatile uint64_t *)(block + 8);
}

static void allocate(void)
{
    for (int i = 0; i < BLOCKS; i++)
        CHECK((blocks[i] = malloc(size)) != NULL);
}

static int by_address(const void *one, const void *two)
{
    uintptr_t a = (uintptr_t)*(unsigned char *const *)one, b = (uintptr_t)*(unsigned char *const *)two;
    return (a > b) - (a < b);
}

/* Nanoseconds that the frees of all blocks take, whose second words are those of free blocks, or are not. */
static uint64_t round_of(int marked)
{
    static unsigned char *freed[BLOCKS];
    allocate();
    qsort(blocks, BLOCKS, sizeof blocks[0], by_address);
    memcpy(freed, blocks, sizeof freed);
    for (int i = 0; i < BLOCKS; i++)
        free(freed[i]);
    /* A fault of the program's, and how somebody comes to know. */
    for (int i = 0; i < BLOCKS; i++)
        words[i] = *second(freed[i]);
    allocate();
    qsort(blocks, BLOCKS, sizeof blocks[0], by_address);
    int known = 0;
    for (int i = 0; i < BLOCKS; i++) {
        unsigned char **same = bsearch(&blocks[i], freed, BLOCKS, sizeof freed[0], by_address);
        known += same != NULL;
        *second(blocks[i]) = marked && same != NULL ? words[same - freed] : 7;
    }
    CHECK(known > BLOCKS / 4);
    uint64_t begin = now();
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[(unsigned)i * 5 % BLOCKS]);
    return now() - begin;
}

/* A pair that holds, each time, what was there while it was free. */
static uint64_t pairs_of(int marked)
{
    uint64_t word = 7, begin = now();
    for (int i = 0; i < BLOCKS; i++) {
        unsigned char *p = malloc(size);
        *second(p) = marked ? word : 7;
        free(p);
        word = *second(p);
    }
    return now() - begin;
}

static uint64_t shortest(uint64_t (*run)(int), int marked)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t taken = run(marked);
        least = taken < least ? taken : least;
    }
    return least;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    size = strtoul(argv[1], NULL, 10);
    uint64_t rounds = shortest(round_of, 0), marked_rounds = shortest(round_of, 1);
    /* A long list below them. */
    allocate();
    for (int i = 0; i < BLOCKS; i++)
        if (i % 40 != 0)
            free(blocks[i]);
    uint64_t pairs = shortest(pairs_of, 0), marked_pairs = shortest(pairs_of, 1);
    printf("%lu %lu\n%lu %lu\n", rounds, marked_rounds, pairs, marked_pairs);
    return 0;
}

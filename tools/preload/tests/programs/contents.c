/* What a block holds says nothing of how much work its free is: `contents BYTES`. Blocks that hold what a free block
 * holds are freed, and others, and it says what either cost. */
#include "check.h"
#include "cost.h"

enum { BLOCKS = 8192, COUNTED = 40 };

static unsigned char *blocks[BLOCKS];
static uint64_t words[BLOCKS];
static size_t size;

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

/* What frees cost of blocks whose second words are those of free blocks, or are not. */
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
    /* Of each two, the first is not counted: after it, its slab's list is known. All others lie below them in the
     * lists. */
    static unsigned char *marks[2 * COUNTED];
    int known = 0;
    for (int i = 0; i < BLOCKS; i++) {
        unsigned char **same = bsearch(&blocks[i], freed, BLOCKS, sizeof freed[0], by_address);
        *second(blocks[i]) = 7;
        if (same == NULL || known == 2 * COUNTED) {
            free(blocks[i]);
            continue;
        }
        if (marked)
            *second(blocks[i]) = words[same - freed];
        marks[known++] = blocks[i];
    }
    CHECK(known == 2 * COUNTED);
    for (int i = 0; i < COUNTED; i++)
        free(marks[2 * i]);
    begin_cost();
    for (int i = 0; i < COUNTED; i++)
        free(marks[2 * i + 1]);
    return end_cost();
}

/* A pair that holds, each time, what was there while it was free. */
static uint64_t pairs_of(int marked)
{
    uint64_t word = 7;
    /* After two, the slab's list is known to hold a block that looks free. */
    for (int i = -2; i < COUNTED; i++) {
        if (i == 0)
            begin_cost();
        unsigned char *p = malloc(size);
        *second(p) = marked ? word : 7;
        free(p);
        word = *second(p);
    }
    return end_cost();
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    size = strtoul(argv[1], NULL, 10);
    uint64_t rounds = round_of(0), marked_rounds = round_of(1);
    /* A long list below them. */
    allocate();
    for (int i = 0; i < BLOCKS; i++)
        if (i % 40 != 0)
            free(blocks[i]);
    uint64_t pairs = pairs_of(0), marked_pairs = pairs_of(1);
    printf("%lu %lu\n%lu %lu\n", rounds, marked_rounds, pairs, marked_pairs);
    return 0;
}

/* What the secure build sees beyond misuse.c: `secure KIND SIZE` does one thing wrong with a block of
 * SIZE bytes among others, and goes on as programs do. It says "missed" if nothing came of it, and
 * "well" if memory that must read as zero did. */
#include "check.h"

#include <malloc.h>
#include <pthread.h>

static size_t size;
static unsigned char *neighbours[64];

/* A block that is not the first of its slab, where slabs have several. */
static unsigned char *block(void)
{
    for (int i = 0; i < 64; i++)
        CHECK((neighbours[i] = malloc(size)) != NULL);
    for (int i = 40; i < 64; i++)
        if (((uintptr_t)neighbours[i] & 0xffff) != 0)
            return neighbours[i];
    return neighbours[50];
}

static void missed(void)
{
    CHECK(write(STDOUT_FILENO, "missed\n", 7) == 7);
}

static void well(int is_well)
{
    if (is_well)
        CHECK(write(STDOUT_FILENO, "well\n", 5) == 5);
    else
        missed();
}

static void corrupt(volatile unsigned char *from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        from[i] ^= 0x41;
}

static void overflow(size_t length)
{
    unsigned char *p = block();
    corrupt(p + size, length);
    free(p);
    missed();
}

static void overflow_1(void) { overflow(1); }
static void overflow_8(void) { overflow(8); }
static void overflow_64(void) { overflow(64); }

static void overflow_nul(void)
{
    unsigned char *p = block();
    *(volatile unsigned char *)(p + size) = 0;
    free(p);
    missed();
}

static void overflow_realloc(void)
{
    unsigned char *p = block();
    corrupt(p + size, 1);
    p = realloc(p, 3 * size);
    missed();
}

static void underflow(size_t length)
{
    unsigned char *p = block();
    corrupt(p - length, length);
    free(p);
    missed();
}

static void underflow_1(void) { underflow(1); }
static void underflow_8(void) { underflow(8); }
static void underflow_16(void) { underflow(16); }

static void *free_it(void *p)
{
    free(p);
    return NULL;
}

static void elsewhere(void *p)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, free_it, p) == 0 && pthread_join(thread, NULL) == 0);
}

static void double_free(void)
{
    unsigned char *p = block();
    free(p);
    free(p);
    missed();
}

static void double_free_delayed(void)
{
    unsigned char *p = block();
    free(p);
    for (int i = 0; i < 40; i++)
        free(neighbours[i]);
    free(p);
    missed();
}

static void double_free_written(void)
{
    unsigned char *p = block();
    free(p);
    corrupt(p, 16);
    free(p);
    missed();
}

static void double_free_here_and_there(void)
{
    unsigned char *p = block();
    free(p);
    elsewhere(p);
    missed();
}

static void double_free_by_two_threads(void)
{
    unsigned char *p = block();
    elsewhere(p);
    elsewhere(p);
    missed();
}

static void size_of_freed(void)
{
    unsigned char *p = block();
    free(p);
    CHECK(malloc_usable_size(p) < (size_t)-1);
    missed();
}

static void realloc_freed(void)
{
    unsigned char *p = block();
    free(p);
    p = realloc(p, size + 100);
    missed();
}

static void read_after_free(void)
{
    unsigned char *p = memset(block(), 0x5a, size);
    free(p);
    int stale = 0;
    for (size_t i = 0; i < size; i++)
        stale += ((volatile unsigned char *)p)[i] == 0x5a;
    /* A byte of a link may look so. */
    well(stale <= 1);
}

static void write_after_free_at(size_t place)
{
    unsigned char *p = block();
    free(p);
    corrupt(p + place, 1);
    for (int i = 0; i < 5000 && (size < 100000 || i < 50); i++)
        CHECK(malloc(size) != NULL);
    missed();
}

static void write_after_free(void) { write_after_free_at(0); }
static void write_after_free_inside(void) { write_after_free_at(size / 2); }
static void write_after_free_end(void) { write_after_free_at(size - 1); }

static void fresh_is_zero_up_to(size_t checked)
{
    (void)block();
    for (int i = 0; i < 64; i++)
        free(memset(neighbours[i], 0x5a, size));
    int stale = 0;
    for (int i = 0; i < 64; i++) {
        unsigned char *p = malloc(size);
        stale += !is_filled(p, 0, checked);
    }
    well(stale == 0);
}

static void fresh_is_zero(void) { fresh_is_zero_up_to(size); }
static void fresh_begins_with_zero(void) { fresh_is_zero_up_to(size < 1000 ? size : 1000); }

static void grown_is_apart(void)
{
    /* What realloc leaves behind is as good as freed. */
    unsigned char *p = memset(block(), 0x5a, size);
    unsigned char *grown = realloc(p, size * 4 + 100);
    CHECK(is_filled(grown, 0x5a, size));
    if (grown == p)
        well(1);
    int stale = 0;
    for (size_t i = 0; grown != p && i < size; i++)
        stale += ((volatile unsigned char *)p)[i] == 0x5a;
    well(stale <= 1);
}

static void exact_size(void)
{
    unsigned char *p = block();
    well(size > 1 << 20 || malloc_usable_size(p) == size);
}

static void reused_at_once(void)
{
    unsigned char *p = block();
    free(p);
    well(malloc(size) != p);
}

static void read_nothing(void)
{
    volatile unsigned char *p = malloc(0);
    (void)*p;
    missed();
}

static void write_nothing(void)
{
    volatile unsigned char *p = calloc(0, 8);
    *p = 1;
    missed();
}

static void free_nothing_twice(void)
{
    void *p = malloc(0);
    CHECK(p != NULL);
    free(p);
    free(p);
    missed();
}

static void free_inside_nothing(void)
{
    free((char *)malloc(0) + 1);
    missed();
}

#define KIND(name) {#name, name}
static const struct kind { const char *name; void (*run)(void); } kinds[] = {
    KIND(overflow_1), KIND(overflow_8), KIND(overflow_64), KIND(overflow_nul), KIND(overflow_realloc),
    KIND(underflow_1), KIND(underflow_8), KIND(underflow_16),
    KIND(double_free), KIND(double_free_delayed), KIND(double_free_written),
    KIND(double_free_here_and_there), KIND(double_free_by_two_threads),
    KIND(size_of_freed), KIND(realloc_freed),
    KIND(read_after_free), KIND(write_after_free), KIND(write_after_free_inside),
    KIND(write_after_free_end), KIND(fresh_is_zero), KIND(fresh_begins_with_zero), KIND(grown_is_apart), KIND(exact_size),
    KIND(reused_at_once),
    KIND(read_nothing), KIND(write_nothing), KIND(free_nothing_twice), KIND(free_inside_nothing),
};

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    size = strtoul(argv[2], NULL, 10);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, argv[1]) == 0) {
            kinds[i].run();
            return 0;
        }
    return 2;
}

/* What a program must not do. Each scenario misuses once and goes on: what it prints tells
 * how far it came. */
#include "check.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>

static char in_data[256];

static void after_the_fault(void)
{
    CHECK(write(STDOUT_FILENO, "returned\n", 9) == 9);
    /* Whatever was misused, the allocator still works where the process chose to go on. */
    for (size_t size = 1; size < 3 << 20; size = size * 2 + 1) {
        unsigned char *first = memset(malloc(size), 1, size), *second = memset(calloc(1, size), 2, size);
        CHECK(first != second && is_filled(first, 1, size) && is_filled(second, 2, size));
        free(first);
        free(second);
    }
    /* More blocks than a slab has, so that this thread looks at what others gave back. */
    enum { MANY = 5000 };
    static void *blocks[MANY];
    for (int i = 0; i < MANY; i++)
        blocks[i] = malloc(64);
    for (int i = 0; i < MANY; i++)
        free(blocks[i]);
}

static void double_free(size_t size, int others)
{
    void *block = malloc(size), *neighbours[64];
    for (int i = 0; i < 64; i++)
        neighbours[i] = malloc(size);
    free(block);
    for (int i = 0; i < others; i++)
        free(neighbours[i]);
    free(block);
    after_the_fault();
}

static void double_free_16(void) { double_free(16, 0); }
static void double_free_64(void) { double_free(64, 0); }
static void double_free_64_later(void) { double_free(64, 40); }
static void double_free_1000(void) { double_free(1000, 3); }
static void double_free_20000(void) { double_free(20000, 1); }
static void double_free_500000(void) { double_free(500000, 0); }
static void double_free_large(void) { double_free(5 << 20, 0); }
static void double_free_large_later(void) { double_free(5 << 20, 40); }

/* A set of blocks of which so many random ones were replaced that frees of its size go into the
 * thread's bin: the next block is the one freed last, whatever slab that is of. */
enum { SET_BYTES = 6 << 20, SET_BLOCKS = SET_BYTES / 16 };
static void *set[SET_BLOCKS];

static int scatter(size_t size)
{
    int count = SET_BYTES / size;
    for (int i = 0; i < count; i++)
        set[i] = malloc(size);
    unsigned state = 1;
    for (int i = 0; i < 2 * count; i++) {
        state = state * 1103515245 + 12345;
        int chosen = (state >> 8) % count;
        free(set[chosen]);
        set[chosen] = malloc(size);
    }
    void *first = set[count / 2], *second = set[count / 3];
    free(first);
    free(second);
    CHECK(malloc(size) == second && malloc(size) == first);
    return count;
}

/* The block is in the bin, with others above it. */
static void double_free_in_bin(size_t size)
{
    int count = scatter(size);
    void *block = set[count / 2];
    free(block);
    for (int i = 3; i < 6; i++)
        free(set[count / 2 + count / i]);
    free(block);
    after_the_fault();
}

static void double_free_in_bin_16(void) { double_free_in_bin(16); }
static void double_free_in_bin_200(void) { double_free_in_bin(200); }
static void double_free_in_bin_2000(void) { double_free_in_bin(2000); }

/* The block has left the bin for its slab. */
static void double_free_from_bin(size_t size)
{
    int count = scatter(size);
    void *block = set[count / 2];
    free(block);
    for (int i = 0; i < 100; i++)
        free(set[i * 7]);
    free(block);
    after_the_fault();
}

static void double_free_from_bin_16(void) { double_free_from_bin(16); }
static void double_free_from_bin_200(void) { double_free_from_bin(200); }
static void double_free_from_bin_2000(void) { double_free_from_bin(2000); }

static void realloc_in_bin(void)
{
    int count = scatter(200);
    free(set[count / 2]);
    CHECK(!realloc(set[count / 2], 300));
    after_the_fault();
}

static void free_interior_in_bin(void)
{
    int count = scatter(200);
    free(set[count / 2]);
    free((char *)set[count / 2 + 1] + 16);
    after_the_fault();
}

static void double_free_alone(void)
{
    /* The slab's only block: with it the slab goes. */
    void *block = malloc(300000);
    free(block);
    free(block);
    after_the_fault();
}

static void double_free_purged(void)
{
    static void *blocks[3000];
    for (int i = 0; i < 3000; i++)
        blocks[i] = malloc(3000);
    for (int i = 0; i < 3000; i++)
        free(blocks[i]);
    malloc_trim(0);
    free(blocks[1500]);
    after_the_fault();
}

static void *free_it(void *block)
{
    free(block);
    return NULL;
}

static void in_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, body, argument) == 0 && pthread_join(thread, NULL) == 0);
}

static void *free_it_twice(void *block)
{
    free(block);
    free(block);
    return NULL;
}

static void double_free_elsewhere(void)
{
    /* Both by a thread that does not own the slab. */
    in_thread(free_it_twice, malloc(64));
    after_the_fault();
}

static void double_free_here_and_there(void)
{
    void *block = malloc(64);
    free(block);
    in_thread(free_it, block);
    after_the_fault();
}

static void double_free_there_and_here(void)
{
    void *block = malloc(64);
    in_thread(free_it, block);
    free(block);
    after_the_fault();
}

static void double_free_by_two_threads(void)
{
    void *block = malloc(64);
    in_thread(free_it, block);
    in_thread(free_it, block);
    after_the_fault();
}

static void realloc_freed(void)
{
    char *block = malloc(64), *kept = malloc(64);
    free(block);
    char *again = realloc(block, 60);
    (void)again;
    free(kept);
    after_the_fault();
}

static void realloc_freed_large(void)
{
    char *block = malloc(5 << 20);
    free(block);
    char *again = realloc(block, 9 << 20);
    (void)again;
    after_the_fault();
}

static void realloc_stack(void)
{
    char on_stack[64];
    char *block = realloc(on_stack, 100);
    (void)block;
    after_the_fault();
}

static void free_stack(void)
{
    char on_stack[64];
    free(on_stack + 16);
    after_the_fault();
}

static void free_data(void)
{
    free(in_data + 16);
    after_the_fault();
}

static void free_code(void)
{
    free((void *)free_data);
    after_the_fault();
}

static void free_interior(size_t size, size_t offset)
{
    char *block = malloc(size);
    memset(block, 0, size);
    free(block + offset);
    after_the_fault();
}

static void free_interior_16(void) { free_interior(64, 16); }
static void free_interior_200(void) { free_interior(700, 200); }
static void free_interior_page(void) { free_interior(40000, 4096); }
static void free_interior_large(void) { free_interior(5 << 20, 1 << 20); }
static void free_misaligned(void) { free_interior(64, 1); }
static void free_misaligned_8(void) { free_interior(64, 8); }
static void free_misaligned_large(void) { free_interior(5 << 20, 8); }

static void free_before(void)
{
    char *block = malloc(64);
    free(block - 16);
    after_the_fault();
}

static void free_never_given(void)
{
    /* Where a block would begin that nobody was given. */
    char *block = malloc(64);
    free(block + 64 * 900);
    after_the_fault();
}

static void free_header(void)
{
    char *block = malloc(64);
    free((void *)((uintptr_t)block & ~((uintptr_t)(4 << 20) - 1)));
    after_the_fault();
}

static void free_unmapped(void)
{
    char *range = mmap(NULL, 8 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(range != MAP_FAILED && munmap(range, 8 << 20) == 0);
    free(range + (4 << 20));
    after_the_fault();
}

static void free_own_mapping(void)
{
    char *range = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(range != MAP_FAILED);
    free(range);
    after_the_fault();
}

static void free_far(void)
{
    free((void *)(uintptr_t)0x123456789abcdef0);
    after_the_fault();
}

static void free_small_number(void)
{
    free((void *)(uintptr_t)1);
    after_the_fault();
}

static void free_kernel(void)
{
    free((void *)(uintptr_t)0xffffffff81000000);
    after_the_fault();
}

static void size_of_stack(void)
{
    char on_stack[64];
    CHECK(malloc_usable_size(on_stack) == 0);
    after_the_fault();
}

#define SCENARIO(name) {#name, name}
static const struct scenario scenarios[] = {
    SCENARIO(double_free_16),
    SCENARIO(double_free_64),
    SCENARIO(double_free_64_later),
    SCENARIO(double_free_1000),
    SCENARIO(double_free_20000),
    SCENARIO(double_free_500000),
    SCENARIO(double_free_large),
    SCENARIO(double_free_large_later),
    SCENARIO(double_free_in_bin_16),
    SCENARIO(double_free_in_bin_200),
    SCENARIO(double_free_in_bin_2000),
    SCENARIO(double_free_from_bin_16),
    SCENARIO(double_free_from_bin_200),
    SCENARIO(double_free_from_bin_2000),
    SCENARIO(realloc_in_bin),
    SCENARIO(free_interior_in_bin),
    SCENARIO(double_free_alone),
    SCENARIO(double_free_purged),
    SCENARIO(double_free_elsewhere),
    SCENARIO(double_free_here_and_there),
    SCENARIO(double_free_there_and_here),
    SCENARIO(double_free_by_two_threads),
    SCENARIO(realloc_freed),
    SCENARIO(realloc_freed_large),
    SCENARIO(realloc_stack),
    SCENARIO(free_stack),
    SCENARIO(free_data),
    SCENARIO(free_code),
    SCENARIO(free_interior_16),
    SCENARIO(free_interior_200),
    SCENARIO(free_interior_page),
    SCENARIO(free_interior_large),
    SCENARIO(free_misaligned),
    SCENARIO(free_misaligned_8),
    SCENARIO(free_misaligned_large),
    SCENARIO(free_before),
    SCENARIO(free_never_given),
    SCENARIO(free_header),
    SCENARIO(free_unmapped),
    SCENARIO(free_own_mapping),
    SCENARIO(free_far),
    SCENARIO(free_small_number),
    SCENARIO(free_kernel),
    SCENARIO(size_of_stack),
    {NULL, NULL},
};

int main(int argc, char **argv)
{
    return run_scenario(scenarios, argc, argv);
}

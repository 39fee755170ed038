/* C's contract, point by point, and what glibc adds to it. */
#include "check.h"
#include "freestone.h"

#include <malloc.h>
#ifndef __GLIBC__
/* What only glibc declares. The library has all of it. */
struct mallinfo { int arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost; };
struct mallinfo2 { size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost; };
struct mallinfo mallinfo(void);
struct mallinfo2 mallinfo2(void);
int mallopt(int, int);
int malloc_trim(size_t);
void *pvalloc(size_t);
#endif

/* The compiler must not know what is asked for. */
static volatile size_t huge_sizes[] = {SIZE_MAX, SIZE_MAX - 15, (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX};
#define HUGE_SIZES (sizeof huge_sizes / sizeof *huge_sizes)

static void alignment(void)
{
    for (size_t size = 0; size < 40000; size += size < 2100 ? 1 : 97) {
        char *first = malloc(size), *second = malloc(size), *zero = calloc(1, size);
        CHECK(first != NULL && second != NULL && zero != NULL && first != second);
        CHECK((uintptr_t)first % 16 == 0 && (uintptr_t)second % 16 == 0 && (uintptr_t)zero % 16 == 0);
        memset(first, 1, size);
        memset(second, 2, size);
        CHECK(is_filled((unsigned char *)first, 1, size));
        first = realloc(first, size + 1);
        CHECK(first != NULL && (uintptr_t)first % 16 == 0);
        free(first);
        free(second);
        free(zero);
    }
}

static void size_zero(void)
{
    void *blocks[1000];
    for (int i = 0; i < 1000; i++) {
        blocks[i] = i % 2 ? malloc(0) : calloc(i % 3, 0);
        CHECK(blocks[i] != NULL);
        for (int j = i > 20 ? i - 20 : 0; j < i; j++)
            CHECK(blocks[i] != blocks[j]);
    }
    for (int i = 0; i < 1000; i++)
        free(blocks[i]);
    free(NULL);
}

static void zeroed(void)
{
    for (int round = 0; round < 3; round++)
        for (size_t size = 1; size < 6 << 20; size += size / 3 + 1) {
            unsigned char *block = malloc(size);
            memset(block, 0xa5, size);
            free(block);
            block = calloc(size, 1);
            CHECK(block != NULL && is_filled(block, 0, size));
            memset(block, 0xa5, size);
            free(block);
        }
}

static void too_large(void)
{
    for (size_t i = 0; i < HUGE_SIZES; i++) {
        size_t size = huge_sizes[i];
        void *block;
        errno = 0;
        CHECK(malloc(size) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(calloc(1, size) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(calloc(size, size) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(calloc(size / 2 + 2, 2) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(aligned_alloc(64, size) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(memalign(64, size) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(valloc(size) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(pvalloc(size) == NULL && errno == ENOMEM);
        block = &block;
        errno = 77;
        CHECK(posix_memalign(&block, 64, size) == ENOMEM && block == (void *)&block && errno == 77);
        for (size_t old = 10; old <= 10 << 20; old <<= 10) {
            unsigned char *kept = malloc(old);
            memset(kept, 3, old);
            errno = 0;
            CHECK(realloc(kept, size) == NULL && errno == ENOMEM && is_filled(kept, 3, old));
            errno = 0;
            CHECK(reallocarray(kept, size, 16) == NULL && errno == ENOMEM && is_filled(kept, 3, old));
            free(kept);
        }
    }
}

static void resizing(void)
{
    CHECK(realloc(malloc(10), 0) == NULL);
    CHECK(realloc(malloc(10 << 20), 0) == NULL);
    void *block = realloc(NULL, 0);
    CHECK(block != NULL);
    free(block);
    /* What realloc(p, 0) has freed is free: a leak would be a gigabyte. */
    long before = resident_kib();
    for (int i = 0; i < 1000; i++)
        CHECK(realloc(memset(malloc(1 << 20), 1, 1 << 20), 0) == NULL);
    CHECK(resident_kib() - before < 64 << 10);

    /* Up and down through every kind of block, contents kept. */
    static const size_t aligns[] = {8, 64, 4096, 65536, 1 << 20};
    for (size_t a = 0; a < sizeof aligns / sizeof *aligns; a++) {
        size_t have = 24;
        unsigned char *bytes;
        CHECK(posix_memalign((void **)&bytes, aligns[a], have) == 0);
        memset(bytes, 0x5a, have);
        static const size_t sizes[] = {40, 24, 200, 5000, 70000, 900000, 3 << 20, 40 << 20, 2 << 20, 1 << 20, 300, 17, 1 << 21, 1};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            bytes = realloc(bytes, sizes[i]);
            CHECK(bytes != NULL && is_filled(bytes, 0x5a, have < sizes[i] ? have : sizes[i]));
            CHECK(malloc_usable_size(bytes) >= sizes[i]);
            memset(bytes, 0x5a, sizes[i]);
            have = sizes[i];
        }
        free(bytes);
    }
    block = reallocarray(NULL, 100, 10);
    CHECK(block != NULL && malloc_usable_size(block) >= 1000);
    block = reallocarray(block, 1000, 10);
    CHECK(block != NULL && malloc_usable_size(block) >= 10000);
    free(block);
}

static void aligned(void)
{
    static volatile size_t bad[] = {0, 3, 24, 100, SIZE_MAX, (size_t)PTRDIFF_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        void *block = &block;
        errno = 77;
        CHECK(posix_memalign(&block, bad[i], 10) == EINVAL && block == (void *)&block && errno == 77);
        errno = 0;
        CHECK(aligned_alloc(bad[i], 10) == NULL && errno == EINVAL);
        errno = 0;
        CHECK(memalign(bad[i], 10) == NULL && errno == EINVAL);
    }
    void *small = &small;
    CHECK(posix_memalign(&small, 4, 10) == EINVAL && small == (void *)&small);
    for (size_t align = 1; align <= (size_t)1 << 32; align <<= 1) {
        static const size_t sizes[] = {0, 1, 24, 100, 1000, 5000, 100000, 1200000};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            void *blocks[4] = {aligned_alloc(align, sizes[i]), memalign(align, sizes[i]), NULL, NULL};
            CHECK(posix_memalign(&blocks[2], align < 8 ? 8 : align, sizes[i]) == 0);
            CHECK(posix_memalign(&blocks[3], align < 8 ? 8 : align, sizes[i]) == 0);
            for (int b = 0; b < 4; b++) {
                CHECK(blocks[b] != NULL && (uintptr_t)blocks[b] % align == 0 && (uintptr_t)blocks[b] % 16 == 0);
                CHECK(malloc_usable_size(blocks[b]) >= sizes[i]);
                memset(blocks[b], b + 1, sizes[i]);
            }
            for (int b = 0; b < 4; b++) {
                CHECK(is_filled(blocks[b], b + 1, sizes[i]));
                if (b % 2)
                    free(blocks[b]);
                else
                    free_aligned_sized(blocks[b], align, sizes[i]);
            }
        }
    }
    size_t page = sysconf(_SC_PAGESIZE);
    void *block = valloc(10);
    CHECK(block != NULL && (uintptr_t)block % page == 0);
    free(block);
    block = pvalloc(page + 1);
    CHECK(block != NULL && (uintptr_t)block % page == 0 && malloc_usable_size(block) >= 2 * page);
    free(block);
}

static void errno_kept(void)
{
    for (size_t size = 1; size < 300 << 20; size = size * 3 + 1) {
        void *block = malloc(size);
        CHECK(block != NULL);
        errno = 77;
        free(block);
        CHECK(errno == 77);
        free(NULL);
        CHECK(errno == 77);
        block = malloc(size);
        errno = 78;
        free_sized(block, size);
        CHECK(errno == 78);
    }
}

static void usable(void)
{
    CHECK(malloc_usable_size(NULL) == 0);
    for (size_t size = 0; size < 5 << 20; size += size / 5 + 1) {
        unsigned char *block = malloc(size), *neighbour = calloc(1, size);
        size_t room = malloc_usable_size(block);
        CHECK(room >= size && (size < 128 || room <= size + size / 7 + 4096));
        memset(block, 0xff, room);
        CHECK(is_filled(neighbour, 0, size));
        free(block);
        free(neighbour);
    }
}

static void additions(void)
{
    CHECK(mallopt(-8, 1) == 1 && mallopt(-1, 1) == 1 && mallopt(1, 64) == 1 && mallopt(999, 1) == 0);
    /* Trimming shows: what a freed gigabyte of small blocks left goes at once. */
    enum { BLOCKS = 20000 };
    static void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = memset(malloc(5000), 1, 5000);
    void *large = malloc(7 << 20);
    struct mallinfo2 counts = mallinfo2();
    struct mallinfo narrow = mallinfo();
    CHECK(counts.uordblks >= BLOCKS * 5000ul && counts.uordblks < BLOCKS * 6000ul);
    CHECK(counts.hblks == 1 && counts.hblkhd == 7 << 20 && counts.arena >= counts.uordblks);
    CHECK(counts.fordblks == counts.arena - counts.uordblks);
    CHECK(narrow.hblks == 1 && narrow.hblkhd == 7 << 20 && (size_t)narrow.uordblks == counts.uordblks);
    free(large);
    long full = resident_kib();
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    CHECK(mallinfo2().uordblks < 1 << 20 && mallinfo2().hblks == 0 && mallinfo2().keepcost > 1 << 20);
    CHECK(malloc_trim(0) == 1 && malloc_trim(0) == 0);
    CHECK(resident_kib() < full - BLOCKS * 4);
    CHECK(mallinfo2().keepcost == 0);
    /* XML to a stream of the caller's. */
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    CHECK(malloc_info(1, stream) == -1 && errno == EINVAL);
    CHECK(malloc_info(0, stream) == 0 && fclose(stream) == 0);
    CHECK(strncmp(text, "<malloc version=\"freestone-", 27) == 0 && strstr(text, "</malloc>\n") != NULL);
    CHECK(strstr(text, " resident=\"") != NULL && strstr(text, "<class block=\"") != NULL);
    free(text);
    malloc_stats();
}

static const struct scenario scenarios[] = {
    {"alignment", alignment}, {"size_zero", size_zero},   {"zeroed", zeroed},
    {"too_large", too_large}, {"resizing", resizing},     {"aligned", aligned},
    {"errno_kept", errno_kept}, {"usable", usable},       {"additions", additions},
    {NULL, NULL},
};

int main(int argc, char **argv)
{
    return run_scenario(scenarios, argc, argv);
}

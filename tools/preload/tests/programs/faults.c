/* What the system may refuse, and what threads and forks may do: the allocator goes on. */
#include "check.h"

#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* From now on the system call fails with `error`. */
static void refuse(int call, int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static const size_t sizes[] = {16, 24, 100, 700, 3000, 20000, 130000, 700000, 1 << 20, 5 << 20, 16 << 20};
#define SIZES (sizeof sizes / sizeof *sizes)

/* Allocates blocks of one size until there are no more, in a list through them. */
static void *exhaust(size_t size, size_t *count)
{
    void **list = NULL, **block;
    errno = 0;
    for (*count = 0; (block = malloc(size)) != NULL; ++*count) {
        *block = list;
        list = block;
        errno = 0;
    }
    CHECK(errno == ENOMEM);
    return list;
}

static void free_list(void **list)
{
    while (list != NULL) {
        void **next = *list;
        errno = 77;
        free(list);
        CHECK(errno == 77);
        list = next;
    }
}

/* Exhausted by each size in turn, most of the memory must be there again for every other. */
static void exhaust_each_size(size_t bytes)
{
    for (size_t i = 0; i < SIZES; i++) {
        size_t count;
        void *list = exhaust(sizes[i], &count);
        CHECK(count * sizes[i] > bytes / 2);
        /* Out of memory, a resize fails and keeps the block. */
        unsigned char *block = list;
        if (block != NULL && sizes[i] > 16) {
            memset(block + 8, 5, sizes[i] - 8);
            errno = 0;
            CHECK(realloc(block, 300 << 20) == NULL && errno == ENOMEM);
            CHECK(is_filled(block + 8, 5, sizes[i] - 8));
        }
        errno = 0;
        CHECK(calloc(1, 400 << 20) == NULL && errno == ENOMEM);
        free_list(list);
    }
}

static void limit(int which)
{
    size_t bytes = 200 << 20;
    struct rlimit limit = {bytes, bytes};
    CHECK(setrlimit(which, &limit) == 0);
    exhaust_each_size(bytes);
}

static void limit_address_space(void)
{
    limit(RLIMIT_AS);
}

static void limit_data(void)
{
    limit(RLIMIT_DATA);
}

/* Large and small blocks by turns in ever less memory: what lies beside a block that was
 * squeezed in is still told from it. */
static void limit_mixed(void)
{
    enum { MOST = 4000 };
    static unsigned char *blocks[MOST];
    static size_t lengths[MOST];
    struct rlimit limit = {90 << 20, 90 << 20};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    for (int round = 0; round < 40; round++) {
        size_t wanted = 6 << 20, step = 0;
        int count = 0;
        while (count < MOST && wanted >= 512) {
            size_t size = step++ % 2 ? wanted / 16 + 100 : wanted;
            blocks[count] = malloc(size);
            if (blocks[count] == NULL) {
                wanted = wanted * 2 / 3;
                continue;
            }
            memset(blocks[count], count & 0xff, lengths[count] = size);
            count++;
        }
        for (int i = 0; i < count; i++) {
            CHECK(is_filled(blocks[i], i & 0xff, lengths[i]) && malloc_usable_size(blocks[i]) >= lengths[i]);
            if (i % 3 == round % 3) {
                unsigned char *shorter = realloc(blocks[i], lengths[i] / 3 + 1);
                CHECK(shorter != NULL && is_filled(shorter, i & 0xff, lengths[i] / 3 + 1));
                blocks[i] = shorter;
            }
        }
        for (int i = 0; i < count; i++)
            free(blocks[i]);
    }
}

static void mmap_refused(void)
{
    void *kept = memset(malloc(100), 1, 100);
    refuse(SYS_mmap, EPERM);
    errno = 0;
    CHECK(malloc(10 << 20) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(realloc(kept, 10 << 20) == NULL && errno == ENOMEM && is_filled(kept, 1, 100));
    errno = 0;
    CHECK(calloc(1, 10 << 20) == NULL && errno == ENOMEM);
    size_t count;
    free_list(exhaust(1000, &count));
    CHECK(count > 100);
    free(kept);
}

static void mremap_refused(void)
{
    refuse(SYS_mremap, ENOSYS);
    size_t have = 2 << 20;
    unsigned char *block = memset(malloc(have), 7, have);
    for (int i = 0; i < 40; i++) {
        size_t want = (size_t)(2 + i * 7 % 30) << 20;
        block = realloc(block, want);
        CHECK(block != NULL && is_filled(block, 7, have < want ? have : want));
        memset(block, 7, want);
        have = want;
        unsigned char *zero = calloc(1, have);
        CHECK(zero != NULL && is_filled(zero, 0, have));
        memset(zero, 1, have);
        free(zero);
    }
    free(block);
}

/* Blocks of every kind, dirtied and freed; what calloc gives afterwards is zero. */
static void churn_and_zero(void)
{
    static void *blocks[4000];
    for (int round = 0; round < 6; round++) {
        for (size_t s = 0; s < SIZES; s++) {
            size_t count = (24 << 20) / sizes[s] < 4000 ? (24 << 20) / sizes[s] : 4000;
            for (size_t i = 0; i < count; i++) {
                blocks[i] = round % 2 ? calloc(1, sizes[s]) : malloc(sizes[s]);
                CHECK(blocks[i] != NULL && (round % 2 == 0 || is_filled(blocks[i], 0, sizes[s])));
                memset(blocks[i], 0xee, sizes[s]);
            }
            for (size_t i = 0; i < count; i++) {
                errno = 77;
                free(blocks[i]);
                CHECK(errno == 77);
            }
        }
        usleep(250000); /* longer than freed pages are kept */
    }
}

static void munmap_refused(void)
{
    refuse(SYS_munmap, ENOMEM);
    churn_and_zero();
}

static void madvise_invalid(void)
{
    refuse(SYS_madvise, EINVAL);
    churn_and_zero();
}

static void madvise_again(void)
{
    refuse(SYS_madvise, EAGAIN);
    churn_and_zero();
}

static void locked(void)
{
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        SKIP("mlockall: %s\n", strerror(errno));
    churn_and_zero();
}

/* Every mapping that the process may have, but for a few. */
static void map_count(void)
{
    size_t page = sysconf(_SC_PAGESIZE), mappings = 0;
    enum { MOST = 200000 };
    static void *held[4096];
    for (int i = 0; i < 4096; i++)
        held[i] = memset(malloc(40000), 4, 40000);
    char *large = memset(malloc(8 << 20), 9, 8 << 20), *second = memset(malloc(9 << 20), 9, 9 << 20);
    char *range = mmap(NULL, page * MOST, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(range != MAP_FAILED);
    while (mappings < MOST / 2 && mprotect(range + 2 * page * mappings, page, PROT_READ) == 0)
        mappings++;
    CHECK(mappings > 1000 && mappings < MOST / 2);
    /* Null, or memory from what is mapped already; never an end. */
    size_t count = 0;
    void **list = NULL, **block;
    errno = 0;
    while (count < 3000 && (block = malloc(2 << 20)) != NULL) {
        *block = list;
        list = block;
        count++;
    }
    CHECK(count == 3000 || errno == ENOMEM);
    for (int i = 0; i < 4096; i++) {
        CHECK(is_filled(held[i], 4, 40000));
        errno = 77;
        free(held[i]);
        CHECK(errno == 77);
    }
    errno = 77;
    free(large);
    CHECK(errno == 77);
    second = realloc(second, 4 << 20);
    CHECK(second != NULL && is_filled((unsigned char *)second, 9, 4 << 20));
    free_list(list);
    CHECK(munmap(range, page * MOST) == 0);
    /* Recovery, in every size. */
    for (size_t s = 0; s < SIZES; s++) {
        unsigned char *zero = calloc(1, sizes[s]);
        CHECK(zero != NULL && is_filled(zero, 0, sizes[s]));
        free(zero);
    }
    free(second);
}

/* ---- threads ---- */

static void *short_life(void *argument)
{
    void *blocks[50];
    for (int i = 0; i < 50; i++)
        blocks[i] = memset(malloc(100 + i * 37), 1, 100 + i * 37);
    for (int i = 0; i < 50; i++)
        free(blocks[i]);
    return argument;
}

static void in_threads(int threads, void *(*body)(void *))
{
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, body, NULL) == 0 && pthread_join(thread, NULL) == 0);
    }
}

static void short_threads(void)
{
    in_threads(100, short_life);
    long before = resident_kib();
    in_threads(5000, short_life);
    CHECK(resident_kib() - before < 2048);
}

static pthread_key_t keys[40];

static void allocate_again(void *value)
{
    /* In each of four rounds every key's destructor allocates anew, some of it for good. */
    size_t round = (size_t)((char *)value)[0];
    free(value);
    if (round < 4)
        for (int i = 0; i < 40; i += 13)
            if (pthread_getspecific(keys[i]) == NULL) {
                char *again = malloc(3000);
                again[0] = (char)(round + 1);
                CHECK(pthread_setspecific(keys[i], again) == 0);
            }
    free(memset(malloc(500), 1, 500));
}

static void *with_keys(void *argument)
{
    for (int i = 0; i < 40; i++) {
        char *value = malloc(2000);
        value[0] = 1;
        CHECK(pthread_setspecific(keys[i], value) == 0);
    }
    return argument;
}

static void key_destructors(void)
{
    for (int i = 0; i < 40; i++)
        CHECK(pthread_key_create(&keys[i], allocate_again) == 0);
    in_threads(100, with_keys);
    long before = resident_kib();
    in_threads(1000, with_keys);
    CHECK(resident_kib() - before < 1000);
}

#define PASSED 20000
static void *passed[PASSED];

static void *allocate_and_end(void *argument)
{
    for (int i = 0; i < PASSED; i++)
        passed[i] = memset(malloc(64 + i % 500), 1, 64 + i % 500);
    return argument;
}

static void free_after_end(void)
{
    long before = 0;
    for (int round = 0; round < 60; round++) {
        in_threads(1, allocate_and_end);
        for (int i = 0; i < PASSED; i++)
            free(passed[i]);
        if (round == 10)
            before = resident_kib();
    }
    CHECK(resident_kib() - before < 4096);
}

static void small_stacks(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) == 0);
    for (int i = 0; i < 50; i++)
        CHECK(pthread_create(&thread, &attributes, short_life, NULL) == 0 && pthread_join(thread, NULL) == 0);
}

static volatile int stop;

static void *churn(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    void *blocks[64] = {NULL};
    while (!stop) {
        unsigned at = rand_r(&seed) % 64;
        free(blocks[at]);
        blocks[at] = malloc(rand_r(&seed) % (at == 0 ? 3 << 20 : 3000));
        CHECK(blocks[at] != NULL);
    }
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    return NULL;
}

static void fork_in_churn(void)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0);
    for (int i = 0; i < 300; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(20);
            in_threads(2, short_life);
            short_life(NULL);
            free(malloc(5 << 20));
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    stop = 1;
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static const struct scenario scenarios[] = {
    {"limit_address_space", limit_address_space},
    {"limit_data", limit_data},
    {"limit_mixed", limit_mixed},
    {"mmap_refused", mmap_refused},
    {"mremap_refused", mremap_refused},
    {"munmap_refused", munmap_refused},
    {"madvise_invalid", madvise_invalid},
    {"madvise_again", madvise_again},
    {"locked", locked},
    {"map_count", map_count},
    {"short_threads", short_threads},
    {"key_destructors", key_destructors},
    {"free_after_end", free_after_end},
    {"small_stacks", small_stacks},
    {"fork_in_churn", fork_in_churn},
    {NULL, NULL},
};

int main(int argc, char **argv)
{
    return run_scenario(scenarios, argc, argv);
}

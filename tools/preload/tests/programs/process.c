/* Forks beside the C library's own locks and beside handlers of earlier days; cancellation; the purger's
 * thread. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static void use_memory(void)
{
    for (size_t size = 1; size < 4 << 20; size = size * 3 + 7) {
        unsigned char *block = memset(malloc(size), 0x11, size);
        CHECK(is_filled(block, 0x11, size));
        free(block);
    }
}

__attribute__((constructor(101))) static void before_main(int argc, char **argv)
{
    /* Linked with the archive, this is before the first allocation. */
    if (argc > 1 && strcmp(argv[1], "early_handlers") == 0)
        CHECK(pthread_atfork(use_memory, use_memory, use_memory) == 0);
}

static void child_lives(void)
{
    int status;
    pid_t child = fork();
    CHECK(child != -1);
    if (child == 0) {
        alarm(60);
        use_memory();
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void early_handlers(void)
{
    free(malloc(10));
    child_lives();
}

static FILE *lines;

static void *read_lines(void *none)
{
    for (;;) {
        char *line = NULL;
        size_t room = 0;
        rewind(lines);
        CHECK(getline(&line, &room, lines) > 0);
        free(line);
    }
    return none;
}

static void *flush_all(void *none)
{
    for (;;)
        fflush(NULL);
    return none;
}

/* fork waits for the list of streams, whose holder waits for a stream, whose holder allocates. */
static void fork_beside_streams(void)
{
    size_t length = 2 << 20;
    char *text = memset(malloc(length), 'x', length);
    pthread_t reader, flusher;
    int file = memfd_create("lines", 0);
    text[length - 1] = '\n';
    CHECK(write(file, text, length) == (ssize_t)length);
    free(text);
    lines = fdopen(file, "r+");
    CHECK(pthread_create(&reader, NULL, read_lines, NULL) == 0);
    CHECK(pthread_create(&flusher, NULL, flush_all, NULL) == 0);
    for (int i = 0; i < 15; i++)
        child_lives();
    /* Not by exit, which would flush the stream that a thread holds. */
    CHECK(write(1, "ok\n", 3) == 3);
    _exit(0);
}

static void *report_while_cancelled(void *reached)
{
    void *volatile block = malloc(100);
    free(block);
    CHECK(pthread_cancel(pthread_self()) == 0);
    /* Misuse is reported: by a write, which is no point at which this thread may be cancelled. */
    free(block);
    *(int *)reached = 1;
    pthread_testcancel();
    return NULL;
}

static void cancelled_in_a_report(void)
{
    int reached = 0;
    void *result;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, report_while_cancelled, &reached) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED && reached);
    use_memory();
}

static pthread_key_t key;
static void *left[300];

/* After the allocator's own destructor: the thread has no heap. */
static void free_late(void *round)
{
    if ((intptr_t)round < 3)
        CHECK(pthread_setspecific(key, (void *)((intptr_t)round + 1)) == 0);
    else
        for (int i = 0; i < 300; i++)
            free(left[i]);
}

static void *leave_blocks(void *none)
{
    for (int i = 0; i < 300; i++)
        left[i] = memset(malloc(3000), 1, 3000);
    return none;
}

static void *end_late(void *none)
{
    CHECK(pthread_setspecific(key, (void *)1) == 0);
    /* Gives the thread a heap, and that heap no slab. */
    free(left[299]);
    left[299] = NULL;
    return none;
}

/* What starts the purger is the last free into a slab of a thread that has ended, by one that has no heap. */
static void purger_for_an_ended_thread(void)
{
    pthread_t thread;
    pid_t child;
    int status;
    CHECK(pthread_key_create(&key, free_late) == 0);
    CHECK(pthread_create(&thread, NULL, leave_blocks, NULL) == 0 && pthread_join(thread, NULL) == 0);
    /* In a child nobody has a purger yet. */
    child = fork();
    if (child == 0) {
        alarm(30);
        CHECK(pthread_create(&thread, NULL, end_late, NULL) == 0 && pthread_join(thread, NULL) == 0);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void *work_a_while(void *none)
{
    use_memory();
    usleep(200000);
    puts("ok");
    return none;
}

/* The process ends with its last thread (pthread_exit(3)), purger or not. */
static void first_thread_ends(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work_a_while, NULL) == 0);
    pthread_detach(thread);
    pthread_exit(NULL);
}

int main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        {"early_handlers", early_handlers},
        {"fork_beside_streams", fork_beside_streams},
        {"cancelled_in_a_report", cancelled_in_a_report},
        {"purger_for_an_ended_thread", purger_for_an_ended_thread},
        {"first_thread_ends", first_thread_ends},
        {NULL, NULL},
    };
    /* What hangs, ends. */
    alarm(60);
    return run_scenario(scenarios, argc, argv);
}

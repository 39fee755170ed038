/* A process from before main to after it: constructors, destructors, forks, signals, plug-ins,
 * threads that end in every way, all of them allocating. */
#include "check.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/time.h>
#include <sys/wait.h>

static char *kept_from_before_main;

static void use_memory(void)
{
    for (size_t size = 1; size < 4 << 20; size = size * 3 + 7) {
        unsigned char *block = memset(malloc(size), 0x11, size), *zero = calloc(3, size);
        CHECK(is_filled(block, 0x11, size) && is_filled(zero, 0, 3 * size));
        block = realloc(block, 2 * size);
        CHECK(block != NULL && is_filled(block, 0x11, size));
        free(zero);
        free(block);
    }
}

static void at_fork(void)
{
    /* Ours are the outermost handlers: in these, memory can be had. */
    use_memory();
}

__attribute__((constructor(101))) static void before_main(void)
{
    /* Registered before this program's first allocation. */
    CHECK(pthread_atfork(at_fork, at_fork, at_fork) == 0);
    use_memory();
    kept_from_before_main = strdup("kept");
}

__attribute__((destructor(101))) static void after_main(void)
{
    use_memory();
    free(kept_from_before_main);
}

static void at_the_end(void)
{
    use_memory();
}

static void constructors(void)
{
    CHECK(strcmp(kept_from_before_main, "kept") == 0);
    CHECK(atexit(at_the_end) == 0);
    use_memory();
}

static int ends_well(pid_t child)
{
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static void *use_in_thread(void *argument)
{
    use_memory();
    return argument;
}

static void forks(void)
{
    use_memory();
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread;
            use_memory();
            CHECK(pthread_create(&thread, NULL, use_in_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
            /* A grandchild, and an ordinary end with destructors. */
            pid_t grandchild = fork();
            if (grandchild == 0)
                exit(0);
            exit(ends_well(grandchild) ? 0 : 1);
        }
        CHECK(ends_well(child));
    }
}

static void vfork_and_exec(void)
{
    char *arguments[] = {"sh", "-c", "exit 0", NULL};
    extern char **environ;
    for (int i = 0; i < 50; i++) {
        pid_t child = vfork();
        if (child == 0) {
            execv("/bin/sh", arguments);
            _exit(1);
        }
        CHECK(ends_well(child));
        CHECK(posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environ) == 0 && ends_well(child));
        use_memory();
    }
}

static void *end_early(void *argument)
{
    void *block = malloc(100);
    pthread_cleanup_push(free, block);
    use_memory();
    pthread_exit(argument);
    pthread_cleanup_pop(0);
}

static void *wait_for_end(void *argument)
{
    void *block = malloc(100);
    pthread_cleanup_push(free, block);
    for (;;) {
        free(malloc(200));
        pthread_testcancel();
    }
    pthread_cleanup_pop(0);
    return argument;
}

static void *main_thread_ends(void *main_thread)
{
    CHECK(pthread_join(*(pthread_t *)main_thread, NULL) == 0);
    free(main_thread);
    use_memory();
    puts("ok");
    exit(0);
}

static void thread_ends(void)
{
    pthread_t thread;
    for (int i = 0; i < 200; i++) {
        CHECK(pthread_create(&thread, NULL, end_early, NULL) == 0 && pthread_join(thread, NULL) == 0);
        CHECK(pthread_create(&thread, NULL, wait_for_end, NULL) == 0);
        if (i % 2)
            sched_yield();
        CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, NULL) == 0);
        pthread_attr_t attributes;
        CHECK(pthread_attr_init(&attributes) == 0);
        CHECK(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
        CHECK(pthread_create(&thread, &attributes, use_in_thread, NULL) == 0);
    }
    pthread_t *self = malloc(sizeof *self);
    *self = pthread_self();
    CHECK(pthread_create(&thread, NULL, main_thread_ends, self) == 0);
    pthread_exit(NULL);
}

static volatile sig_atomic_t ticks;
static int wake[2];

static void tick(int signal)
{
    (void)signal;
    ticks++;
    /* A handler that only calls what a handler may. */
    char byte = 1;
    CHECK(write(wake[1], &byte, 1) == 1 && read(wake[0], &byte, 1) == 1);
}

static void signals(void)
{
    /* Calls into the allocator are interrupted wherever a timer happens to strike, system calls
     * too; one thread also leaves a signal handler by a jump. */
    CHECK(pipe(wake) == 0);
    struct sigaction action = {.sa_handler = tick};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    struct itimerval often = {{0, 200}, {0, 200}};
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    while (ticks < 2000)
        use_memory();
    struct itimerval never = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
}

/* The plug-in is this file's sibling, built as a shared library. */
static void plug_ins(void)
{
    const char *path = getenv("PLUGIN");
    CHECK(path != NULL);
    for (int i = 0; i < 20; i++) {
        void *plug_in = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (plug_in == NULL)
            fprintf(stderr, "%s\n", dlerror());
        CHECK(plug_in != NULL);
        char *(*make)(size_t) = (char *(*)(size_t))dlsym(plug_in, "plugin_make");
        void (*take)(char *) = (void (*)(char *))dlsym(plug_in, "plugin_take");
        CHECK(make != NULL && take != NULL);
        char *ours = strdup("a"), *theirs = make(100);
        take(ours);
        CHECK(dlclose(plug_in) == 0);
        free(theirs);
    }
    use_memory();
}

static const struct scenario scenarios[] = {
    {"constructors", constructors},     {"forks", forks},     {"vfork_and_exec", vfork_and_exec},
    {"thread_ends", thread_ends},       {"signals", signals}, {"plug_ins", plug_ins},
    {NULL, NULL},
};

int main(int argc, char **argv)
{
    return run_scenario(scenarios, argc, argv);
}

// Programs for the recorder: each scenario makes a known number of blocks of sizes that nobody else has.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void *blocks[1000];

static void make(int count, size_t size) {
    for (int i = 0; i < count; i++) blocks[i] = malloc(size);
}

static void give_up(int count) {
    for (int i = 0; i < count; i++) free(blocks[i]);
}

static void *free_hundred(void *unused) {
    give_up(100);
    return unused;
}

static int threads(void) {
    pthread_t thread;
    make(100, 40001);
    pthread_create(&thread, NULL, free_hundred, NULL);
    pthread_join(thread, NULL);
    return 0;
}

static int forks(void) {
    make(10, 40001);
    if (fork() == 0) {
        give_up(10);
        make(7, 40003);
        _exit(0);
    }
    wait(NULL);
    give_up(10);
    return 0;
}

static int execs(char *self) {
    make(5, 40001);
    execl(self, self, "after_exec", NULL);
    return 1;
}

static int after_exec(void) {
    make(6, 40003);
    return 0;
}

static int killed(void) {
    make(9, 40001);
    kill(getpid(), SIGKILL);
    return 1;
}

static void *churn(void *unused) {
    for (;;) free(malloc(40001));
    return unused;
}

static int exits_beside_threads(void) {
    pthread_t thread;
    for (int i = 0; i < 4; i++) pthread_create(&thread, NULL, churn, NULL);
    usleep(50000);
    exit(0);
}

static volatile sig_atomic_t alarms;

static void count_alarm(int unused) {
    (void)unused;
    alarms++;
}

static int interrupted(void) {
    struct itimerval often = {{0, 300}, {0, 300}};
    signal(SIGALRM, count_alarm);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < 300000; i++) free(malloc(40001));
    return alarms == 0;
}

static void *one_block(void *unused) {
    free(malloc(40001));
    return unused;
}

static int short_threads(void) {
    for (int i = 0; i < 500; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, one_block, NULL);
        pthread_join(thread, NULL);
    }
    return 0;
}

static int every_call(void) {
    void *aligned = NULL;
    free(calloc(3, 40001));
    void *block = malloc(40003);
    block = realloc(block, 400001);
    block = realloc(block, 0);
    free(aligned_alloc(64, 40064));
    if (posix_memalign(&aligned, 4096, 40005) != 0) return 1;
    free(aligned);
    free(reallocarray(NULL, 3, 40007));
    return malloc((size_t)-1 / 2 + 1) != NULL || block != NULL;
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
#define SCENARIO(name) if (strcmp(arguments[1], #name) == 0) return name();
    SCENARIO(threads) SCENARIO(forks) SCENARIO(after_exec) SCENARIO(killed) SCENARIO(exits_beside_threads)
    SCENARIO(interrupted) SCENARIO(short_threads) SCENARIO(every_call)
    return strcmp(arguments[1], "execs") == 0 ? execs(arguments[0]) : 2;
}

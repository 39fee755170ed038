/* What the test programs share: a failed check names itself and ends the program. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                       \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            fprintf(stderr, "%s:%d: failed: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
            _exit(1);                                                                          \
        }                                                                                      \
    } while (0)

/* Ends a scenario that this machine does not let run. */
#define SKIP(...)                                                                              \
    do {                                                                                       \
        fprintf(stderr, __VA_ARGS__);                                                          \
        _exit(77);                                                                             \
    } while (0)

/* The kernel's word for resident memory, in KiB. Reads without allocating. */
static long resident_kib(void)
{
    long kib = 0;
    char text[4096];
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    CHECK(file != NULL);
    while (fgets(text, sizeof text, file) != NULL)
        if (sscanf(text, "Rss: %ld kB", &kib) == 1)
            break;
    fclose(file);
    CHECK(kib > 0);
    return kib;
}

static inline int is_filled(const unsigned char *block, unsigned char byte, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (block[i] != byte)
            return 0;
    return 1;
}

/* A scenario of a program that has several: chosen by its name on the command line. */
struct scenario {
    const char *name;
    void (*run)(void);
};

static inline int run_scenario(const struct scenario *scenarios, int argc, char **argv)
{
    (void)resident_kib;
    for (; argc == 2 && scenarios->name != NULL; scenarios++)
        if (strcmp(scenarios->name, argv[1]) == 0) {
            scenarios->run();
            puts("ok");
            return 0;
        }
    fprintf(stderr, "usage: %s SCENARIO\n", argv[0]);
    return 2;
}

#endif

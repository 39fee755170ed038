/* How much work code does, in a unit that other programs on the machine do not change: instructions on x86-64, counted
 * by the trap flag, which raises SIGTRAP after each; elsewhere nanoseconds of the thread's processor time. */
#ifndef COST_H
#define COST_H

#include <stdint.h>

#include "check.h"

#ifdef __x86_64__

#include <signal.h>

static volatile uint64_t steps;

static void step(int signal)
{
    (void)signal;
    steps++;
}

static void begin_cost(void)
{
    CHECK(signal(SIGTRAP, step) != SIG_ERR);
    steps = 0;
    /* The red zone below the stack's top is another variable's. */
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp"
                     ::: "memory", "cc");
}

static uint64_t end_cost(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp"
                     ::: "memory", "cc");
    return steps;
}

#else

#include <time.h>

static uint64_t begun;

static uint64_t thread_ns(void)
{
    struct timespec time;
    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void begin_cost(void)
{
    begun = thread_ns();
}

static uint64_t end_cost(void)
{
    return thread_ns() - begun;
}

#endif
#endif

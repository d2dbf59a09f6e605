// How threads wait for each other, some 300 times a token. kernels.cmake puts it into `ggml-cpu.c`.
//
// libgomp watches equally long for as long as a process lives. Who watches for long (its default) keeps the thread that
// it waits for off its core where other programs want the cores too: two threads beside six busy processes wrote 2
// tokens a second. Who sleeps soon takes longer on a quiet machine: half of a small model's time. And where a second
// thread of the program computes, libgomp sleeps almost at once. So each thread learns how long to watch: longer where
// it slept but for a moment, as short as it can where the other was off its core.

#pragma once

#if defined(__linux__) && defined(GGML_USE_OPENMP)

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RAGSTACK_BARRIER 1

enum { RAGSTACK_SHORTEST = 100, RAGSTACK_LONGEST = 4000 };  // looks, with a pause of the processor between them

enum { RAGSTACK_LONG_NS = 100000 };  // who sleeps longer than that waited for a thread that was off its core

static atomic_int ragstack_asleep;  // threads, of all pools

static long ragstack_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

static void ragstack_barrier(atomic_int * arrived, atomic_int * passed, int threads) {
    static _Thread_local int looks = 1000;
    const int before = atomic_load_explicit(passed, memory_order_relaxed);
    if (atomic_fetch_add(arrived, 1) == threads - 1) {
        atomic_store_explicit(arrived, 0, memory_order_relaxed);
        atomic_fetch_add(passed, 1);
        if (atomic_load(&ragstack_asleep) > 0) {
            syscall(SYS_futex, passed, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
        }
        return;
    }
    for (int look = 0; look < looks; ++look) {
        if (atomic_load_explicit(passed, memory_order_relaxed) != before) {
            atomic_thread_fence(memory_order_seq_cst);
            return;
        }
        ggml_thread_cpu_relax();
    }
    const long began = ragstack_now();
    // Counted before the value is looked at again, so that who changes it sees a sleeper, or is seen.
    atomic_fetch_add(&ragstack_asleep, 1);
    while (atomic_load(passed) == before) {
        syscall(SYS_futex, passed, FUTEX_WAIT_PRIVATE, before, NULL, NULL, 0);
    }
    atomic_fetch_sub(&ragstack_asleep, 1);
    looks = ragstack_now() - began < RAGSTACK_LONG_NS ? looks + looks / 8 : RAGSTACK_SHORTEST;
    looks = looks < RAGSTACK_LONGEST ? looks : RAGSTACK_LONGEST;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * stuck.c - rn_leaks names those that can never wake: those that only each other or nobody can reach. One that waits on
 * a nil channel is there in each test, so that it shows that it was looked; whoever is reachable must not be named.
 */
#define _GNU_SOURCE
#include "process.h"
#include "said.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WORDS = 64 };

static void receive(rn_chan(int) ch)
{
    (void)rn_recv_ok(ch, NULL);
}
static void start_control(void)
{
    rn_go(receive, (rn_chan(int))NULL);
}

/* These, and nobody else, as soon as all have come to wait. */
static void stuck_are(const char *ids)
{
    rn_time bound = rn_now() + 60 * RN_SECOND;
    static char text[700]; /* on the stack it would hold what lay there before */

    snprintf(text, sizeof(text),
             " of them can never wake, for nothing that could wake them is reachable: %s\n", ids);
    for (;;) {
        char *report = said_by(rn_leaks);
        bool found = strstr(report, text) && !strstr(report, "[runnable]");

        if (!found && rn_now() > bound)
            test_fail(__FILE__, __LINE__, "no \"%s\" at the end of:\n%s", text,
                      strlen(report) > 300 ? report + strlen(report) - 300 : report);
        free(report);
        if (found)
            return;
        rn_yield();
    }
}
/* The sanitizers have memory that is not looked at. */
#define NOT_THERE() (UNDER_ASAN || UNDER_TSAN || getenv("LD_PRELOAD"))

/* What is made from now on lies where nothing has been before: the test's framework has left pointers to what it freed. */
static void fresh_memory(void)
{
    static void *volatile keep;

    if (UNDER_ASAN)
        return; /* nothing is looked at there, and this is a leak */
    for (size_t size = 16; size <= 1024; size += 16)
        for (int i = 0; i < 300; i++) {
            keep = malloc(size);
            CHECK(keep != NULL);
        }
}

/* As the first goroutine on one processor, so that ids are in order; goroutines are left. */
#define ONE_PROC_TEST(name)                                                                        \
    static void name##_body(void);                                                                 \
    static int name##_run(void)                                                                    \
    {                                                                                              \
        name##_body();                                                                             \
        return 0;                                                                                  \
    }                                                                                              \
    PLAIN_TEST(name)                                                                               \
    {                                                                                              \
        CHECK_EQ(rn_set_procs(1), 0);                                                              \
        fresh_memory();                                                                            \
        CHECK_EQ(rn_run(name##_run), 0);                                                           \
    }                                                                                              \
    static void name##_body(void)

/* ---- Stuck ---------------------------------------------------------------------------------------------------- */

static void send_one(rn_chan(int) ch)
{
    rn_send(ch, 1);
}
/* Of very many the first are named. */
ONE_PROC_TEST(stuck_in_great_numbers)
{
    char ids[600] = "2";

    if (NOT_THERE())
        return;
    for (int i = 0; i < 70; i++)
        rn_go(send_one, (rn_chan(int))NULL);
    for (int i = 3; i < 2 + 64; i++)
        snprintf(ids + strlen(ids), sizeof ids - strlen(ids), ", %d", i);
    strcat(ids, ", ...");
    stuck_are(ids);
}

static __attribute__((noinline)) void leave_sender(void)
{
    rn_go(send_one, rn_chan_make(int, 0));
}

/* glibc refers to a free piece, when one lies behind this one, by this address. */
static void *volatile refers_behind[2];
static void *behind(const void *piece)
{
    return (char *)(uintptr_t)piece + malloc_usable_size((void *)(uintptr_t)piece) - sizeof(void *);
}
static void send_longs(rn_chan(int64_t) ch)
{
    for (size_t i = rn_cap(ch) + 1; i > 0; i--)
        rn_send(ch, 1);
}
static __attribute__((noinline)) void leave_before_a_free_piece(int i, int cap)
{
    rn_chan(int64_t) ch = rn_chan_make(int64_t, cap);

    refers_behind[i] = behind((const void *)ch);
    rn_go(send_longs, ch);
}
/* Whether what is behind begins in the channel's last word or behind that. */
ONE_PROC_TEST(stuck_before_a_free_piece)
{
    if (NOT_THERE())
        return;
    for (volatile int i = 0; i < 2; i++)
        leave_before_a_free_piece(i, 1000 + i);
    start_control(); /* last, and so what the others had on our stack is overwritten */
    stuck_are("2, 3, 4");
}

static void forward(rn_chan(int) from, rn_chan(int) to)
{
    rn_send(to, rn_recv(from));
}
static __attribute__((noinline)) void leave_two_in_a_circle(void)
{
    rn_chan(int) a = rn_chan_make(int, 0), b = rn_chan_make(int, 3);

    rn_go(forward, a, b);
    rn_go(forward, b, a);
}

static void select_both(rn_chan(int) a, rn_chan(int) b)
{
    (void)rn_select(rn_on_recv(a, NULL), rn_on_send(b, 1), rn_on_recv((rn_chan(int))NULL, NULL));
}
static __attribute__((noinline)) void leave_select(void)
{
    rn_go(select_both, rn_chan_make(int, 0), rn_chan_make(int, 0));
}

static void wait_for_nobody(void)
{
    rn_wg wg = {0};

    rn_wg_add(&wg, 1);
    rn_wg_wait(&wg);
}
static void lock_own_twice(void)
{
    rn_mutex m = {0};

    rn_mutex_lock(&m);
    rn_mutex_lock(&m);
}
static void wait_for_stuck(void)
{
    rn_wg wg = {0};

    rn_wg_go(&wg, wait_for_nobody);
    rn_wg_wait(&wg);
}

/* LEAK-08, LEAK-09, LEAK-10, LEAK-12, LEAK-14: and they are named again the next time. */
ONE_PROC_TEST(leak_08_09_10_those_that_nobody_can_wake)
{
    if (NOT_THERE())
        return;
    start_control();
    leave_sender();
    leave_two_in_a_circle();
    leave_select();
    rn_go(wait_for_nobody);
    rn_go(lock_own_twice);
    rn_go(wait_for_stuck); /* starts one more */
    stuck_are("2, 3, 4, 5, 6, 7, 8, 9, 10");
    stuck_are("2, 3, 4, 5, 6, 7, 8, 9, 10");
}

/* A sender whose receiver left early, and one that sends once more than is received. */
static void send_two(rn_chan(int) ch)
{
    rn_send(ch, 1);
    rn_send(ch, 2);
}
static __attribute__((noinline)) void leave_senders(int room)
{
    rn_chan(int) twice = rn_chan_make(int, room);

    rn_go(send_one, rn_chan_make(int, room));
    rn_go(send_two, twice);
    (void)rn_recv(twice);
}
/* LEAK-12, LEAK-13, LEAK-16: with room for one value both end, and without they are stuck, and stay so. */
ONE_PROC_TEST(leak_12_13_16_room_in_the_channel)
{
    char *report;

    if (UNDER_ASAN)
        return; /* its leak finder does not know the channels of goroutines that were dropped */
    start_control();
    leave_senders(1); /* 3 and 4 */
    AWAIT(rn_count() == 2);
    CHECK_EQ(rn_leaks(-1), 1);
    if (!NOT_THERE())
        stuck_are("2");
    leave_senders(0);
    CHECK_EQ(rn_settle(RN_MILLISECOND), 3);
    if (!NOT_THERE())
        stuck_are("2, 5, 6");
    report = said_by(dump);
    begins(report, "runnel: 4 goroutines, 1 processor\n");
    has(report, "\ngoroutine 5 [chan send]:\n");
    has(report, "\ngoroutine 6 [chan send]:\n");
    free(report);
}

/* ---- Not stuck --------------------------------------------------------------------------------------------------- */

static rn_chan(int) volatile in_global;
static rn_chan(int) *volatile in_heap; /* the address of the place, less one */

static void sleep_with(rn_chan(int) ch)
{
    rn_sleep(RN_HOUR);
    rn_close(ch);
}

static __attribute__((noinline)) void start_reachable(rn_wg *wg)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    rn_chan(rn_chan(int)) of;
    void **words = calloc(WORDS, sizeof *words);

    in_global = ch;
    rn_go(receive, ch); /* 3 */
    ch = rn_chan_make(int, 0);
    CHECK(words != NULL);
    words[WORDS - 1] = (void *)(uintptr_t)(const void *)ch;
    in_heap = (rn_chan(int) *)(void *)words;
    rn_go(receive, ch); /* 4 */
    ch = rn_chan_make(int, 0);
    rn_go(receive, ch);    /* 5 */
    rn_go(sleep_with, ch); /* 6: alive, and so is 5 */
    ch = rn_chan_make(int, 0);
    of = rn_chan_make(rn_chan(int), 1);
    rn_send(of, ch);
    rn_go(receive, ch); /* 7: in the buffer of a channel */
    rn_go(sleep_with, (rn_chan(int))NULL);
    rn_wg_go(wg, rn_sleep, RN_HOUR); /* 9: counts down at its end */
}
static void wait_on(rn_wg *wg)
{
    rn_wg_wait(wg);
}
static __attribute__((noinline)) rn_chan(int) start_receiver(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_go(receive, ch);
    return ch;
}

/* LEAK-11: whoever is reachable from a global, the heap, a goroutine that is alive, or the caller is not named. */
ONE_PROC_TEST(leak_11_those_that_are_reachable)
{
    rn_wg here = {0}, alone = {0};
    rn_chan(int) local;

    if (NOT_THERE())
        return;
    start_control();
    start_reachable(&here);
    local = start_receiver(); /* 10 */
    rn_go(wait_on, &here);    /* 11: on the caller's stack */
    rn_wg_add(&alone, 1);
    rn_go(wait_on, &alone); /* 12 */
    stuck_are("2");
    rn_close(local);
}

/* A goroutine that waits for a wait group of its own, which one that sleeps counts down: its address is in nothing but
 * what that one does at its end. */
static void wait_for_sleeper(void)
{
    rn_wg wg = {0};

    rn_wg_go(&wg, rn_sleep, RN_HOUR);
    rn_wg_wait(&wg);
}
static __attribute__((noinline)) void start_and_forget(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_go(receive, ch);
    for (int i = 0; i < 200; i++)
        rn_yield();
    rn_go(send_one, ch); /* does not run before it was looked */
}
/* D19: one that has not run yet has its arguments in its record. */
ONE_PROC_TEST(reachable_from_what_is_still_to_come)
{
    char *report;

    if (NOT_THERE())
        return;
    start_control();
    rn_go(wait_for_sleeper); /* 3, and 4 */
    stuck_are("2");
    start_and_forget();
    report = said_by(rn_leaks);
    if (strstr(report, "[runnable]"))
        has(report, "reachable: 2\n");
    free(report);
}

/* ---- Pointers at any address ---------------------------------------------------------------------------------- */

enum { EDGES = 600 };

static unsigned char ring[256], *volatile in_ring = ring; /* or compilers drop what nobody reads */
static struct __attribute__((packed)) message {
    char kind;
    rn_chan(int) reply;
} *volatile in_message;
static char *volatile edges;

static void sleep_with_message(void)
{
    volatile struct message on_stack = {.kind = 'm'};

    on_stack.reply = rn_chan_make(int, 0);
    rn_go(receive, on_stack.reply);
    rn_sleep(RN_HOUR);
    rn_close(on_stack.reply);
}
static __attribute__((noinline)) void start_unaligned(void)
{
    for (size_t i = 0; i < 8; i++) {
        rn_chan(int) ch = rn_chan_make(int, 0);

        memcpy(in_ring + 17 * i, &ch, sizeof ch);
        rn_go(receive, ch);
    }
    in_message = malloc(sizeof *in_message);
    CHECK(in_message != NULL);
    in_message->reply = rn_chan_make(int, 0);
    rn_go(receive, in_message->reply);
    rn_go(sleep_with_message);
}
/* LEAK-11: in a ring of bytes, and in packed structures in the heap and on a stack. */
ONE_PROC_TEST(leak_11_pointers_at_odd_addresses)
{
    if (NOT_THERE())
        return;
    start_control();
    start_unaligned();
    stuck_are("2");
}

/* From each page to the next, so also where the memory is read in pieces. */
static __attribute__((noinline)) void start_across_edges(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    edges =
        mmap(NULL, (EDGES + 1) * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(edges != MAP_FAILED);
    for (size_t i = 1; i <= EDGES; i++) {
        rn_chan(int) ch = rn_chan_make(int, 0);

        memcpy(edges + i * page - 1 - i % 7, &ch, sizeof ch);
        rn_go(receive, ch);
    }
}
ONE_PROC_TEST(leak_11_pointers_across_pages)
{
    if (NOT_THERE())
        return;
    start_control();
    start_across_edges();
    stuck_are("2");
}

/* ---- Shared mappings ------------------------------------------------------------------------------------------------ */

static const size_t gib = (size_t)1 << 30;
static char *volatile shared;

static __attribute__((noinline)) void receive_from(size_t at)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    memcpy(shared + at, &ch, sizeof ch);
    rn_go(receive, ch);
}
/* What nobody has touched is not read, for that would make it; what was written counts. */
static void shared_counts(size_t size, int fd, const size_t *at, size_t n)
{
    long before;

    shared = mmap(NULL, size, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
    CHECK(shared != MAP_FAILED);
    start_control();
    for (size_t i = 0; i < n; i++)
        receive_from(at[i]);
    /* Out of our page table, but not out of memory. */
    if (fd < 0)
        CHECK_EQ(madvise(shared + gib, gib, MADV_DONTNEED), 0);
    before = rss_kib();
    stuck_are("2");
    CHECK(rss_kib() - before < 64 << 10);
}
ONE_PROC_TEST(leak_11_in_memory_that_is_shared)
{
    const size_t at[] = {0, gib / 2 + 3, gib + 4096, 4 * gib - sizeof(void *)};

    if (NOT_THERE())
        return;
    shared_counts(4 * gib, -1, at, sizeof at / sizeof *at);
}
ONE_PROC_TEST(leak_11_in_a_file_with_holes)
{
    const size_t at[] = {24, 200 * gib + 5, 512 * gib - sizeof(void *)};
    FILE *file;

    if (NOT_THERE())
        return;
    file = tmpfile();
    CHECK(file != NULL);
    if (ftruncate(fileno(file), (off_t)(512 * gib)))
        SKIP("no files that long here");
    shared_counts(512 * gib, fileno(file), at, sizeof at / sizeof *at);
}

/* Nothing is said while another thread, or another goroutine, may have it in a register. */
static void busy(_Atomic int *stop)
{
    while (!*stop)
        ;
}
PLAIN_TEST(nothing_while_others_run)
{
    static _Atomic int stop;
    char *report;

    if (NOT_THERE())
        return;
    start_control();
    stuck_are("1");
    rn_go(busy, &stop);
    for (int i = 0; i < 20; i++) {
        report = said_by(rn_leaks);
        if (strstr(report, "running on another thread"))
            has_not(report, "can never wake");
        free(report);
    }
    stop = 1;
    AWAIT(rn_count() == 1);
}

/* At the end of rn_run, where its function has returned with what it had. */
static int
    room; /* what was freed before may have been as large, and who had it may still say where it is */
static int leave_one(void)
{
    rn_chan(int) ch = rn_chan_make(int, room);

    rn_go(receive, ch);
    return 0;
}
static void run_and_leave(void)
{
    CHECK_EQ(setenv("RUNNEL_LEAKS", "1", 1), 0);
    fresh_memory();
    exit(rn_run(leave_one));
}
PLAIN_TEST(at_the_end_of_a_run)
{
    bool said = false;

    if (NOT_THERE())
        return;
    for (int i = 0; i < 100 && !said; i++) { /* nothing is said while a thread comes or goes */
        struct child c;

        room = i;
        c = run_child(run_and_leave);

        CHECK_EXIT(&c, 0);
        begins(c.said, "runnel: 1 goroutine left at the end of rn_run:\n");
        said = strstr(c.said, "\nrunnel: 1 of them can never wake, for nothing that could wake "
                              "them is reachable: 2\n");
        free(c.said);
    }
    CHECK(said);
}

/* ---- Contexts that nobody can end --------------------------------------------------------------------------------- */

static int key;
static rn_ctx *volatile kept_ctx, *volatile kept_value; /* or the compiler keeps nothing */
static struct holds {
    char before[40];
    rn_ctx *volatile ctx;
} *volatile holds;

static __attribute__((noinline)) rn_ctx *make_ctx(rn_ctx *parent)
{
    return rn_ctx_with_cancel(parent);
}
static __attribute__((noinline)) int forget(void)
{
    (void)!!make_ctx(rn_ctx_background());
    return 0;
}
static __attribute__((noinline)) void refer_behind(rn_ctx *ctx)
{
    refers_behind[0] = behind(ctx);
}
static int forget_before_a_free_piece(void)
{
    refer_behind(make_ctx(rn_ctx_background()));
    return 0;
}
static int forget_value_before_a_free_piece(void)
{
    refer_behind(rn_ctx_with_value(rn_ctx_background(), &key, NULL));
    return 0;
}
static int forget_three(void)
{
    for (volatile int i = 0; i < 3; i++)
        (void)!!make_ctx(rn_ctx_background());
    return 0;
}
static int forget_after_cancel(void)
{
    rn_ctx_cancel(make_ctx(rn_ctx_background()));
    return 0;
}
static int forget_deadline(void)
{
    (void)!!rn_ctx_with_timeout(rn_ctx_background(), RN_HOUR);
    return 0;
}
/* The parent knows it, but does not give it away. */
static int forget_child(void)
{
    kept_ctx = rn_ctx_with_cancel(rn_ctx_background());
    (void)!!make_ctx(kept_ctx);
    return 0;
}
/* A child knows it, but neither does that. */
static int forget_parent(void)
{
    kept_value = rn_ctx_with_value(make_ctx(rn_ctx_background()), &key, NULL);
    return 0;
}

static int keep_in_global(void)
{
    kept_ctx = rn_ctx_with_timeout(rn_ctx_background(), RN_HOUR);
    return 0;
}
static int keep_in_heap(void)
{
    holds = malloc(sizeof *holds);
    CHECK(holds != NULL);
    holds->ctx = make_ctx(rn_ctx_background());
    return 0;
}
static int keep_as_value(void)
{
    kept_value = rn_ctx_with_value(rn_ctx_background(), &key, make_ctx(rn_ctx_background()));
    return 0;
}
static int end_it(void)
{
    rn_ctx *ctx = make_ctx(rn_ctx_background());

    kept_value = rn_ctx_with_value(ctx, &key, NULL); /* keeps its memory */
    rn_ctx_end(ctx);
    return 0;
}

/* Of five that are released the first, the last and one between are gone before the end; of the others one is lost. */
static int end_some_forget_one(void)
{
    rn_ctx *volatile made[5];

    for (volatile int i = 0; i < 5; i++)
        made[i] = make_ctx(rn_ctx_background());
    rn_ctx_end(made[2]);
    rn_ctx_end(made[4]);
    rn_ctx_end(made[0]);
    kept_ctx = made[1];
    for (volatile int i = 0; i < 5; i++)
        made[i] = NULL;
    return 0;
}
/* Two places, of which one made two. */
static int forget_here_and_there(void)
{
    (void)forget_three();
    return forget();
}

static int (*with_contexts)(void);
static const char *leaks_asked;
static void run_with_contexts(void)
{
    CHECK_EQ(setenv("RUNNEL_LEAKS", leaks_asked, 1), 0);
    fresh_memory();
    exit(rn_run(with_contexts));
}
static void says_lost(int (*fn)(void), const char *text)
{
    struct child c;

    with_contexts = fn;
    leaks_asked = "fatal";
    c = run_child(run_with_contexts);
    if (text) {
        CHECK_EXIT(&c, 2);
        begins(c.said, text);
        has(c.said, " refers to ");
        has(c.said, " any more: rn_ctx_end is missing. Made at\n\t");
        CHECK_EQ(times_in(c.said, "ended, and"), 1);
    } else {
        CHECK_STR(c.said, "");
        CHECK_EXIT(&c, 0);
    }
    free(c.said);
    leaks_asked = "0";
    c = run_child(run_with_contexts);
    CHECK_EXIT(&c, 0);
    CHECK_STR(c.said, "");
    free(c.said);
}
PLAIN_TEST(contexts_that_nobody_can_end)
{
    static const char one[] = "\nrunnel: 1 context was never ended, and nothing";
    struct child c;

    if (NOT_THERE())
        return;
    says_lost(forget, one);
    says_lost(forget_before_a_free_piece, one);
    says_lost(forget_value_before_a_free_piece, one);
    says_lost(forget_three, "\nrunnel: 3 contexts were never ended, and nothing");
    says_lost(forget_after_cancel, one);
    says_lost(forget_deadline, one);
    says_lost(forget_child, one);
    says_lost(forget_parent, one);
    says_lost(end_some_forget_one, one);

    with_contexts = forget_here_and_there;
    leaks_asked = "fatal";
    c = run_child(run_with_contexts);
    CHECK_EXIT(&c, 2);
    has(c.said, "\nrunnel: 3 contexts were never ended, and nothing");
    has(c.said, one);
    CHECK_EQ(times_in(c.said, "ended, and"), 2);
    free(c.said);
}
PLAIN_TEST(contexts_that_somebody_can_end)
{
    if (NOT_THERE())
        return;
    says_lost(keep_in_global, NULL);
    says_lost(keep_in_heap, NULL);
    says_lost(keep_as_value, NULL);
    says_lost(end_it, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * steal.c - in which order tasks are picked, and a search for work visits the processors (RT-27).
 *
 * The scheduler's own source, and processors made by hand, of which nobody is held: so that what a search sees, and how
 * many rounds it takes, is exact. A round draws one random number, which tells how many rounds there were.
 */
#include "arch/arch.h"
#include <stdint.h>

/* The CPU's clock goes on at each look by a sixtieth of the longest search, which so is one of sixty rounds; or by more. */
enum { TEST_TICKS_IN_US = 2400 };
static uint64_t cpu_clock, faster = 1;
static uint64_t test_ticks(void)
{
    return cpu_clock += faster * (20 * TEST_TICKS_IN_US / 60);
}
#define arch_ticks test_ticks
#define arch_ticks_in_us() ((uint64_t)TEST_TICKS_IN_US)

#include "sched/sched.c"

#include "support.h"

#include <stdlib.h>

_Static_assert(SPIN_US == 20, "or the clock is to go otherwise");
enum { ROUNDS = 60 };

static struct worker *w;
static struct rt *rt;

static void make(uint32_t nprocs)
{
    w = worker_self();
    rt = calloc(1, sizeof *rt);
    CHECK(rt);
    CHECK_EQ(posix_memalign((void **)&rt->procs, CACHE_LINE, nprocs * sizeof *rt->procs), 0);
    memset(rt->procs, 0, nprocs * sizeof *rt->procs);
    rt->nprocs = rt->limit = rt->room = nprocs;
    for (uint32_t i = 0; i < nprocs; i++) {
        rt->procs[i].index = i;
        rt->procs[i].timers = &rn__timer_heaps[i];
    }
    w->rt = rt;
}

static void unmake(void)
{
    w->rt = NULL;
    w->proc = NULL;
    free(rt->procs);
    free(rt);
}

/* Rounds since the worker's random state was from; CHECKs that there were so few. */
static int rounds_since(uint64_t from, int most)
{
    uint64_t now = w->random;
    int n = 0;

    w->random = from;
    while (w->random != now) {
        CHECK(n < most);
        (void)rn__random();
        n++;
    }
    return n;
}

static const uint32_t counts[] = {2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17, 32, 48, 64, 97, 128};
enum { COUNTS_TRIED = sizeof counts / sizeof *counts };
static struct g goroutine[2];

/* RT-27: wherever the work is, and wherever the search begins, its first round comes by. */
PLAIN_TEST(rt_27_one_round_visits_every_processor)
{
    for (size_t k = 0; k < COUNTS_TRIED; k++) {
        make(counts[k]);
        for (uint32_t i = 0; i < counts[k] * 3; i++) {
            uint32_t thief = rn__random() % counts[k];
            struct proc *p = &rt->procs[i % counts[k]];
            uint64_t from;

            if (i % counts[k] == thief)
                continue;
            w->proc = &rt->procs[thief];
            CHECK(runq_push(&p->ready, task_of_g(&goroutine[0])));
            CHECK(runq_push(&p->ready, task_of_g(&goroutine[1])));
            from = w->random;
            CHECK(steal(w) == task_of_g(&goroutine[0]));
            CHECK_EQ(rounds_since(from, 1), 1);
            while (runq_take(&p->ready) || runq_take(&w->proc->ready))
                ;
        }
        unmake();
    }
}

/* RT-27: and no more than once. A lone task is taken when the search has seen it wait SPIN_WAITED times after the
 * first: seen twice in a round it would be earlier, not in every round it would be later. */
PLAIN_TEST(rt_27_and_visits_each_once)
{
    for (size_t k = 0; k < COUNTS_TRIED; k++) {
        make(counts[k]);
        for (uint32_t i = 0; i < counts[k] * 3; i++) {
            uint32_t thief = rn__random() % counts[k];
            struct proc *p = &rt->procs[i % counts[k]];
            uint64_t from;

            if (i % counts[k] == thief)
                continue;
            w->proc = &rt->procs[thief];
            CHECK(runq_push(&p->ready, task_of_g(&goroutine[0])));
            from = w->random;
            CHECK(steal(w) == task_of_g(&goroutine[0]));
            CHECK_EQ(rounds_since(from, ROUNDS), SPIN_WAITED + 1);
        }
        unmake();
    }
}

/* A search that finds nothing gives up after its rounds. */
PLAIN_TEST(rt_27_a_search_in_vain_ends)
{
    for (size_t k = 0; k < COUNTS_TRIED; k++) {
        uint64_t from;

        make(counts[k]);
        w->proc = &rt->procs[0];
        from = w->random;
        CHECK(steal(w) == 0);
        CHECK_EQ(rounds_since(from, ROUNDS), ROUNDS);
        unmake();
    }
}

static struct g readied[40], yielded[40];
static struct fresh new[40];

/* Readied ones first, then those that yielded, then new ones, the newest first. */
PLAIN_TEST(those_that_were_readied_go_before_those_that_yielded)
{
    enum { N = READY_RUN / 2 };
    struct proc *p;

    for (int alone = 0; alone < 2; alone++) {
        make(1);
        p = w->proc = &rt->procs[0];
        p->alone = alone;
        for (int i = 0; i < N; i++) {
            CHECK(runq_push(&p->yielded, task_of_g(&yielded[i])));
            CHECK(runq_push(&p->ready, task_of_g(&readied[i])));
            CHECK(freshq_push(&p->fresh, &new[i]));
        }
        CHECK_EQ(queued(p), 3 * N);
        for (int i = 0; i < N; i++)
            CHECK(pick(p) == task_of_g(&readied[i]));
        for (int i = 0; i < N; i++)
            CHECK(pick(p) == task_of_g(&yielded[i]));
        for (int i = N; i-- > 0;)
            CHECK(pick(p) == task_of_fresh(&new[i]));
        CHECK(pick(p) == 0);
        unmake();
    }
}

/* Who picks that there are always readied ones comes by the others all the same: every READY_RUN picks, in turns. */
PLAIN_TEST(everybody_has_a_turn)
{
    struct proc *p;

    for (int which = 1; which < 4; which++) { /* 1: some have yielded; 2: some are new */
        int yields = 0, starts = 0;

        make(1);
        p = w->proc = &rt->procs[0];
        for (int i = 0; i < 20; i++) {
            CHECK(!(which & 1) || runq_push(&p->yielded, task_of_g(&yielded[i])));
            CHECK(!(which & 2) || freshq_push(&p->fresh, &new[i]));
        }
        CHECK(runq_push(&p->ready, task_of_g(&readied[0])));
        for (int i = 0; i < 10 * (READY_RUN + 1); i++) {
            task t = pick(p);

            if (i % (READY_RUN + 1) < READY_RUN) {
                CHECK(t == task_of_g(&readied[0]));
                CHECK(runq_push(&p->ready, t));
            } else if (task_is_fresh(t)) {
                starts++;
            } else {
                CHECK(t == task_of_g(&yielded[yields]));
                yields++;
            }
        }
        CHECK_EQ(yields, which == 1 ? 10 : which == 2 ? 0 : 5);
        CHECK_EQ(starts, which == 1 ? 0 : which == 2 ? 10 : 5);
        unmake();
    }
}

/* Who yielded and has just run has no turn before those that were readied. */
PLAIN_TEST(no_turn_is_due_after_one_that_yielded)
{
    struct proc *p;

    make(1);
    p = w->proc = &rt->procs[0];
    for (int i = 0; i < READY_RUN; i++)
        CHECK(runq_push(&p->yielded, task_of_g(&yielded[i])));
    for (int i = 0; i < READY_RUN; i++) {
        task t = pick(p);

        CHECK(t == task_of_g(&yielded[i]));
        CHECK(runq_push(&p->yielded, t));
    }
    for (int i = 0; i < READY_RUN; i++)
        CHECK(runq_push(&p->ready, task_of_g(&readied[i])));
    for (int i = 0; i < READY_RUN; i++)
        CHECK(pick(p) == task_of_g(&readied[i]));
    CHECK(pick(p) == task_of_g(&yielded[0]));
    unmake();
}

/* A thief takes those that yielded where nobody was readied, and they stay what they are; a lone one only if it waits. */
PLAIN_TEST(those_that_yielded_are_stolen)
{
    struct proc *p, *victim;
    uint64_t from;

    make(2);
    p = w->proc = &rt->procs[0];
    victim = &rt->procs[1];
    for (int i = 0; i < 8; i++)
        CHECK(runq_push(&victim->yielded, task_of_g(&yielded[i])));
    CHECK(runq_push(&victim->ready, task_of_g(&readied[0])));
    CHECK(steal(w) == task_of_g(&readied[0]));
    CHECK_EQ(queued(p), 0);
    CHECK(steal(w) == task_of_g(&yielded[0]));
    CHECK_EQ(queued(p), 3);
    for (int i = 1; i < 4; i++)
        CHECK(runq_take(&p->yielded) == task_of_g(&yielded[i]));
    for (int i = 4; i < 7; i++)
        CHECK(runq_take(&victim->yielded) == task_of_g(&yielded[i]));
    from = w->random;
    CHECK(steal(w) == task_of_g(&yielded[7]));
    CHECK_EQ(rounds_since(from, ROUNDS), SPIN_WAITED + 1);
    unmake();
}

/* What is queued at a processor that is given up is for anybody. */
PLAIN_TEST(nothing_stays_at_a_processor_out_of_use)
{
    struct proc *p;
    unsigned n = 0;

    make(2);
    p = &rt->procs[1];
    for (int i = 0; i < 5; i++) {
        CHECK(runq_push(&p->yielded, task_of_g(&yielded[i])));
        CHECK(runq_push(&p->ready, task_of_g(&readied[i])));
        CHECK(freshq_push(&p->fresh, &new[i]));
    }
    rt->limit = 1;
    spin_lock(&rt->lock);
    proc_idle(rt, p);
    CHECK_EQ(queued(p), 0);
    CHECK_EQ(rt->global_len, 15);
    while (global_take(rt))
        n++;
    CHECK_EQ(n, 15);
    spin_unlock(&rt->lock);
    unmake();
}

static int rounds_halved(int times)
{
    return (ROUNDS + (1 << times) - 1) >> times;
}

/* Rounds of a search in vain. */
static int in_vain(void)
{
    uint64_t from = w->random;

    CHECK(steal(w) == 0);
    return rounds_since(from, ROUNDS);
}

/* Among many processors, where a round takes long, a search is of few rounds, but a lone task is seen to wait. */
PLAIN_TEST(a_search_ends_by_the_clock)
{
    make(2);
    w->proc = &rt->procs[0];
    faster = 5;
    CHECK_EQ(in_vain(), ROUNDS / 5);
    faster = 60;
    CHECK_EQ(in_vain(), SPIN_WAITED + 1);
    CHECK(runq_push(&rt->procs[1].ready, task_of_g(&goroutine[0])));
    CHECK(steal(w) == task_of_g(&goroutine[0]));
    faster = 1;
    unmake();
}

/* Each search in vain is half as long as the last, until it just sees a lone task wait; one that finds something that came
 * meanwhile makes the next twice as long, one that finds what was there does not. */
PLAIN_TEST(searches_in_vain_become_short)
{
    make(2);
    w->proc = &rt->procs[0];
    for (int halved = 0; halved < SPIN_HALVED; halved++)
        CHECK_EQ(in_vain(), rounds_halved(halved));
    for (int i = 0; i < 10; i++)
        CHECK_EQ(in_vain(), rounds_halved(SPIN_HALVED));
    CHECK(runq_push(&rt->procs[1].ready, task_of_g(&goroutine[0])));
    CHECK(runq_push(&rt->procs[1].ready, task_of_g(&goroutine[1])));
    CHECK(steal(w) == task_of_g(&goroutine[0])); /* in the first round */
    CHECK(steal(w) == task_of_g(&goroutine[1])); /* seen to wait */
    CHECK_EQ(in_vain(), rounds_halved(SPIN_HALVED - 1));
    unmake();
}

/* Who rested for a shorter time than is worth a search looks for twice as long the next time; who rested for longer, or was
 * not called at all, for as long as the last time. */
PLAIN_TEST(who_is_called_soon_looks_for_longer)
{
    uint64_t from = ticks_now(), worth = SPIN_WORTH_US * arch_ticks_in_us();
    struct proc *p;

    make(2);
    w->proc = p = &rt->procs[0];
    p->halved = SPIN_HALVED;
    w->told = from + worth;
    rested(w, from);
    CHECK_EQ(p->halved, SPIN_HALVED);
    w->told = from - 1; /* of a rest before this one */
    rested(w, from);
    CHECK_EQ(p->halved, SPIN_HALVED);
    for (int i = SPIN_HALVED - 1; i >= 0; i--) {
        w->told = from + worth - 1;
        rested(w, from);
        CHECK_EQ(p->halved, i);
    }
    rested(w, from);
    CHECK_EQ(p->halved, 0);
    w->told = 0;
    worker_give(w, p);
    CHECK(w->told >= from);
    unmake();
}

/* ---- Thefts that do not pay ----------------------------------------------------------------------- */

static struct proc *here, *there;

/* Here is the thief's, there somebody's who holds it and has two tasks more. */
static void make_two(void)
{
    make(2);
    here = w->proc = &rt->procs[0];
    there = &rt->procs[1];
    rt->has_monitor = true;
}

static void queue_two(void)
{
    while (runq_take(&there->ready) || runq_take(&here->ready))
        ;
    CHECK(runq_push(&there->ready, task_of_g(&goroutine[0])));
    CHECK(runq_push(&there->ready, task_of_g(&goroutine[1])));
}

/* A theft of n tasks, which took ns, in turns pickings, each of which ended in a park, while their holder picked others. */
static void trip_of(uint32_t n, uint64_t ns, uint32_t turns, bool spilt)
{
    trip_began(here, there, n, spilt);
    there->tick++;
    here->trip.at -= ns * arch_ticks_in_us() / 1000;
    here->tick += turns;
    here->count[COUNT_PARKS] += turns;
    trip_over(rt, here);
    CHECK_EQ(here->trip.moved, 0);
}
static void trip(uint32_t n, uint64_t ns, uint32_t turns)
{
    trip_of(n, ns, turns, false);
}
/* So many that whatever this test takes is little for each. */
enum { MANY = 1000000000 };

PLAIN_TEST(what_does_not_pay_is_left_to_its_holder)
{
    make_two();
    for (int i = 0; i < UNPAID_MAX; i++) {
        queue_two();
        CHECK(steal(w) == task_of_g(&goroutine[0]));
        CHECK_EQ(here->trip.moved, 1);
        CHECK_EQ(here->trip.victim, there->index);
        trip(MANY, 0, 0);
        CHECK_EQ(there->unpaid, i + 1);
    }
    trip(MANY, 0, 0); /* and no more */
    CHECK_EQ(there->unpaid, UNPAID_MAX);
    queue_two();
    CHECK(steal(w) == 0);

    there->idle = true; /* nobody else will come for them */
    CHECK(steal(w) == task_of_g(&goroutine[0]));
    there->idle = false;

    queue_two();
    rt->has_monitor = false; /* nobody would ever look again */
    CHECK(steal(w) == task_of_g(&goroutine[0]));
    rt->has_monitor = true;

    trip(1, 2 * PAYS_NS, 0);
    CHECK_EQ(there->unpaid, 0);
    queue_two();
    CHECK(steal(w) == task_of_g(&goroutine[0]));
    unmake();
}

/* What counts is the time for each task that was moved, and for each that came from it and parked: but where they come as
 * fast as they did at home, only for those that were moved. */
PLAIN_TEST(what_pays)
{
    make_two();
    there->unpaid = 1;
    trip(10, 9 * PAYS_NS, MANY);
    CHECK_EQ(there->unpaid, 2);
    trip(10, 1000 * PAYS_NS, 10000);
    CHECK_EQ(there->unpaid, 3);
    trip(10, 1000 * PAYS_NS, 500);
    CHECK_EQ(there->unpaid, 0);

    rt->now = 1000000000;
    there->pace.known = rt->now;
    there->pace.ticks = PAYS_NS * arch_ticks_in_us() / 1000 / 10;
    there->unpaid = 1;
    trip(10, 1000000 * (uint64_t)PAYS_NS, 1000000 * 9); /* nine tenths of home's speed */
    CHECK_EQ(there->unpaid, 0);
    trip(10, 1000000 * (uint64_t)PAYS_NS, 1000000 * 5); /* half */
    CHECK_EQ(there->unpaid, 1);
    trip(MANY, 1000000, 1000000); /* fast, but not long enough to make up for the move */
    CHECK_EQ(there->unpaid, 2);
    rt->now += pace_valid_ns;
    trip(10, 1000000 * (uint64_t)PAYS_NS, 1000000 * 9); /* what home's speed was is too long ago */
    CHECK_EQ(there->unpaid, 3);
    unmake();
}

/* Of what the holder had no room for it is only asked whether it is done as fast as at home. */
PLAIN_TEST(what_pays_of_what_was_too_much)
{
    make_two();
    rt->now = 1000000000;
    there->pace.known = rt->now;
    there->pace.ticks = PAYS_NS * arch_ticks_in_us() / 1000 / 10;
    there->unpaid = 1;
    trip_of(MANY, 1000000, 5000, true); /* half of home's speed */
    CHECK_EQ(there->unpaid, 2);
    trip_of(MANY, 1000000, 9000, true);
    CHECK_EQ(there->unpaid, 0);
    unmake();
}

/* Whatever is taken from who does not pick for long has paid, however short; also if that is seen over several thefts. */
PLAIN_TEST(it_pays_to_take_from_who_is_away)
{
    make_two();
    there->unpaid = 1;
    trip_began(here, there, MANY, false);
    here->trip.since -= LEFT_US * arch_ticks_in_us() / 2;
    trip_began(here, there, MANY, false);
    here->trip.since -= LEFT_US * arch_ticks_in_us() / 2;
    trip_over(rt, here);
    CHECK_EQ(there->unpaid, 0);
    there->unpaid = 1;
    trip_began(here, there, MANY, false);
    there->tick++;
    trip_over(rt, here);
    CHECK_EQ(there->unpaid, 2);
    trip_began(here, there, MANY, false); /* it has picked since: that begins anew */
    CHECK_EQ(here->trip.since, here->trip.at);
    unmake();
}

/* What did not fit into a processor's queue is like what is there, as long as the global queue has nothing else. */
PLAIN_TEST(what_was_too_much_is_left_too)
{
    make_two();
    there->unpaid = UNPAID_MAX;
    for (uint32_t i = 0; i < RUNQ_SLOTS; i++)
        CHECK(runq_push(&there->ready, task_of_g(&goroutine[0])));
    overflow(rt, there, &there->ready, task_of_g(&goroutine[1]));
    CHECK_EQ(rt->global_len, RUNQ_SLOTS / 2 + 1);
    CHECK(rt->spiller == there);
    CHECK(steal(w) == 0);
    CHECK(global_for(rt, there));
    there->idle = true;
    CHECK(global_for(rt, here));
    there->idle = false;

    there->unpaid = 0;
    CHECK(steal(w) != 0); /* from its queue */
    while (runq_take(&there->ready))
        ;
    while (runq_take(&here->ready))
        ;
    CHECK(steal(w) == task_of_g(&goroutine[0])); /* from the global queue: a theft too */
    CHECK_EQ(here->trip.victim, there->index);
    CHECK(here->trip.moved > 1 && here->trip.spilt);

    there->unpaid = UNPAID_MAX;
    CHECK(!global_for(rt, here));
    rn__inject(rt, task_of_g(&goroutine[1])); /* something else */
    CHECK(global_for(rt, here));
    CHECK(steal(w) != 0);
    here->trip.moved = 0;
    overflow(rt, there, &there->ready, task_of_g(&goroutine[1]));
    CHECK(!rt->spiller); /* not all of it is */
    spin_lock(&rt->lock);
    while (global_take(rt))
        ;
    spin_unlock(&rt->lock);
    unmake();
}

/* The pace is taken while nobody shares, from one look to the next. */
PLAIN_TEST(the_pace_is_of_who_is_left_alone)
{
    make_two();
    pace_look(rt, here);
    CHECK_EQ(here->pace.began, 0);
    here->unpaid = UNPAID_MAX;
    pace_look(rt, here);
    CHECK(here->pace.began != 0);
    CHECK_EQ(here->pace.ticks, 0);
    here->pace.began -= 64 * 1000;
    here->tick += 64;
    rt->now = 77;
    pace_look(rt, here);
    CHECK(here->pace.ticks >= 1000);
    CHECK_EQ(here->pace.known, 77);
    trip_over(rt, here); /* it had nothing to do: what comes then is not the pace */
    CHECK_EQ(here->pace.began, 0);
    unmake();
}

/* For such tasks nobody is woken. */
PLAIN_TEST(nobody_is_woken_for_what_does_not_pay)
{
    struct worker sleeper = {0};

    make_two();
    queue_two();
    there->idle = true;
    rt->idle_proc = there;
    rt->idle_procs = 1;
    rt->idle_worker = &sleeper;
    rt->idle_workers = 1;
    CHECK(runq_push(&here->ready, task_of_g(&goroutine[0])));
    CHECK(runq_push(&here->ready, task_of_g(&goroutine[1])));
    here->unpaid = UNPAID_MAX;
    rn__notify(rt, here);
    CHECK(!sleeper.proc);
    here->unpaid = UNPAID_MAX - 1;
    rn__notify(rt, here);
    CHECK(sleeper.proc == there);
    unmake();
}

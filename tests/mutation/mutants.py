#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One-line faults in the core, each of which the tests must notice.

    mutants.py [--list] [--work DIR] [--timeout SECONDS] [--stages N] [NAME...]

Each mutant is a file, a piece of its text that occurs once, what takes its place, and what that breaks. The tree is
copied to DIR (build/mutants), built once, and then for each mutant built and tested anew by a fast part of the suite,
which stops at the first failure. Killed: it does not build, or a test fails twice in a row or does not end. At the end the survivors
are named; the exit status is 0 if at least 95 of 100 were killed.
"""
import argparse
import os
import shutil
import subprocess
import sys
import time

# name, file, old, new, why
MUTANTS = [
    # Run queues
    ("runq-push-relaxed", "sched/runq.h", "store_release(&q->tail, tail + 1); /* E1 */",
     "store_relaxed(&q->tail, tail + 1);", "a thief sees a task before it is complete"),
    ("runq-full", "sched/runq.h", "if (unlikely(tail - head >= RUNQ_SLOTS))", "if (unlikely(tail - head > RUNQ_SLOTS))",
     "a full queue takes one more"),
    ("runq-half-nothing", "sched/runq.h", "        n -= n / 2;\n        if (n == 0)", "        n = n / 2;\n        if (n == 0)",
     "half of one is none: the last task is never stolen"),
    ("freshq-no-fence", "sched/runq.h", "    fence_seq_cst();                   /* D1 */\n", "", "both take the last task"),
    ("freshq-take-last", "sched/runq.h", "    if (top == bottom) {", "    if (top == bottom && 0) {",
     "the owner takes the last task without asking"),
    ("freshq-keep-bottom", "sched/runq.h", "        store_relaxed(&q->bottom, bottom + 1);\n        return NULL;",
     "        return NULL;", "the owner leaves bottom behind top"),
    ("freshq-push-relaxed", "sched/runq.h", "store_release(&q->bottom, bottom + 1); /* E3 */",
     "store_relaxed(&q->bottom, bottom + 1);", "a thief sees a record before it is filled"),
    # Locks
    ("spin-unlock-relaxed", "base/lock.h",
     "store_release(&l->word, load_owned(&l->word) & ~(uint32_t)SPIN_HELD);",
     "store_relaxed(&l->word, load_owned(&l->word) & ~(uint32_t)SPIN_HELD);", "what the lock guards is not handed over"),
    ("spin-try-relaxed", "base/lock.h", "cas_acquire(&l->word, &word, word | SPIN_HELD)",
     "cas_relaxed(&l->word, &word, word | SPIN_HELD)", "what the lock guards is not taken over"),
    ("spin-unlock-closed", "base/lock.h", "load_owned(&l->word) & ~(uint32_t)SPIN_HELD);", "0U);",
     "unlocking opens a closed channel"),
    # Channels
    ("chan-full", "chan/chan.c", "    if (c->count < c->cap) {", "    if (c->count <= c->cap) {", "a full buffer takes one more"),
    ("chan-send-no-wake", "chan/chan.c", "        waiter_served(w, true, edge);\n        *ret_wake = w->g;\n        return CHAN_DONE;\n    }\n    if (c->count < c->cap)",
     "        waiter_served(w, true, edge);\n        return CHAN_DONE;\n    }\n    if (c->count < c->cap)", "a receiver that was served is not woken"),
    ("chan-recv-order", "chan/chan.c", "            c->send_at = c->recv_at;\n            waiter_served", "            waiter_served",
     "the waiting sender's value goes out of order"),
    ("chan-closed-recv-zero", "chan/chan.c", "        if (elem)\n            rn__zero(elem, c->elem_size);\n        return CHAN_WAS_CLOSED;",
     "        return CHAN_WAS_CLOSED;", "a receive from a closed channel is not zero"),
    ("chan-close-senders", "chan/chan.c", "    while ((w = rn__chan_claim(c, &c->senders))) {\n        waiter_served(w, false, c);",
     "    while (0) {\n        waiter_served(w, false, c);", "waiting senders sleep through close"),
    ("chan-close-twice", "chan/chan.c", "        rn__panic(\"close of closed channel\");", "        return;", "closing twice goes unnoticed"),
    ("chan-close-touch", "chan/chan.c", "    spin_unlock_with(&c->lock, CHAN_CLOSED);",
     "    spin_unlock_with(&c->lock, CHAN_CLOSED), (void)load_relaxed(&c->count);", "close touches what may be freed"),
    ("chan-dequeue-relaxed", "chan/chan.c", "    store_release(&w->queued, 0);", "    store_relaxed(&w->queued, 0);",
     "a select's waiter is used after its owner has gone on"),
    ("chan-claim-twice", "chan/chan.c", "        if (!cas_acq_rel(&s->claimed, &no, 1)) {", "        if (!cas_acq_rel(&s->claimed, &no, 1) && 0) {",
     "a select is decided twice"),
    ("chan-release-in-use", "chan/chan.c", "    if (c->receivers.first || c->senders.first) {", "    if (c->receivers.first) {",
     "a channel with a waiting sender is freed"),
    ("chan-try-glance", "chan/chan.c", "load_relaxed(&c->count) == c->cap)\n        return false;",
     "load_relaxed(&c->count) >= c->cap / 2)\n        return false;", "a try fails though there is room"),
    ("chan-slot-wrap", "chan/chan.c", "return i + 1 == c->cap ? 0 : i + 1;", "return i + 1 > c->cap ? 0 : i + 1;",
     "the ring's end is passed"),
    # Select
    ("select-order", "chan/select.c", "for (; j > 0 && nth(cases, j - 1) > case_chan(&cases[k]); j--)",
     "for (; 0;)", "locks are taken in any order"),
    ("select-unlock-twice", "chan/select.c", "        if (i == 0 || nth(cases, i - 1) != c)", "        if (true)",
     "a channel that is there twice is unlocked twice"),
    ("select-stay-queued", "chan/select.c", "        if (w->queued)\n            rn__chan_dequeue(case_queue(k), w);", "",
     "waiters stay in queues of channels that did not win"),
    ("select-first", "chan/select.c", "        if (++ready == 1 || rn__random() % ready == 0)", "        if (++ready == 1)",
     "the first case that can proceed always wins"),
    ("select-timeout-claims", "chan/select.c", "    if (!cas_acq_rel(&s->claimed, &no, 1))\n        return;\n    s->winner = st->index;",
     "    (void)cas_acq_rel(&s->claimed, &no, 1);\n    s->winner = st->index;", "a time-out wins over a decision"),
    # Park, ready, sleep
    ("ready-on-cpu", "sched/sched.c", "    if (unlikely(load_acquire(&g->on_cpu))) /* pairs with arrived() */", "    if (0)",
     "a goroutine is queued while it still runs"),
    ("inject-no-wake", "sched/sched.c", "    fence_seq_cst(); /* W1, with idle(): queued before looking who is idle */\n    rn__wake_one(rt);",
     "    fence_seq_cst();", "nobody is woken for what a thread submits"),
    ("idle-no-look", "sched/sched.c", "    if (load_relaxed(&rt->global_len) || rn__timers_first(rt) <= now_ns())\n        goto regain;",
     "", "no second look before sleep"),
    ("worker-not-told", "sched/sched.c", "    store_release(&w->futex, 1); /* pairs with idle_wait's load */", "    (void)w;",
     "a worker is woken and sleeps on"),
    ("keeper-no-fence", "sched/sched.c", "            store_relaxed(&rt->keeper_until, INT64_MAX);\n            fence_seq_cst();",
     "            store_relaxed(&rt->keeper_until, INT64_MAX);", "the keeper misses a timer"),
    ("locked-requeue-late", "sched/sched.c", "            rn__inject(rt, task_of_g(g));\n        proc_give_up(w);\n",
     "            ;\n        proc_give_up(w);\n        if (w->requeue)\n            rn__inject(rt, task_of_g(g));\n",
     "a false deadlock while a locked goroutine yields"),
    ("errno-not-kept", "sched/sched.c", "static NOINLINE void errno_set(int value)\n{\n    errno = value;",
     "static NOINLINE void errno_set(int value)\n{\n    (void)value;", "errno is another goroutine's after a wait"),
    ("steal-none", "sched/sched.c", "    uint32_t n = runq_take_half(&victim->ready, half);", "    uint32_t n = 0; (void)half;",
     "ready goroutines are never stolen"),
    ("overflow-lost", "sched/sched.c", "    for (uint32_t i = 0; i < n; i++)\n        global_put(rt, half[i]);",
     "    for (uint32_t i = 1; i < n; i++)\n        global_put(rt, half[i]);", "a task is lost when a queue is full"),
    # The monitor
    ("monitor-no-fence", "sched/monitor.c", "        rn__os_fence_all();", "        ;", "M7 may miss an entry"),
    ("monitor-odd", "sched/monitor.c", "if (!(entry & 1) && (s[i].any_entry", "if ((s[i].any_entry", "a processor is taken inside an entry"),
    ("monitor-no-steal", "sched/monitor.c", "            w->proc = NULL; /* M8 */", "            continue;", "a processor is never taken"),
    # The lot and what stands on it
    ("lot-tail", "sched/lot.c", "            (*queue_find(b, w->addr, w->tag))->tail = w->prev;", "            (void)b;",
     "the last waiter leaves a dangling tail"),
    ("lot-chain", "sched/lot.c", "            next->chain = w->chain;\n", "", "another address's waiters are lost"),
    ("lot-taken-twice", "sched/lot.c", "    bool mine = w->queued;", "    bool mine = true;", "a waiter is readied twice"),
    ("mutex-no-waiters", "sync/mutex.c", "(state & ~mine) | WAITERS | handoff)", "(state & ~mine) | handoff)", "a lost wake-up"),
    ("mutex-woken-stays", "sync/mutex.c", "        mine = WOKEN;", "        mine = 0;", "nobody else is ever woken"),
    ("mutex-unlock-relaxed", "sync/mutex.c", "cas_release(&m->rn__state, &state, state & ~(uint32_t)LOCKED)",
     "cas_relaxed(&m->rn__state, &state, state & ~(uint32_t)LOCKED)", "writes under the lock are not handed over"),
    ("mutex-unlocked", "sync/mutex.c", "        if (unlikely(!(state & LOCKED)))\n            unlock_unlocked(NULL);", "",
     "unlock of an unlocked mutex goes unnoticed"),
    ("sem-behind", "sync/sem.c", "(uint64_t)held | (w ? QUEUED : 0)", "(uint64_t)held", "waiters are forgotten"),
    ("sem-over", "sync/sem.c", "        if (n < 0 || held_in(word) < n) {", "        if (n < 0) {", "more is released than held"),
    ("sem-cancel-serve", "sync/sem.c", "        list = word & QUEUED ? serve(b, s, held_in(word)) : NULL;", "        list = NULL;",
     "those behind a waiter that gives up wait on"),
    ("wg-negative", "sync/wg.c", "    if (unlikely(now < 0))", "    if (unlikely(now < -1))", "a negative counter goes unnoticed"),
    ("wg-no-wake", "sync/wg.c", "    if (unlikely(now == 0 && (before & WAITING) && delta != 0))",
     "    if (unlikely(now == 0 && (before & WAITING) && delta > 0))", "the last done wakes nobody"),
    ("once-relaxed", "sync/once.c", "    if (load_acquire(&once->rn__state) == DONE) { /* E1 */", "    if (load_relaxed(&once->rn__state) == DONE) {",
     "what the function did is not seen"),
    ("rwmutex-first", "sync/rwmutex.c", "    if (!first_writer(b, m))\n        and_acq_rel", "    if (first_writer(b, m))\n        and_acq_rel",
     "QUEUED is wrong after a hand-off"),
    ("cond-lost", "sync/cond.c", "    if (!rn__lot_first(b, c, LOT_COND))\n        store_relaxed(&c->rn__word[QUEUED], 0);",
     "    store_relaxed(&c->rn__word[QUEUED], 0);", "a second signal finds nobody"),
    ("group-limit", "group/group.c", "(int64_t)count_in(word) < limit - 1;", "(int64_t)count_in(word) < limit;", "one too many at once"),
    # Contexts
    ("ctx-sibling", "ctx/ctx.c", "                    child->next_ending = todo;", "                    child->next_ending = NULL;",
     "only one child ends with its parent"),
    ("ctx-hold-child", "ctx/ctx.c", "                rn__ctx_ref(container_of(h, rn_ctx, link));", "                (void)h;", "a child is freed while it is ended"),
    ("ctx-unref-relaxed", "ctx/ctx.c", "        if (sub_acq_rel(&ctx->refs, 1) != 1) /* pairs with the other holders' */",
     "        if (add_relaxed(&ctx->refs, (uint32_t)-1) != 1)", "freed before the others are done with it"),
    # Timers
    ("timer-heap-up", "time/timer.c", "        if (h->at[parent]->when <= t->when)", "        if (h->at[parent]->when >= t->when)", "timers in any order"),
    ("timer-no-firing", "time/timer.c", "(again ? TIMER_ARMED : 0) | (owned ? 0 : TIMER_FIRING)", "(again ? TIMER_ARMED : 0)",
     "stop does not wait for a fire"),
    ("timer-take-out", "time/timer.c", "    if (last != t) {", "    if (last != t && 0) {", "the heap loses its last timer"),
    ("timer-not-before", "time/timer.c", "        if (!t || t->when > now) {", "        if (!t || t->when > now + 1000000000) {", "timers fire early"),
    # Memory that is short
    ("oom-fresh", "sched/go.c", "    slab = rn__mem_new_aligned(sizeof *slab + SLAB_RECORDS * sizeof(struct fresh), SLAB_BYTES);\n    if (!slab)\n        return NULL;",
     "    slab = rn__mem_new_aligned(sizeof *slab + SLAB_RECORDS * sizeof(struct fresh), SLAB_BYTES);", "no memory for records"),
    ("oom-thread-leak", "sched/sched.c", "        rn__mem_free(slot);\n        spin_lock", "        spin_lock", "a leak for each thread refused"),
    ("oom-heap", "time/timer.c", "            spin_unlock(&h->lock);\n            return -ENOMEM;", "            return -ENOMEM;", "a heap stays locked for ever"),
]

# Built and run in this order, so that most mutants cost little.
STAGES = [
    ["explore-runq", "explore-chan", "explore-timer", "explore-sync"],
    ["runnel", "chan-basic", "chan-panic", "select-basic", "sync-wg", "sync-once", "sync-mutex", "sync-sem"],
    ["runtime-group", "runtime-ctx", "runtime-ctx_wait", "chan-owner", "faults-each", "explore-sched", "runtime-sched",
     "runtime-run"],
]


def run(command, cwd, timeout=None, env=None):
    """Exit status and output; a status of 124: it did not end."""
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors="replace", start_new_session=True, env=env)
    try:
        out, _ = process.communicate(timeout=timeout)
        return process.returncode, out
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        out, _ = process.communicate()
        return 124, out


def program(build, name):
    for where, _, files in os.walk(os.path.join(build, "tests")):
        if name in files:
            path = os.path.join(where, name)
            if os.access(path, os.X_OK):
                return path
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--work", default=None)
    parser.add_argument("--timeout", type=float, default=120)
    parser.add_argument("--stages", type=int, default=len(STAGES), help="only the first stages of the tests")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    work = os.path.abspath(options.work or os.path.join(root, "build", "mutants"))
    wanted = [m for m in MUTANTS if not options.names or any(n in m[0] for n in options.names)]
    if options.list:
        for name, file, _, _, why in wanted:
            print(f"{name:24} src/{file}: {why}")
        return 0

    tree, build = os.path.join(work, "tree"), os.path.join(work, "build")
    shutil.rmtree(tree, ignore_errors=True)
    shutil.rmtree(build, ignore_errors=True) # it may stem from a mutant
    os.makedirs(work, exist_ok=True)
    shutil.copytree(root, tree, ignore=shutil.ignore_patterns("build", ".git"))
    status, out = run(["cmake", "-G", "Ninja", "-S", tree, "-B", build, "-DCMAKE_BUILD_TYPE=Release", "-DRUNNEL_EXAMPLES=OFF",
                       "-DRUNNEL_BENCH=OFF"], work)
    jobs = os.environ.get("JOBS", str(os.cpu_count() or 2))
    known = run(["ninja", "-C", build, "-t", "targets", "all"], work)[1] if status == 0 else ""
    stages = [[t for t in stage if f"\n{t}: " in known or known.startswith(f"{t}: ")] for stage in STAGES[:options.stages]]
    if status != 0:
        print(out)
        print("the tree itself cannot be configured")
        return 2
    env = dict(os.environ, EXPLORE_TRACE="0", RUNNEL_TEST_DIVISOR=os.environ.get("RUNNEL_TEST_DIVISOR", "4"))

    def first_failure():
        for stage in stages:
            status, _ = run(["ninja", "-C", build, "-j", jobs] + stage, work)
            if status != 0:
                return "does not build"
            for test in stage:
                path = program(build, test)
                if not path: # the library itself
                    continue
                arguments = ["--most", "0.3"] if test.startswith("explore-") else []
                status, _ = run([path] + arguments, work, options.timeout, env)
                if status not in (0, 124): # a bug in the tests themselves, that shows now and then, is no kill
                    status, _ = run([path] + arguments, work, options.timeout, env)
                if status != 0:
                    return f"{test}, {'did not end' if status == 124 else 'status %d' % status}"
        return None

    failed = first_failure()
    if failed:
        print(f"without a mutant: {failed}")
        return 2

    killed, survivors, broken = 0, [], []
    for name, file, old, new, why in wanted:
        path = os.path.join(tree, "src", file)
        with open(path, encoding="utf-8") as f:
            text = f.read()
        if text.count(old) != 1:
            print(f"{name}: src/{file} has {text.count(old)} times\n{old}")
            broken.append(name)
            continue
        began = time.time()
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace(old, new))
        by = first_failure()
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        if by:
            killed += 1
        else:
            survivors.append(f"{name} (src/{file}: {why})")
        print(f"{name}: {'killed by ' + by if by else 'SURVIVED'} ({time.time() - began:.0f} s)", flush=True)

    total = killed + len(survivors)
    print(f"{killed} of {total} killed")
    for s in survivors:
        print(f"survived: {s}")
    for b in broken:
        print(f"out of date: {b}")
    return 0 if total and killed >= 0.95 * total and not broken else 1


if __name__ == "__main__":
    sys.exit(main())

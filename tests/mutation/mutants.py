#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One-line faults in the core, each of which the tests must notice.

    mutants.py [--list] [--check] [--resume] [--doc] [--workers N] [--work DIR] [NAME...]

    --list     name them, and run nothing
    --check    is each mutant's text in src/ exactly once? Run nothing
    --resume   go on where a run was cut off: what it killed, in sources that have not changed, stays killed
    --doc      write docs/mutants.md from what the last runs found, and run nothing
    --workers  how many at the same time (2), each in a build tree of its own
    --work     where the trees and the results are (build/mutants)

Each mutant is a file, a piece of its text that occurs once, what takes its place, and what that breaks. Each worker
has a copy of the tree, builds it, and checks that the tests pass in it without a mutant, noting how long each takes. Then
for each mutant the stages of STAGES follow, from the cheapest to the dearest: the tests are linked with the shared
library, so the first needs nothing but that built anew. The test that killed the mutant the last time comes before all
others. Killed: it does not build, or a test fails twice in a row, or does not end in ten times the time that it takes
without the mutant (and at least 30 s). Each result is appended to DIR/results.jsonl at once. When all mutants have a
result docs/mutants.md is written. The exit status is 0 if at least 95 of 100 were killed.
"""
import argparse
import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
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
    # Channels
    ("chan-full", "chan/chan.c", "    if (c->count < c->cap) {", "    if (c->count <= c->cap) {", "a full buffer takes one more"),
    ("chan-send-no-wake", "chan/chan.c", "        waiter_served(w, true, edge);\n        *ret_wake = w->g;\n        return CHAN_DONE;\n    }\n    if (c->count < c->cap)",
     "        waiter_served(w, true, edge);\n        return CHAN_DONE;\n    }\n    if (c->count < c->cap)", "a receiver that was served is not woken"),
    ("chan-recv-order", "chan/chan.c", "            c->send_at = c->recv_at;\n            waiter_served", "            waiter_served",
     "the waiting sender's value goes out of order"),
    ("chan-closed-recv-zero", "chan/chan.c", "    if (elem)\n        zero_elem(c, elem);\n    return false;\n",
     "    return false;\n", "a receive from a closed channel is not zero"),
    ("chan-over-full", "chan/chan.h", "return chan_is_closed(c) && load_relaxed(&c->count) == 0;",
     "return chan_is_closed(c);", "what a closed channel still has is lost"),
    ("chan-quick-over", "chan/chan.c", "        if (load_relaxed(&c->count) == 0) { /*", "        if (true) { /*", "a receive does not find what a closed channel still has"),
    ("chan-quick-open", "chan/chan.c", "            store_release(&c->lock.word, CHAN_CLOSED);", "            store_release(&c->lock.word, 0);",
     "a receive opens a closed channel again"),
    ("chan-copy-words", "chan/chan.c", "i < size / 8; i++", "i < size / 16; i++", "half of an element is not copied"),
    ("chan-quick-order", "chan/chan.c", "if (unlikely(c->receivers.first || n >= c->cap ||",
     "if (unlikely(n >= c->cap ||", "a value is put into the buffer beside who waits for it"),
    ("chan-quick-room", "chan/chan.c", "if (unlikely(c->receivers.first || n >= c->cap ||",
     "if (unlikely(c->receivers.first || n > c->cap ||", "a full buffer takes one more"),
    ("chan-quick-senders", "chan/chan.c", "if (unlikely(c->senders.first || n == 0 ||",
     "if (unlikely(n == 0 ||", "who waits to send is left asleep by a receive"),
    ("chan-close-senders", "chan/chan.c", "    while ((w = rn__chan_claim(c, &c->senders))) {\n        waiter_served(w, false, c);",
     "    while (0) {\n        waiter_served(w, false, c);", "waiting senders sleep through close"),
    ("chan-close-twice", "chan/chan.c", "        rn__panic(\"close of closed channel\");", "        return;", "closing twice goes unnoticed"),
    ("chan-close-touch", "chan/chan.c", "    spin_unlock_with(&c->lock, CHAN_CLOSED);",
     "    spin_unlock_with(&c->lock, CHAN_CLOSED), (void)load_relaxed(&c->count);", "close touches what may be freed"),
    ("chan-dequeue-relaxed", "chan/chan.h", "    store_release(&w->queued, 0);", "    store_relaxed(&w->queued, 0);",
     "a select's waiter is used after its owner has gone on"),
    ("chan-claim-twice", "chan/chan.c", "        if (!cas_acq_rel(&s->claimed, &no, 1)) {", "        if (!cas_acq_rel(&s->claimed, &no, 1) && 0) {",
     "a select is decided twice"),
    ("chan-release-in-use", "chan/chan.c", "    if (c->receivers.first || c->senders.first)\n        rn__panic(", "    if (c->receivers.first)\n        rn__panic(",
     "a channel with a waiting sender is freed"),
    ("chan-try-glance", "chan/chan.h", "load_relaxed(&c->count) != c->cap;",
     "load_relaxed(&c->count) < c->cap / 2;", "a try fails though there is room"),
    ("chan-slot-wrap", "chan/chan.c", "return i + 1 == c->cap ? 0 : i + 1;", "return i + 1 > c->cap ? 0 : i + 1;",
     "the ring's end is passed"),
    ("chan-unlock-opens", "chan/bias.c", "    uint32_t word = load_owned(&c->lock.word) & ~(uint32_t)SPIN_HELD;", "    uint32_t word = 0;",
     "unlocking opens a closed channel"),
    ("bias-no-fence", "chan/bias.c", "    rn__fence_all();\n", "", "a channel is taken away though its holder may not have seen it"),
    ("bias-no-wait", "chan/bias.c", "    return at == c || at == BUSY_ALL;", "    return false;", "a channel is taken away while its holder is at it"),
    ("bias-one-of-all", "chan/bias.c", "    return at == c || at == BUSY_ALL;", "    return at == c;", "a channel is taken away in the middle of a select"),
    ("bias-any-is-ours", "chan/bias.c", "    return !ours;", "    return false;",
     "a channel that is another's is used as if it were ours"),
    ("bias-never-ours", "chan/bias.c", "    return !ours;", "    return true;",
     "who needs the lock of its own channel takes it away from itself"),
    ("bias-as-soon-again", "chan/bias.c", "LONE : MANY << 2 * c->taken;", "LONE : MANY;", "a channel is given and taken again and again"),
    ("bias-too-soon", "chan/bias.c", "MANY = 1024", "MANY = 64", "a channel is given before it pays"),
    ("bias-never", "chan/bias.c", "(enough < UINT16_MAX ? enough : UINT16_MAX);", "(enough < MANY ? enough : UINT16_MAX + 1);", "in company no channel is anybody's"),
    ("bias-left-behind", "chan/bias.c", "    or_acq_rel(&w->attention, ATTEND_LEFT);", "    (void)0;",
     "who is left behind by the end of its runtime uses the next one's channels without a lock"),
    # Select
    ("select-all-mine", "chan/select.c", "    while (i < m && bias_is(&s, nth(cases, i)))", "    while (i < m)",
     "a select takes all channels for its own"),
    ("select-order", "chan/select.c", "for (; j > 0 && nth(cases, j - 1) > case_chan(&cases[k]); j--)",
     "for (; 0;)", "locks are taken in any order"),
    ("select-unlock-twice", "chan/select.c", "        if (i == 0 || nth(cases, i - 1) != c)", "        if (true)",
     "a channel that is there twice is unlocked twice"),
    ("select-stay-queued", "chan/select.c", "        if (w->queued)\n            chan_dequeue(case_queue(k), w);", "",
     "waiters stay in queues of channels that did not win"),
    ("select-leave-as-mine", "chan/select.c", "        by_bias = inside && bias_is(&stay, c);", "        by_bias = inside;",
     "a select takes its waiter off another's channel without the lock"),
    ("select-luck", "chan/select.c", "    if (d->n == 2 || unlikely(d->n > DRAWS))", "    if (d->n == 2)", "of many cases the last ones win most of the time"),
    ("select-first", "chan/select.c", "    return x >> 32 == 0;",
     "    return false;", "the first case that can proceed always wins"),
    ("select-glance-stale", "chan/select.c", "        if (likely(result != CHAN_WOULD_WAIT)) {\n            performed",
     "        {\n            performed", "a case that was ready at a glance is taken for done"),
    ("block-always-kept", "sched/block.c", "        store_relaxed(g->block_place, 0);\n    else", "        (void)0;\n    else",
     "a place whose calls block keeps the processor for good"),
    ("select-timeout-claims", "chan/select.c", "    if (!cas_acq_rel(&s->claimed, &no, 1))\n        return;\n    s->winner = st->index;",
     "    (void)cas_acq_rel(&s->claimed, &no, 1);\n    s->winner = st->index;", "a time-out wins over a decision"),
    ("select-deadline-last", "chan/select.c", "            may = kind == RN__CASE_DEADLINE && when <= now;", "            may = false;",
     "a deadline that has passed never comes as long as something else is ready"),
    ("select-one-default", "chan/select.c", "    return done ? one : !one;", "    return one;",
     "a select of one case and a default says that the case went on when it did not"),
    # Park, ready, sleep
    ("ready-on-cpu", "sched/sched.c", "    for (unsigned n = 0; unlikely(load_acquire(&g->on_cpu)); n++)", "    for (unsigned n = 0; 0; n++)",
     "a goroutine is queued while it still runs"),
    ("inject-no-wake", "sched/sched.c", "    fence_seq_cst(); /* W1, with idle(): queued before looking who is idle */\n    rn__wake_one(rt);",
     "    fence_seq_cst();", "nobody is woken for what a thread submits"),
    ("idle-no-look", "sched/sched.c", "    if (global_for(rt, p) || rn__timers_first(rt) <= now_ns())\n        goto regain;",
     "", "no second look before sleep"),
    ("thread-from-locked", "sched/sched.c", "    return !(w->locked && w->locked->lock_depth > 0) && !w->doomed;", "    return !w->locked || !w->doomed;",
     "a new thread has the CPUs of one to which a goroutine is locked"),
    ("worker-not-told", "sched/sched.c", "    store_release(&w->futex, 1); /* pairs with idle_wait's load */", "    (void)w;",
     "a worker is woken and sleeps on"),
    ("keeper-no-fence", "sched/sched.c", "            store_relaxed(&rt->keeper_until, INT64_MAX);\n            fence_seq_cst();",
     "            store_relaxed(&rt->keeper_until, INT64_MAX);", "the keeper misses a timer"),
    ("refused-at-rest", "sched/sched.c", "        came_to_rest(rt);\n    } else", "    } else",
     "the last to leave a processor idle was refused a thread, and nobody looks for a deadlock"),
    ("starved-not-told", "sched/sched.c", "                keeper_tell(rt); /* to do so from now on */", "                ;",
     "who waits for a stack waits for the next timer"),
    ("locked-requeue-late", "sched/sched.c", "            rn__inject(rt, task_of_g(g));\n        proc_give_up(w);\n",
     "            ;\n        proc_give_up(w);\n        if (w->requeue)\n            rn__inject(rt, task_of_g(g));\n",
     "a false deadlock while a locked goroutine yields"),
    ("errno-not-kept", "sched/sched.c", "    store_relaxed(&g->why, WAIT_NONE);\n    *w->errno_at = saved;", "    store_relaxed(&g->why, WAIT_NONE);\n    (void)saved;",
     "errno of another goroutine"),
    ("unpaid-taken", "sched/sched.c", "return n > 0 && (load_relaxed(&victim->idle) || !unpaid(rt, victim));",
     "return n > 0 && (rt || victim);", "what does not pay is shared all the same"),
    ("unpaid-woken", "sched/sched.c", "    if (unpaid(rt, p))\n        return;", "    if (unpaid(rt, p))\n        (void)0;",
     "and somebody is woken for it"),
    ("pace-for-ever", "sched/sched.c", "load_relaxed(&victim->pace.known) < pace_valid_ns", "load_relaxed(&victim->pace.known) < INT64_MAX",
     "an old pace counts"),
    ("unpaid-never-tried", "sched/monitor.c", "    store_relaxed(&p->unpaid, UNPAID_MAX - 1);", "    store_relaxed(&p->unpaid, UNPAID_MAX);",
     "what did not pay once is never shared again"),
    ("steal-none", "sched/sched.c", "    uint32_t n = runq_take_half(&victim->ready, half);", "    uint32_t n = 0; (void)half;",
     "ready goroutines are never stolen"),
    ("yield-alone-for-ever", "sched/sched.c", "    if (tick % TICK_GLOBAL == 0)\n        return false;\n", "",
     "who yields alone never comes to descriptors"),
    ("yield-alone-timers", "sched/sched.c", " || load_relaxed(&p->timers->count) != 0)\n        return false;\n    tick", ")\n        return false;\n    tick",
     "who yields alone seldom comes to timers"),
    ("yield-alone-global", "sched/sched.c", "load_relaxed(&rt->global_len) != 0 || g->worker ||", "g->worker ||",
     "who yields does not let the global queue go first"),
    ("spawn-without", "sched/go.c", "        rn__proc_regain(w);\n", "",
     "who has lost its processor starts goroutines through the global queue"),
    ("spawn-in-a-call", "sched/go.c", "    return w->without && load_owned(&w->cur->block_depth) == 0;", "    return w->without;",
     "who starts a goroutine in a call that lends waits for a processor"),
    ("yielded-as-readied", "sched/sched.c", "push(w, &w->proc->yielded, prev);", "push_ready(w, prev);",
     "who is woken waits for all that yielded before"),
    ("yielded-no-turn", "sched/sched.c", "first = due && ++p->turns % 2 != 0;", "first = false;",
     "as long as there are new ones, nobody who yielded has a turn"),
    ("yielded-turn-not-due", "sched/sched.c", "    bool due = !p->yielded_ran, ", "    bool due = true, ",
     "who was woken waits for one that yielded although others of those have just run"),
    ("yielded-not-stolen", "sched/sched.c", "        n = runq_take_half(&victim->yielded, half);", "        n = 0;",
     "who yielded is never stolen"),
    ("yielded-stranded", "sched/sched.c", "    while ((t = runq_take(&p->ready)) || (t = runq_take(&p->yielded)))",
     "    while ((t = runq_take(&p->ready)))", "who yielded stays at a processor that is out of use"),
    ("overflow-lost", "sched/sched.c", "    for (uint32_t i = 0; i < n; i++)\n        global_put(rt, half[i]);",
     "    for (uint32_t i = 1; i < n; i++)\n        global_put(rt, half[i]);", "a task is lost when a queue is full"),
    ("poll-greedy", "sched/sched.c", "if (rn__netpoll_active() && p->tick - p->polled >= p->backlog)",
     "if (rn__netpoll_active())", "more is polled than can be served, and some wait for as long as there are edges"),
    ("spin-never-long", "sched/sched.c", "    if (p->halved > 0 && w->told - from < ", "    if (0 && w->told - from < ",
     "who is called soon looks for work as briefly as before"),
    ("spin-as-long", "sched/sched.c", "    return lasted >= lasts && rounds > SPIN_WAITED;", "    return lasted >= lasts && rounds > 0;",
     "among many processors a lone task is never taken"),
    ("spin-never-short", "sched/sched.c", "    if (!t && p->halved < SPIN_HALVED)\n        p->halved++;\n    else if (t ", "    if (t ",
     "a server's processors look for work in vain for long"),
    # The monitor
    ("monitor-no-fence", "sched/monitor.c", "        rn__fence_all();", "        (void)0;", "M7 may miss an entry"),
    ("monitor-odd", "sched/monitor.c", "if (!(entry & 1) && (s[i].any_entry", "if ((s[i].any_entry", "a processor is taken inside an entry"),
    ("monitor-no-steal", "sched/monitor.c", "            store_relaxed(&w->proc, NULL); /* M8 */", "            continue;", "a processor is never taken"),
    ("monitor-asks-always", "sched/monitor.c", "            if (now < seen->spared)\n                spare(p, ret);\n            else if (n < STEALS_MAX)",
     "            if (n < STEALS_MAX)", "the kernel is asked about who computes at each look"),
    ("monitor-spares-entered", "sched/monitor.c", "        seen->entry = entry;\n        seen->spared = now;\n        if", "        seen->entry = entry;\n        if",
     "who was inside and sleeps is taken for one that computes"),
    ("monitor-past-the-slice", "sched/monitor.c", "again < end ? again : end;", "again < end + slice() ? again : end + slice();", "a slice may last twice as long"),
    ("monitor-not-when-due", "sched/monitor.c", "        if (due < next)\n            next = due;\n", "", "a slice ends when the monitor happens to look"),
    ("monitor-poll-always", "sched/monitor.c", "if (!sight.polled && rn__netpoll_active()", "if (rn__netpoll_active()",
     "the monitor polls although the holders do"),
    ("monitor-poll-stuck", "sched/monitor.c", "        if (tick != seen->tick &&\n            now - ", "        if (now - ",
     "a holder that is stuck in one task counts as one that polls"),
    ("monitor-poll-global", "sched/monitor.c", " && load_relaxed(&rt->global_len) == 0 &&\n", " &&\n",
     "the monitor polls while there is work in the global queue"),
    ("monitor-poll-keeper", "sched/monitor.c", " &&\n        unminded(rt)) {", ") {", "the monitor polls beside somebody idle who does"),
    ("monitor-poll-unpolled", "sched/monitor.c", "&&\n        unminded(rt)) {", "&&\n        load_relaxed(&rt->keeper_until) == INT64_MIN) {",
     "an edge that is left to who is busy, and computes, is never found"),
    ("edges-never-late", "sched/sched.c", "    if (p->late > LATE_US * arch_ticks_in_us()) {", "    if (0) {",
     "edges that wait for who is busy are left to it for ever"),
    ("monitor-edges-waited", "sched/monitor.c", "            rn__left_too_long(rt);", "            ;",
     "edges are left to who computes for good"),
    ("timer-overdue", "sched/monitor.c", "        rn__left_too_long(rt);\n    if (sight.wake", "        (void)0;\n    if (sight.wake",
     "timers are left to who computes for good"),
    ("due-beside-keeper", "sched/monitor.c", "bool due = !rt->keeper && ", "bool due = ",
     "the monitor calls somebody for what the keeper is about to come for"),
    ("keeper-of-no-use", "sched/sched.c", "                    store_relaxed(&rt->vain, 0); /* it was of use for a timer */",
     "                    (void)0;", "timers are left to who computes although somebody idle was of use"),
    ("next-is-first", "sched/sched.c", "timers_next(rt, p) > soon(", "rn__timers_first(rt) > soon(",
     "who comes for a timer calls another one for it"),
    ("next-not-below", "time/timer.c", "            when = now; /* those below", "            continue; /* those below",
     "a timer far down in the heap is overlooked"),
    ("slack-stays", "sched/start.c", "        rn__os_slack_set(w->slack);", "        (void)0;", "rn_run's thread keeps our timer slack"),
    ("slack-inherited", "os/process.c", "        if (s->slack > 0)", "        if (false)", "a child has our timer slack"),
    ("slack-less", "sched/sched.c", "    if (was <= WORKER_SLACK_NS) /* by", "    if (was <= 0) /* by",
     "who wanted less timer slack gets ours"),
    ("off-timers", "sched/sched.c", "&rt->off_procs) > 0))\n            run_others_timers", "&rt->off_procs) > 1000))\n            run_others_timers",
     "a timer of a processor out of use waits for as long as the others are busy"),
    ("heir-judges", "sched/sched.c", "            if (came) /* and", "            if (came || true) /* and",
     "who is made the keeper counts at once as having been of no use"),
    ("chan-memory-small", "chan/chan.c", "malloc(k < CHAN_CLASSES ? (k + 1) * 64 : size);", "malloc(size);",
     "a channel is made in the memory of one that was smaller"),
    ("chan-memory-kept", "chan/chan.c", "        for (int k = 0; k < CHAN_CLASSES; k++) {", "        for (int k = 0; k < 1; k++) {",
     "memory is kept at the end of a run"),
    ("spilt-for-all", "sched/rt.h", "           (!s || s == p || load_relaxed(&s->idle) || !unpaid(rt, s));", "           (s || !s);",
     "what a processor had no room for is taken from it though that does not pay"),
    ("spilt-for-ever", "sched/sched.c", "    store_relaxed(&rt->spiller, NULL); /* unless who calls says otherwise */", "",
     "what comes from elsewhere waits with what one processor had no room for"),
    ("trip-away", "sched/sched.c", "    paid = left || took", "    paid = (left && !left) || took", "who has left its queue for long is not helped"),
    ("keeper-not-taken-over", "sched/sched.c", "if (must_poll(rt) && !rt->keeper->locked", "if (false && !rt->keeper->locked",
     "whoever goes idle last does not poll"),
    ("lend-unpolled", "sched/sched.c", "    else if (unminded(rt))\n        rn__wake_one(rt); /* somebody",
     "    else if (load_relaxed(&rt->keeper_until) == INT64_MIN)\n        rn__wake_one(rt); /* somebody",
     "nobody polls while who was busy blocks"),
    ("locked-unpolled", "sched/sched.c", "if (work || unminded(rt))", "if (work || load_relaxed(&rt->keeper_until) == INT64_MIN)",
     "nobody polls while who was busy has left its thread"),
    ("keeper-never-vain", "sched/sched.c", "    if (vain && n < VAIN_MAX)", "    if (false && n < VAIN_MAX)",
     "two who answer each other keep two threads busy"),
    ("monitor-poll-again", "sched/monitor.c", "        rt->polled_at = now;\n", "",
     "the monitor polls at each look once a holder has not done so for a slice"),
    ("monitor-poll-unseen", "sched/monitor.c", "            seen->polled_at = now;\n", "", "that a holder polls is not seen"),
    ("company-at-once", "sched/monitor.c", "    over = !w || !(entry & 1);", "    over = true;",
     "a thief comes while the only holder takes a task as if there were none"),
    ("company-never", "sched/monitor.c", "    rt->alone = !over;\n    return over;", "    return false;",
     "who begins with one CPU stays with it"),
    ("block-lost", "sched/monitor.c", "            rn__block_lost(w->cur);\n", "",
     "each of many that block in one place costs its processor a look of the monitor"),
    ("block-unminded", "sched/block.c", "        likely(load_relaxed(&g->rt->has_monitor))) {", "        true) {",
     "a call keeps the processor that nobody would take"),
    ("block-loop", "sched/block.c", " && likely(!(load_relaxed(&w->attention) & ATTEND_YIELD)) &&", " &&", "a loop of short calls of rn_blocking has two slices"),
    # The lot and what stands on it
    ("lot-tail", "sched/lot.c", "            head->tail = w->prev;", "            (void)head;",
     "the last waiter leaves a dangling tail"),
    ("lot-chain", "sched/lot.c", "            next->chain = w->chain;\n", "", "another address's waiters are lost"),
    ("lot-taken-twice", "sched/lot.c", "    bool mine = w->queued;", "    bool mine = true;", "a waiter is readied twice"),
    ("mutex-no-waiters", "sync/mutex.c", "(state & ~mine) | WAITERS | handoff)", "(state & ~mine) | handoff)", "a lost wake-up"),
    ("mutex-woken-stays", "sync/mutex.c", "        mine = WOKEN;", "        mine = 0;", "nobody else is ever woken"),
    ("mutex-unlock-relaxed", "sync/mutex.c", "sub_release(&m->rn__state, LOCKED)", "sub_relaxed(&m->rn__state, LOCKED)",
     "writes under the lock are not handed over"),
    ("mutex-two-unlocks", "sync/mutex.c", " || (state & (WAITERS | WOKEN)) == WAITERS", "",
     "a lock is taken while its unlock is about to pass it on"),
    ("mutex-unlocked", "sync/mutex.c", "    if (unlikely(!((left + LOCKED) & LOCKED)))\n        rn__fatal(\"sync: unlock of unlocked mutex\");", "",
     "unlock of an unlocked mutex goes unnoticed"),
    ("mark-stays", "sync/mutex.c", "    owner_unmark(&m->rn__at);\n", "", "who has unlocked it is said to have it"),
    ("owner-tags", "sched/start.c", "    rt->tags = tags;\n", "", "a goroutine of the next run is taken for who locked it"),
    ("owner-thread", "sched/owner.c", "rt->number == 1 ? OWNER_THREAD : OWNER_UNKNOWN", "OWNER_THREAD",
     "a goroutine of an earlier run is taken for a thread"),
    ("circle-ctx", "sync/holder.h", "ctx ? NULL : w->addr", "w->addr", "a wait that a context ends is a deadlock"),
    ("circle-fence", "sync/holder.c", "    fence_seq_cst(); /* of two that queue and look, one sees the other */\n", "",
     "two close a circle and neither sees it"),
    ("circle-over", "sync/holder.h", "    store_relaxed(&w->g->locking, NULL); /*", "    (void)w; /*",
     "a wait that is over is taken for one that stands"),
    ("stuck-alive", "debug/stuck.c", "        look_at_stack(s, g, (uintptr_t)g->sp);", "        (void)g;",
     "who is reachable from a sleeper's stack is said to be stuck"),
    ("stuck-records", "debug/stuck.c", "            if (load_acquire(&f->in_use))\n", "            if (0)\n",
     "who is reachable from one that has not run yet is said to be stuck"),
    ("stuck-context", "debug/stuck.c", "l->found = l->found || !among_contexts(s, at);", "l->found = true;\n            (void)among_contexts;",
     "a context that nobody can end is said to be known, by the library's own lists"),
    ("stuck-value", "debug/stuck.c", "return !rn__ctx_is_value((const rn_ctx *)ctx, at);", "return true;",
     "a context that is another one's value is said to be lost"),
    ("stuck-aligned", "debug/stuck.c", "        if (word - a->least < a->most - a->least)\n",
     "        if ((at + i) % sizeof word == 0 && word - a->least < a->most - a->least)\n",
     "who is reachable by a pointer at an odd address is said to be stuck"),
    ("memory-across", "os/memory.c", "lo == w->end ? TAIL : 0;", "0;",
     "a pointer that lies across two pieces of memory is not seen"),
    ("memory-resident", "os/memory.c", "w->resident[i] & 1 ? in_memory : 0;", "0;",
     "shared memory that is not in the page table is not looked at"),
    ("memory-makes", "os/memory.c", "(bits[i] & in_memory))\n                i++;", "(bits[i] & in_memory || resident))\n                i++;",
     "to look at shared memory makes it"),
    ("stacks-dirty", "debug/stacks.c", "    clean(g);\n", "    (void)clean;\n",
     "what a goroutine has used of its stack is taken for the next one's"),
    ("alive-select", "chan/select.c", "                tool_alive(c, sizeof *c);\n", "                (void)c;\n",
     "AddressSanitizer does not hear of a select on a released channel"),
    ("sem-behind", "sync/sem.c", "    if (!w)\n        and_acq_rel", "    if (true)\n        and_acq_rel", "waiters are forgotten"),
    ("sem-over", "sync/sem.c", "    if (unlikely(n < 0 || held_in(word) < n)) {", "    if (unlikely(n < 0)) {", "more is released than held"),
    ("sem-cancel-serve", "sync/sem.c", "        list = load_relaxed(word_of(s)) & QUEUED ? serve(b, s) : NULL;", "        list = NULL;",
     "those behind a waiter that gives up wait on"),
    ("sem-last-access", "sync/sem.c", "    struct lot_waiter *list = rn__lot_first(b, s, LOT_SEM) ? serve(b, s) : NULL;",
     "    struct lot_waiter *list = serve(b, s);", "whoever gave units back looks at a semaphore that may be gone"),
    ("wg-negative", "sync/wg.c", "    if (unlikely(now < 0))", "    if (unlikely(now < -1))", "a negative counter goes unnoticed"),
    ("wg-no-wake", "sync/wg.c", "    if (unlikely(now == 0 && waiters(before) && delta != 0))",
     "    if (unlikely(now == 0 && waiters(before) && delta > 0))", "the last of several counted down at once wakes nobody"),
    ("wg-alone-mark", "sync/wg.c", "    store_release(&a->mark, w.mark); /* E3 */", "    store_relaxed(&a->mark, w.mark); /* E3 */",
     "a waker takes an earlier waiter"),
    ("wg-alone-first", "sync/wg.c", "    if ((some & WAITING) || !cas_release(&wg->rn__state, &word, 0))",
     "    if (!cas_release(&wg->rn__state, &word, 0))", "who queued beside the one alone is not woken"),
    ("wg-alone-taken", "sync/wg.c", "    store_relaxed(&w->taken, 1); /* before", "    store_relaxed(&w->taken, 0); /* before",
     "the end of the runtime takes out who is being woken"),
    ("wg-alone-gone", "sync/wg.c", "    return !load_relaxed(&w->taken);", "    return false;",
     "the end of the runtime waits for a waker of a group that is gone"),
    ("wg-alone-copy", "sync/wg.c", "    if (w->wg != wg)\n        return NULL;", "    if (w->wg != wg)\n        return w->g;",
     "a copy wakes who waits on the original"),
    ("once-relaxed", "sync/once.c", "    if (load_acquire(&once->rn__state) == DONE) { /* E1 */", "    if (load_relaxed(&once->rn__state) == DONE) {",
     "what the function did is not seen"),
    ("rwmutex-first", "sync/rwmutex.c", "    if (!first_writer(b, m))\n        and_acq_rel", "    if (first_writer(b, m))\n        and_acq_rel",
     "QUEUED is wrong after a hand-off"),
    ("cond-lost", "sync/cond.c", "    if (!rn__lot_first(b, c, LOT_COND))\n        store_relaxed(&c->rn__word[QUEUED], 0);",
     "    store_relaxed(&c->rn__word[QUEUED], 0);", "a second signal finds nobody"),
    ("group-limit", "group/group.c", "(int64_t)count_in(word) < limit - 1;", "(int64_t)count_in(word) < limit;", "one too many at once"),
    # Contexts
    ("ctx-hook-stop", "ctx/ctx.c", "    if (a->ctx)\n        (void)rn__ctx_hook_remove(&a->hook); /* the ender is done with the hook too */\n", "",
     "a hook leaves scope under the cancel that fires it"),
    ("ctx-sibling", "ctx/ctx.c", "                    child->next_ending = todo;", "                    child->next_ending = NULL;",
     "only one child ends with its parent"),
    ("signal-for-later", "ctx/signals.c", " && w->since < takes;", ";", "a signal is told to those that began after it"),
    ("ctx-hold-child", "ctx/ctx.c", "                rn__ctx_ref(container_of(h, rn_ctx, link));", "                (void)h;", "a child is freed while it is ended"),
    ("ctx-unref-relaxed", "ctx/ctx.c", "        if (!is_sole(ctx) && sub_acq_rel(&ctx->refs, 1) != 1) /* pairs with the other holders' */",
     "        if (!is_sole(ctx) && add_relaxed(&ctx->refs, (uint32_t)-1) != 1)", "freed before the others are done with it"),
    ("ctx-sole-relaxed", "ctx/ctx.c", "    return load_acquire(&ctx->refs) == 1; /* pairs with the other holders' */",
     "    return load_relaxed(&ctx->refs) == 1;", "freed before the others are done with it"),
    ("ctx-unseen-awaited", "ctx/ctx.c", " || load_relaxed(&ctx->done.receivers.first))", ")", "who waits for a context's end is not woken by its last release"),
    # Timers
    ("timer-heap-up", "time/timer.c", "        if (h->at[parent]->when <= t->when)", "        if (h->at[parent]->when >= t->when)", "timers in any order"),
    ("timer-no-firing", "time/timer.c", "(again ? TIMER_ARMED : 0) | (owned ? 0 : TIMER_FIRING)", "(again ? TIMER_ARMED : 0)",
     "stop does not wait for a fire"),
    ("timer-take-out", "time/timer.c", "    if (last != t) {", "    if (last != t && 0) {", "the heap loses its last timer"),
    ("timer-not-before", "time/timer.c", "        if (!t || t->when > now) {", "        if (!t || t->when > now + 1000000000) {", "timers fire early"),
    ("timer-not-brought", "time/timer.c", "    if (load_relaxed(&t->state) == TIMER_ARMED && make_room(to)) {", "    if (0 && make_room(to)) {",
     "a ticker stays where it was started"),
    ("timer-brought-firing", "time/timer.c", "    if (load_relaxed(&t->state) == TIMER_ARMED && make_room(to)) {", "    if (make_room(to)) {",
     "an idle timer is taken out"),
    ("timers-not-withdrawn", "time/timers.c", "    return chan_drain(&ut->chan) > 0 || was;",
     "    return was;", "a value of an old setting is received after a stop"),
    ("timers-set-not-withdrawn", "time/timers.c", "    if (chan_drain(&ut->chan) > 0)\n        was = true;\n", "",
     "a value of an old setting is received after a reset"),
    ("timer-moved-down", "time/timer.c", "    if (when < before)\n        up(h, t->index, t);\n    else\n        down(",
     "    if (when < before)\n        up(h, t->index, t);\n    else if (0)\n        down(", "a timer set to a later time stays before others"),
    ("timer-moved-untold", "time/timer.c", "    *ret_first = when < before && h->at[0] == t;", "    *ret_first = false;",
     "nobody is told of a timer set to an earlier time"),
    ("timer-disarm-relaxed", "time/timer.c", "    if (likely(load_acquire(&t->state) == TIMER_ARMED))", "    if (likely(load_relaxed(&t->state) == TIMER_ARMED))",
     "who stops a timer does not see what its fire did"),
    ("sleep-woken-twice", "time/sleep.c", "    if (!swap_acq_rel(&s->claimed, 1))\n        rn__ready(s->g);\n}\n\nstatic void timer_fire",
     "    (void)swap_acq_rel(&s->claimed, 1);\n    rn__ready(s->g);\n}\n\nstatic void timer_fire", "a sleeper is woken twice"),
    # Flights, deferred calls
    ("flight-stays", "group/flight.c", "    if (l->in_tree)\n        tree_remove(tree_link(f, l));\n", "",
     "a call that has ended is still found"),
    ("flight-forget", "group/flight.c", "    if (*at)\n        tree_remove(at);", "    (void)at;", "a key is not forgotten"),
    ("flight-shared", "group/flight.c", "    l->shared = list != NULL;", "    l->shared = false;", "the leader is not told that others shared"),
    ("defer-chain", "sched/defer.c", "    d->next = g->defers;\n    g->defers = d;", "    d->next = NULL;\n    g->defers = d;",
     "rn_exit runs the newest deferred call only"),
    # Stacks
    ("stack-no-guard", "sched/stack.c", "        (void)rn__os_guard(lo, guard); /*", "        (void)guard; /*", "an overflow runs into the neighbour"),
    ("stack-lost", "sched/stack.c", "    g->next = rt->stacks[g->stack_class];\n    rt->stacks[g->stack_class] = g;\n", "",
     "stacks that are given back are lost"),
    ("stack-starved", "sched/stack.c", "    f = rt->starved; /*", "    f = NULL; /*", "who waited for a stack waits for ever"),
    # Deadlocks
    ("deadlock-timers", "sched/deadlock.c", "        is = load_relaxed(&p->timers->count) == 0 && ", "        is = ",
     "sleepers are said to be deadlocked"),
    ("deadlock-descriptors", "sched/deadlock.c", " && !rn__netpoll_awaited();", ";", "who waits for a descriptor is said to be deadlocked"),
    # Descriptors
    ("netpoll-edge-lost", "netpoll/netpoll.c", "        since = edges_between(edges, d->edges) & w->want;", "        since = 0, (void)edges;",
     "an edge between the attempt and the wait is lost"),
    ("netpoll-generation", "netpoll/netpoll.c", "        if (d->gen == (uint32_t)(ev->key >> 32)) {", "        if (true) {",
     "reports of an old file wake who waits for the new one"),
    ("netpoll-one-woken", "netpoll/netpoll.c", "        woken_add(l, w);\n    }\n}\n\n/* Take w out",
     "        woken_add(l, w);\n        if (!error)\n            break;\n    }\n}\n\n/* Take w out", "of those who wait for an edge one is woken"),
    ("epoll-hang-up", "netpoll/epoll.c", "got & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)", "got & EPOLLIN", "a hang-up wakes nobody"),
    ("net-turn-kept", "net/sock.h", "n - OP_ONE - TURN_TAKEN)", "n - OP_ONE)", "the writer's turn is never given back"),
    ("net-turn-not-handed", "netpoll/netpoll.c", "    if (d->gen == gen)\n        w = first_for_turn(d);\n", "",
     "who waits for the writer's turn does not get it"),
    ("net-turn-shared", "net/sock.h", "*ret_turn = !(n & (TURN_TAKEN | TURN_AWAITED));", "*ret_turn = true;",
     "a second writer writes in the middle of what a first one writes"),
    ("net-turn-shared-at-once", "net/sock.h",
     "    return likely(!(n & (OPS_CLOSED | TURN_TAKEN | TURN_AWAITED))) &&\n           cas_acquire(&s->ops, &n, n + OP_ONE + TURN_TAKEN);",
     "    return cas_acquire(&s->ops, &n, (n | TURN_TAKEN) + OP_ONE);", "who writes at once does so although somebody has the turn"),
    ("net-written-in-part", "net/conn.c", "    if (unlikely(n != (ssize_t)size))\n        return write_rest",
     "    if (unlikely(n < 0))\n        return write_rest", "what the kernel has taken in part counts as whole"),
    ("netpoll-closed-waits", "netpoll/netpoll.c", "d->edges != edges || d->gen != call->gen || d->expired",
     "d->edges != edges || d->expired", "who waits for a descriptor that was closed meanwhile is not told"),
    ("netpoll-expired-waits", "netpoll/netpoll.c", "d->edges != edges || d->gen != call->gen || d->expired",
     "d->edges != edges || d->gen != call->gen", "who waits after the deadline is not told"),
    ("netpoll-bound-stays", "netpoll/netpoll.c", "    w->bounded = true;\n", "",
     "the hook of a wait stays in its context when the end of the runtime takes it away"),
    ("net-turn-forked", "netpoll/netpoll.c", "            if (block[j].turns)", "            if (false)",
     "a child waits for the turn that a goroutine of its parent has"),
    ("ahead-later-edges", "net/conn.c", "            edges = ahead.edges;\n", "            edges = rn__fd_edges(s->desc);\n",
     "an edge after the read that the poller made is taken for one before it"),
    ("ahead-result-stays", "net/conn.c", "    do {\n        ahead.n = FD_UNREAD;\n", "    ahead.n = FD_UNREAD;\n    do {\n",
     "who waits again takes an old result of the poller's for a new one"),
    ("ahead-error-lost", "netpoll/ahead.c", "    default:\n        return true;", "    default:\n        return n >= 0;",
     "an error that the poller has read is told to nobody"),
    ("ahead-large", "netpoll/ahead.c", "        if (reads[i]->size > SIZE_MAX_AHEAD)\n            continue;\n", "",
     "the poller reads whatever anybody has room for"),
    ("ahead-never-again", "netpoll/ahead.c", "        p->reads_pause--;\n", "", "a processor that once had no descriptor for a ring never has one"),
    ("ahead-left-open", "sched/start.c", "        rn__ahead_end(&rt->procs[i]);\n", "", "rings stay open after their runtime"),
    ("ahead-forked", "sched/start.c", "        rn__ahead_fork(rn__rt);\n", "", "a child process has its parent's rings"),
    ("net-deadline-stays", "net/sock.c", "        rn__fd_expire(s->desc, s->gen, dir, false);\n", "", "a new deadline leaves the old one passed"),
    ("rwmutex-admit", "sync/rwmutex.c", "        --*admit_of(m);\n        rn__lot_unlock(b);", "        rn__lot_unlock(b);",
     "a reader is let in while a writer has it"),
    # Memory that is short
    ("oom-fresh", "sched/go.c", "    slab = rn__mem_new_aligned(sizeof *slab + SLAB_RECORDS * sizeof(struct fresh), SLAB_BYTES);\n    if (!slab)\n        return NULL;",
     "    slab = rn__mem_new_aligned(sizeof *slab + SLAB_RECORDS * sizeof(struct fresh), SLAB_BYTES);", "no memory for records"),
    ("oom-thread-leak", "sched/sched.c", "        rn__mem_free(slot);\n        spin_lock", "        spin_lock", "a leak for each thread refused"),
    ("oom-heap", "time/timer.c", "        rn__timer_wake(when);\n    return err;", "        rn__timer_wake(when);\n    return 0;",
     "a timer for which there is no memory is said to be armed"),
]

# What to build, and then the programs to run: from the cheapest to the dearest, so that most mutants cost little.
INSIDE = ["runtime-runq", "runtime-steal", "runtime-slices", "runtime-cover", "runtime-bias", "explore-runq", "explore-monitor",
          "explore-chan", "explore-bias", "explore-timer", "explore-sync", "explore-group", "explore-sched"]
STAGES = [
    # Linked with the shared library: nothing else is built anew.
    (["runnel"],
     ["chan-panic", "interface-defer", "interface-capture", "select-basic", "runtime-ctx_wait", "sync-flight", "chan-basic",
      "runtime-group", "sync-once", "sync-sem", "sync-mutex", "interface-forms", "sync-wg", "chan-stress", "net-addr",
      "runtime-locks", "runtime-stacks", "runtime-stuck", "runtime-leftovers", "runtime-alloc", "runtime-report", "runtime-run", "runtime-ctx", "runtime-corners",
      "select-stress", "net-stream", "chan-owner", "sync-handoff"]),
    # With the library's sources in them.
    (INSIDE, INSIDE),
    # The shared library again: what takes longer.
    (["runnel"], ["sync-scope", "runtime-rules", "runtime-time", "runtime-stall", "runtime-sched", "net-wait",
                  "faults-limits", "runtime-memory", "runtime-tools"]),
    # Linked with the archive.
    (["runtime-dump", "faults-refused", "faults-each", "net-ahead"], ["runtime-dump", "net-ahead", "faults-refused", "faults-each"]),
]
# What is most likely to notice a mutant of a file that was never tried: run before the stages.
LIKELY = {
    "sched/runq.h": ["runtime-runq", "explore-runq"],
    "base/lock.h": ["explore-chan"],
    "chan/chan.c": ["chan-basic", "explore-chan"],
    "chan/bias.h": ["explore-bias", "runtime-bias"],
    "chan/bias.c": ["runtime-bias", "explore-bias"],
    "chan/select.c": ["select-basic", "explore-chan"],
    "sched/sched.c": ["runtime-steal", "runtime-ctx_wait", "explore-sched"],
    "sched/monitor.c": ["runtime-slices", "explore-sched", "runtime-stall"],
    "sched/block.c": ["runtime-slices"],
    "sched/lot.c": ["sync-mutex", "explore-sync"],
    "sync/mutex.c": ["sync-mutex", "explore-sync"],
    "debug/stuck.c": ["runtime-stuck"],
    "os/memory.c": ["runtime-stuck"],
    "debug/stacks.c": ["runtime-stacks"],
    "sync/holder.c": ["runtime-locks", "explore-sched"],
    "sync/holder.h": ["runtime-locks", "explore-sched"],
    "sched/owner.c": ["runtime-locks"],
    "sched/start.c": ["runtime-locks"],
    "sync/sem.c": ["sync-sem", "explore-sync"],
    "sync/wg.c": ["sync-wg", "explore-sync", "explore-sched"],
    "sync/once.c": ["sync-once", "explore-sync"],
    "sync/rwmutex.c": ["sync-mutex", "explore-sync"],
    "sync/cond.c": ["sync-once", "explore-sync"],
    "ctx/signals.c": ["runtime-ctx_wait"],
    "ctx/ctx.c": ["runtime-ctx", "explore-sync", "explore-group"],
    "time/timer.c": ["explore-timer", "runtime-time"],
    "time/sleep.c": ["runtime-corners", "explore-timer"],
    "time/timers.c": ["runtime-time", "explore-timer"],
    "netpoll/netpoll.c": ["net-wait", "net-stream"],
    "netpoll/epoll.c": ["net-wait", "net-stream"],
    "netpoll/ahead.c": ["net-ahead"],
    "net/conn.c": ["net-stream", "net-ahead"],
    "net/sock.c": ["net-stream"],
    "net/sock.h": ["net-stream"],
    "sched/stack.c": ["runtime-report", "runtime-memory", "faults-each"],
    "sched/go.c": ["faults-each"],
    "sched/defer.c": ["interface-defer"],
    "group/flight.c": ["sync-flight", "explore-group"],
    "group/group.c": ["runtime-group", "explore-group"],
    "sched/deadlock.c": ["runtime-report", "net-wait"],
}
# These look at the time, and a machine that has other work to do may make them fail: what they say counts only if they
# pass at the same moment without the mutant.
NOISY = {"runtime-time", "runtime-stall", "runtime-sched", "runtime-memory", "net-wait"}
ARGUMENTS = {"explore-sched": ["--most", "0.3"], "explore-group": ["--most", "0.3"]}
SHORTEST, TIMES = 30, 10 # seconds, and times as long as without a mutant, before a test is said not to end
BUILD_TIMEOUT = 900


# ---- Running things, and what they leave ---------------------------------------------------------------

live = set() # sessions
live_lock = threading.Lock()
stopping = threading.Event()


def end_session(leader):
    """End all that a command has started: libcheck's tests are process groups of their own, in the same session."""
    for _ in range(50):
        found = False
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                    fields = f.read().rpartition(")")[2].split()
                if int(fields[3]) == leader and fields[0] != "Z":
                    os.kill(int(entry), signal.SIGKILL)
                    found = True
            except (OSError, IndexError, ValueError):
                pass
        if not found:
            return
        time.sleep(0.02)


def run(command, cwd, log, timeout=None, env=None):
    """The command's exit status; 124: it did not end. What it says goes to the file log."""
    with open(log, "wb") as out:
        process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                   start_new_session=True, env=env)
        with live_lock:
            live.add(process.pid)
        try:
            status = process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            status = 124
        end_session(process.pid)
        process.wait()
        with live_lock:
            live.discard(process.pid)
    return status


def stop(signum, frame):
    stopping.set()
    with live_lock:
        sessions = list(live)
    for s in sessions:
        end_session(s)
    os._exit(130)


def tail(log):
    with open(log, encoding="utf-8", errors="replace") as f:
        return "".join(f.readlines()[-25:])


# ---- A tree in which mutants are built -------------------------------------------------------------------

class Tree:
    """A copy of the project, built; one for each worker."""

    def __init__(self, root, where, jobs):
        self.tree, self.build = os.path.join(where, "tree"), os.path.join(where, "build")
        self.log = os.path.join(where, "log")
        self.jobs = str(jobs)
        self.seconds = {}
        self.env = dict(os.environ, EXPLORE_TRACE="0", RUNNEL_TEST_DIVISOR=os.environ.get("RUNNEL_TEST_DIVISOR", "4"))
        self.env.pop("RUNNEL_TEST_RESULTS", None)
        self.times = os.path.join(where, "seconds.json")
        os.makedirs(self.tree, exist_ok=True)
        self.as_it_was = self.copy(root) and os.path.exists(self.times)

    def copy(self, root):
        """Make the tree what root is, touching no file that is so already; True if all were."""
        wanted, changed = {}, False
        for where, dirs, files in os.walk(root):
            dirs[:] = [d for d in dirs if d not in (".git", ".cache") and not (where == root and d.startswith("build"))]
            for name in files:
                path = os.path.join(where, name)
                if not os.path.islink(path):
                    wanted[os.path.relpath(path, root)] = path
        for where, _, files in os.walk(self.tree):
            for name in files:
                path = os.path.join(where, name)
                if os.path.relpath(path, self.tree) not in wanted:
                    os.unlink(path)
                    changed = True
        for name, path in wanted.items():
            with open(path, "rb") as f:
                text = f.read()
            if name == "tests/explore/CMakeLists.txt": # the variants that it breaks would be made anew each time
                text = text.partition(b"# ---- Broken on purpose")[0]
            to = os.path.join(self.tree, name)
            if os.path.exists(to):
                with open(to, "rb") as f:
                    if f.read() == text:
                        continue
            changed = True
            os.makedirs(os.path.dirname(to), exist_ok=True)
            with open(to, "wb") as f:
                f.write(text)
            shutil.copymode(path, to)
        return not changed

    def prepare(self):
        """None, or what is wrong without a mutant."""
        status = run(["cmake", "-G", "Ninja", "-S", self.tree, "-B", self.build, "-DCMAKE_BUILD_TYPE=Release",
                      "-DRUNNEL_EXAMPLES=OFF", "-DRUNNEL_BENCH=OFF"], self.tree, self.log)
        if status != 0:
            return "the tree cannot be configured\n" + tail(self.log)
        known = subprocess.run(["ninja", "-C", self.build, "-t", "targets", "all"], capture_output=True, text=True,
                               check=False).stdout
        known = {line.split(":")[0] for line in known.splitlines()}
        self.stages = [([t for t in targets if t in known], [p for p in programs if p in known])
                       for targets, programs in STAGES]
        everything = sorted({t for targets, programs in self.stages for t in targets + programs})
        if "runtime-sanitized" in known:
            everything.append("runtime-sanitized")
        if self.ninja(everything) != 0:
            return "the tree does not build\n" + tail(self.log)
        self.paths = {}
        for where, _, files in os.walk(os.path.join(self.build, "tests")):
            for name in files:
                path = os.path.join(where, name)
                if os.access(path, os.X_OK):
                    self.paths[name] = path
        self.arguments = self.test_arguments()
        if self.as_it_was:
            with open(self.times, encoding="utf-8") as f:
                self.seconds = json.load(f)
            return None
        for _, programs in self.stages:
            for test in programs:
                began = time.time()
                status = self.test(test, 600)
                if status != 0:
                    status = self.test(test, 600)
                if status != 0:
                    return f"without a mutant {test} ends with status {status}\n" + tail(self.log)
                self.seconds[test] = time.time() - began
        with open(self.times, "w", encoding="utf-8") as f:
            json.dump(self.seconds, f)
        return None

    def test_arguments(self):
        """Arguments and environment as the tests get them from ctest."""
        found = {}
        try:
            told = json.loads(subprocess.run(["ctest", "--test-dir", self.build, "--show-only=json-v1"],
                                             capture_output=True, text=True, check=True).stdout)
        except (OSError, ValueError, subprocess.CalledProcessError):
            return found
        for t in told["tests"]:
            extra = {}
            for p in t.get("properties", []):
                if p["name"] == "ENVIRONMENT":
                    extra = dict(e.split("=", 1) for e in p["value"] if not e.startswith("RUNNEL_TEST_RESULTS="))
            found[t["name"]] = extra
        return found

    def ninja(self, targets):
        return run(["ninja", "-C", self.build, "-j", self.jobs] + targets, self.tree, self.log, BUILD_TIMEOUT)

    def test(self, name, timeout):
        env = dict(self.env, **self.arguments.get(name, {}))
        return run([self.paths[name]] + ARGUMENTS.get(name, []), os.path.dirname(self.paths[name]), self.log, timeout, env)

    def fails(self, name):
        """None, or how the test fails."""
        limit = max(SHORTEST, TIMES * self.seconds[name])
        status = self.test(name, limit)
        if status not in (0, 124): # a bug in the tests themselves, that shows now and then, is no kill
            status = self.test(name, limit)
        if status == 124:
            return "did not end"
        return f"status {status}" if status else None

    def put(self, file, text):
        with open(os.path.join(self.tree, "src", file), "w", encoding="utf-8") as f:
            f.write(text)

    def noticed(self, name, targets, file, right, wrong):
        """How the test fails with the wrong text of the file and not with the right one; or None."""
        for _ in range(3):
            how = self.fails(name)
            if not how or name not in NOISY:
                return how
            self.put(file, right)
            passes = self.ninja(targets) == 0 and self.fails(name) is None
            self.put(file, wrong)
            self.ninja(targets)
            if passes:
                return how
        return None

    def try_mutant(self, file, right, wrong, first):
        """Which test notices that file is wrong, and how; or None. first: tests to begin with."""
        self.put(file, wrong)
        try:
            done = set()
            for test in first:
                for targets, programs in self.stages:
                    if test in programs and test not in done:
                        done.add(test)
                        targets = [t for t in targets if t == test or t not in programs]
                        if self.ninja(targets) != 0:
                            return "the compiler", "does not build"
                        how = self.noticed(test, targets, file, right, wrong)
                        if how:
                            return test, how
            for targets, programs in self.stages:
                if self.ninja(targets) != 0:
                    return "the compiler", "does not build"
                for test in programs:
                    how = None if test in done else self.noticed(test, targets, file, right, wrong)
                    if how:
                        return test, how
            return None
        finally:
            self.put(file, right)


# ---- Results -----------------------------------------------------------------------------------------------

def digest(root, mutant):
    """Of the mutated file: a result holds for it."""
    _, file, old, new, _ = mutant
    with open(os.path.join(root, "src", file), encoding="utf-8") as f:
        return hashlib.sha256(f.read().replace(old, new).encode()).hexdigest()[:16]


def commit_of(root):
    def git(*arguments):
        return subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=False).stdout.strip()
    changed = git("status", "--porcelain", "--", "src", "include", "tests")
    return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")


def read_results(path):
    """The last result of each mutant."""
    results = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            for line in f:
                try:
                    r = json.loads(line)
                    results[r["name"]] = r
                except ValueError:
                    pass # cut off while it was written
    return results


def write_doc(root, results):
    """docs/mutants.md; nothing if a mutant has no result."""
    rows = [(m, results.get(m[0])) for m in MUTANTS]
    missing = [m[0] for m, r in rows if r is None or r["digest"] != digest(root, m)]
    if missing:
        print(f"docs/mutants.md is not written: no result for {', '.join(missing)}")
        return
    killed = [r for _, r in rows if r["by"]]
    commits = sorted({r["commit"] for _, r in rows})
    text = [f"""# Mutants

One-line faults in the core, each of which the tests must notice. The list with the exact change of each is
`tests/mutation/mutants.py`; `./dev mutants` builds and tests each, and writes this file.

**{len(killed)} of {len(rows)} were killed**, {100 * len(killed) / len(rows):.1f} %, at commit {', '.join(commits)}.
"""]
    alive = [m for m, r in rows if not r["by"]]
    if alive:
        text.append("Survivors:\n")
        text += [f"- `{name}`, `src/{file}`: {why}" for name, file, _, _, why in alive]
        text.append("")
    else:
        text.append("No survivors.\n")
    text.append("| mutant | in | what it breaks | noticed by |\n|---|---|---|---|")
    for (name, file, _, _, why), r in rows:
        text.append(f"| {name} | `{file}` | {why} | {r['by'] + ', ' + r['how'] if r['by'] else '**nothing**'} |")
    with open(os.path.join(root, "docs", "mutants.md"), "w", encoding="utf-8") as f:
        f.write("\n".join(text) + "\n")
    print("docs/mutants.md is written")


# ---- All of it ---------------------------------------------------------------------------------------------

def out_of_date(root):
    """Names of mutants whose text is not there, and why."""
    broken = []
    names = [m[0] for m in MUTANTS]
    for name, file, old, new, _ in MUTANTS:
        with open(os.path.join(root, "src", file), encoding="utf-8") as f:
            n = f.read().count(old)
        if n != 1 or old == new or names.count(name) != 1:
            broken.append(f"{name}: src/{file} has it {n} times\n{old}")
    staged = {p for _, programs in STAGES for p in programs}
    broken += [f"{test}, for {file}, is in no stage" for file, likely in LIKELY.items() for test in likely if test not in staged]
    return broken


def work(root, where, jobs, todo, results, path, lock):
    tree = Tree(root, where, jobs)
    wrong = tree.prepare()
    if wrong:
        print(wrong, flush=True)
        stopping.set()
        return
    while not stopping.is_set():
        try:
            mutant = todo.get_nowait()
        except queue.Empty:
            return
        name, file, old, new, why = mutant
        with open(os.path.join(tree.tree, "src", file), encoding="utf-8") as f:
            text = f.read()
        began = time.time()
        first = [results[name]["by"]] if results.get(name, {}).get("by") else []
        by, how = tree.try_mutant(file, text, text.replace(old, new), first + LIKELY.get(file, [])) or ("", "")
        r = {"name": name, "digest": digest(root, mutant), "commit": commit_of(root), "by": by, "how": how}
        with lock:
            with open(path, "a", encoding="utf-8") as f:
                f.write(json.dumps(r) + "\n")
            results[name] = r
            told = f"killed by {by}, {how}" if by else f"SURVIVED (src/{file}: {why})"
            print(f"{name}: {told} ({time.time() - began:.0f} s)", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--doc", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", default=None)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    where = os.path.abspath(options.work or os.path.join(root, "build", "mutants"))
    path = os.path.join(where, "results.jsonl")
    wanted = [m for m in MUTANTS if not options.names or any(n in m[0] for n in options.names)]
    if options.list:
        for name, file, _, _, why in wanted:
            print(f"{name:24} src/{file}: {why}")
        return 0
    broken = out_of_date(root)
    for b in broken:
        print(f"out of date: {b}")
    if options.check or broken:
        return 1 if broken else 0
    results = read_results(path)
    if options.doc:
        write_doc(root, results)
        return 0
    if options.resume:
        wanted = [m for m in wanted if m[0] not in results or not results[m[0]]["by"] or
                  results[m[0]]["digest"] != digest(root, m)]

    os.makedirs(where, exist_ok=True)
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, stop)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL) # a shell's background jobs ignore it, and so would the tests
    todo = queue.Queue()
    for m in wanted:
        todo.put(m)
    workers = max(1, min(options.workers, len(wanted)))
    jobs = max(1, int(os.environ.get("JOBS") or os.cpu_count() or 2) // workers)
    lock = threading.Lock()
    threads = [threading.Thread(target=work, args=(root, os.path.join(where, str(i + 1)), jobs, todo, results, path, lock),
                                daemon=True) for i in range(workers if wanted else 0)]
    for t in threads:
        t.start()
    for t in threads:
        while t.is_alive():
            t.join(1)
    if stopping.is_set():
        return 2

    mine = [m for m in MUTANTS if not options.names or any(n in m[0] for n in options.names)]
    alive = [m for m in mine if not results[m[0]]["by"]]
    print(f"{len(mine) - len(alive)} of {len(mine)} killed")
    for name, file, _, _, why in alive:
        print(f"survived: {name} (src/{file}: {why})")
    if not options.names:
        write_doc(root, results)
    return 0 if mine and len(alive) <= 0.05 * len(mine) else 1


if __name__ == "__main__":
    sys.exit(main())

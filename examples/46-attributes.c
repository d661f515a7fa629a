/* SPDX-License-Identifier: MIT */
/*
 * Attributes. rn_go_with starts a goroutine with a name, which reports and dumps show, or with a
 * stack of another size: a goroutine's stack does not grow, and 128 KiB, the default, is not for
 * deep recursion. Memory of a stack that was never touched costs nothing but address space.
 */
#include <runnel.h>
#include <stdio.h>

/* Each level has a kilobyte on the stack. */
static int depth(int levels)
{
    volatile char frame[1024];

    frame[0] = frame[sizeof frame - 1] = 1;
    return levels == 0 ? 0 : depth(levels - 1) + frame[0] * frame[sizeof frame - 1];
}

static void wait_at(rn_recv_only(rn_unit) gate, uint64_t *id)
{
    rn_set_name("patient waiter"); /* or name yourself */
    *id = rn_self_id();
    (void)rn_recv(gate);
}

static void deep_dive(rn_wg *wg, int levels, int *result)
{
    rn_defer(rn_wg_done, wg);
    *result = depth(levels);
}

static int program(void)
{
    rn_chan(rn_unit) gate = rn_chan_make(rn_unit, 0);
    uint64_t id = 0;
    int levels;
    rn_wg wg = {0};

    rn_wg_add(&wg, 1);
    rn_go_with(RN_ATTR(.stack_size = 4 << 20, .name = "deep diver"), deep_dive, &wg, 1000, &levels);
    rn_wg_wait(&wg);
    printf("%d levels deep\n", levels);

    (void)rn_settle(30 * RN_SECOND);
    rn_wg_go(&wg, wait_at, gate, &id);
    printf("%zu goroutines, the caller included\n", rn_count());
    rn_close(gate);
    rn_wg_wait(&wg);
    printf("the first is number %d, ids differ: %s\n", (int)rn_self_id(),
           id != rn_self_id() ? "yes" : "no");
    printf("at least one processor: %s\n", rn_procs() >= 1 ? "yes" : "no");
    rn_chan_release(gate);
    return 0;
}

int main(void)
{
    return rn_run(program);
}

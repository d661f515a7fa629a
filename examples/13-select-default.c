/* SPDX-License-Identifier: MIT */
/*
 * Select with a default. With rn_default, which comes last, a select never waits: it takes the
 * default when no other case can proceed at this moment. For one channel rn_try_send and
 * rn_try_recv say the same more briefly. Do not poll in a loop: a select without a default waits
 * and costs nothing meanwhile.
 */
#include <runnel.h>
#include <stdio.h>

/* A log that never holds up its caller: what does not fit is counted and dropped. */
struct log {
    rn_chan(const char *) lines;
    int dropped;
};

static void log_line(struct log *log, const char *line)
{
    if (!rn_try_send(log->lines, line))
        log->dropped++;
}

/* Takes what is there from either channel, urgent or not, without waiting. */
static const char *next(rn_recv_only(const char *) urgent, rn_recv_only(const char *) normal)
{
    const char *text;

    /* Select has no priorities: among cases that are ready the choice is random. So ask for the
     * urgent ones alone first. */
    if (rn_try_recv(urgent, &text))
        return text;
    switch (rn_select(rn_on_recv(urgent, &text), rn_on_recv(normal, &text), rn_default)) {
    case 0:
    case 1:
        return text;
    default:
        return "nothing";
    }
}

static int program(void)
{
    rn_chan(const char *) urgent = rn_chan_make(const char *, 4);
    rn_chan(const char *) normal = rn_chan_make(const char *, 4);
    struct log log = {.lines = rn_chan_make(const char *, 2)};

    puts(next(urgent, normal));
    rn_send(normal, "tea is ready");
    rn_send(urgent, "the house is on fire");
    puts(next(urgent, normal));
    puts(next(urgent, normal));
    puts(next(urgent, normal));

    for (int i = 0; i < 5; i++)
        log_line(&log, "a line");
    printf("kept %zu, dropped %d\n", rn_len(log.lines), log.dropped);

    rn_chan_release(log.lines);
    rn_chan_release(normal);
    rn_chan_release(urgent);
    return 0;
}

int main(void)
{
    return rn_run(program);
}

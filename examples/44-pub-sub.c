/* SPDX-License-Identifier: MIT */
/*
 * Publish and subscribe. A broker goroutine owns the list of subscribers; to join and to publish
 * are messages to it, so the list needs no lock. Each subscriber has a channel of its own, which
 * the broker alone sends on, and alone closes.
 */
#include <runnel.h>
#include <stdio.h>

enum { SUBSCRIBERS_MAX = 8 };

struct broker {
    rn_chan(rn_chan(int)) joins;
    rn_chan(int) messages;
};

static void run_broker(struct broker *b)
{
    rn_chan(int) subscribers[SUBSCRIBERS_MAX];
    rn_chan(int) joining;
    int n = 0, message;
    bool ok = true;

    while (ok) {
        switch (rn_select_named(JOIN, rn_on_recv(b->joins, &joining), MESSAGE,
                                rn_on_recv_ok(b->messages, &message, &ok))) {
        case JOIN:
            if (n == SUBSCRIBERS_MAX)
                rn_panic("too many subscribers");
            subscribers[n++] = joining;
            break;
        case MESSAGE:
            for (int i = 0; ok && i < n; i++)
                rn_send(subscribers[i], message);
            break;
        }
    }
    for (int i = 0; i < n; i++) { /* messages was closed: no more for anybody */
        rn_close(subscribers[i]);
        rn_chan_release(subscribers[i]); /* the reference that came with the join */
    }
}

static rn_recv_only(int) subscribe(struct broker *b)
{
    rn_chan(int) ch = rn_chan_make(int, 1);

    rn_send(b->joins, rn_chan_retain(ch)); /* unbuffered: once it returns, we are in */
    return ch;
}

static void listen_to(rn_recv_only(int) in, int *sum)
{
    rn_range (message, in)
        *sum += message;
    rn_chan_release(in);
}

static int program(void)
{
    struct broker b = {.joins = rn_chan_make(rn_chan(int), 0), .messages = rn_chan_make(int, 0)};
    int sums[3] = {0};
    rn_wg wg = {0};

    rn_wg_go(&wg, run_broker, &b);
    rn_wg_go(&wg, listen_to, subscribe(&b), &sums[0]);
    rn_wg_go(&wg, listen_to, subscribe(&b), &sums[1]);
    for (int i = 1; i <= 10; i++)
        rn_send(b.messages, i);
    rn_wg_go(&wg, listen_to, subscribe(&b), &sums[2]); /* misses what was published before */
    rn_send(b.messages, 1000);
    rn_close(b.messages);
    rn_wg_wait(&wg);
    printf("%d %d %d\n", sums[0], sums[1], sums[2]);
    rn_chan_release(b.joins);
    rn_chan_release(b.messages);
    return 0;
}

int main(void)
{
    return rn_run(program);
}

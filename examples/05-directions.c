/* SPDX-License-Identifier: MIT */
/*
 * Directions. rn_send_only(T) and rn_recv_only(T) are the two ends of an rn_chan(T). A channel
 * converts to either silently, and nothing converts back, so a signature says who sends and who
 * receives, and the compiler holds everybody to it. A channel is a value like any other: it can be
 * sent over a channel, which is how a request carries the place for its answer.
 */
#include <runnel.h>
#include <stdio.h>

static void produce(rn_send_only(int) out, int n)
{
    for (int i = 0; i < n; i++)
        rn_send(out, i);
    rn_close(out);
    /* rn_recv(out);  does not compile: receive from a send-only channel */
}

static int consume(rn_recv_only(int) in)
{
    int sum = 0;

    rn_range (n, in)
        sum += n;
    /* rn_send(in, 1);  does not compile: send on a receive-only channel
     * rn_close(in);    nor does this: only the sending side knows when there is no more */
    return sum;
}

struct request {
    int n;
    rn_send_only(int) reply;
};

static void serve(rn_recv_only(struct request) requests)
{
    rn_range (r, requests)
        rn_send(r.reply, r.n * r.n);
}

static int program(void)
{
    rn_chan(int) numbers = rn_chan_make(int, 0);
    rn_go(produce, numbers, 10);
    printf("sum %d\n", consume(numbers));
    rn_chan_release(numbers);

    rn_chan(struct request) requests = rn_chan_make(struct request, 0);
    rn_chan(int) reply = rn_chan_make(int, 0);
    rn_wg wg = {0};
    rn_wg_go(&wg, serve, requests);
    for (int n = 6; n <= 8; n++) {
        rn_send(requests, (struct request){.n = n, .reply = reply});
        printf("%d * %d = %d\n", n, n, rn_recv(reply));
    }
    rn_close(requests); /* the server's range ends */
    rn_wg_wait(&wg);
    rn_chan_release(reply);
    rn_chan_release(requests);
    return 0;
}

int main(void)
{
    return rn_run(program);
}

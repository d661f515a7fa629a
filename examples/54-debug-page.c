/* SPDX-License-Identifier: MIT */
/*
 * Pages that show what the goroutines do: rn_debug_serve is a server for them, rn_debug_handle puts them beneath a path of a
 * server that you have, as here.
 *
 * The program asks for one of its own pages and prints what it says of its workers. With an address, ":6060", it serves
 * until Ctrl-C, for a look with a browser: beneath /debug/runnel/ are the others.
 */
#include <runnel.h>
#include <runnel/debugpage.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

static void work(rn_recv_only(int) jobs, rn_wg *done)
{
    rn_range (job, jobs)
        (void)job;
    rn_wg_done(done);
}

/* The lines of the page that say "chan receive", from where they do. */
static void ask(const char *address)
{
    const char *request = "GET /debug/runnel/goroutines?folded=1 HTTP/1.0\r\n\r\n";
    char reply[8000];
    size_t n = 0;
    rn_conn *c;
    ssize_t k;

    if (rn_dial("tcp", address, &c) < 0)
        return;
    rn_write(c, request, strlen(request));
    while ((k = rn_read(c, reply + n, sizeof reply - 1 - n)) > 0)
        n += (size_t)k;
    reply[n] = 0;
    rn_conn_close(c);
    printf("%.*s\n", (int)strcspn(reply, "\r"), reply);
    for (const char *s = reply; (s = strstr(s, "[chan receive]")); s++)
        printf("%.*s\n", (int)strcspn(s, "\n"), s);
}

static int program(const char *look_at)
{
    rn_ctx *ctx = rn_ctx_with_signals(rn_ctx_background(), SIGINT, SIGTERM);
    rn_chan(int) jobs = rn_chan_make(int, 0);
    rn_httpd *h = rn_httpd_new(NULL);
    char address[RN_ADDR_TEXT];
    rn_group group = {0};
    rn_wg workers = {0};
    struct rn_metrics m;
    rn_listener *l;
    rn_addr at;
    int err;

    rn_debug_handle(h, NULL);
    rn_wg_add(&workers, 20);
    for (int i = 0; i < 20; i++)
        rn_go(work, jobs, &workers);
    do { /* until all of them wait for a job */
        rn_yield();
        rn_metrics(&m, sizeof m);
    } while (m.waiting < 20);

    err = rn_listen("tcp", look_at ? look_at : "127.0.0.1:0", &l);
    if (err < 0 || rn_listener_addr(l, &at) < 0 || rn_addr_text(&at, address, sizeof address) < 0)
        return 1;
    rn_group_go(&group, rn_httpd_serve, ctx, h, l);
    if (look_at) {
        printf("http://%s/debug/runnel/\n", address);
        fflush(stdout);
    } else {
        ask(address);
        rn_ctx_cancel(ctx);
    }
    err = rn_group_wait(&group);
    rn_close(jobs);
    rn_wg_wait(&workers);
    rn_chan_release(jobs);
    rn_httpd_free(h);
    rn_ctx_end(ctx);
    return err;
}

int main(int argc, char **argv)
{
    const char *look_at = argc > 1 ? argv[1] : NULL;

    return rn_run(program, look_at);
}

/* SPDX-License-Identifier: MIT */
/*
 * All errors, not only the first. An error is an int that any goroutine may hand on; its message
 * belongs to the goroutine that attached it. rn_error holds both as a value. Here each task has a
 * slot for its outcome, and whoever waits makes one error of them.
 */
#include <errno.h>
#include <runnel.h>
#include <stdio.h>

static int check(int port)
{
    if (port == 0)
        return -EINVAL; /* no message: the code's standard text will do */
    if (port < 1024)
        return rn_errorf(-EACCES, "port %d needs privileges", port);
    return 0;
}

static void check_into(int port, rn_error *outcome)
{
    *outcome = rn_error_of(check(port)); /* the code and its message, to be read elsewhere */
}

static int check_all(const int *ports, rn_error *outcomes, int n)
{
    int failed = 0;
    rn_wg wg = {0};

    for (int i = 0; i < n; i++)
        rn_wg_go(&wg, check_into, ports[i], &outcomes[i]);
    rn_wg_wait(&wg);
    for (int i = 0; i < n; i++)
        failed += outcomes[i].code < 0;
    return failed == 0 ? 0 : rn_errorf(-EIO, "%d of %d failed", failed, n);
}

static int program(void)
{
    enum { N = 5 };
    static const int ports[N] = {8080, 80, 0, 443, 9000};
    rn_error outcomes[N];
    int err = check_all(ports, outcomes, N);

    if (err < 0)
        puts(rn_errmsg(err));
    for (int i = 0; i < N; i++) {
        err = rn_error_raise(&outcomes[i]); /* attaches the message here, returns the code */
        if (err < 0)
            printf("%d: %s\n", ports[i], rn_errmsg(err));
    }
    return 0;
}

int main(void)
{
    return rn_run(program);
}

/* SPDX-License-Identifier: MIT */
/*
 * Errors through a channel. An rn_error is a value with its message inside, so it can be sent. A
 * channel with room for one error from each task lets every task end at once, whether somebody
 * reads or not: wait for the tasks, close, and range over what came.
 */
#include <errno.h>
#include <runnel.h>
#include <stdio.h>

static int upload(int file)
{
    if (file % 3 == 0)
        return rn_errorf(-ECONNRESET, "file %d: the connection broke", file);
    if (file % 5 == 0)
        return rn_errorf(-EFBIG, "file %d is too large", file);
    return 0;
}

static void upload_and_report(int file, rn_send_only(rn_error) errors)
{
    int err = upload(file);

    if (err < 0)
        rn_send(errors, rn_error_of(err));
}

static int program(void)
{
    enum { N = 9 };
    rn_chan(rn_error) errors = rn_chan_make(rn_error, N); /* one slot a task: no sender waits */
    int resets = 0, too_large = 0;
    rn_wg wg = {0};

    for (int file = 1; file <= N; file++)
        rn_wg_go(&wg, upload_and_report, file, errors);
    rn_wg_wait(&wg);
    rn_close(errors);

    rn_range (e, errors) { /* they come in any order */
        switch (e.code) {
        case -ECONNRESET:
            resets++;
            break;
        case -EFBIG:
            too_large++;
            puts(e.text); /* only file 5 */
            break;
        default:
            break;
        }
    }
    printf("%d broken connections, %d too large\n", resets, too_large);
    rn_chan_release(errors);
    return 0;
}

int main(void)
{
    return rn_run(program);
}

/* SPDX-License-Identifier: MIT */
/*
 * Once. rn_once_do calls a function the first time, and never again; whoever comes meanwhile waits
 * until that first call has returned, so everybody sees its work complete. Afterwards it costs one
 * load. Unlike a static initialiser, it can compute, allocate and wait.
 */
#include <runnel.h>
#include <stdio.h>

struct settings {
    const char *host;
    int port;
};

static struct settings the_settings;
static int times_loaded;

static void load_settings(const char *host, int port)
{
    rn_sleep(RN_MILLISECOND); /* stands for reading a file */
    the_settings = (struct settings){.host = host, .port = port};
    times_loaded++;
}

static const struct settings *settings(void)
{
    static rn_once once; /* zero is ready to use */

    rn_once_do(&once, load_settings, "localhost", 8080);
    return &the_settings;
}

static void client(int *port)
{
    *port = settings()->port;
}

static int program(void)
{
    enum { N = 20 };
    int ports[N], right = 0;
    rn_wg wg = {0};

    for (int i = 0; i < N; i++)
        rn_wg_go(&wg, client, &ports[i]);
    rn_wg_wait(&wg);
    for (int i = 0; i < N; i++)
        right += ports[i] == 8080;
    printf("%d of %d saw %s:%d\n", right, N, settings()->host, settings()->port);
    printf("loaded %d time\n", times_loaded);
    return 0;
}

int main(void)
{
    return rn_run(program);
}

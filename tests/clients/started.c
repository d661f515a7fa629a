/* SPDX-License-Identifier: MIT */
/*
 * started.c - a server for tests that are no C programs.
 *
 *     clients-started postgres
 *
 * Starts the server, prints its process, its folder and how it is reached, a line each, and stops it at the end of standard
 * input, or when its parent is gone. Exit status 77, which CTest takes as skipped, if it is not installed.
 */
#include "server.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    static struct server server;

    if (argc != 2 || strcmp(argv[1], "postgres") != 0) {
        fprintf(stderr, "usage: clients-started postgres\n");
        return 2;
    }
    if (server_postgres(&server, NULL) != 0) {
        fprintf(stderr, "%s\n", server.problem);
        server_show_log(&server);
        server_stop(&server);
        return strstr(server.problem, "not installed") ? 77 : 1;
    }
    printf("%d\n%s\n%s\n", (int)server.pid, server.folder, server.socket);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    server_stop(&server);
    return 0;
}

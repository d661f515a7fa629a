/* SPDX-License-Identifier: MIT */
/*
 * server.h - real servers for tests and benchmarks: started on a Unix socket in a folder of their own, and stopped.
 *
 * A server runs as an ordinary user where the caller is root and the server insists. It dies with the thread that
 * started it, whatever becomes of that: start it from a thread that lives as long as it is needed, not from a goroutine.
 */
#ifndef RN_TESTS_CLIENTS_SERVER_H
#define RN_TESTS_CLIENTS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

enum { SERVER_PORTS = 5 };

struct server {
    pid_t pid;
    int stop_signal;
    char folder[64];   /* its data, its log, its socket; removed by server_stop */
    char socket[128];  /* the path of the socket, or what the client wants to be told */
    char problem[512]; /* why it did not start */
    int ports[SERVER_PORTS];
};

/* 0, or -1 with problem set: the name of the Debian package if it is not installed. Waits until it answers. */
int server_postgres(struct server *s, const char *data_kept);
int server_redis(struct server *s);
/* nginx, in the folder that server_folder has made. In conf, what stands for "http { ... }", $FOLDER is that folder, and
 * $PORT0 to $PORT4 are the ports, of 127.0.0.1. It is one process, and runs as an ordinary user. */
int server_nginx(struct server *s, const char *conf);

/* A folder of our own alone, for what needs no server. */
int server_folder(struct server *s);

/* What the server has written, to stderr. */
void server_show_log(const struct server *s);
void server_stop(struct server *s);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * http.h - what the files of librunnel-http share.
 *
 * A line is a CURLM with one easy handle: the connections that it keeps, and at most one request at a time. A request
 * takes an idle line, best one that has spoken to the same server, or makes one, drives it in the caller's goroutine,
 * and gives it back. So nobody but the caller works for a request: its waits are the caller's waits for a descriptor or
 * curl's next timer, its context ends them, requests run on as many processors as there are callers, and there is no
 * goroutine or thread that the end of an rn_run could take away or a deadlock's report would have to know.
 *
 * Callbacks. Nothing of the user's runs inside of curl, and nothing parks there: curl's frames could come back on
 * another thread with the address of the first one's errno and OpenSSL's errors, and a goroutine that the end of its run
 * takes away would leave a handle that nobody may clean up. What curl hands over is put into a buffer, beyond which curl
 * is paused; the user's callbacks get it between two steps, and so with what curl is to send.
 *
 * The end of an rn_run takes away goroutines that wait. Whatever is to be freed hangs on the line then, a busy one is in
 * its client's list with the number of its run, and who comes next clears away those whose run is over. `place` decides
 * between that and a goroutine that still computes: who changes it first has the line.
 *
 * Redirects are followed here, not by curl: bodies of redirects are dropped up to a limit.
 *
 * Names are looked up by rn_lookup when curl makes a connection, which it alone knows beforehand: it begins without
 * addresses, says so when it wants some, before anything is sent, and begins again with them. They are forgotten at the
 * next request; no age is given to them here, as whoever looks up knows how old they may be.
 *
 * client->lock guards its lists; it is a thread's mutex, held for short and never across a wait, as the share's are.
 *
 * Rejected: one CURLM for all requests of a client (one processor for all their TLS, a driver that can go with its
 * run, and each cancellation the driver's work; what it would give is many requests on one HTTP/2 connection); curl's
 * share of connections (not for several threads); curl's resolver (a thread for each name, and none of librunnel-dns);
 * addresses before each request (a lookup, by the C library on a thread, for those that have their connection).
 */
#ifndef RN_SRC_HTTP_H
#define RN_SRC_HTTP_H

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <runnel/http.h>
#include <runnel/net.h>

#include "base/atomic.h"

enum { SOCKETS = 8, DROP_MAX = 64 * 1024, BUFFER = 64 * 1024, ADDRS = 16 };
enum place { INSIDE, OUTSIDE, CLEARED_AWAY };

/* Bytes that grow. Zero is empty. */
struct bytes {
    char *data;
    size_t size, room;
};

struct response {
    rn_http_response pub;
    struct bytes body;
    struct bytes head; /* name, 0, value, 0 */
    size_t *names, *values;
    int count, room;
    char *url;
};

struct transfer;

struct line {
    struct line *prev, *next; /* of the client's idle or busy ones */
    rn_http_client *client;   /* with a reference while busy */
    CURLM *multi;
    CURL *easy;
    char *origin; /* with whom it began */
    rn_time idle_since;
    uint64_t run;
    uint32_t place; /* atomic: an enum place */

    /* Of the request in progress, and freed with the line if that has no end: */
    struct transfer *t;
    bool added;
    struct {
        int fd, events;
    } sockets[SOCKETS];
    int socket_count;
    rn_time due; /* of curl's timer; 0: none */
    int poll;    /* in a wait for several sockets, else -1 */
    struct rn_ctx *limit, *bound;
    struct response *response;
    struct curl_slist *headers, *addresses;
    char *url;
    struct bytes in, out;
    size_t out_at;
    char text[CURL_ERROR_SIZE];
};

struct lines {
    struct line *first, *last;
    int count;
};

struct rn_http_client {
    uint32_t refs; /* atomic */
    rn_http_options options;
    char *ca_file, *ca_pem, *cert_file, *key_file, *proxy, *user_agent;
    char *proxy_host;
    int proxy_port;
    CURLSH *share; /* TLS sessions */
    pthread_mutex_t share_lock;

    pthread_mutex_t lock;
    /* Guarded by lock: */
    struct lines idle, busy;
    uint64_t run;      /* the last caller's */
    X509_STORE *store; /* whom to trust; made when it is needed first */
};

/* ---- os.c: what asks the kernel --- */

int rn__http_socket(int family, int type, int protocol);
void rn__http_close(int fd);
int rn__http_poll_new(void);
bool rn__http_poll_add(int poll, int fd, int events);
int rn__http_poll_get(int poll, int fds[SOCKETS], int events[SOCKETS]);
int rn__http_file_error(const char *path);
/* Before curl works; whether it has run out of memory since, on this thread. */
void rn__http_begin_work(void);
bool rn__http_short_of_memory(void);

/* ---- client.c --- */

/* A client with a reference: c, or the default one. */
int rn__http_client_begin(rn_http_client *c, rn_http_client **ret_c);
void rn__http_client_end(rn_http_client *c);
/* A line for origin, busy; it has the caller's reference to c then. */
int rn__http_line_take(rn_http_client *c, const char *origin, struct line **ret_l);
/* Give it back; keep: its connections are good. Its client's reference goes. */
void rn__http_line_give(struct line *l, bool keep);
/* Where an SSL_CTX has its line. */
int rn__http_ssl_index(void);
/* The authorities that the client trusts, borrowed; NULL: none can be had. */
X509_STORE *rn__http_store(rn_http_client *c);

/* ---- response.c --- */

bool rn__http_bytes_add(struct bytes *b, const void *data, size_t size);
void rn__http_bytes_free(struct bytes *b);
struct response *rn__http_response_new(void);
void rn__http_response_reset(struct response *r);
/* A line of a head, with or without its end. 0 or -ENOMEM. */
int rn__http_response_line(struct response *r, const char *line, size_t size);
/* name is a token of HTTP. */
bool rn__http_is_token(const char *name, size_t size);

/* ---- error.c --- */

/* What has become of a request of l's, by curl's word; the errno value. */
int rn__http_error_of(const struct line *l, CURLcode code);

#endif

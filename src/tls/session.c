/* SPDX-License-Identifier: MIT */
/*
 * session.c - the sessions that clients may resume, by the server's name, newest first.
 *
 * A ticket of TLS 1.3 is used once, so that nobody on the way can tell two connections to be the same client's; a
 * session of TLS 1.2 stays. A few of each server are kept, for as many connections that begin at the same time. The
 * configuration decided what was verified, so the sessions are its own, and go when it is reloaded.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tls/tls.h"

enum { OF_ONE_HOST = 4 };

static void unlink_session(rn_tls_config *c, struct session *s)
{
    *(s->prev ? &s->prev->next : &c->newest) = s->next;
    *(s->next ? &s->next->prev : &c->oldest) = s->prev;
    c->sessions--;
}

static void session_free(struct session *s)
{
    if (s) {
        SSL_SESSION_free(s->session);
        free(s);
    }
}

/* Put session in front; what has to go for it. Under the lock. */
static struct session *put(rn_tls_config *c, struct session *s)
{
    struct session *last_of_host = NULL;
    int same = 0;

    for (struct session *o = c->newest; o; o = o->next)
        if (strcmp(o->host, s->host) == 0) {
            last_of_host = o;
            same++;
        }
    s->prev = NULL;
    s->next = c->newest;
    *(s->next ? &s->next->prev : &c->oldest) = s;
    c->newest = s;
    c->sessions++;
    if (same < OF_ONE_HOST)
        last_of_host = c->sessions > c->options.session_cache_size ? c->oldest : NULL;
    if (last_of_host)
        unlink_session(c, last_of_host);
    return last_of_host;
}

void rn__tls_session_keep(rn_tls_config *config, unsigned long generation, const char *host,
                          SSL_SESSION *session)
{
    struct session *s = malloc(sizeof *s + strlen(host) + 1), *old;

    if (!s) {
        SSL_SESSION_free(session);
        return;
    }
    s->session = session;
    strcpy(s->host, host);
    pthread_mutex_lock(&config->lock);
    old = config->generation == generation ? put(config, s) : s;
    pthread_mutex_unlock(&config->lock);
    session_free(old);
}

/* A session is no longer good when the server's certificate, which is not shown again, has expired. */
static bool is_good(const SSL_SESSION *session)
{
    X509 *cert = SSL_SESSION_get0_peer((SSL_SESSION *)(uintptr_t)session);
    time_t now = time(NULL);

    return SSL_SESSION_is_resumable(session) &&
           (int64_t)SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session) >
               (int64_t)now &&
           (!cert || X509_cmp_time(X509_get0_notAfter(cert), &now) > 0);
}

SSL_SESSION *rn__tls_session_take(rn_tls_config *config, const char *host)
{
    struct session *bad = NULL, *next, *used = NULL;
    SSL_SESSION *found = NULL;

    pthread_mutex_lock(&config->lock);
    for (struct session *s = config->newest; s && !found; s = next) {
        next = s->next;
        if (strcmp(s->host, host) != 0)
            continue;
        if (!is_good(s->session)) {
            unlink_session(config, s);
            s->next = bad;
            bad = s;
            continue;
        }
        found = s->session;
        if (SSL_SESSION_get_protocol_version(found) >= TLS1_3_VERSION) {
            unlink_session(config, s);
            used = s; /* with its reference */
        } else {
            SSL_SESSION_up_ref(found);
        }
    }
    pthread_mutex_unlock(&config->lock);
    free(used);
    for (; bad; bad = next) {
        next = bad->next;
        session_free(bad);
    }
    ERR_clear_error();
    return found;
}

void rn__tls_sessions_drop(rn_tls_config *config)
{
    struct session *all, *next;

    pthread_mutex_lock(&config->lock);
    all = config->newest;
    config->newest = config->oldest = NULL;
    config->sessions = 0;
    pthread_mutex_unlock(&config->lock);
    for (; all; all = next) {
        next = all->next;
        session_free(all);
    }
}

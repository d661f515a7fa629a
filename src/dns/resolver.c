/* SPDX-License-Identifier: MIT */
/*
 * resolver.c - lookups: who asks, who waits, what is kept.
 *
 * A question is a flight: a name and one or two types, with an ares_channel and an epoll instance of its own, so that
 * each has a port of its own that nobody can guess, and one that is given up disturbs no other. Nobody serves flights
 * but those who wait for them: one of them drives (waits for the sockets and lets c-ares work), the others wait for
 * progress. A driver whose context ends lets go, and another goes on with the same question. So there is no thread and
 * no goroutine of the resolver's that the end of an rn_run could take away, and a plain thread needs none.
 *
 * What the end of an rn_run does take away are goroutines in the midst of a lookup: in their wait, whoever drives, or
 * woken and not yet there. So flights are joined only by those of the same run (plain threads are one of their own), and
 * whoever looks for one clears away those of runs that are over. Goroutines that still compute by then may use theirs:
 * `inside` counts those that are in no wait, and the last of them frees what is cleared away. After a wait a goroutine
 * asks, under the lock, whether its run is over, before it touches its flight: if it is not, nobody has cleared that
 * away. All that is to be freed hangs on the flight while somebody waits: who waits only borrows.
 *
 * r->lock guards the table of flights, the cache, the files, and what is shared in a flight; it is a thread's mutex, held
 * for short and never across a wait. channel and poll are the driver's.
 *
 * Rejected: one channel for all (one port for all questions, and a lock around all of c-ares; no single question can be
 * cancelled in 1.18); a driver goroutine (gone with its run, and none for plain threads); a thread (a switch of threads
 * each way).
 */
#define _GNU_SOURCE
#include <ares.h>
#include <netinet/in.h>
#include <pthread.h>
#include <runnel/chan.h>
#include <runnel/ctx.h>
#include <runnel/err.h>
#include <runnel/go.h>
#include <runnel/sync.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "dns/dns.h"

enum { CACHE_DEFAULT = 1024, PARALLEL_DEFAULT = 100 };
enum { TYPES = 2, ADDRS = 32, SEARCH_MAX = 16 };
enum { UDP_SIZE = 1232 }; /* what passes without fragments (DNS flag day 2020) */

struct query {
    struct flight *f;
    int index;
};

/* Who follows a driver waits until its step is over: the channel is closed then. */
struct step {
    struct step *next; /* those that are over */
    rn_chan(rn_unit) over;
};

/* What one who waits has from the cache. */
struct kept {
    struct kept *next;
    struct answer *answer;
};

struct flight {
    struct flight *next; /* in the table */
    rn_dns *r;
    char name[DNS_NAME];
    int types[TYPES], count;
    struct query queries[TYPES];
    uint64_t run;

    /* Guarded by r->lock: */
    int refs;   /* who looks it up */
    int inside; /* of those, who is not in a wait */
    bool open;  /* others may join; it has a place of r->parallel */
    bool driven;
    bool cleared; /* out of the table although somebody may be inside */
    int left;     /* answers that are still to come */
    struct answer *answers[TYPES];
    struct step *step; /* that somebody follows; NULL: nobody does */
    struct step *past; /* whoever followed may still be on the way */
    struct kept *kept;

    /* The driver's: */
    ares_channel channel;
    int poll;
    bool started, closing;
    rn_ctx *bound; /* of its wait */
};

struct rn_dns {
    uint32_t refs; /* atomic */
    rn_dns_options options;
    char *servers, *search;
    rn_sem parallel;

    pthread_mutex_t lock;
    /* Guarded by lock: */
    struct cache cache;
    struct flight *flights;
    struct text_file hosts, nsswitch, resolv;
    char *domains[SEARCH_MAX];
    int domain_count, ndots;
    bool configured;
    rn_dns_stats stats;
};

/* Who wants what: the answers to name, in the order of types. */
struct want {
    const char *name;
    const int *types;
    int count;
    struct answer *answers[TYPES];
    /* Who wants addresses is told them as they come, which may wait, and gets no answers. */
    rn_found_fn *found;
    void *arg;
    bool told[TYPES];
    int errs[TYPES]; /* of those that are told */
};

static rn_time clock_now(const rn_dns *r)
{
    return r->options.clock ? r->options.clock() : rn_now();
}

/* ---- c-ares --------------------------------------------------------------------------------------------------- */

static void library_init(void)
{
    (void)ares_library_init(ARES_LIB_INIT_ALL);
}

static void on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
    const struct flight *f = arg;

    rn__dns_poll_set(f->poll, fd, readable, writable);
}

static int error_of(int status)
{
    switch (status) {
    case ARES_ENOMEM:
        return -ENOMEM;
    case ARES_EBADNAME:
    case ARES_EBADQUERY:
    case ARES_EBADSTR:
    case ARES_EFORMERR:
        return -EINVAL;
    case ARES_EBADRESP:
        return -EBADMSG;
    default:
        return -EAGAIN;
    }
}

/* f may be NULL: only to be asked. */
static int channel_new(const rn_dns *r, struct flight *f, ares_channel *ret_channel)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct ares_options o = {.flags = ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH,
                             .ednspsz = UDP_SIZE,
                             .tries = r->options.tries,
                             .timeout = (int)(r->options.timeout / RN_MILLISECOND),
                             .resolvconf_path = r->resolv.path,
                             .sock_state_cb = on_socket,
                             .sock_state_cb_data = f};
    int mask = ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_RESOLVCONF |
               (f ? ARES_OPT_SOCK_STATE_CB : 0) | (o.tries > 0 ? ARES_OPT_TRIES : 0) |
               (o.timeout > 0 ? ARES_OPT_TIMEOUTMS : 0);
    int status;

    pthread_once(&once, library_init);
    status = ares_init_options(ret_channel, &o, mask);
    if (status == ARES_SUCCESS && r->servers) {
        status = ares_set_servers_ports_csv(*ret_channel, r->servers);
        if (status != ARES_SUCCESS)
            ares_destroy(*ret_channel);
    }
    return status == ARES_SUCCESS ? 0 : error_of(status);
}

/* From c-ares, which the driver has called. */
static void on_answer(void *arg, int status, int timeouts, unsigned char *data, int size)
{
    const struct query *q = arg;
    struct flight *f = q->f;
    int type = f->types[q->index], err = error_of(status);
    struct answer *a = NULL;

    (void)timeouts;
    if (f->closing)
        return;
    if (data && size > 0 &&
        (status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND))
        err = rn__dns_parse(data, (size_t)size, f->name, type, &a);
    if (!a)
        a = rn__dns_no_answer(err, type); /* NULL: no memory even for that */
    pthread_mutex_lock(&f->r->lock);
    f->answers[q->index] = a;
    f->left--;
    if (a && (a->err == 0 || a->err == -ENOENT || a->err == -ENODATA))
        rn__dns_cache_put(&f->r->cache, f->name, type, a, clock_now(f->r));
    pthread_mutex_unlock(&f->r->lock);
}

/* ---- Flights -------------------------------------------------------------------------------------------------- */

static void steps_free(struct step *s)
{
    struct step *next;

    for (; s; s = next) {
        next = s->next;
        rn_chan_release(s->over);
        free(s);
    }
}

/* Nobody can use it any more. */
static void flight_free(struct flight *f)
{
    f->closing = true;
    if (f->channel)
        ares_destroy(f->channel);
    if (f->poll >= 0) {
        rn_forget_fd(f->poll);
        rn__dns_poll_free(f->poll);
    }
    for (int i = 0; i < f->count; i++)
        rn__dns_answer_unref(f->answers[i]);
    if (f->bound) /* of a driver who is no more */
        rn_ctx_end(f->bound);
    steps_free(f->step);
    steps_free(f->past);
    for (struct kept *k = f->kept, *next; k; k = next) {
        next = k->next;
        rn__dns_answer_unref(k->answer);
        free(k);
    }
    free(f);
}

static int flight_new(rn_dns *r, const char *name, const int *types, int count,
                      struct flight **ret_f)
{
    struct flight *f = calloc(1, sizeof *f);
    int err;

    if (!f)
        return -ENOMEM;
    f->r = r;
    snprintf(f->name, sizeof f->name, "%s", name);
    f->count = f->left = count;
    for (int i = 0; i < count; i++) {
        f->types[i] = types[i];
        f->queries[i] = (struct query){f, i};
    }
    f->run = rn__run_number();
    f->refs = f->inside = 1;
    f->poll = rn__dns_poll_new();
    err = f->poll < 0 ? f->poll : channel_new(r, f, &f->channel);
    if (err) {
        f->channel = NULL;
        flight_free(f);
        return err;
    }
    *ret_f = f;
    return 0;
}

static void unlist(rn_dns *r, struct flight *f)
{
    struct flight **at = &r->flights;

    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
}

/* Plain threads have no run that could be over. */
static bool is_over(uint64_t run)
{
    return run && rn__run_gone(run);
}

/* Clear away what goroutines have left that went with their runs; under the lock. What is to be freed. */
static struct flight *clear_away(rn_dns *r, int64_t *ret_places)
{
    struct flight *gone = NULL, *next;

    for (struct flight *f = r->flights; f; f = next) {
        next = f->next;
        if (!is_over(f->run))
            continue;
        unlist(r, f);
        *ret_places += f->open;
        f->open = false;
        f->cleared = true;
        if (f->inside == 0) {
            f->next = gone;
            gone = f;
        }
    }
    return gone;
}

/* Of a goroutine whose run is over: its next call that waits is its end. */
static _Noreturn void does_not_return(void)
{
    for (;;)
        rn_yield();
}

/* The caller will be in a wait next, from which it may not return. Under the lock, which is given up. */
static void step_out(rn_dns *r, struct flight *f)
{
    bool last = --f->inside == 0 && f->cleared;

    pthread_mutex_unlock(&r->lock);
    if (last) { /* it is of a run that is over */
        flight_free(f);
        does_not_return();
    }
}

/* It has returned; takes the lock. */
static void step_in(rn_dns *r, struct flight *f, uint64_t run)
{
    pthread_mutex_lock(&r->lock);
    if (is_over(run)) { /* f may be no more */
        pthread_mutex_unlock(&r->lock);
        does_not_return();
    }
    f->inside++;
}

static struct flight *find(const rn_dns *r, const char *name, const int *types, int count)
{
    uint64_t run = rn__run_number();

    for (struct flight *f = r->flights; f; f = f->next)
        if (f->open && f->run == run && f->count == count &&
            memcmp(f->types, types, (size_t)count * sizeof *types) == 0 &&
            strcasecmp(f->name, name) == 0)
            return f;
    return NULL;
}

/* What is kept of what is wanted; the rest is missing. Under the lock. */
static int from_cache(rn_dns *r, struct want *w, int missing[TYPES])
{
    int n = 0;

    for (int i = 0; i < w->count; i++) {
        if (!w->answers[i])
            w->answers[i] = rn__dns_cache_get(&r->cache, w->name, w->types[i], clock_now(r));
        if (!w->answers[i])
            missing[n++] = w->types[i];
    }
    return n;
}

/* Join a flight to what is missing, or begin one. *ret_f is NULL if nothing is. */
static int board(struct rn_ctx *ctx, rn_dns *r, struct want *w, struct flight **ret_f)
{
    struct flight *f = NULL, *mine = NULL;
    bool has_place = false;
    int missing[TYPES], n, err = 0;

    while (!err) {
        struct flight *gone, *next;
        int64_t places = 0;

        pthread_mutex_lock(&r->lock);
        gone = clear_away(r, &places);
        n = from_cache(r, w, missing);
        f = n > 0 ? find(r, w->name, missing, n) : NULL;
        if (f) {
            f->refs++;
            f->inside++;
            r->stats.joined++;
        } else if (n == 0) {
            r->stats.hits++;
        } else if (mine && mine->count == n &&
                   memcmp(mine->types, missing, sizeof(int) * (size_t)n) == 0) {
            f = mine;
            mine = NULL;
            has_place = false; /* it is the flight's */
            f->open = true;
            f->next = r->flights;
            r->flights = f;
            r->stats.asked++;
        }
        pthread_mutex_unlock(&r->lock);
        for (; gone; gone = next) {
            next = gone->next;
            flight_free(gone);
        }
        if (places)
            rn_sem_release(&r->parallel, places);
        if (f || n == 0)
            break;
        if (mine) /* something has come meanwhile: ask for the rest */
            flight_free(mine);
        mine = NULL;
        for (int i = 0; i < w->count && !has_place; i++) { /* looked for again after the wait */
            rn__dns_answer_unref(w->answers[i]);
            w->answers[i] = NULL;
        }
        if (!has_place)
            err = rn_sem_acquire(ctx, &r->parallel, 1);
        has_place = !err;
        if (!err)
            err = flight_new(r, w->name, missing, n, &mine);
    }
    if (mine)
        flight_free(mine);
    if (has_place)
        rn_sem_release(&r->parallel, 1);
    *ret_f = f;
    return err;
}

/* Under the lock, which is given up. */
static void leave(rn_dns *r, struct flight *f)
{
    bool last = --f->refs == 0, closes = f->open && (last || f->left == 0);

    /* Nobody joins one that is over: its answer is kept, or is not to be. */
    if (closes)
        f->open = false;
    if (last && !f->cleared)
        unlist(r, f);
    last |= --f->inside == 0 && f->cleared;
    pthread_mutex_unlock(&r->lock);
    if (last)
        flight_free(f);
    if (closes)
        rn_sem_release(&r->parallel, 1);
}

/* A step, as the driver: wait, and let c-ares work. Under the lock, which is given up meanwhile. */
static int drive(struct rn_ctx *ctx, rn_dns *r, struct flight *f)
{
    struct dns_ready ready[16];
    struct timeval tv, *t;
    uint64_t run = f->run;
    int n, err, poll = f->poll;
    rn_dur d;
    rn_ctx *bound;

    if (!f->started) {
        f->started = true;
        pthread_mutex_unlock(&r->lock);
        for (int i = 0; i < f->count; i++)
            ares_query(f->channel, f->name, 1 /* IN */, f->types[i], on_answer, &f->queries[i]);
        pthread_mutex_lock(&r->lock);
        return 0;
    }
    t = ares_timeout(f->channel, NULL, &tv);
    d = t ? t->tv_sec * RN_SECOND + t->tv_usec * RN_MICROSECOND + RN_MILLISECOND : RN_SECOND;
    err = rn__ctx_with_timeout_err(ctx ? ctx : rn_ctx_background(), d, &bound);
    if (err)
        return err;
    f->bound = bound;
    step_out(r, f);
    err = rn_wait_fd(poll, RN_READ, bound);
    step_in(r, f, run);
    f->bound = NULL;
    pthread_mutex_unlock(&r->lock);
    rn_ctx_end(bound);
    n = ctx ? rn_ctx_err(ctx) : 0;
    if (n) {
        err = n;
    } else if (err >= 0 || err == -ETIMEDOUT) {
        err = 0;
        n = rn__dns_poll_get(poll, ready, 16);
        for (int i = 0; i < n; i++)
            ares_process_fd(f->channel, ready[i].readable ? ready[i].fd : ARES_SOCKET_BAD,
                            ready[i].writable ? ready[i].fd : ARES_SOCKET_BAD);
        if (n == 0)
            ares_process_fd(f->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
    pthread_mutex_lock(&r->lock);
    return err;
}

/* Wait until the driver's step is over. Under the lock, which is given up meanwhile. */
static int follow(struct rn_ctx *ctx, rn_dns *r, struct flight *f)
{
    uint64_t run = f->run;
    rn_chan(rn_unit) over;
    int err;

    if (!f->step) {
        struct step *s = calloc(1, sizeof *s);

        if (!s)
            return -ENOMEM;
        err = rn_chan_make_err(&s->over, 0);
        if (err) {
            free(s);
            return err;
        }
        f->step = s;
    }
    over = f->step->over;
    step_out(r, f);
    err = rn_recv_ctx(ctx, over, (rn_unit *)NULL);
    step_in(r, f, run);
    return err == -EPIPE ? 0 : err; /* closed */
}

/* The driver's step is over, or it leaves. Under the lock, which is given up meanwhile. */
static void land(rn_dns *r, struct flight *f)
{
    struct step *s = f->step;

    f->driven = false;
    if (!s)
        return;
    f->step = NULL;
    s->next = f->past; /* for those who have not seen it yet */
    f->past = s;
    pthread_mutex_unlock(&r->lock);
    rn_close(s->over);
    pthread_mutex_lock(&r->lock);
}

/* What has come of w, borrowed; the places, as bits. Under the lock. */
static unsigned collect(struct flight *f, struct want *w)
{
    unsigned fresh = 0;

    for (int i = 0; i < w->count; i++)
        for (int j = 0; j < f->count; j++)
            if (w->types[i] == f->types[j] && !w->answers[i] && f->answers[j]) {
                w->answers[i] = f->answers[j];
                fresh |= 1u << i;
            }
    return fresh;
}

/* Tell of some places. own: the answers are w's own, and are given up before. */
static void tell(struct want *w, unsigned which, bool own)
{
    rn_addr addrs[TYPES][ADDRS];
    rn_found_fn *found = w->found;
    int n[TYPES] = {0};

    for (int i = 0; i < w->count; i++) {
        struct answer *a = w->answers[i];

        if (!(which & 1u << i))
            continue;
        for (size_t j = 0; j < a->pub.count && n[i] < ADDRS; j++)
            addrs[i][n[i]++] = a->records[j].addr;
        w->told[i] = true;
        w->errs[i] = a->err;
        if (own) {
            rn__dns_answer_unref(a);
            w->answers[i] = NULL;
        }
    }
    for (int i = 0; i < w->count; i++)
        if (n[i] > 0)
            found(w->arg, addrs[i], n[i]);
}

/* What w has from the cache becomes f's, and is borrowed from there. False: no memory. Under the lock. */
static bool lend(struct flight *f, struct want *w)
{
    for (int i = 0; i < w->count; i++) {
        struct kept *k = w->answers[i] ? malloc(sizeof *k) : NULL;

        if (!w->answers[i])
            continue;
        if (!k) {
            rn__dns_answer_unref(w->answers[i]);
            w->answers[i] = NULL;
            for (; ++i < w->count; w->answers[i] = NULL)
                rn__dns_answer_unref(w->answers[i]);
            return false;
        }
        *k = (struct kept){f->kept, w->answers[i]};
        f->kept = k;
    }
    return true;
}

/* Get all that is wanted; the caller has references to the answers then, whatever is returned, unless it is told. */
static int ask(struct rn_ctx *ctx, rn_dns *r, struct want *w)
{
    unsigned kept = 0;
    struct flight *f;
    uint64_t run;
    int err = board(ctx, r, w, &f);

    for (int i = 0; i < w->count && err && w->found; i++) {
        rn__dns_answer_unref(w->answers[i]);
        w->answers[i] = NULL;
    }
    if (err)
        return err;
    for (int i = 0; i < w->count; i++)
        kept |= w->answers[i] ? 1u << i : 0;
    if (!f) {
        if (w->found)
            tell(w, kept, true);
        return 0;
    }
    pthread_mutex_lock(&r->lock);
    run = f->run;
    if (!lend(f, w)) {
        err = -ENOMEM;
    } else if (kept && w->found) {
        step_out(r, f);
        tell(w, kept, false);
        step_in(r, f, run);
    }
    while (!err) {
        unsigned fresh = collect(f, w);

        if (fresh && w->found) {
            step_out(r, f);
            tell(w, fresh, false);
            step_in(r, f, run);
        } else if (f->left == 0) {
            break;
        } else if (!f->driven) {
            f->driven = true;
            err = drive(ctx, r, f);
            land(r, f);
        } else {
            err = follow(ctx, r, f);
        }
    }
    for (int i = 0; i < w->count; i++) {
        if (w->found)
            w->answers[i] = NULL;
        else if (w->answers[i])
            rn__dns_answer_ref(w->answers[i]);
    }
    leave(r, f);
    return err;
}

/* ---- Configuration -------------------------------------------------------------------------------------------- */

static void domains_free(rn_dns *r)
{
    while (r->domain_count > 0)
        free(r->domains[--r->domain_count]);
}

static void add_domain(rn_dns *r, const char *text, size_t n)
{
    while (n > 0 && text[n - 1] == '.')
        n--;
    if (n > 0 && r->domain_count < SEARCH_MAX) {
        r->domains[r->domain_count] = strndup(text, n);
        r->domain_count += r->domains[r->domain_count] != NULL;
    }
}

/* Follow resolv.conf. Under the lock. */
static void configure(rn_dns *r)
{
    struct ares_options o;
    ares_channel channel;
    bool changed = false;
    int mask = 0;

    (void)rn__dns_file(&r->resolv, &changed);
    if (r->configured && !changed)
        return;
    if (r->configured)
        rn__dns_cache_clear(&r->cache); /* another network */
    r->configured = true;
    domains_free(r);
    r->ndots = 1;
    if (channel_new(r, NULL, &channel) == 0) {
        if (ares_save_options(channel, &o, &mask) == ARES_SUCCESS) {
            r->ndots = o.ndots;
            for (int i = 0; !r->search && i < o.ndomains; i++)
                add_domain(r, o.domains[i], strlen(o.domains[i]));
            ares_destroy_options(&o);
        }
        ares_destroy(channel);
    }
    if (r->options.ndots)
        r->ndots = r->options.ndots > 0 ? r->options.ndots : 0;
    for (const char *p = r->search; p && *p;) {
        size_t n = strcspn(p, ", ");

        add_domain(r, p, n);
        p += n + (p[n] != 0);
    }
}

static void dns_free(rn_dns *r)
{
    rn__dns_cache_free(&r->cache);
    domains_free(r);
    free(r->servers);
    free(r->search);
    free(r->hosts.path);
    free(r->hosts.text);
    free(r->nsswitch.path);
    free(r->nsswitch.text);
    free(r->resolv.path);
    free(r->resolv.text);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* Text, or else other; NULL for an empty one. */
static bool copy_text(char **to, const char *text, const char *other)
{
    text = text ? text : other;
    if (!text || !*text)
        return true;
    *to = strdup(text);
    return *to != NULL;
}

int rn_dns_new(const rn_dns_options *options, rn_dns **ret_r)
{
    rn_dns *r = calloc(1, sizeof *r);
    ares_channel channel;
    int err;

    if (!r)
        return -ENOMEM;
    r->refs = 1;
    pthread_mutex_init(&r->lock, NULL);
    if (options)
        r->options = *options;
    r->parallel = (rn_sem)RN_SEM(r->options.parallel > 0 ? r->options.parallel : PARALLEL_DEFAULT);
    err = rn__dns_cache_init(&r->cache, r->options.cache_size < 0   ? 0
                                        : r->options.cache_size > 0 ? (size_t)r->options.cache_size
                                                                    : CACHE_DEFAULT);
    if (!err && (!copy_text(&r->servers, r->options.servers, NULL) ||
                 !copy_text(&r->hosts.path, r->options.hosts_file, "/etc/hosts") ||
                 !copy_text(&r->resolv.path, r->options.resolv_file, "/etc/resolv.conf") ||
                 !copy_text(&r->nsswitch.path, r->options.nsswitch_file, "/etc/nsswitch.conf") ||
                 (r->options.search && !(r->search = strdup(r->options.search)))))
        err = -ENOMEM;
    if (!err && r->servers) {
        err = channel_new(r, NULL, &channel);
        if (!err)
            ares_destroy(channel);
        else if (err != -ENOMEM)
            err = rn_errorf(-EINVAL, "dns: servers %.60s are none", r->servers);
    }
    if (err) {
        dns_free(r);
        return err;
    }
    *ret_r = r;
    return 0;
}

rn_dns *rn_dns_retain(rn_dns *r)
{
    if (r)
        add_relaxed(&r->refs, 1); /* the caller has one */
    return r;
}

void rn_dns_release(rn_dns *r)
{
    if (r && sub_acq_rel(&r->refs, 1) == 1) /* pairs with the others' */
        dns_free(r);
}

rn_dns *rn_dns_system(void)
{
    static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
    static rn_dns *made; /* for the life of the process */
    rn_dns *r;

    pthread_mutex_lock(&making);
    if (!made && rn_dns_new(NULL, &made))
        made = NULL;
    r = made;
    pthread_mutex_unlock(&making);
    return r;
}

/* A call's resolver, with a reference; NULL: no memory. */
static rn_dns *begin(rn_dns *r)
{
    return rn_dns_retain(r ? r : rn_dns_system());
}

void rn_dns_flush(rn_dns *r)
{
    r = begin(r);
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    rn__dns_cache_clear(&r->cache);
    pthread_mutex_unlock(&r->lock);
    rn_dns_release(r);
}

void rn_dns_get_stats(rn_dns *r, rn_dns_stats *ret_stats)
{
    r = begin(r);
    *ret_stats = (rn_dns_stats){0};
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    *ret_stats = r->stats;
    ret_stats->entries = r->cache.count;
    pthread_mutex_unlock(&r->lock);
    rn_dns_release(r);
}

/* ---- Hosts ---------------------------------------------------------------------------------------------------- */

/* Addresses go where they are wanted, in the order in which they are found. */
struct finding {
    rn_found_fn *found;
    void *arg;
    bool any;
};

static void found(struct finding *to, const rn_addr *addrs, int n)
{
    if (n > 0) {
        to->any = true;
        to->found(to->arg, addrs, n);
    }
}

/* What may be asked for: up to 253 bytes in labels of 1 to 63; what a host may be called is the server's business. */
static bool is_name(const char *name)
{
    size_t n = strlen(name), label = 0;

    if (n > 1 && name[n - 1] == '.')
        n--;
    if (n == 0 || n > 253)
        return false;
    for (size_t i = 0; i <= n; i++) {
        if (i == n || name[i] == '.') {
            if (label == 0 || label > 63)
                return false;
            label = 0;
        } else if ((unsigned char)name[i] <= ' ' || (unsigned char)name[i] >= 127 ||
                   name[i] == '\\') {
            return false;
        } else {
            label++;
        }
    }
    return true;
}

static int no_such(const char *name, int err)
{
    if (err == -ENOENT || err == -ENODATA)
        return rn_errorf(err, "lookup %.80s: %s", name,
                         err == -ENOENT ? "no such host" : "no such record");
    if (err == -EAGAIN)
        return rn_errorf(err, "lookup %.80s: no server has an answer", name);
    if (err == -EBADMSG)
        return rn_errorf(err, "lookup %.80s: the answer cannot be read", name);
    if (err == -EINVAL)
        return rn_errorf(err, "lookup %.80s: this is no name", name);
    return err;
}

/* There is no such host, or it has no such address: somebody else may know better. */
static bool is_none(int err)
{
    return err == -ENOENT || err == -ENODATA;
}

/* What is known after before, and then err: that it exists is more than that it does not, a failure more than both. */
static int known_of(int before, int err)
{
    return err == -ENOENT || (err == -ENODATA && before != -ENOENT) ? before : err;
}

static void arrived(void *arg, const rn_addr *addrs, int n)
{
    found(arg, addrs, n);
}

/* One candidate. 0: found; is_none: try the next. */
static int ask_host(struct rn_ctx *ctx, rn_dns *r, const char *name, int family, struct finding *to)
{
    static const int both[] = {RN_DNS_AAAA, RN_DNS_A};
    struct want w = {.name = name,
                     .types = family == 4 ? both + 1 : both,
                     .count = family ? 1 : 2,
                     .found = arrived,
                     .arg = to};
    int err = ask(ctx, r, &w), known = -ENOENT;

    if (err)
        return err;
    for (int i = 0; i < w.count && !to->any; i++)
        known = known_of(known, w.told[i] ? w.errs[i] : -ENOMEM);
    return to->any ? 0 : known;
}

static int by_dns(struct rn_ctx *ctx, rn_dns *r, const char *host, int family, struct finding *to)
{
    char domains[SEARCH_MAX][256], name[DNS_NAME];
    size_t n = strlen(host);
    int count = 0, dots = 0, err = -ENOENT;
    bool as_is_first;

    for (const char *p = host; *p; p++)
        dots += *p == '.';
    pthread_mutex_lock(&r->lock);
    configure(r);
    as_is_first = dots >= r->ndots;
    if (host[n - 1] != '.')
        for (; count < r->domain_count; count++)
            snprintf(domains[count], sizeof domains[count], "%s", r->domains[count]);
    pthread_mutex_unlock(&r->lock);
    snprintf(name, sizeof name, "%.*s", (int)(host[n - 1] == '.' ? n - 1 : n), host);
    if (as_is_first || count == 0)
        err = ask_host(ctx, r, name, family, to);
    for (int i = 0; is_none(err) && i < count; i++) {
        snprintf(name, sizeof name, "%s.%.255s", host, domains[i]);
        err = known_of(err, is_name(name) ? ask_host(ctx, r, name, family, to) : -ENOENT);
    }
    if (is_none(err) && !as_is_first && count > 0)
        err = known_of(err, ask_host(ctx, r, host, family, to));
    return err;
}

/* ---- All sources ---------------------------------------------------------------------------------------------- */

static bool is_localhost(const char *host)
{
    size_t n = strlen(host);

    if (n > 0 && host[n - 1] == '.')
        n--;
    return (n == 9 && strncasecmp(host, "localhost", 9) == 0) ||
           (n > 10 && strncasecmp(host + n - 10, ".localhost", 10) == 0);
}

static int by_files(rn_dns *r, const char *host, int family, struct finding *to)
{
    rn_addr addrs[2][ADDRS];
    int n[2];

    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < 2; i++)
        n[i] = rn__dns_hosts(rn__dns_file(&r->hosts, NULL), host, i ? 6 : 4, addrs[i], ADDRS);
    pthread_mutex_unlock(&r->lock);
    if (family != 4)
        found(to, addrs[1], n[1]);
    if (family != 6)
        found(to, addrs[0], n[0]);
    return to->any ? 0 : n[0] + n[1] > 0 ? -ENODATA : -ENOENT;
}

static int by_system(struct rn_ctx *ctx, const char *host, int family, struct finding *to)
{
    rn_addr addrs[ADDRS];
    int n = rn__net_ask_libc(ctx, host, family, addrs, ADDRS);

    found(to, addrs, n);
    return n < 0 ? n : 0;
}

static int sources_of(rn_dns *r, const char *host, enum dns_source sources[4])
{
    int n;

    pthread_mutex_lock(&r->lock);
    n = rn__dns_sources(rn__dns_file(&r->nsswitch, NULL), host, sources);
    pthread_mutex_unlock(&r->lock);
    return n;
}

static int host_of(struct rn_ctx *ctx, rn_dns *r, const char *host, int family, struct finding *to)
{
    enum dns_source sources[4];
    rn_addr a;
    int err = ctx ? rn_ctx_err(ctx) : 0, count;

    if (err)
        return err;
    if (rn__dns_number(&a, host)) {
        sa_family_t its;

        memcpy(&its, &a, sizeof its);
        if (family && (family == 6) != (its == AF_INET6))
            return no_such(host, -ENODATA);
        found(to, &a, 1);
        return 0;
    }
    if (!is_name(host))
        return no_such(host, -EINVAL);
    if (is_localhost(host)) {
        if (family != 4 && rn__dns_number(&a, "::1"))
            found(to, &a, 1);
        if (family != 6 && rn__dns_number(&a, "127.0.0.1"))
            found(to, &a, 1);
        return 0;
    }
    count = sources_of(r, host, sources);
    err = -ENOENT;
    for (int i = 0; i < count && !to->any; i++) {
        int e = sources[i] == SOURCE_FILES ? by_files(r, host, family, to)
                : sources[i] == SOURCE_DNS ? by_dns(ctx, r, host, family, to)
                                           : by_system(ctx, host, family, to);

        if (ctx && rn_ctx_err(ctx))
            return rn_ctx_err(ctx);
        err = known_of(err, e);
    }
    return to->any ? 0 : no_such(host, err);
}

/* IPv6 and IPv4 apart. */
struct sorted {
    rn_addr addrs[2][ADDRS];
    int n[2];
};

static void sort_in(void *arg, const rn_addr *addrs, int n)
{
    struct sorted *s = arg;

    for (int i = 0; i < n; i++) {
        sa_family_t family;
        int k;

        memcpy(&family, &addrs[i], sizeof family);
        k = family == AF_INET;
        if (s->n[k] < ADDRS)
            s->addrs[k][s->n[k]++] = addrs[i];
    }
}

int rn_dns_host(struct rn_ctx *ctx, rn_dns *r, const char *host, int family, rn_addr *ret_addrs,
                int room)
{
    struct sorted s; /* on the stack: it goes with a goroutine that goes with its run */
    struct finding to = {sort_in, &s, false};
    int err = -ENOMEM, n = 0;

    s.n[0] = s.n[1] = 0;
    r = begin(r);
    if (r)
        err = host_of(ctx, r, host, family, &to);
    if (!err) {
        bool last = s.n[0] > 0 && s.n[1] > 0 && !rn__dns_reachable(&s.addrs[0][0]);

        for (int k = 0; k < 2; k++)
            for (int i = 0, which = last ? 1 - k : k; i < s.n[which]; i++, n++)
                if (n < room)
                    ret_addrs[n] = s.addrs[which][i];
    }
    rn_dns_release(r);
    return err ? err : n;
}

/* ---- Records -------------------------------------------------------------------------------------------------- */

static int by_priority(const void *a, const void *b)
{
    const rn_dns_record *x = a, *y = b;

    return x->priority != y->priority ? (x->priority > y->priority) - (x->priority < y->priority)
                                      : (x->weight > 0) - (y->weight > 0); /* those of none first */
}

/* RFC 2782: of one priority, each place goes to one by chance, as its weight says. */
static void shuffle(rn_dns_record *r, size_t n)
{
    uint64_t random = (uint64_t)rn_now() * 0x9e3779b97f4a7c15u | 1;

    for (size_t i = 0; i + 1 < n; i++) {
        uint64_t sum = 0, at;
        size_t end = i, k = i;
        rn_dns_record chosen;

        for (; end < n && r[end].priority == r[i].priority; end++)
            sum += r[end].weight;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        at = random % (sum + 1);
        for (sum = r[k].weight; sum < at; sum += r[k].weight)
            k++;
        chosen = r[k];
        memmove(&r[i + 1], &r[i], (k - i) * sizeof *r);
        r[i] = chosen;
    }
}

static int ask_one(struct rn_ctx *ctx, rn_dns *r, const char *name, int type, struct answer **ret_a)
{
    struct want w = {.name = name, .types = &type, .count = 1};
    char bare[DNS_NAME];
    size_t n = strlen(name);
    int err;

    if (!is_name(name))
        return -EINVAL;
    snprintf(bare, sizeof bare, "%.*s", (int)(name[n - 1] == '.' ? n - 1 : n), name);
    w.name = bare;
    pthread_mutex_lock(&r->lock);
    configure(r);
    pthread_mutex_unlock(&r->lock);
    err = ask(ctx, r, &w);
    if (!err && !w.answers[0])
        err = -ENOMEM;
    if (!err)
        err = w.answers[0]->err;
    if (err)
        rn__dns_answer_unref(w.answers[0]);
    else
        *ret_a = w.answers[0];
    return err;
}

int rn_dns_lookup(struct rn_ctx *ctx, rn_dns *r, const char *name, enum rn_dns_type type,
                  rn_dns_answer **ret_answer)
{
    struct answer *a = NULL;
    int err = ctx ? rn_ctx_err(ctx) : 0;

    if (err)
        return err;
    r = begin(r);
    if (!r)
        return -ENOMEM;
    err = ask_one(ctx, r, name, (int)type, &a);
    rn_dns_release(r);
    if (!err && (type == RN_DNS_SRV || type == RN_DNS_MX)) {
        struct answer *mine = rn__dns_answer_copy(a);

        rn__dns_answer_unref(a);
        if (!mine)
            return -ENOMEM;
        a = mine;
        qsort(a->records, a->pub.count, sizeof *a->records, by_priority);
        if (type == RN_DNS_SRV)
            shuffle(a->records, a->pub.count);
    }
    if (err)
        return ctx && err == rn_ctx_err(ctx) ? err : no_such(name, err);
    *ret_answer = &a->pub;
    return (int)a->pub.count;
}

int rn_dns_name(struct rn_ctx *ctx, rn_dns *r, const rn_addr *a, char *name, size_t size)
{
    char reverse[128];
    struct answer *answer = NULL;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    rn_addr bare = {{0}};
    size_t n, at = 0;
    int err = ctx ? rn_ctx_err(ctx) : 0;

    if (err)
        return err;
    memcpy(&in, a, sizeof in);
    memcpy(&in6, a, sizeof in6);
    if (in.sin_family == AF_INET) {
        const uint8_t *b = (const uint8_t *)&in.sin_addr;
        socklen_t length = sizeof in;

        snprintf(reverse, sizeof reverse, "%d.%d.%d.%d.in-addr.arpa", b[3], b[2], b[1], b[0]);
        in.sin_port = 0;
        memcpy(&bare, &in, sizeof in);
        memcpy((char *)&bare + sizeof bare - sizeof length, &length, sizeof length);
    } else if (in.sin_family == AF_INET6) {
        socklen_t length = sizeof in6;

        for (int i = 15; i >= 0; i--)
            at += (size_t)snprintf(reverse + at, sizeof reverse - at, "%x.%x.",
                                   in6.sin6_addr.s6_addr[i] & 15, in6.sin6_addr.s6_addr[i] >> 4);
        snprintf(reverse + at, sizeof reverse - at, "ip6.arpa");
        in6.sin6_port = 0;
        memcpy(&bare, &in6, sizeof in6);
        memcpy((char *)&bare + sizeof bare - sizeof length, &length, sizeof length);
    } else {
        return rn_errorf(-EINVAL, "lookup: not the address of a host");
    }
    r = begin(r);
    if (!r)
        return -ENOMEM;
    pthread_mutex_lock(&r->lock);
    n = rn__dns_hosts_name(rn__dns_file(&r->hosts, NULL), &bare, name, size);
    pthread_mutex_unlock(&r->lock);
    if (n == 0) {
        err = ask_one(ctx, r, reverse, RN_DNS_PTR, &answer);
        if (!err) {
            n = strlen(answer->records[0].name);
            if (n < size)
                memcpy(name, answer->records[0].name, n + 1);
            rn__dns_answer_unref(answer);
        }
    }
    rn_dns_release(r);
    if (err)
        return ctx && err == rn_ctx_err(ctx) ? err : no_such(reverse, err);
    return n < size ? (int)n : -ENOBUFS;
}

/* ---- For rn_dial ---------------------------------------------------------------------------------------------- */

static rn_dns *used; /* atomic; NULL: the system's */

static int resolve(struct rn_ctx *ctx, const char *host, int family, rn_found_fn *fn, void *arg)
{
    struct finding to = {fn, arg, false};
    rn_dns *r = begin(load_acquire(&used)); /* pairs with rn_dns_use */
    int err;

    if (!r)
        return -ENOMEM;
    err = host_of(ctx, r, host, family, &to);
    rn_dns_release(r);
    /* Who dials asks for no family as such: nothing to dial is nobody there, as with the C library. */
    return err == -ENODATA ? no_such(host, -ENOENT) : err;
}

void rn_dns_use(rn_dns *r)
{
    if (r)
        store_release(&used,
                      rn_dns_retain(r)); /* for the life of the process: a dial may be in it */
    rn_set_resolver(r ? resolve : NULL);
}

__attribute__((constructor)) static void be_used(void)
{
    rn_set_resolver(resolve);
}

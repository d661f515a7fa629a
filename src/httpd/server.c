/* SPDX-License-Identifier: MIT */
/* server.c - servers, their routes, serving and its end. See httpd.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "httpd/httpd.h"

_Static_assert(!RN__INLINE_FAST, "locks whose edges ThreadSanitizer is not told of");

static void clear_away(rn_httpd *h);

static void *must(void *p)
{
    if (!p)
        rn_panic("httpd: out of memory");
    return p;
}

static rn_dur or_default(rn_dur d, rn_dur normal)
{
    return d == 0 ? normal : d < 0 ? INT64_MAX / 2 : d;
}

rn_httpd *rn_httpd_new(const rn_httpd_options *options)
{
    void *p = NULL;
    rn_httpd *h;

    if (posix_memalign(&p, CACHE_LINE, sizeof *h))
        p = NULL;
    h = must(p);
    memset(h, 0, sizeof *h);
    if (options)
        h->o = *options;
    h->o.max_target = h->o.max_target ? h->o.max_target : 8192;
    h->o.max_head = h->o.max_head ? h->o.max_head : 65536;
    if (h->o.max_head > 1 << 30)
        h->o.max_head = 1 << 30;
    h->o.max_headers = h->o.max_headers > 0 ? h->o.max_headers : 100;
    h->o.max_body = h->o.max_body == 0 ? 1 << 30 : h->o.max_body < 0 ? INT64_MAX : h->o.max_body;
    h->o.head_timeout = or_default(h->o.head_timeout, 10 * RN_SECOND);
    h->o.body_timeout = or_default(h->o.body_timeout, 30 * RN_SECOND);
    h->o.idle_timeout = or_default(h->o.idle_timeout, 60 * RN_SECOND);
    h->o.write_timeout = or_default(h->o.write_timeout, 30 * RN_SECOND);
    h->o.drain = h->o.drain == 0 ? 100 * RN_MILLISECOND : h->o.drain < 0 ? 0 : h->o.drain;
    h->o.grace = or_default(h->o.grace, 30 * RN_SECOND);
    return h;
}

void rn_httpd_free(rn_httpd *h)
{
    if (!h)
        return;
    clear_away(h);
    for (int i = 0; i < h->count; i++) {
        free(h->routes[i]->method);
        free(h->routes[i]->pattern);
        free(h->routes[i]);
    }
    free(h->routes);
    rn__httpd_blocks_free(h);
    free(h);
}

/* ---- Routes --------------------------------------------------------------------------------------- */

static bool pattern_is_one(const char *p)
{
    if (*p != '/')
        return false;
    for (; *p; p++)
        if (*p == '{') {
            const char *end = strchr(p, '}');

            if (p[-1] != '/' || !end || end == p + 1 || (end[1] && end[1] != '/') ||
                memchr(p, '/', (size_t)(end - p)))
                return false;
            p = end;
        } else if (*p == '}') {
            return false;
        }
    return true;
}

/* Which of two is looked at first: < 0: a. */
static int order(const struct route *a, const struct route *b)
{
    size_t la = strlen(a->pattern), lb = strlen(b->pattern);

    if (a->fixed != b->fixed)
        return a->fixed > b->fixed ? -1 : 1;
    if (a->subtree != b->subtree)
        return a->subtree ? 1 : -1;
    if (la != lb)
        return la > lb ? -1 : 1;
    return (a->method ? 0 : 1) - (b->method ? 0 : 1);
}

static void registered(struct rn__call *call)
{
    struct route *r = container_of(call, struct route, call);
    rn_httpd *h = r->h;
    int i;

    for (i = 0; i < h->count; i++)
        if (strcmp(h->routes[i]->pattern, r->pattern) == 0 &&
            (r->method && h->routes[i]->method ? strcmp(r->method, h->routes[i]->method) == 0
                                               : r->method == h->routes[i]->method))
            rn_panic("httpd: a handler for %s%s%s is there already", r->method ? r->method : "",
                     r->method ? " " : "", r->pattern);
    h->routes = must(realloc(h->routes, (size_t)(h->count + 1) * sizeof *h->routes));
    for (i = h->count++; i > 0 && order(r, h->routes[i - 1]) < 0; i--)
        h->routes[i] = h->routes[i - 1];
    h->routes[i] = r;
}

struct rn__call *rn__httpd_handle_begin(rn_httpd *h, const char *pattern, void (*fn)(void))
{
    void *p = NULL;
    const char *space = strchr(pattern, ' '), *path = space ? space + 1 : pattern, *brace;
    struct route *r;

    if (!fn)
        rn_panic("httpd: nil handler");
    if (!pattern_is_one(path) || (space && !rn__is_token(pattern, (size_t)(space - pattern))))
        rn_panic("httpd: invalid pattern \"%s\"", pattern);
    if (posix_memalign(&p, 16, sizeof *r))
        p = NULL;
    r = must(p);
    memset(r, 0, sizeof *r);
    r->h = h;
    r->pattern = must(strdup(path));
    if (space)
        r->method = must(strndup(pattern, (size_t)(space - pattern)));
    brace = strchr(path, '{');
    r->fixed = brace ? (size_t)(brace - path) : strlen(path);
    r->subtree = path[strlen(path) - 1] == '/';
    r->call.fn = fn;
    r->call.op = registered;
    return &r->call;
}

void rn_httpd_handle_fn(rn_httpd *h, const char *pattern,
                        void (*fn)(rn_httpd_request *, rn_httpd_response *, void *), void *arg)
{
    rn_httpd_handle(h, pattern, fn, arg);
}

/* Does path fit? With a name, also where the segment for it lies. */
bool rn__route_match(const struct route *r, const char *path, const char *name, const char **ret_at,
                     size_t *ret_n)
{
    const char *p = r->pattern;

    while (*p) {
        if (*p == '{') {
            const char *end = strchr(p, '}'), *at = path;

            while (*path && *path != '/')
                path++;
            if (path == at)
                return false;
            if (name && strncmp(p + 1, name, (size_t)(end - p - 1)) == 0 &&
                name[end - p - 1] == 0) {
                *ret_at = at;
                *ret_n = (size_t)(path - at);
                return true;
            }
            p = end + 1;
        } else if (*p++ != *path++) {
            return false;
        }
    }
    return !name && (*path == 0 || r->subtree);
}

/* NULL: none; allow then lists the methods that would do. */
struct route *rn__route_find(rn_httpd *h, const char *method, const char *path, char *allow,
                             size_t room)
{
    size_t n = 0;

    allow[0] = 0;
    for (int i = 0; i < h->count; i++) {
        struct route *r = h->routes[i];

        if (!rn__route_match(r, path, NULL, NULL, NULL))
            continue;
        if (!r->method || strcmp(r->method, method) == 0 ||
            (strcmp(method, "HEAD") == 0 && strcmp(r->method, "GET") == 0))
            return r;
        if (n + strlen(r->method) + 10 < room && !strstr(allow, r->method)) {
            const char *more = strcmp(r->method, "GET") == 0 ? "GET, HEAD" : r->method;

            if (n) {
                memcpy(allow + n, ", ", 3);
                n += 2;
            }
            memcpy(allow + n, more, strlen(more) + 1);
            n += strlen(more);
        }
    }
    return NULL;
}

/* ---- TCP and Unix sockets as streams ------------------------------------------------------------------ */

static ssize_t tcp_read(void *s, void *buf, size_t size)
{
    return rn_read(s, buf, size);
}
static ssize_t tcp_writev(void *s, const struct iovec *iov, int count)
{
    return count == 1 ? rn_write(s, iov->iov_base, iov->iov_len) : rn_writev(s, iov, count);
}
static int tcp_wait_read(rn_ctx *ctx, void *s)
{
    return rn_wait_read_ctx(ctx, s);
}
static int tcp_set_read_deadline(void *s, rn_time t)
{
    return rn_set_read_deadline(s, t);
}
static int tcp_set_write_deadline(void *s, rn_time t)
{
    return rn_set_write_deadline(s, t);
}
static int tcp_close_write(void *s)
{
    return rn_close_write(s);
}
static void tcp_cancel(void *s)
{
    rn_conn_cancel(s);
}
static int tcp_remote(void *s, rn_addr *ret_addr)
{
    return rn_remote_addr(s, ret_addr);
}
/* Whether the kernel has something of which we have not been told yet. */
static bool tcp_has_come(void *s)
{
    char byte;

    return recv(rn_conn_fd(s), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}
static int tcp_open(rn_conn *c, void *arg, void **ret_stream)
{
    (void)arg;
    *ret_stream = c;
    return 0;
}
static void tcp_close(void *s)
{
    rn_conn_close(s);
}
const rn_httpd_transport rn__httpd_tcp = {
    .stream = {.read = tcp_read,
               .writev = tcp_writev,
               .wait_read = tcp_wait_read,
               .set_read_deadline = tcp_set_read_deadline,
               .set_write_deadline = tcp_set_write_deadline,
               .close_write = tcp_close_write,
               .cancel = tcp_cancel,
               .remote = tcp_remote,
               .has_come = tcp_has_come},
    .open = tcp_open,
    .close = tcp_close,
};

/* ---- Serving ---------------------------------------------------------------------------------------------- */

static void sweep(struct serving *sv, rn_time now)
{
    const rn_httpd_options *o = &sv->h->o;
    const rn_dur limits[PHASES] = {
        INT64_MAX / 2,   o->head_timeout,  o->body_timeout,
        o->idle_timeout, o->write_timeout, RN_SECOND,
    };

    rn_mutex_lock(&sv->lock);
    for (struct conn *c = sv->first; c; c = c->next) {
        uint32_t word = load_acquire(&c->word);
        enum phase phase = (enum phase)(word & 7);
        uint64_t sent = 0;

        if (phase == WRITING && is_socket(c))
            sent = rn_conn_sent(c->stream);
        if (word != c->seen || sent != c->seen_sent) {
            c->seen = word;
            c->seen_sent = sent;
            c->seen_at = now;
        } else if (phase != BUSY && now - c->seen_at >= limits[phase]) {
            store_release(&c->verdict, word); /* pairs with the load in timed_out */
            fence_seq_cst();                  /* pairs with rn__c_wrote */
            if (load_relaxed(&c->word) != word)
                continue; /* it has just gone on */
            if (phase == WRITING)
                c->ops->set_write_deadline(c->stream, 1);
            else
                c->ops->set_read_deadline(c->stream, 1);
        } else if (phase == IDLE && load_relaxed(&c->deep) && !load_relaxed(&c->nudged)) {
            store_release(&c->nudged, 1); /* likewise */
            c->ops->set_read_deadline(c->stream, 1);
        }
    }
    rn_mutex_unlock(&sv->lock);
}

static void sweeper(struct sweeping *s)
{
    const rn_httpd_options *o = s->o;
    rn_dur tick = RN_SECOND;
    const rn_dur all[] = {o->head_timeout, o->body_timeout, o->idle_timeout, o->write_timeout};

    for (int i = 0; i < 4; i++)
        if (all[i] / 8 < tick)
            tick = all[i] / 8;
    if (tick < RN_MILLISECOND)
        tick = RN_MILLISECOND;
    while (rn_sleep_ctx(s->alive, tick) == 0) {
        rn_time now = rn_now();

        rn_mutex_lock(&s->lock);
        for (struct serving *sv = s->first; sv; sv = sv->next)
            sweep(sv, now);
        rn_mutex_unlock(&s->lock);
    }
    rn_wg_done(&s->sweeper);
}

static void serving_free(struct serving *sv)
{
    rn_ctx_release(sv->alive); /* not ended: whoever was left may have hooks at its children */
    rn_ctx_release(sv->cut);
    free(sv);
}

static int ctx_new(rn_ctx *parent, rn_ctx **ret_ctx)
{
    return rn__ctx_with_timeout_err(parent, INT64_MAX, ret_ctx);
}

static void sweeping_free(struct sweeping *s)
{
    if (s->alive)
        rn_ctx_end(s->alive);
    if (s->over)
        rn_ctx_end(s->over);
    free(s);
}

static int sweeping_new(const rn_httpd *h, struct sweeping **ret_s)
{
    struct sweeping *s = calloc(1, sizeof *s);
    int err = s ? ctx_new(rn_ctx_background(), &s->alive) : -ENOMEM;

    if (!err)
        err = ctx_new(rn_ctx_background(), &s->over);
    if (!err) {
        rn_ctx_cancel_cause(s->over, -ENOMEM);
        s->o = &h->o;
        s->run = rn__run_number();
        rn_wg_add(&s->sweeper, 1);
        err = rn_go_err(sweeper, s);
    }
    if (!err)
        *ret_s = s;
    else if (s)
        sweeping_free(s);
    return err;
}

/* What is left of a run that has ended is nobody's any more; h->lock held, or nobody else knows h. */
static void clear_away(rn_httpd *h)
{
    struct sweeping *s = h->sweeping;
    struct serving *next;

    if (!s || !s->run || !rn__run_gone(s->run))
        return;
    for (struct serving *sv = s->first; sv; sv = next) {
        next = sv->next;
        serving_free(sv);
    }
    sweeping_free(s);
    h->sweeping = NULL;
}

/* The next stage; idle connections look at it, and at the last all are cut off. */
static void stage_set(struct serving *sv, uint32_t stage)
{
    store_release(&sv->stage, stage);
    fence_seq_cst(); /* pairs with the one of whoever says that it is idle */
    if (stage == CUT)
        rn_ctx_cancel(sv->cut);
    rn_mutex_lock(&sv->lock);
    for (struct conn *c = sv->first; c && stage >= CLOSING; c = c->next) {
        if (stage == CUT)
            c->ops->cancel(c->stream);
        else if ((load_relaxed(&c->word) & 7) == IDLE &&
                 c->ops->set_read_deadline(c->stream, 1) == -ENOMEM)
            c->ops->cancel(c->stream); /* there is no gentler way */
    }
    rn_mutex_unlock(&sv->lock);
}

/* sv takes part in what the servings of h have in common. 0 or -ENOMEM. */
static int serving_join(struct serving *sv, rn_httpd *h)
{
    int err = 0;

    rn_mutex_lock(&h->lock);
    clear_away(h);
    if (!h->sweeping)
        err = sweeping_new(h, &h->sweeping);
    if (!err) {
        sv->sweeping = h->sweeping;
        sv->sweeping->servings++;
    }
    rn_mutex_unlock(&h->lock);
    return err;
}

/* NULL: no memory. */
static struct serving *serving_begin(rn_httpd *h)
{
    struct serving *sv = calloc(1, sizeof *sv);
    struct sweeping *s;

    if (!sv)
        return NULL;
    sv->h = h;
    if (ctx_new(rn_ctx_background(), &sv->cut) < 0 || serving_join(sv, h) < 0) {
        if (sv->cut)
            rn_ctx_end(sv->cut);
        free(sv);
        return NULL;
    }
    s = sv->sweeping;
    rn_mutex_lock(&s->lock);
    sv->next = s->first;
    sv->link = &s->first;
    if (sv->next)
        sv->next->link = &sv->next;
    s->first = sv;
    rn_mutex_unlock(&s->lock);
    return sv;
}

static void serving_end(struct serving *sv)
{
    struct sweeping *s = sv->sweeping;
    rn_httpd *h = sv->h;
    bool last;

    rn_mutex_lock(&s->lock);
    *sv->link = sv->next;
    if (sv->next)
        sv->next->link = sv->link;
    rn_mutex_unlock(&s->lock);

    rn_mutex_lock(&h->lock);
    last = --s->servings == 0;
    if (last)
        h->sweeping = NULL; /* who begins now has another */
    rn_mutex_unlock(&h->lock);
    if (last) {
        rn_ctx_cancel(s->alive);
        rn_wg_wait(&s->sweeper);
        sweeping_free(s);
    }
    rn_ctx_cancel(sv->cut);
    serving_free(sv);
}

static void conn_leave(struct conn *c)
{
    struct serving *sv = c->sv;

    rn__httpd_abandon(c);
    rn_mutex_lock(&sv->lock);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    rn_mutex_unlock(&sv->lock);
}

static void serve_one(struct serving *sv, const rn_httpd_stream *ops, void *stream)
{
    struct conn c = {.sv = sv, .h = sv->h, .ops = ops, .stream = stream};

    c.pool = add_relaxed(&sv->h->turn, 1) % POOLS;
    c.word = IDLE;
    rn_mutex_lock(&sv->lock);
    c.next = sv->first;
    c.link = &sv->first;
    if (c.next)
        c.next->link = &c.next;
    sv->first = &c;
    if (load_relaxed(&sv->stage) == CUT)
        ops->cancel(stream);
    rn_mutex_unlock(&sv->lock);

    rn_defer(conn_leave, &c); /* a handler may rn_exit */
    rn__httpd_conn(&c);
}

static void stream_close(struct serving *sv, void *stream)
{
    sv->over->close(stream);
}

static void serve_accepted(struct serving *sv, rn_conn *c)
{
    void *stream;

    rn_defer(rn_wg_done, &sv->open);
    if (sv->over->open(c, sv->over_arg, &stream) != 0) {
        rn_conn_close(c);
        return;
    }
    rn_defer(stream_close, sv, stream);
    serve_one(sv, &sv->over->stream, stream);
}

/* Without memory for its goroutine it is closed: the client may come again. */
static void begin(struct serving *sv, rn_conn *c)
{
    rn_attr attr = {.stack_size = sv->h->o.stack_size};
    struct rn__call spare;
    struct rn__call *call = rn__go_with_err_begin(&attr, &spare, RN__FN(serve_accepted, sv, c));

    if (call != &spare)
        rn_wg_add(&sv->open, 1);
    RN__CAPTURE(call, serve_accepted, sv, c);
    if (call == &spare)
        rn_conn_close(c);
}

static int accept_all(rn_ctx *ctx, struct serving *sv, rn_listener *l)
{
    rn_conn *c;
    int err;

    while ((err = rn_accept_ctx(ctx, l, &c)) == 0)
        begin(sv, c);
    return err;
}

/* For the time drain. Where there is no memory for its limit nobody is accepted: there would be none for connections. */
static void drain(struct serving *sv, rn_listener *l)
{
    rn_dur d = sv->h->o.drain;
    rn_ctx *limit;

    if (rn__ctx_with_timeout_err(rn_ctx_background(), d, &limit) < 0) {
        rn_sleep(d);
        return;
    }
    if (accept_all(limit, sv, l) < 0)
        (void)rn_sleep_ctx(limit, d); /* the listener has failed: requests may come all the same */
    rn_ctx_end(limit);
}

/* Until all connections have ended, for the time grace. Where there is no memory for its limit this looks now and then. */
static int wait_open(struct serving *sv)
{
    rn_time end = rn_now() + sv->h->o.grace;
    rn_ctx *limit;
    int err;

    while (rn__ctx_with_timeout_err(rn_ctx_background(), end - rn_now(), &limit) < 0) {
        err = rn_wg_wait_ctx(sv->sweeping->over, &sv->open);
        if (!err || rn_now() >= end)
            return err;
        rn_sleep(RN_MILLISECOND);
    }
    err = rn_wg_wait_ctx(limit, &sv->open);
    rn_ctx_end(limit);
    return err;
}

int rn_httpd_serve_over(rn_ctx *ctx, rn_httpd *h, rn_listener *l,
                        const rn_httpd_transport *transport, void *arg)
{
    int err = transport->check ? transport->check(arg) : 0;
    struct serving *sv = err ? NULL : serving_begin(h);

    if (!sv) {
        rn_listener_close(l);
        return err ? err : -ENOMEM;
    }
    sv->over = transport;
    sv->over_arg = arg;
    err = accept_all(ctx, sv, l);
    if (err == -ECANCELED || (ctx && rn_ctx_err(ctx)))
        err = 0;
    stage_set(sv, DRAINING);
    drain(sv, l);
    rn_listener_close(l);
    stage_set(sv, CLOSING);
    if (wait_open(sv) < 0)
        stage_set(sv, CUT);
    rn_wg_wait(&sv->open);
    serving_end(sv);
    return err;
}

int rn_httpd_serve(rn_ctx *ctx, rn_httpd *h, rn_listener *l)
{
    return rn_httpd_serve_over(ctx, h, l, &rn__httpd_tcp, NULL);
}

int rn_httpd_listen_and_serve(rn_ctx *ctx, rn_httpd *h, const char *network, const char *address)
{
    rn_listener *l;
    int err = rn_listen(network, address, &l);

    return err < 0 ? err : rn_httpd_serve(ctx, h, l);
}

static void end_in_order(struct serving *sv)
{
    stage_set(sv, DRAINING);
    if (rn_sleep_ctx(sv->alive, sv->h->o.drain) < 0)
        return;
    stage_set(sv, CLOSING);
    if (rn_sleep_ctx(sv->alive, sv->h->o.grace) < 0)
        return;
    stage_set(sv, CUT);
}

struct lone {
    struct serving *sv;
    rn_ctx_hook hook;
};

static void lone_over(struct lone *l)
{
    if (l->sv->alive) {
        rn_ctx_cancel(l->sv->alive);
        rn_ctx_hook_stop(&l->hook);
    }
    serving_end(l->sv);
}

/* From when ctx ends it ends in order. 0 or -ENOMEM. */
static int lone_follow(struct lone *l, rn_ctx *ctx)
{
    struct rn__call spare, *call;
    int err = ctx_new(rn_ctx_background(), &l->sv->alive);

    if (err)
        return err;
    call = rn__ctx_after_err_begin(&l->hook, ctx, &spare, RN__FN(end_in_order, l->sv));
    RN__CAPTURE(call, end_in_order, l->sv);
    return call == &spare ? -ENOMEM : 0;
}

void rn_httpd_serve_stream(rn_ctx *ctx, rn_httpd *h, const rn_httpd_stream *ops, void *stream)
{
    struct lone l = {.sv = serving_begin(h)};

    if (!l.sv)
        return;
    rn_defer(lone_over, &l); /* a handler may rn_exit */
    if (!ctx || lone_follow(&l, ctx) == 0)
        serve_one(l.sv, ops, stream);
}

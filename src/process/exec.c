/* SPDX-License-Identifier: MIT */
/*
 * exec.c - child processes.
 *
 * Each child has a minder, a goroutine that waits for whatever comes next: the exit, room for input, output to be read,
 * the end of the context, the end of a period. It waits for one descriptor, a set (os/process.h) of all that concerns
 * the child: so there is one goroutine and one stack for it, and one place where its state changes.
 *
 *   runs      until the context ends: then the group gets end_signal
 *   ending    until it exits, or the period of grace is over: then the group gets SIGKILL
 *   killed    until it exits
 *   exited    until its output has been read to the end, or `drain` is over
 *   done      reaped; who waits is told by a channel that is closed
 *
 * A child, or one of its group, may keep its output full for ever. So the context and the periods are looked at in every
 * turn, whatever else there was to do, and the end of the runtime, which finds the minder only where it waits. The end of
 * `drain` leaves nothing behind that was in the pipes at the exit: that is the child's own, and was counted then.
 *
 * The exit is seen by a pidfd, or, where the kernel has none, by a thread in waitid that sets an event. It does not
 * reap. The child stays a zombie until it is done, so that its number, which is that of its group, is nobody else's
 * while signals are sent there: what the end of a context sends last, SIGKILL to whoever is left of the group, comes
 * right before the reaping. lock is held while a signal is sent and while reaping, and `reaped` set under it.
 *
 * Life. refs counts the users, as one, and the list of all children, which is the minder's reference. users counts
 * user references; with the last, a child that is not done is killed.
 *
 * The end of a runtime. A minder that waits is dropped, and what drops it kills, reaps and tells; one that has not
 * begun is found in the list by rn__children_stop, which does the same. state says who has it: the minder claims its
 * child by number when it begins, so it need not hold memory of it before. The minder calls nothing that could
 * take its goroutine away but the wait.
 *
 * Lock order: children_lock, then nothing; lock, then nothing.
 */
#include <limits.h>
#include <runnel/ctx.h>
#include <runnel/err.h>
#include <runnel/go.h>
#include <runnel/os.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <fcntl.h>

#include "base/mem.h"
#include "base/tools.h"
#include "ctx/ctx.h"
#include "netpoll/netpoll.h"
#include "os/file.h"
#include "os/os.h"
#include "os/process.h"
#include "os/socket.h"
#include "sched/rt.h"

void rn__children_stop(void);
void rn__children_fork(void);
bool rn__signals_ignored(int n) __attribute__((weak));

static const int64_t grace_default = 5 * RN_SECOND, drain_default = RN_SECOND;
enum {
    KEEP_DEFAULT = 64 << 10,
    OUTPUT_MOST = 16 << 20,
    READ_AT_ONCE = 64 << 10,
    FDS_MOST = 61,
    PROGRAM_MOST = PATH_MAX
};

/* What the set reports. */
enum { READY_IN = 1, READY_OUT = 2, READY_ERR = 4, READY_EXIT = 8 };

enum phase { RUNS, ENDING, KILLED };
enum minder_state { MINDER_NEW, MINDER_HAS, MINDER_GONE };

/* One of the three that we read or write ourselves. */
struct stream {
    int fd;           /* our end; -1: none, or closed */
    const char *data; /* input: what is left to be written */
    size_t size;      /* of data; or read so far */
    char *buf;        /* output: kept, with room bytes */
    size_t room, limit;
    size_t owed; /* of what was there at the exit, still to be read */
    bool over;   /* more came than the limit */
    bool lost;   /* there was no memory for it */
    int err;     /* of reading or writing; 0 */
};

struct rn_child {
    uint32_t users; /* atomic */
    uint32_t refs;  /* atomic: one for the users, one for the list */

    /* Guarded by children_lock. */
    struct rn_child *next, **at;
    uint64_t id;
    uint8_t state; /* enum minder_state */

    struct spin lock;
    bool reaped; /* guarded by lock */

    pid_t pid;
    bool group;         /* of its own */
    bool thread_waits;  /* for the exit, instead of a pidfd */
    uint32_t abandoned; /* atomic: nobody has a reference any more */
    int end_signal;
    int64_t grace, drain;
    rn_ctx *ctx; /* of its own, below the user's */
    void *done;  /* a channel, closed when it is done */
    rn_conn *conn[3];
    pthread_t waiter;

    /* The minder's. */
    int exit_fd, set;
    struct fd_desc *desc; /* of set */
    uint32_t gen;
    enum phase phase;
    bool exited, cut;
    int64_t until; /* when the phase, or the draining, is over */
    struct stream stream[3];

    /* Once done. */
    int err;
    rn_exec_result result;
};

static struct spin children_lock;
static struct rn_child *children; /* guarded by children_lock */
static uint64_t last_id;          /* likewise */

/* ---- Life ------------------------------------------------------------------------------------------------------ */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        rn__os_close(*fd);
    *fd = -1;
}

/* Nobody knows of it any more, or nobody ever has. */
static void child_free(struct rn_child *c)
{
    for (int i = 0; i < 3; i++) {
        rn_conn_close(c->conn[i]);
        close_fd(&c->stream[i].fd);
        free(c->stream[i].buf);
    }
    close_fd(&c->exit_fd);
    close_fd(&c->set);
    if (c->done)
        rn__chan_release(c->done);
    rn_ctx_end(c->ctx);
    rn__mem_free(c);
}

static void unref(struct rn_child *c)
{
    if (sub_acq_rel(&c->refs, 1) == 1) /* pairs with the other's */
        child_free(c);
}

rn_child *rn_child_retain(rn_child *c)
{
    add_relaxed(&c->users, 1);
    return c;
}

void rn_child_release(rn_child *c)
{
    if (!c || sub_acq_rel(&c->users, 1) != 1) /* pairs with the other users' */
        return;
    store_release(&c->abandoned,
                  1); /* pairs with the minder's load, after the end of the context */
    rn_ctx_cancel(c->ctx);
    unref(c);
}

/* ---- Signals and the exit ---------------------------------------------------------------------------------------- */

static int send_signal(struct rn_child *c, int sig, bool group)
{
    int err = -ESRCH;

    spin_lock(&c->lock);
    if (!c->reaped)
        err = rn__os_kill(group && c->group ? -c->pid : c->pid, sig);
    spin_unlock(&c->lock);
    return err;
}

int rn_child_signal(rn_child *c, int sig)
{
    return send_signal(c, sig, false);
}
int rn_child_signal_group(rn_child *c, int sig)
{
    return send_signal(c, sig, true);
}
int rn_child_pid(const rn_child *c)
{
    return c->pid;
}

static void *await_exit(void *arg)
{
    struct rn_child *c = arg;

    rn__os_await(c->pid);
    rn__os_event_set(c->exit_fd);
    return NULL;
}

/* Have c->exit_fd say when it exits. */
static int watch_exit(struct rn_child *c)
{
    int err;

    c->exit_fd = rn__os_pidfd(c->pid);
    if (c->exit_fd < 0) {
        if (c->exit_fd != -ENOSYS && c->exit_fd != -EPERM && c->exit_fd != -EINVAL &&
            c->exit_fd != -EACCES && c->exit_fd != -ESRCH) /* reaped by somebody */
            return c->exit_fd;
        c->exit_fd = rn__os_event();
        if (c->exit_fd < 0)
            return c->exit_fd;
        err = rn__os_thread_new(&c->waiter, rn__tools ? 0 : 64 << 10, true, await_exit, c);
        if (err)
            return err;
        add_acq_rel(&rn__threads_own, 1);
        c->thread_waits = true;
    }
    return rn__os_set_add(c->set, c->exit_fd, false, READY_EXIT);
}

/* It has exited: reap it. */
static void reap(struct rn_child *c)
{
    struct os_end end;
    int err;

    if (c->thread_waits) {
        pthread_join(c->waiter, NULL);
        sub_acq_rel(&rn__threads_own, 1);
    }
    spin_lock(&c->lock);
    if (c->phase != RUNS && c->group) /* the number is still its own */
        (void)rn__os_kill(-c->pid, SIGKILL);
    err = rn__os_reap(c->pid, &end);
    c->reaped = true;
    spin_unlock(&c->lock);
    if (err) {
        c->err = -ECHILD;
        c->result.status = -1;
        return;
    }
    c->result.user = end.user_ns;
    c->result.system = end.system_ns;
    c->result.max_rss = end.max_rss;
    if (WIFSIGNALED(end.status)) {
        c->result.signal = WTERMSIG(end.status);
        c->result.status = 128 + c->result.signal;
        c->result.core = WCOREDUMP(end.status);
    } else {
        c->result.status = WEXITSTATUS(end.status);
    }
}

/* All is over, and c nobody's but its users'. */
static void finish(struct rn_child *c)
{
    char **texts[2] = {&c->result.out, &c->result.err};
    size_t *sizes[2] = {&c->result.out_size, &c->result.err_size};

    reap(c);
    for (int i = 0; i < 2; i++) {
        struct stream *s = &c->stream[i + 1];

        if (s->buf) {
            s->buf[s->size] = 0;
            *texts[i] = s->buf;
            *sizes[i] = s->size;
        }
        c->cut = c->cut || s->over;
        if (s->lost && !c->err)
            c->err = -ENOMEM;
    }
    for (int i = 0; i < 3 && !c->err; i++)
        c->err = c->stream[i].err;
    c->result.cut = c->cut;
    if (c->desc)
        rn__fd_close(c->desc, c->gen, false);
    close_fd(&c->set);
    close_fd(&c->exit_fd);
    for (int i = 0; i < 3; i++)
        close_fd(&c->stream[i].fd);
    spin_lock(&children_lock);
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    spin_unlock(&children_lock);
    (rn_close)(c->done); /* the function: this is an element-less channel of no type */
    unref(c);
}

/* The runtime ends without it. */
static void finish_now(struct rn_child *c)
{
    if (!c->exited) {
        if (!c->err)
            c->err = -ECANCELED;
        c->phase = KILLED;
        (void)send_signal(c, SIGKILL, true);
        rn__os_await(c->pid);
    }
    finish(c);
}

/* ---- Streams ------------------------------------------------------------------------------------------------------ */

static void stream_close(struct rn_child *c, struct stream *s)
{
    rn__os_set_remove(c->set, s->fd); /* the child may keep the pipe open, but not in our set */
    close_fd(&s->fd);
}

static void feed(struct rn_child *c)
{
    struct stream *s = &c->stream[0];
    struct iovec iov = {(void *)(uintptr_t)s->data, s->size};
    ssize_t n;

    n = s->size ? rn__os_writev(s->fd, &iov, 1) : 0;
    if (n == -EAGAIN)
        return;
    if (n > 0) {
        s->data += n;
        s->size -= (size_t)n;
    }
    if (n < 0 && n != -EPIPE) /* who reads no more has refused it: that is no error */
        s->err = (int)n;
    if (n < 0 || s->size == 0)
        stream_close(c, s);
}

/* Room for more in s, at most to its limit; false: there is none. */
static bool grow(struct stream *s)
{
    size_t room = s->room * 2 < s->limit + 1 ? s->room * 2 : s->limit + 1;
    char *more;

    if (s->size + 1 < s->room)
        return true;
    if (s->lost || room <= s->room)
        return false;
    more = realloc(s->buf, room);
    if (!more) {
        s->lost = true;
        return false;
    }
    s->buf = more;
    s->room = room;
    return true;
}

static void drain(struct rn_child *c, struct stream *s)
{
    char nowhere[4096]; /* for one piece after the other: stacks are small */
    struct iovec iov[READ_AT_ONCE / sizeof nowhere];
    int count = 1;
    bool keep = grow(s);
    ssize_t n;

    if (keep)
        iov[0] = (struct iovec){s->buf + s->size, s->room - 1 - s->size};
    else
        for (count = 0; count < (int)(sizeof iov / sizeof *iov); count++)
            iov[count] = (struct iovec){nowhere, sizeof nowhere};
    n = rn__os_readv(s->fd, iov, count);
    if (n == -EAGAIN)
        return;
    s->owed -= n > 0 && (size_t)n < s->owed ? (size_t)n : s->owed;
    if (n <= 0) {
        s->err = (int)n;
        stream_close(c, s);
    } else if (keep) {
        s->size += (size_t)n;
    } else {
        s->over = s->over || !s->lost;
    }
}

/* ---- The minder ---------------------------------------------------------------------------------------------------- */

/* What is ready is done; false: nothing was. */
static bool drive(struct rn_child *c)
{
    uint32_t ready = rn__os_set_ready(c->set, 0);

    if (ready & READY_IN)
        feed(c);
    if (ready & READY_OUT)
        drain(c, &c->stream[1]);
    if (ready & READY_ERR)
        drain(c, &c->stream[2]);
    if (ready & READY_EXIT) {
        c->exited = true;
        rn__os_set_remove(c->set, c->exit_fd);
        if (c->stream[0].fd >= 0)
            stream_close(c, &c->stream[0]);
        if (c->phase != RUNS && c->group)
            (void)send_signal(c, SIGKILL,
                              true); /* the rest of the group; what it wrote is still read */
        for (int i = 1; i < 3; i++)
            c->stream[i].owed = c->stream[i].fd < 0 ? 0 : rn__os_pending(c->stream[i].fd);
        c->until = c->drain < 0 ? INT64_MAX : time_after(now_ns(), c->drain);
    }
    return ready != 0;
}

/* The context has ended, or a period is over. busy: something was ready. True: nothing more is waited for. */
static bool advance(struct rn_child *c, bool busy)
{
    int64_t now = now_ns();

    if (c->phase == RUNS && rn_ctx_err(c->ctx)) {
        c->err = rn_ctx_err(c->ctx);
        c->phase = ENDING;
        if (c->exited) {
            int64_t soon = time_after(now, c->drain < 0 ? drain_default : c->drain);

            if (c->group)
                (void)send_signal(c, SIGKILL, true);
            if (soon < c->until)
                c->until = soon;
        } else if (c->grace >= 0 && !load_acquire(&c->abandoned)) {
            (void)send_signal(c, c->end_signal, true);
            c->until = time_after(now, c->grace);
        } else {
            c->until = now;
        }
    }
    if (c->exited) {
        if (c->stream[1].fd < 0 && c->stream[2].fd < 0)
            return true;
        if (now < c->until || (busy && (c->stream[1].owed || c->stream[2].owed)))
            return false;
        c->cut = true;
        return true;
    }
    if (c->phase == ENDING && now >= c->until) {
        c->phase = KILLED;
        c->until = INT64_MAX;
        (void)send_signal(c, SIGKILL, true);
    }
    return false;
}

struct minding {
    struct fd_call call;
    struct rn_child *c;
};

static void minder_dropped(struct fd_call *call)
{
    finish_now(container_of(call, struct minding, call)->c);
}

static void minder(uint64_t id)
{
    struct minding m = {.c = NULL};
    struct rn_child *c;

    spin_lock(&children_lock);
    for (c = children; c && c->id != id; c = c->next)
        ;
    if (c && c->state == MINDER_NEW)
        c->state = MINDER_HAS;
    else
        c = NULL;
    spin_unlock(&children_lock);
    if (!c)
        return;
    m.c = c;
    m.call = (struct fd_call){.desc = c->desc, .gen = c->gen, .dropped = minder_dropped};
    for (;;) {
        uint64_t edges = rn__fd_edges(c->desc);
        bool busy = drive(c);
        int n;

        if (advance(c, busy))
            break;
        if (busy && !load_relaxed(&rn__self()->rt->stopping))
            continue;
        m.call.ctx = c->phase == RUNS ? c->ctx : NULL;
        n = rn__fd_wait_until(&m.call, RN_READ, edges, c->until);
        if (n < 0 &&
            !rn_ctx_err(m.call.ctx)) /* no memory or descriptors for waiting: what must be is */
            (void)rn__os_set_ready(c->set, now_ns() + 10 * RN_MILLISECOND);
    }
    finish(c);
}

void rn__children_stop(void)
{
    for (;;) {
        struct rn_child *c;

        spin_lock(&children_lock);
        for (c = children; c && c->state != MINDER_NEW; c = c->next)
            ;
        if (c)
            c->state = MINDER_GONE;
        spin_unlock(&children_lock);
        if (!c)
            return;
        finish_now(c);
    }
}

/* In a child process of the user's own making: all these are the parent's. */
void rn__children_fork(void)
{
    children_lock = (struct spin){0};
    children = NULL;
}

/* ---- Starting --------------------------------------------------------------------------------------------------------- */

/* The file of a program in PATH. */
static int find_program(const char *name, char *room)
{
    const char *path = getenv("PATH");
    int err = -ENOENT;

    if (!path)
        path = "/usr/local/bin:/usr/bin:/bin";
    while (*path) {
        size_t n = strcspn(path, ":");

        if (path[0] == '/' && n + strlen(name) + 2 <= PROGRAM_MOST) {
            int e;

            memcpy(room, path, n);
            room[n] = '/';
            strcpy(room + n + 1, name);
            e = rn__os_program(room);
            if (e == 0)
                return 0;
            if (e == -EACCES)
                err = e;
        }
        path += n + (path[n] == ':');
    }
    return err;
}

/* What is closed once the child has, or has not, been started. */
struct ends {
    int theirs[3 + FDS_MOST];
    int mine[4];
    int count;
};

static int keep_end(struct ends *e, int fd)
{
    if (fd >= 0)
        e->mine[e->count++] = fd;
    return fd;
}

static int set_up_pipe(struct rn_child *c, int i, struct ends *e, int *ret_ours)
{
    int fds[2], err = rn__os_pipe(fds), theirs = i == 0 ? 0 : 1;

    (void)c;
    if (err)
        return err;
    e->theirs[i] = keep_end(e, fds[theirs]);
    *ret_ours = fds[!theirs];
    return rn__os_set_blocking(fds[theirs]);
}

static int set_up_stream(struct rn_child *c, int i, const rn_stdio *io, struct ends *e)
{
    static const uint32_t bits[] = {READY_IN, READY_OUT, READY_ERR};
    struct stream *s = &c->stream[i];
    int kind = io->rn__kind, fd, err;

    if (kind == RN__STDIO_DEFAULT)
        kind = i == 0 ? RN__STDIO_NULL : RN__STDIO_INHERIT;
    if (kind == RN__STDIO_INHERIT) {
        struct stat st;

        e->theirs[i] = i;
        if (rn__os_stat(i, &st) == 0)
            return 0;
        kind = RN__STDIO_NULL; /* we have none ourselves */
    }
    switch (kind) {
    case RN__STDIO_NULL:
        fd = keep_end(e, rn__os_open("/dev/null", O_RDWR, 0));
        e->theirs[i] = fd;
        return fd < 0 ? fd : 0;
    case RN__STDIO_FD:
        e->theirs[i] = io->rn__fd;
        return io->rn__fd < 0 ? -EBADF : 0;
    case RN__STDIO_PIPE:
        err = set_up_pipe(c, i, e, &fd);
        if (!err) {
            err = rn_conn_adopt(fd, &c->conn[i]);
            if (err)
                rn__os_close(fd);
        }
        return err;
    case RN__STDIO_DATA:
        if (i != 0)
            return -EINVAL;
        s->data = io->rn__data;
        s->size = io->rn__size;
        tool_read(s->data, s->size);
        err = set_up_pipe(c, i, e, &s->fd);
        break;
    case RN__STDIO_KEEP:
        if (i == 0)
            return -EINVAL;
        s->limit = io->rn__size ? io->rn__size : KEEP_DEFAULT;
        if (s->limit > SIZE_MAX / 4)
            s->limit = SIZE_MAX / 4;
        s->room = s->limit < 1024 ? s->limit + 1 : 1024;
        s->buf = malloc(s->room);
        if (!s->buf)
            return -ENOMEM;
        err = set_up_pipe(c, i, e, &s->fd);
        break;
    case RN__STDIO_OUTPUT:
        e->theirs[i] = e->theirs[1];
        return i == 2 ? 0 : -EINVAL;
    default:
        return -EINVAL;
    }
    return err ? err : rn__os_set_add(c->set, s->fd, i == 0, bits[i]);
}

static uint64_t ignored_signals(void)
{
    uint64_t mask = 0;

    for (int n = 1; rn__signals_ignored && n <= 64; n++)
        if (rn__signals_ignored(n))
            mask |= (uint64_t)1 << (n - 1);
    return mask;
}

/* Everything of c but the process. */
static int set_up(struct rn_child *c, struct rn_ctx *ctx, const rn_exec_options *o, struct ends *e)
{
    const rn_stdio *io[] = {&o->in, &o->out, &o->err};
    int err = rn__chan_make_err(&c->done, 0, 0);

    if (err)
        return err;
    err = rn__ctx_with_timeout_err(ctx ? ctx : rn_ctx_background(), INT64_MAX, &c->ctx);
    if (err)
        return err;
    c->set = rn__os_set();
    if (c->set < 0)
        return c->set;
    c->desc = rn__fd_desc(c->set);
    if (!c->desc)
        return -ENOMEM;
    for (int i = 0; i < 3 && !err; i++)
        err = set_up_stream(c, i, io[i], e);
    for (int i = 0; i < o->fd_count; i++)
        e->theirs[3 + i] = o->fds[i];
    return err;
}

/* It runs: have it minded. */
static int set_off(struct rn_child *c)
{
    int err = watch_exit(c);

    if (err)
        return err;
    c->gen = rn__fd_open(c->desc, NULL);
    spin_lock(&children_lock);
    c->id = ++last_id;
    c->next = children;
    c->at = &children;
    if (children)
        children->at = &c->next;
    children = c;
    spin_unlock(&children_lock);
    err = rn_go_err(minder, c->id);
    if (err) {
        spin_lock(&children_lock);
        *c->at = c->next;
        if (c->next)
            c->next->at = c->at;
        spin_unlock(&children_lock);
        rn__fd_close(c->desc, c->gen, false);
    }
    return err;
}

/* A child's timers are not as exact as our workers' are. */
static int64_t slack_of_child(void)
{
    const struct rt *rt = worker_self()->rt;

    return rt && rt->slack > WORKER_SLACK_NS && rn__os_slack() == WORKER_SLACK_NS ? rt->slack : 0;
}

static int start(struct rn_ctx *ctx, const rn_exec_options *o, const char *file, rn_child **ret_c)
{
    struct rn_child *c = rn__mem_new_zero(sizeof *c, 16);
    struct ends e = {.count = 0};
    struct os_spawn s = {.path = file,
                         .argv = o->argv,
                         .env = o->env,
                         .cwd = o->cwd,
                         .fds = e.theirs,
                         .fd_count = 3 + o->fd_count,
                         .own_group = !o->same_group,
                         .ignored = ignored_signals(),
                         .slack = slack_of_child()};
    int err;

    if (!c)
        return -ENOMEM;
    c->users = 1;
    c->refs = 2;
    c->group = !o->same_group;
    c->end_signal = o->end_signal ? o->end_signal : SIGTERM;
    c->grace = o->grace ? o->grace : grace_default;
    c->drain = o->drain ? o->drain : drain_default;
    c->until = INT64_MAX;
    c->set = c->exit_fd = -1;
    for (int i = 0; i < 3; i++)
        c->stream[i].fd = -1;
    err = set_up(c, ctx, o, &e);
    if (!err)
        err = rn_blocking(rn__os_spawn(&s, &c->pid));
    for (int i = 0; i < e.count; i++)
        rn__os_close(e.mine[i]);
    if (err) {
        if (c->set < 0)
            c->set = -1;
        child_free(c);
        return err;
    }
    err = set_off(c);
    if (err) {
        (void)send_signal(c, SIGKILL, true);
        rn__os_await(c->pid);
        reap(c);
        if (c->exit_fd < 0)
            c->exit_fd = -1;
        child_free(c);
        return err;
    }
    *ret_c = c;
    return 0;
}

int rn_exec_start(struct rn_ctx *ctx, const rn_exec_options *o, rn_child **ret_child)
{
    char room[PROGRAM_MOST];
    const char *file;
    int err = rn_ctx_err(ctx);

    wait_point();
    if (err)
        return err;
    if (!o->argv || !o->argv[0] || o->fd_count < 0 || o->fd_count > FDS_MOST || o->end_signal < 0 ||
        o->end_signal > 64)
        return -EINVAL;
    file = o->file ? o->file : o->argv[0];
    if (!strchr(file, '/')) {
        err = find_program(file, room);
        if (err)
            return rn_errorf(err, "exec %.80s: %s", file, rn_errmsg(error_bare(err)));
        file = room;
    }
    err = start(ctx, o, file, ret_child);
    return err ? rn_errorf(err, "exec %.80s: %s", file, rn_errmsg(error_bare(err))) : 0;
}

/* ---- Waiting ------------------------------------------------------------------------------------------------------------ */

int rn_child_wait_ctx(struct rn_ctx *ctx, rn_child *c, rn_exec_result *ret)
{
    int err = rn__recv_ctx(ctx, c->done, NULL);

    if (err != -EPIPE)
        return err;
    if (ret)
        *ret = c->result;
    return c->err;
}

int rn_child_wait(rn_child *c, rn_exec_result *ret)
{
    return rn_child_wait_ctx(NULL, c, ret);
}

rn_conn *rn_child_in(const rn_child *c)
{
    return c->conn[0];
}
rn_conn *rn_child_out(const rn_child *c)
{
    return c->conn[1];
}
rn_conn *rn_child_err(const rn_child *c)
{
    return c->conn[2];
}

int rn_exec_with(struct rn_ctx *ctx, const rn_exec_options *o, rn_exec_result *ret)
{
    rn_child *c;
    int err;

    if (ret)
        *ret = (rn_exec_result){0};
    if (o->in.rn__kind == RN__STDIO_PIPE || o->out.rn__kind == RN__STDIO_PIPE ||
        o->err.rn__kind == RN__STDIO_PIPE)
        return -EINVAL;
    err = rn_exec_start(ctx, o, &c);
    if (err)
        return err;
    err = rn_child_wait(c, ret);
    if (ret)
        c->stream[1].buf = c->stream[2].buf = NULL; /* the caller's now */
    rn_child_release(c);
    return err;
}

void rn_exec_free(rn_exec_result *r)
{
    free(r->out);
    free(r->err);
    r->out = r->err = NULL;
}

int rn__exec(struct rn_ctx *ctx, const char *const *argv)
{
    rn_exec_options o = {.argv = argv};
    rn_exec_result r;
    int err = rn_exec_with(ctx, &o, &r);

    return err ? err : r.status;
}

int rn__exec_output(struct rn_ctx *ctx, char **ret_text, size_t *ret_size, const char *const *argv)
{
    rn_exec_options o = {.argv = argv, .out = RN_STDIO_KEEP(OUTPUT_MOST)};
    rn_exec_result r;
    int err = rn_exec_with(ctx, &o, &r);

    if (!err && r.cut && r.out_size == OUTPUT_MOST)
        err = -EFBIG;
    if (err) {
        rn_exec_free(&r);
        return err;
    }
    *ret_text = r.out;
    if (ret_size)
        *ret_size = r.out_size;
    return r.status;
}

/* SPDX-License-Identifier: MIT */
/*
 * load.c - load on servers, each a process of its own: what a request costs it, and how long the answer takes.
 *
 *     bench_load SERVER... [-list] [-run ^NAME$] [-procs P] [-time MS] [-smoke]
 *
 * "SERVER KIND P" is started. It serves KIND on P processors, on a free port of the loopback interface, whose number is the
 * first line that it prints. Its load is the same for every server: one thread around epoll, every connection with one
 * request under way, the next one sent as soon as the answer is whole. The CPU time is the server's alone, of all its threads
 * and child processes, as the kernel counts it. Nothing here is runnel's. Workloads: README.md.
 *
 * Several servers are there at the same time, each with a generator of its own, a child process, and have load in turns of a
 * tenth of a second: what the machine does besides comes to all of them alike, and the turns of one round can be compared.
 * Connections join in one by one, at each answer one: of ten thousand requests at once the kernel delays as many
 * acknowledgements, to the same moment, and its queue to the loopback interface overflows (a thousand packets,
 * net.core.netdev_max_backlog); what was measured then was how long retransmission takes.
 * A turn is measured from its first request to its last answer. A stretch in the midst would not do: of ten thousand requests
 * under way the answers to any number may lie unread at its ends, as many as are read in it. One line is printed for each
 * turn, and one for each percentile of all of a server's turns, behind a line "server" with its number if there are several.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    MESSAGE = 64,
    EVENTS = 512,
    CHILDREN = 64,
    SERVERS = 8,
    SERVER_STARTS_S = 10,
    JOIN_FROM = 64
};
static const int64_t MS = 1000000, SECOND = 1000000000, TURN = 100000000, REST = 50000000;

static const char get[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

static const struct entry {
    const char *name, *kind;
    int conns;
    bool idle;
} entries[] = {
    {"EchoLoad/conns=64", "echo", 64, false},      {"EchoLoad/conns=10000", "echo", 10000, false},
    {"HttpLoad/conns=64", "http", 64, false},      {"IdleEcho/conns=10000", "echo", 10000, true},
    {"IdleHttp/conns=10000", "http", 10000, true},
};

static pid_t server; /* 0: none */

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("load: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    if (server)
        kill(server, SIGTERM); /* it may have children of its own to tell */
    exit(1);
}

static int64_t now(clockid_t clock)
{
    struct timespec ts;

    if (clock_gettime(clock, &ts) != 0)
        fail("the server has ended");
    return (int64_t)ts.tv_sec * SECOND + ts.tv_nsec;
}

/* ---- The server --------------------------------------------------------------------------------- */

/* Starts it; the port. */
static int server_start(const char *program, const char *kind, const char *procs)
{
    char line[64];
    int out[2], port;
    ssize_t n = 0, got;

    if (pipe(out) != 0)
        fail("pipe: %s", strerror(errno));
    server = fork();
    if (server < 0)
        fail("fork: %s", strerror(errno));
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        dup2(out[1], 1);
        close(out[0]);
        close(out[1]);
        execl(program, program, kind, procs, (char *)NULL);
        fprintf(stderr, "%s: %s\n", program, strerror(errno));
        _exit(127);
    }
    close(out[1]);
    while ((got = read(out[0], line + n, sizeof line - 1 - (size_t)n)) > 0) {
        n += got;
        if (memchr(line, '\n', (size_t)n) || n == sizeof line - 1)
            break;
    }
    close(out[0]);
    line[n] = 0;
    port = atoi(line);
    if (port <= 0)
        fail("%s %s does not serve", program, kind);
    return port;
}

static void server_stop(void)
{
    int64_t end = now(CLOCK_MONOTONIC) + SERVER_STARTS_S * SECOND;

    kill(server, SIGTERM);
    while (waitpid(server, NULL, WNOHANG) == 0) {
        if (now(CLOCK_MONOTONIC) > end) {
            kill(server, SIGKILL);
            waitpid(server, NULL, 0);
            break;
        }
        usleep(5000);
    }
    server = 0;
}

/* Of the server and its children, which do its work if it has any. */
static int server_processes(pid_t pids[CHILDREN])
{
    char path[64];
    int n = 0, pid;
    FILE *f;

    pids[n++] = server;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)server, (int)server);
    f = fopen(path, "re");
    while (f && n < CHILDREN && fscanf(f, "%d", &pid) == 1)
        pids[n++] = pid;
    if (f)
        fclose(f);
    return n;
}

static int64_t server_cpu(void)
{
    pid_t pids[CHILDREN];
    int n = server_processes(pids);
    int64_t sum = 0;

    for (int i = 0; i < n; i++) {
        clockid_t clock;

        if (clock_getcpuclockid(pids[i], &clock) != 0)
            fail("no CPU time of the server");
        sum += now(clock);
    }
    return sum;
}

/* Bytes resident and in page tables. */
static int64_t server_footprint(void)
{
    pid_t pids[CHILDREN];
    int n = server_processes(pids);
    long long kib, sum = 0;

    for (int i = 0; i < n; i++) {
        char line[256];
        FILE *f;

        snprintf(line, sizeof line, "/proc/%d/status", (int)pids[i]);
        f = fopen(line, "re");
        if (!f)
            fail("no memory of the server");
        while (fgets(line, sizeof line, f))
            if (sscanf(line, "VmRSS: %lld", &kib) == 1 || sscanf(line, "VmPTE: %lld", &kib) == 1)
                sum += kib;
        fclose(f);
    }
    return sum * 1024;
}

/* ---- Latencies: classes 1/128 of their value wide ------------------------------------------------- */

enum { FINE = 128, CLASSES = 40 * FINE };
static uint64_t latencies[CLASSES];

static void latency_note(int64_t ns)
{
    uint64_t v = ns > 0 ? (uint64_t)ns : 0;
    int shift = v < FINE ? 0 : 64 - __builtin_clzll(v) - 8; /* v >> shift is below 2 * FINE */
    size_t class = (size_t)shift * FINE + (size_t)(v >> shift);

    latencies[class < CLASSES ? class : CLASSES - 1]++;
}

/* The least that is not below part of all, in ns. */
static double latency_at(double part)
{
    uint64_t all = 0, below = 0;

    for (size_t i = 0; i < CLASSES; i++)
        all += latencies[i];
    for (size_t i = 0; i < CLASSES; i++) {
        below += latencies[i];
        if ((double)below >= part * (double)all) {
            size_t shift = i < 2 * (size_t)FINE ? 0 : i / FINE - 1;

            return (double)((i - shift * FINE) << shift);
        }
    }
    return 0;
}

/* ---- Connections ------------------------------------------------------------------------------------ */

struct conn {
    int fd;
    size_t got; /* of the answer */
    int64_t sent_at;
};

static struct conn *conns;
static int conn_count, joined; /* of the connections so many have a request under way, or had */
static int ep;
static struct sockaddr_in address;
static const char *request;
static size_t request_size, answer_size;
static char buf[16384];

/* In order, so that no queue of the server's overflows. The first one waits until the server listens. */
static void conn_open(struct conn *c, bool first)
{
    int64_t end = now(CLOCK_MONOTONIC) + SERVER_STARTS_S * SECOND;
    struct linger reset = {.l_onoff = 1}; /* a close leaves nothing behind */
    int one = 1;

    for (;;) {
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0)
            fail("socket: %s", strerror(errno));
        if (connect(c->fd, (struct sockaddr *)&address, sizeof address) == 0)
            break;
        if (!first || now(CLOCK_MONOTONIC) > end)
            fail("connect: %s", strerror(errno));
        close(c->fd);
        usleep(5000);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

static void conn_send(struct conn *c, int64_t at)
{
    c->sent_at = at;
    if (send(c->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size)
        fail("send: %s", strerror(errno));
}

/* What the first answer is like, every one is. */
static void learn(struct conn *c, bool http)
{
    size_t n = 0;

    conn_send(c, 0);
    answer_size = http ? 0 : MESSAGE;
    while (n == 0 || n < answer_size || answer_size == 0) {
        ssize_t got = recv(c->fd, buf + n, sizeof buf - 1 - n, 0);
        char *end, *length;

        if (got <= 0)
            fail("no answer");
        n += (size_t)got;
        buf[n] = 0;
        end = http && answer_size == 0 ? strstr(buf, "\r\n\r\n") : NULL;
        if (end) {
            length = strcasestr(buf, "\r\ncontent-length:");
            if (strncmp(buf, "HTTP/1.1 200 ", 13) != 0 || !length || length > end)
                fail("not the answer that was asked for");
            answer_size = (size_t)(end + 4 - buf) + (size_t)atoi(length + 17);
        }
    }
    if (n != answer_size)
        fail("an answer of the wrong size");
}

/* There is something to read: true if the answer is whole. */
static bool conn_read(struct conn *c)
{
    ssize_t n = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0)
        fail("recv: %s", n ? strerror(errno) : "the end");
    if (c->got == 0 && buf[0] != request[0] && memcmp(buf, "HTTP/1.1 200 ", 13) != 0)
        fail("not the answer that was asked for");
    c->got += (size_t)n;
    if (c->got > answer_size)
        fail("an answer of the wrong size");
    if (c->got < answer_size)
        return false;
    c->got = 0;
    return true;
}

/* Answers until the time end; how many. go_on: with a new request after each, and one of a connection that joins in. note: how
 * long they took is noted. */
static uint64_t answers(int64_t end, uint64_t most, bool go_on, bool note)
{
    struct epoll_event evs[EVENTS];
    uint64_t count = 0;

    while (count < most && (end == 0 || now(CLOCK_MONOTONIC) < end)) {
        int n = epoll_wait(ep, evs, EVENTS, end ? 10 : SERVER_STARTS_S * 1000);

        if (n == 0 && !end)
            fail("no answer");
        for (int i = 0; i < n; i++) {
            struct conn *c = &conns[evs[i].data.u32];
            int64_t at;

            if (!conn_read(c))
                continue;
            at = now(CLOCK_MONOTONIC);
            if (note)
                latency_note(at - c->sent_at);
            count++;
            if (!go_on)
                continue;
            conn_send(c, at);
            if (joined < conn_count)
                conn_send(&conns[joined++], at);
        }
    }
    return count;
}

static void conns_open(int count)
{
    ep = epoll_create1(EPOLL_CLOEXEC);
    conn_count = count;
    for (int i = 0; i < count; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.u32 = (uint32_t)i};

        conn_open(&conns[i], false);
        if (epoll_ctl(ep, EPOLL_CTL_ADD, conns[i].fd, &ev) != 0)
            fail("epoll: %s", strerror(errno));
    }
}

/* ---- Measuring ------------------------------------------------------------------------------------------- */

static void print(const struct entry *e, double value, const char *unit, uint64_t n)
{
    printf("%-44s %14.2f %-14s %12" PRIu64 "\n", e->name, value, unit, n);
}

/* What the parent asks of a generator, and the answer: time 0 asks for the percentiles. */
struct order {
    int64_t time;
    bool note;
};
struct turn {
    uint64_t ops;
    int64_t wall, cpu;
};
struct late {
    double p50, p99, p999;
};

static struct turn take_turn(struct order o)
{
    uint64_t all = (uint64_t)conn_count;
    struct turn t;

    t.cpu = server_cpu();
    t.wall = now(CLOCK_MONOTONIC);
    for (joined = 0; joined < conn_count && joined < JOIN_FROM; joined++)
        conn_send(&conns[joined], now(CLOCK_MONOTONIC));
    t.ops = answers(now(CLOCK_MONOTONIC) + SERVER_STARTS_S * SECOND, all, true, false);
    t.ops += answers(now(CLOCK_MONOTONIC) + o.time, UINT64_MAX, true, o.note);
    t.ops += answers(0, all, false, false);
    t.cpu = server_cpu() - t.cpu;
    t.wall = now(CLOCK_MONOTONIC) - t.wall;
    return t;
}

static void say(int fd, const void *what, size_t size)
{
    if (write(fd, what, size) != (ssize_t)size)
        fail("pipe: %s", strerror(errno));
}
static void hear(int fd, void *ret_what, size_t size)
{
    if (read(fd, ret_what, size) != (ssize_t)size)
        fail("a generator has failed");
}

/* The generator of one server: a child process, which ends when it has told the percentiles. */
static void generate(int count, int in, int out)
{
    struct order o;
    struct turn t;
    struct late l;

    conns_open(count);
    for (hear(in, &o, sizeof o); o.time != 0; hear(in, &o, sizeof o)) {
        t = take_turn(o);
        say(out, &t, sizeof t);
    }
    l = (struct late){latency_at(0.5), latency_at(0.99), latency_at(0.999)};
    say(out, &l, sizeof l);
}

/* The pauses are for the server: to look after what is idle, or collect its garbage. */
static void idle(const struct entry *e, int count, int64_t time)
{
    int64_t before, fresh, used;
    struct timespec pause = {(time_t)(3 * time / SECOND), (long)(3 * time % SECOND)};

    before = server_footprint();
    conns_open(count);
    nanosleep(&pause, NULL);
    fresh = server_footprint();
    for (int i = 0; i < count; i++)
        conn_send(&conns[i], 0);
    if (answers(0, (uint64_t)count, false, false) != (uint64_t)count)
        fail("no answer");
    nanosleep(&pause, NULL);
    used = server_footprint();
    print(e, (double)(fresh - before) / count, "B/conn", (uint64_t)count);
    print(e, (double)(used - before) / count, "B/used-conn", (uint64_t)count);
}

/* Starts a server, measures it and stops it: idle, or as the orders that come by in say. */
static void with_server(const char *program, const struct entry *e, const char *procs, int count,
                        int64_t time, int in, int out)
{
    static char message[MESSAGE] = {1};
    bool http = strcmp(e->kind, "http") == 0;
    int port = server_start(program, e->kind, procs);
    struct conn first = {0};

    address = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    request = http ? get : message;
    request_size = http ? sizeof get - 1 : MESSAGE;
    conns = calloc((size_t)count, sizeof *conns);
    conn_open(&first, true);
    learn(&first, http);
    if (e->idle)
        idle(e, count, time);
    else
        generate(count, in, out);
    server_stop();
    close(first.fd);
    for (int i = 0; i < count; i++)
        close(conns[i].fd);
    close(ep);
    free(conns);
}

struct generator {
    pid_t pid;
    int in, out;
};

static void generator_start(struct generator *g, const char *program, const struct entry *e,
                            const char *procs, int count)
{
    int to[2], from[2];

    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        fail("pipe: %s", strerror(errno));
    g->pid = fork();
    if (g->pid < 0)
        fail("fork: %s", strerror(errno));
    if (g->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* and its server with it */
        close(to[1]);
        close(from[0]);
        with_server(program, e, procs, count, 0, to[0], from[1]);
        exit(0);
    }
    close(to[0]);
    close(from[1]);
    g->out = to[1];
    g->in = from[0];
}

/* After a rest: the turn before has left an acknowledgement for each connection to come, 40 ms later, at whose expense ever. */
static struct turn generator_turn(const struct generator *g, int64_t time, bool note)
{
    struct turn t;

    nanosleep(&(struct timespec){.tv_nsec = REST}, NULL);
    say(g->out, &(struct order){time, note}, sizeof(struct order));
    hear(g->in, &t, sizeof t);
    return t;
}

static void load(char **servers, int n, const struct entry *e, const char *procs, int count,
                 int64_t time)
{
    int turns = (int)((time + TURN - 1) / TURN);
    struct turn *all = calloc((size_t)(turns * n), sizeof *all);
    struct generator generators[SERVERS];

    for (int k = 0; k < n; k++) {
        generator_start(&generators[k], servers[k], e, procs, count);
        (void)generator_turn(&generators[k], time / turns, false);
    }
    for (int i = 0; i < turns; i++)
        for (int j = 0; j < n; j++) {
            int k = i % 2 ? n - 1 - j : j; /* nobody is always behind the same one */

            all[i * n + k] = generator_turn(&generators[k], time / turns, true);
        }
    for (int k = 0; k < n; k++) {
        uint64_t ops = 0;
        struct late l;

        if (n > 1)
            printf("server %d\n", k);
        for (int i = 0; i < turns; i++) {
            const struct turn *t = &all[i * n + k];

            print(e, (double)t->wall / (double)t->ops, "ns/op", t->ops);
            print(e, (double)t->cpu / (double)t->ops, "cpu-ns/op", t->ops);
            ops += t->ops;
        }
        say(generators[k].out, &(struct order){0, false}, sizeof(struct order));
        hear(generators[k].in, &l, sizeof l);
        print(e, l.p50 / 1000, "p50-us", ops);
        print(e, l.p99 / 1000, "p99-us", ops);
        print(e, l.p999 / 1000, "p99.9-us", ops);
        waitpid(generators[k].pid, NULL, 0);
        close(generators[k].in);
        close(generators[k].out);
    }
    free(all);
}

int main(int argc, char **argv)
{
    const char *pattern = "", *procs = "1";
    bool list = false, smoke = false;
    int64_t time = 100 * MS;
    char *servers[SERVERS];
    struct rlimit r;
    size_t length;
    int n = 0;

    for (int i = 1; i < argc; i++) {
        list = list || strcmp(argv[i], "-list") == 0;
        smoke = smoke || strcmp(argv[i], "-smoke") == 0;
        if (argv[i][0] != '-' && n < SERVERS)
            servers[n++] = argv[i];
        else if (strcmp(argv[i], "-run") == 0 && i + 1 < argc)
            pattern = argv[++i];
        else if (strcmp(argv[i], "-procs") == 0 && i + 1 < argc)
            procs = argv[++i];
        else if (strcmp(argv[i], "-time") == 0 && i + 1 < argc)
            time = atoll(argv[++i]) * MS;
    }
    if (n == 0 && !list) {
        fputs("usage: bench_load SERVER... [-list] [-run ^NAME$] [-procs P] [-time MS] [-smoke]\n",
              stderr);
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
    time = smoke ? 20 * MS : 10 * time; /* a server's day is longer than an operation's */
    pattern += *pattern == '^';
    length = strcspn(pattern, "$");
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        const struct entry *e = &entries[i];
        int count = smoke ? 4 : e->conns;

        if (length && (strncmp(e->name, pattern, length) != 0 || e->name[length]))
            continue;
        if (list) {
            puts(e->name);
            continue;
        }
        fflush(stdout); /* the children have none of it */
        if (!e->idle)
            load(servers, n, e, procs, count, time);
        for (int k = 0; k < n && e->idle; k++) {
            if (n > 1)
                printf("server %d\n", k);
            fflush(stdout);
            with_server(servers[k], e, procs, count, time, -1, -1);
        }
    }
    return 0;
}

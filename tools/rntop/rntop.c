/* SPDX-License-Identifier: MIT */
/*
 * rntop.c - what the goroutines of a running program do, like top.
 *
 * The program need only be linked with librunnel; it is not stopped, and does not notice. target.c says how it is read,
 * docs/debugging.md how rntop is used.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "names.h"
#include "target.h"

static const char usage[] =
    "usage: rntop [-n VIEWS] [-d SECONDS] PID\n"
    "\n"
    "Shows the goroutines of process PID, alike ones as one line, and what its scheduler does.\n"
    "  -n VIEWS    show so many and end; as plain text, for pipes\n"
    "  -d SECONDS  between two views: 1 if not told; 0.1 to 3600\n"
    "In a terminal, q ends it, and space or return shows the next view at once.\n"
    "The process must be your own, or you root: as for gdb -p.\n"
    "Exit status 0; 1 if the process cannot be looked at or ended before all views; 2 for a wrong "
    "call.\n";

enum { PLAIN_COLUMNS = 240 };

/* ---- A view as text ------------------------------------------------------------------------------------- */

struct page {
    char *text;
    size_t used, room;
    unsigned columns, rows, row; /* rows 0: as many as there are */
};

/* A line, cut at the page's width; nothing once the page is full. */
__attribute__((format(printf, 2, 3))) static void line(struct page *p, const char *format, ...)
{
    char text[1024];
    va_list args;
    size_t n;

    if (p->rows && p->row >= p->rows)
        return;
    p->row++;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *c = text; *c; c++) /* a name is the program's text, and may be anything */
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    n = strnlen(text, p->columns);
    if (p->used + n + 2 > p->room) {
        p->room = 2 * p->room + n + 2;
        p->text = realloc(p->text, p->room);
        if (!p->text) {
            fputs("rntop: out of memory\n", stderr);
            exit(1);
        }
    }
    memcpy(p->text + p->used, text, n);
    p->used += n;
    p->text[p->used++] = '\n';
}

static const char *span(int64_t ns, char *text, size_t size)
{
    double s = ns < 0 ? 0 : (double)ns / 1e9;

    if (s < 1)
        snprintf(text, size, "%.0fms", s * 1e3);
    else if (s < 60)
        snprintf(text, size, "%.1fs", s);
    else if (s < 3600)
        snprintf(text, size, "%dm%02ds", (int)s / 60, (int)s % 60);
    else
        snprintf(text, size, "%dh%02dm", (int)(s / 3600), (int)s / 60 % 60);
    return text;
}

/* What is in one view and the next. */
struct before {
    bool any;
    uint64_t run, started, ended, count[COUNTS];
    int64_t now;
    uint64_t *picks;
    size_t procs;
};

static double rate(const struct before *b, const struct look *l, uint64_t was, uint64_t is)
{
    return b->any && is >= was && l->now > b->now
               ? (double)(is - was) * 1e9 / (double)(l->now - b->now)
               : 0;
}

static void remember(struct before *b, const struct look *l)
{
    b->any = true;
    b->run = l->run;
    b->now = l->now;
    b->started = l->started;
    b->ended = l->ended;
    memcpy(b->count, l->count, sizeof b->count);
    if (b->procs < l->proc_count) {
        uint64_t *more = realloc(b->picks, l->proc_count * sizeof *more);

        if (!more)
            exit(1);
        b->picks = more;
        b->procs = l->proc_count;
    }
    for (size_t i = 0; i < l->proc_count; i++)
        b->picks[i] = l->proc[i].picks;
}

static void draw_procs(struct page *p, const struct before *b, const struct look *l)
{
    for (size_t i = 0; i < l->proc_count; i++) {
        const struct processor *q = &l->proc[i];
        char running[64] = "", thread[32] = "";

        if (q->running)
            snprintf(running, sizeof running, "goroutine %" PRIu64, q->running);
        if (q->tid)
            snprintf(thread, sizeof thread, "thread %d", q->tid);
        line(p, "  P%-3zu %-5s %8.0f/s  %5" PRIu64 " ready %6" PRIu64 " new  %-14s %s", i,
             q->held ? "busy" : "idle",
             rate(b, l, 0, b->any && i < b->procs ? (uint32_t)(q->picks - b->picks[i]) : 0),
             q->ready, q->fresh, thread, running);
        if (p->rows && i == 7 && l->proc_count > 9) { /* leave room for the goroutines */
            line(p, "  and %zu more", l->proc_count - i - 1);
            break;
        }
    }
}

static void draw_kinds(struct page *p, const struct target *t, const struct look *l)
{
    line(p, "%s", "");
    line(p, "%9s  %-24s %8s  %-36s  %-36s %s", "COUNT", "STATE", "LONGEST", "AT", "STARTED AT",
         "ONE OF THEM");
    for (size_t i = 0; i < l->kind_count; i++) {
        const struct kind *k = &l->kind[i];
        char longest[32] = "", one[80], labels[256];

        if (k->state == STATE_WAITING)
            span(l->now - k->since, longest, sizeof longest);
        snprintf(one, sizeof one, "%" PRIu64 "%s%s", k->id, k->name[0] ? " " : "", k->name);
        target_labels(t, k, labels, sizeof labels);
        line(p, "%9" PRIu64 "  %-24s %8s  %-36s  %-36s %s%s%s%s", k->count,
             k->state == STATE_RUNNING    ? "running"
             : k->state == STATE_RUNNABLE ? "runnable"
             : k->state == STATE_NEW      ? "runnable (new)"
                                          : target_reason(t, k->why),
             longest,
             k->state == STATE_RUNNING ? ""
             : k->at                   ? names_at(k->at, k->state != STATE_NEW)
                                       : "?",
             names_at(k->created_at, true), one, labels[0] ? " {" : "", labels,
             labels[0] ? "}" : "");
    }
}

static void draw(struct page *p, int pid, const char *program, const struct target *t,
                 enum result r, struct before *b, const struct look *l)
{
    unsigned v = target_version(t);
    char up[32];

    p->used = p->row = 0;
    if (r == NO_RUNTIME) {
        line(p, "rntop: %s (%d), librunnel %u.%u.%u: no goroutines now", program, pid, v / 10000,
             v / 100 % 100, v % 100);
        b->any = false;
        return;
    }
    if (b->run != l->run)
        b->any = false; /* counters begin anew */
    names_refresh();
    line(p, "rntop: %s (%d), librunnel %u.%u.%u, up %s", program, pid, v / 10000, v / 100 % 100,
         v % 100, span(l->now - l->began, up, sizeof up));
    line(p,
         "goroutines %" PRIu64 ": %" PRIu64 " running (%" PRIu64 " blocked in C), %" PRIu64
         " runnable, %" PRIu64 " waiting; %" PRIu64 " started, %" PRIu64 " ended",
         l->started - l->ended, l->states[STATE_RUNNING], l->blocked,
         l->states[STATE_RUNNABLE] + l->states[STATE_NEW], l->states[STATE_WAITING], l->started,
         l->ended);
    line(p,
         "per second: %.0f started, %.0f ended, %.0f waits, %.0f wake-ups, %.0f yields, %.0f "
         "steals, "
         "%.0f hand-offs, %.0f blocking calls",
         rate(b, l, b->started, l->started), rate(b, l, b->ended, l->ended),
         rate(b, l, b->count[PARKS], l->count[PARKS]),
         rate(b, l, b->count[READIES], l->count[READIES]),
         rate(b, l, b->count[YIELDS], l->count[YIELDS]),
         rate(b, l, b->count[STEALS], l->count[STEALS]),
         rate(b, l, b->count[HANDOFFS], l->count[HANDOFFS]),
         rate(b, l, b->count[LENDS], l->count[LENDS]));
    line(p,
         "processors %" PRIu64 " (%" PRIu64 " idle), threads %" PRIu64 " (%" PRIu64
         " idle, %" PRIu64 " looking for work), global queue %" PRIu64 "%s",
         l->processors, l->processors_idle, l->threads, l->threads_idle, l->spinning,
         l->queued_global, l->starving ? ", goroutines wait for a stack: no memory" : "");
    draw_procs(p, b, l);
    draw_kinds(p, t, l);
    remember(b, l);
}

/* ---- The terminal ----------------------------------------------------------------------------------------- */

static struct termios cooked;
static bool raw;

static void put(const char *text, size_t n)
{
    while (n > 0) {
        ssize_t put = write(STDOUT_FILENO, text, n);

        if (put < 0 && errno != EINTR && errno != EAGAIN)
            exit(1); /* nobody reads any more */
        if (put > 0) {
            text += put;
            n -= (size_t)put;
        }
    }
}

static void terminal_end(void)
{
    static const char back[] = "\033[?25h\033[?1049l";

    if (!raw)
        return;
    raw = false;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &cooked);
    (void)!write(STDOUT_FILENO, back, sizeof back - 1);
}

static void on_signal(int sig)
{
    terminal_end();
    signal(sig, SIG_DFL);
    raise(sig);
}

static bool terminal_begin(void)
{
    struct termios t;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &cooked) != 0)
        return false;
    t = cooked;
    t.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
    t.c_cc[VMIN] = 0;
    t.c_cc[VTIME] = 0;
    raw = true;
    atexit(terminal_end);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGHUP, on_signal);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &t);
    put("\033[?1049h\033[?25l", 14);
    return true;
}

/* In one write, line by line over what was there: nothing flickers. */
static void show(const struct page *p)
{
    char *out = malloc(p->used + 16 + 8 * (size_t)(p->row + 1)), *at = out;

    if (!out)
        exit(1);
    at = stpcpy(at, "\033[H");
    for (size_t i = 0, row = 0; i < p->used; i++) {
        if (p->text[i] != '\n') {
            *at++ = p->text[i];
            continue;
        }
        at = stpcpy(at, ++row < p->row ? "\033[K\r\n" : "\033[K");
    }
    at = stpcpy(at, "\033[J");
    put(out, (size_t)(at - out));
    free(out);
}

static int64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Until due, or a key. False: the user has had enough. */
static bool wait_for_next(int64_t due)
{
    for (;;) {
        int64_t left = due - clock_ns();
        struct pollfd key = {STDIN_FILENO, POLLIN, 0};
        char c;

        if (left <= 0)
            return true;
        if (poll(&key, raw ? 1 : 0, (int)(left / 1000000) + 1) > 0) {
            if (read(STDIN_FILENO, &c, 1) != 1 || c == 'q' || c == 'Q')
                return false;
            if (c == ' ' || c == '\n' || c == '\r')
                return true;
        }
    }
}

int main(int argc, char **argv)
{
    int64_t period = 1000000000, due;
    long views = 0;
    struct page page = {0};
    struct before before = {0};
    struct look look;
    struct target *t;
    char name[64], program[64] = "?", *end;
    bool terminal;
    long pid;
    FILE *comm;
    int opt;

    while ((opt = getopt(argc, argv, "n:d:h")) != -1) {
        double seconds;

        switch (opt) {
        case 'n':
            views = strtol(optarg, &end, 10);
            if (*end || views < 1)
                goto wrong;
            break;
        case 'd':
            seconds = strtod(optarg, &end);
            if (*end || !(seconds >= 0.1 && seconds <= 3600))
                goto wrong;
            period = (int64_t)(seconds * 1e9);
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            goto wrong;
        }
    }
    if (optind + 1 != argc)
        goto wrong;
    pid = strtol(argv[optind], &end, 10);
    if (*end || end == argv[optind] || pid < 1 || pid > 1 << 30)
        goto wrong;

    t = target_open((int)pid);
    if (!t) {
        fprintf(stderr, "rntop: %s\n", target_error());
        return 1;
    }
    snprintf(name, sizeof name, "/proc/%ld/comm", pid);
    comm = fopen(name, "re");
    if (comm) {
        if (fgets(program, sizeof program, comm))
            program[strcspn(program, "\n")] = 0;
        fclose(comm);
    }
    terminal = views == 0 && terminal_begin();
    due = clock_ns();
    for (long i = 0; views == 0 || i < views; i++) {
        enum result r = target_look(t, &look);
        struct winsize size = {0};

        if (r == ENDED || r == FAILED) {
            terminal_end();
            if (r == ENDED)
                fprintf(stderr, "rntop: process %ld has ended\n", pid);
            else
                fprintf(stderr, "rntop: %s\n", target_error());
            return 1;
        }
        page.columns = PLAIN_COLUMNS;
        if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col &&
            size.ws_row) {
            page.columns = size.ws_col;
            page.rows = size.ws_row;
        }
        draw(&page, (int)pid, program, t, r, &before, &look);
        if (terminal) {
            show(&page);
        } else {
            if (i > 0)
                put("\n", 1);
            put(page.text, page.used);
        }
        if (i + 1 == views)
            break;
        due += period;
        if (due < clock_ns())
            due = clock_ns();
        if (!wait_for_next(due))
            break;
    }
    return 0;
wrong:
    fputs(usage, stderr);
    return 2;
}

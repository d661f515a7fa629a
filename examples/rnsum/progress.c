/* SPDX-License-Identifier: MIT */
/*
 * progress.c - the progress bar.
 */
#include "progress.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS_DEFAULT = 80, COLUMNS_MAX = 200, BAR_MAX = 30, BAR_MIN = 5 };
static const rn_dur PERIOD = 100 * RN_MILLISECOND;

void progress_init(struct progress *p)
{
    *p = (struct progress){.is_on = isatty(STDERR_FILENO) == 1, .started = rn_now()};
    p->rated_at = p->started;
}

char *progress_amount(char *to, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;

    while (bytes >= 1000 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        bytes /= 1024;
        unit++;
    }
    (void)snprintf(to, AMOUNT_ROOM,
                   unit == 0      ? "%.0f %s"
                   : bytes < 9.95 ? "%.1f %s"
                                  : "%.0f %s",
                   bytes, units[unit]);
    return to;
}

/* A stopped terminal (Ctrl-S) must not stop us: what cannot be written now is not written. */
static void write_now(const char *s, size_t n)
{
    struct pollfd err = {.fd = STDERR_FILENO, .events = POLLOUT};

    if (poll(&err, 1, 0) == 1 && write(STDERR_FILENO, s, n) < 0)
        return; /* a lost picture of the bar is no loss */
}

static int columns(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return COLUMNS_DEFAULT;
    return size.ws_col < COLUMNS_MAX ? size.ws_col : COLUMNS_MAX;
}

static uint64_t get(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void rate_locked(struct progress *p, uint64_t bytes)
{
    rn_time now = rn_now();
    double seconds = (double)(now - p->rated_at) / (double)RN_SECOND;
    double fresh;

    if (seconds < 0.05)
        return;
    fresh = (double)(bytes - p->bytes_before) / seconds;
    p->rate = p->bytes_before == 0 ? fresh : 0.8 * p->rate + 0.2 * fresh;
    p->bytes_before = bytes;
    p->rated_at = now;
}

/* How much is done, 0 to 1, or below 0 while nobody knows. */
static double fraction(struct progress *p, uint64_t files, uint64_t bytes)
{
    uint64_t total_files, total_bytes;

    if (!atomic_load(&p->total_known))
        return -1;
    total_files = get(&p->total_files);
    total_bytes = get(&p->total_bytes);
    if (total_bytes > 0)
        return bytes < total_bytes ? (double)bytes / (double)total_bytes : 1;
    if (total_files > 0)
        return files < total_files ? (double)files / (double)total_files : 1;
    return -1;
}

static void draw_locked(struct progress *p)
{
    uint64_t files = get(&p->files), bytes = get(&p->bytes);
    char amount[AMOUNT_ROOM], rate[AMOUNT_ROOM], text[160], bar[BAR_MAX + 16] = "", line[256];
    double part = fraction(p, files, bytes);
    int width = columns() - 1; /* the last column would wrap the line on some terminals */
    int n, room;

    rate_locked(p, bytes);
    n = snprintf(text, sizeof(text), "%llu files, %s, %s/s", (unsigned long long)files,
                 progress_amount(amount, (double)bytes), progress_amount(rate, p->rate));
    room = width - n - (int)sizeof("[] 100%  ") + 1;
    room = room < BAR_MAX ? room : BAR_MAX;
    if (part >= 0 && room >= BAR_MIN) {
        int full = (int)(part * room);
        char track[BAR_MAX + 1];

        memset(track, '.', (size_t)room);
        memset(track, '#', (size_t)full);
        track[room] = '\0';
        (void)snprintf(bar, sizeof(bar), "[%s] %3d%%  ", track, (int)(part * 100));
    }
    n = snprintf(line, sizeof(line), "\r%s%.*s\033[K", bar, width > 0 ? width : 0, text);
    write_now(line, (size_t)n);
    p->is_drawn = true;
}

static void wipe_locked(struct progress *p)
{
    if (p->is_drawn)
        write_now("\r\033[K", 4);
    p->is_drawn = false;
}

void progress_hide(struct progress *p)
{
    rn_mutex_lock(&p->mutex);
    wipe_locked(p);
}

void progress_show(struct progress *p)
{
    rn_mutex_unlock(&p->mutex);
}

void progress_run(struct progress *p, rn_ctx *ctx)
{
    rn_ticker ticker = {0};

    rn_ticker_start(&ticker, PERIOD);
    rn_defer(rn_ticker_free, &ticker);
    while (rn_select(rn_on_done(ctx), rn_on_recv(rn_ticker_chan(&ticker), NULL)) != 0) {
        rn_mutex_lock(&p->mutex);
        draw_locked(p);
        rn_mutex_unlock(&p->mutex);
    }
    rn_mutex_lock(&p->mutex);
    wipe_locked(p);
    rn_mutex_unlock(&p->mutex);
}

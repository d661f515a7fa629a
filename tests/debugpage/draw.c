/* SPDX-License-Identifier: MIT */
/*
 * draw.c - the wait graph of reports that are written here: read by the part's own sources, drawn, and the drawing
 * asked what is in it.
 */
#include <assert.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugpage/debugpage.h"

static const char circle[] =
    "runnel: 12 goroutines, 2 processors\n"
    "\n"
    "goroutine 1 [running]:\n"
    "\tpage at pages.c:3 [0x1]\n"
    "created by a thread at\n"
    "\tmain at x.c:1 [0x2]\n"
    "\n"
    "goroutines 2, 3 \"the <third>\" [sync.Mutex.Lock, 3 minutes], 2 alike:\n"
    "  for 3m12s, not all on the same\n"
    "    goroutine 2 on 0x5f0, locked by goroutine 3 \"the <third>\"\n"
    "    goroutine 3 on 0x5e0, locked by goroutine 2\n"
    "\trn__mutex_lock at mutex.c:3 [0x3]\n"
    "\ttransfer at bank.c:23 [0x4]\n"
    "created by goroutine 1 at\n"
    "\tmain at bank.c:9 [0x5]\n"
    "\n"
    "goroutine 4 [sync.Mutex.Lock]:\n"
    "  for 12ms on 0x700, locked by itself\n"
    "\tagain at bank.c:40 [0x6]\n"
    "\n"
    "goroutines 5 {k=\"}, \\\"\", l=\"\\\\\"}, 6-7 \"n\" {k=\"[x]\"} [sync.Mutex.Lock], 3 alike:\n"
    "  for 2ms to 12ms on 0x800, locked by goroutine 11 \"busy\"\n"
    "\tadd at bank.c:50 [0x7]\n"
    "\n"
    "goroutines 8 \"odd ] name [\", 9 [chan receive], 2 alike:\n"
    "  for 12ms on 0x900\n"
    "\trn_recv_fn [0x8]\n"
    "\ttake at bank.c:60 [0x9]\n"
    "\n"
    "goroutine 10 [sleep]:\n"
    "  for 1ms\n"
    "\tnap at bank.c:70 [0xa]\n"
    "\n"
    "goroutine 11 \"busy\" [running]:\n"
    "\t(running on another thread: its stack is not to be had)\n"
    "\n"
    "goroutine 12 [semacquire]:\n"
    "  for 1ms on 0x800, locked by goroutine 11 \"busy\"\n"
    "\tadd at bank.c:51 [0xb]\n"
    "\n"
    "goroutine 13 [sync.RWMutex.Lock]:\n"
    "  for 1ms on 0xa00, locked by goroutine 6\n"
    "\tset at bank.c:80 [0xc]\n";

static char *draw(const char *text)
{
    struct report r;
    struct body t = {0};

    assert(rn__report_read(&r, strdup(text)));
    rn__waits_draw(&t, &r);
    rn__report_free(&r);
    assert(t.at && !t.failed);
    return t.at;
}

static int times(const char *text, const char *what)
{
    int n = 0;

    for (const char *s = text; (s = strstr(s, what)); s += strlen(what))
        n++;
    return n;
}

static void check_circle(void)
{
    char *svg = draw(circle);

    /* 2 and 3 apart, 4, 5-7, 8 and 9, 12, 13; not 1, 10 and 11. */
    assert(times(svg, "class=\"waiter\"") == 7);
    assert(times(svg, "class=\"waits\"") == 7);
    assert(times(svg, "class=\"object\"") == 6); /* 0x800 is one, with two boxes that wait on it */
    assert(times(svg, ">4 wait<") == 1);
    assert(times(svg, "class=\"back\"") == 4); /* 2 to 3, 3 to 2, 4 to itself, 13 to 5-7 */
    assert(times(svg, "class=\"holder\"") == 1 && times(svg, "class=\"held\"") == 1);
    assert(strstr(svg, ">goroutine 11 &quot;busy&quot;<"));
    assert(strstr(svg, "goroutine 3<") && strstr(svg, "goroutine 2<"));
    assert(strstr(svg, "2 goroutines: 8 &quot;odd ] name [&quot;, 9<"));
    assert(strstr(svg, ">transfer at bank.c:23<") && strstr(svg, ">take at bank.c:60<"));
    assert(strstr(svg, "sync.Mutex.Lock, for 3m12s"));
    assert(strstr(svg, "1 goroutine more waits"));
    free(svg);
}

static const char spaces[] =
    "                                                                                          "
    "                                                                                          "
    "                                                                                          ";

/* More than can be drawn: cut, and said so. */
static void check_large(void)
{
    size_t room = 1 << 20, n = 0;
    char *text = malloc(room), *svg;

    assert(text);
    for (int i = 1; i <= 500; i++)
        n += (size_t)snprintf(
            text + n, room - n,
            "\ngoroutine %d [chan send]:\n  for 1ms on 0x%x, locked by goroutine %d\n\tf [0x1]\n",
            i, i * 16, 1000 + i);
    svg = draw(text);
    assert(times(svg, "class=\"waiter\"") == 60 &&
           strstr(svg, "The drawing is cut: 440 goroutines more wait:"));
    free(svg);
    free(text);
}

/* Names are cut between characters, wherever that is: the drawing stays UTF-8. */
static void check_cut(void)
{
    assert(setlocale(LC_ALL, "C.UTF-8"));
    for (int n = 0; n < 70; n++) {
        char text[1000], *svg;

        snprintf(text, sizeof text,
                 "\ngoroutine 1 \"%.*s\303\244\342\202\254\360\237\230\200\" "
                 "{k=\"%.*s\360\237\230\200%.*s\"} "
                 "[chan send]:\n  for 1ms on 0x10, locked by goroutine 2 "
                 "\"\342\202\254%.*s\"\n\tf%.*s\303\244 [0x1]\n",
                 n % 30, spaces, n, spaces, n, spaces, n, spaces, 200 + n, spaces);
        svg = draw(text);
        assert(mbstowcs(NULL, svg, 0) != (size_t)-1);
        free(svg);
    }
}

/* Whatever the text is, it is read without harm. */
static void check_odd(void)
{
    static const char *const odd[] = {
        "",
        "\n",
        "goroutine",
        "goroutine :",
        "goroutine 1 []:",
        "goroutine 1 [x",
        "goroutine 1 ]x[:",
        "  for 1ms on 0x1\n\tf\n",
        "goroutine 1 [x], 0 alike:\n",
        "goroutine 1 [x]:\n  for\n  for  on 0x\n",
        "goroutine 1 [x]:\n    goroutine  on 0x1, locked by \n",
        "created by \n\tx\ngoroutine 1 [x]:\n\t\n\t[0x\n",
    };

    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        free(draw(odd[i]));
    for (size_t n = 0; n < sizeof circle; n++) { /* cut anywhere */
        char cut[sizeof circle];

        snprintf(cut, n + 1, "%s", circle);
        free(draw(cut));
    }
}

int main(void)
{
    check_circle();
    check_large();
    check_cut();
    check_odd();
    return 0;
}

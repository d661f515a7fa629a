/* SPDX-License-Identifier: MIT */
/*
 * waits.c - the wait graph, as SVG: goroutines on the left, what they wait on in the middle, who has that on the right.
 *
 * A goroutine that has something and waits itself stands on the left only, and a line leads back to it from what it has: so a
 * circle of locks is a circle in the drawing. Goroutines that are alike are one box, as in the report, unless each waits on
 * another object. Those who wait for the same stand together, an object beside the middle of them, so no two boxes overlap
 * and few lines cross; nothing cleverer is needed, because a graph of more than BOXES boxes is folded.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugpage/debugpage.h"

enum {
    BOXES = 60, /* in a column; the rest are counted */
    WIDTH = 380,
    HEIGHT = 58,
    ROW = 72,
    GAP = 120,
    TOP = 60,
    LEFT = 20
};

struct box {
    const struct entry *entry;
    const char *id; /* of one goroutine; or the entry's */
    uint64_t count;
    const char *object, *holder;
    int y;
};

/* A box on the right. */
struct held {
    uint64_t id;
    int y;
};

static int column(int n)
{
    return LEFT + n * (WIDTH + GAP);
}

static int by_object(const void *a, const void *b)
{
    const struct box *x = a, *y = b;
    int order = strcmp(x->object, y->object);

    if (order == 0 &&
        !*x->object) /* several objects: each for itself, in the order of the report */
        order = x->entry < y->entry ? -1 : x->entry > y->entry;
    return order ? order : strcmp(x->id, y->id);
}

static bool same_object(const struct box *a, const struct box *b)
{
    return *a->object && strcmp(a->object, b->object) == 0;
}

/* After "{key="value", key="value"}", where s begins with it; in values \ is before " and itself. */
static const char *after_labels(const char *s)
{
    bool quoted = false;

    for (; *s && (quoted || *s != '}'); s++) {
        if (quoted && *s == '\\' && s[1])
            s++;
        else if (*s == '"')
            quoted = !quoted;
    }
    return *s ? s + 1 : s;
}

/* Is the goroutine "N ..." among "2-51, 60 "reader", 61 {key="value"}"? */
static bool among(const char *ids, uint64_t id)
{
    while (*ids) {
        char *number;
        uint64_t from = strtoull(ids, &number, 10), to = from;
        const char *end;

        if (number == ids)
            return false;
        if (*number == '-')
            to = strtoull(number + 1, &number, 10);
        end = number;
        if (id >= from && id <= to)
            return true;
        if (*end == ' ' && end[1] == '"') {
            end = strchr(end + 2, '"');
            if (!end++)
                return false;
        }
        if (*end == ' ' && end[1] == '{')
            end = after_labels(end + 1);
        if (strncmp(end, ", ", 2) != 0)
            return false;
        ids = end + 2;
    }
    return false;
}

static uint64_t goroutine_of(const char *holder)
{
    return holder && strncmp(holder, "goroutine ", 10) == 0 ? strtoull(holder + 10, NULL, 10) : 0;
}

static void draw_box(struct body *t, int x, int y, const char *class, const char *one,
                     const char *two, const char *three)
{
    const char *lines[] = {one, two, three};

    rn__body_add(t,
                 "<g class=\"%s\"><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"4\"/>\n",
                 class, x, y, WIDTH, HEIGHT);
    for (int i = 0; i < 3; i++) {
        char cut[64];

        if (!lines[i])
            continue;
        snprintf(cut, sizeof cut, "%s", lines[i]);
        if (strlen(lines[i]) >= sizeof cut) { /* the end of a path says more than its beginning */
            const char *tail = lines[i] + strlen(lines[i]) - (sizeof cut - 4);

            while ((*tail & 0xc0) == 0x80) /* not from within a character */
                tail++;
            snprintf(cut, sizeof cut, "...%s", tail);
        }
        rn__body_add(t, "<text x=\"%d\" y=\"%d\">", x + 8, y + 16 + 17 * i);
        rn__body_escaped(t, cut);
        rn__body_add(t, "</text>\n");
    }
    rn__body_add(t, "</g>\n");
}

static void draw_line(struct body *t, const char *class, int x1, int y1, int x2, int y2)
{
    int bend = x2 > x1 ? GAP / 2 : -GAP / 2;

    rn__body_add(
        t, "<path class=\"%s\" d=\"M%d %d C%d %d %d %d %d %d\" marker-end=\"url(#arrow)\"/>\n",
        class, x1, y1, x1 + bend, y1, x2 - bend, y2, x2, y2);
}

/* The length of the state without its minutes. */
static int reason(const struct entry *e)
{
    size_t n = strcspn(e->state, ",");

    return n < 60 ? (int)n : 60;
}

static void draw_waiter(struct body *t, const struct box *b)
{
    const struct entry *e = b->entry;
    char head[128], state[128], place[256] = "";

    if (b->count > 1)
        snprintf(head, sizeof head, "%" PRIu64 " goroutines: %.*s", b->count,
                 rn__body_cut(b->id, 80), b->id);
    else
        snprintf(head, sizeof head, "goroutine %.*s", rn__body_cut(b->id, 100), b->id);
    snprintf(state, sizeof state, "%.*s, for %.40s", reason(e), e->state, e->span ? e->span : "?");
    rn__report_at(e, place, sizeof place);
    draw_box(t, column(0), b->y, "waiter", head, state, place);
}

/* Where the box of by is, who is not among the waiters; a goroutine that has several things has one box. */
static int holder_at(struct body *t, struct held *holder, size_t *holders, const char *by, int y)
{
    uint64_t id = goroutine_of(by);

    for (size_t i = 0; i < *holders && id; i++)
        if (holder[i].id == id)
            return holder[i].y;
    draw_box(t, column(2), y, "holder", by, id ? "does not wait on an object" : NULL, NULL);
    holder[(*holders)++] = (struct held){id, y};
    return y;
}

/* Boxes for those who wait on something; how many. *ret_rest: goroutines that wait and have none. */
static size_t collect(const struct report *r, struct box *box, uint64_t *ret_rest)
{
    size_t n = 0;

    *ret_rest = 0;
    for (size_t i = 0; i < r->entries; i++) {
        const struct entry *e = &r->entry[i];
        uint64_t singles = 0;

        for (size_t k = 0; k < r->singles; k++) {
            const struct single *s = &r->single[k];

            if (s->entry != i || n == BOXES)
                continue;
            box[n++] = (struct box){e, s->id, 1, s->object, s->holder, 0};
            singles++;
        }
        if (!e->span || singles == e->count)
            continue;
        if (e->object && n < BOXES)
            box[n++] = (struct box){e, e->ids, e->count - singles, e->object, e->holder, 0};
        else
            *ret_rest += e->count - singles;
    }
    qsort(box, n, sizeof *box, by_object);
    return n;
}

void rn__waits_draw(struct body *t, const struct report *r)
{
    struct box box[BOXES];
    struct held holder[BOXES];
    uint64_t rest;
    size_t n = collect(r, box, &rest), holders = 0;
    int height = TOP + (int)(n ? n : 1) * ROW + 40;

    for (size_t i = 0; i < n; i++)
        box[i].y = TOP + (int)i * ROW;
    rn__body_add(
        t,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
        "font-family=\"monospace\" "
        "font-size=\"10\">\n"
        "<style>rect{fill:#fff;stroke:#888}.object rect{fill:#eef3fb;stroke:#47a}"
        ".holder rect{fill:#f4f4f4;stroke-dasharray:4 2}path{fill:none;stroke:#47a}"
        "path.held{stroke:#999}path.back{stroke:#c33;stroke-width:2}.head{font-size:13px}</style>\n"
        "<defs><marker id=\"arrow\" viewBox=\"0 0 10 10\" refX=\"10\" refY=\"5\" markerWidth=\"8\" "
        "markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L10 5L0 "
        "10z\" "
        "style=\"fill:#555;stroke:none\"/></marker>"
        "</defs>\n<rect width=\"100%%\" height=\"100%%\" style=\"stroke:none\"/>\n",
        column(3) - GAP + LEFT, height);
    rn__body_add(t,
                 "<text class=\"head\" x=\"%d\" y=\"30\">wait</text><text class=\"head\" x=\"%d\" "
                 "y=\"30\">on</text>",
                 column(0), column(1));
    rn__body_add(t, "<text class=\"head\" x=\"%d\" y=\"30\">held by</text>\n", column(2));
    for (size_t i = 0; i < n; i++)
        draw_waiter(t, &box[i]);
    for (size_t from = 0, to; from < n; from = to) {
        const char *by = box[from].holder;
        uint64_t waiting = 0, id;
        const struct box *back = NULL;
        char many[64], what[64];
        int y;

        for (to = from; to < n && (to == from || same_object(&box[from], &box[to])); to++) {
            waiting += box[to].count;
            by = by ? by : box[to].holder;
        }
        y = (box[from].y + box[to - 1].y) / 2;
        for (size_t i = from; i < to; i++)
            draw_line(t, "waits", column(0) + WIDTH, box[i].y + HEIGHT / 2, column(1),
                      y + HEIGHT / 2);
        snprintf(what, sizeof what, "%.*s", reason(box[from].entry), box[from].entry->state);
        snprintf(many, sizeof many, "%" PRIu64 " wait", waiting);
        draw_box(t, column(1), y, "object", *box[from].object ? box[from].object : "several", what,
                 many);
        if (!by)
            continue;
        id = goroutine_of(by);
        if (strcmp(by, "itself") == 0)
            back = &box[from];
        for (size_t i = 0; i < n && id && !back; i++)
            if (among(box[i].id, id))
                back = &box[i];
        if (back) {
            draw_line(t, "back", column(1), y + HEIGHT * 4 / 5, column(0) + WIDTH,
                      back->y + HEIGHT * 4 / 5);
            continue;
        }
        draw_line(t, "held", column(1) + WIDTH, y + HEIGHT / 2, column(2),
                  holder_at(t, holder, &holders, by, y) + HEIGHT / 2);
    }
    rn__body_add(t, "<text x=\"%d\" y=\"%d\">", column(0), height - 16);
    if (n == BOXES)
        rn__body_add(t, "The drawing is cut: ");
    rn__body_add(t,
                 "%" PRIu64
                 " goroutine%s more wait%s: for a time, or on what is not drawn.</text>\n</svg>\n",
                 rest, rest == 1 ? "" : "s", rest == 1 ? "s" : "");
}

# SPDX-License-Identifier: MIT
"""A bar chart of ratios as SVG: a bar to the left of 1 is faster, to the right slower; the axis is logarithmic."""
import collections
import math
from xml.sax.saxutils import escape

Bar = collections.namedtuple("Bar", "group name procs ratio")

ROW, GROUP_GAP, TOP, BOTTOM = 15, 12, 62, 24
NAME, PLOT, VALUE_WIDTH, GAP = 280, 250, 38, 24  # widths of a column's parts
LOW, HIGH = 1 / 16, 4  # what lies beyond ends at the edge
FASTER, SLOWER = ("#1a7f5a", "#8fd0b3"), ("#c2451e", "#f0a98c")  # one processor, more than one
TEXT, FAINT, LINE = "#222222", "#777777", "#dddddd"


def position(ratio):
    span = math.log(HIGH) - math.log(LOW)
    return PLOT * (math.log(min(max(ratio, LOW), HIGH)) - math.log(LOW)) / span


def text(x, y, s, size=11, anchor="start", colour=TEXT, weight="normal"):
    return '<text x="%.1f" y="%.1f" font-size="%d" text-anchor="%s" fill="%s" font-weight="%s">%s</text>' \
        % (x, y, size, anchor, colour, weight, escape(s))


def rect(x, y, width, height, colour):
    return '<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>' % (x, y, width, height, colour)


def rows_of(bars):
    """[(group, [(name, {procs: ratio})])], in the order of the bars."""
    groups = {}
    for b in bars:
        groups.setdefault(b.group, {}).setdefault(b.name, {})[b.procs] = b.ratio
    return [(g, list(names.items())) for g, names in groups.items()]


def columns_of(groups):
    """Two columns of about the same height; a group is not broken unless it must be."""
    lines = [(g, row) for g, rows in groups for row in [None] + rows]
    half = (len(lines) + 1) // 2
    return [c for c in (lines[:half], lines[half:]) if c]


def draw_column(out, lines, x, counts):
    """Draws the lines below TOP; returns how far down they go."""
    plot, y, group = x + NAME, TOP, None
    if lines[0][1] is not None:
        lines = [(lines[0][0], None)] + lines
    height = sum(ROW + (GROUP_GAP if row is None else 0) for _, row in lines)
    for tick in (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4):
        at = plot + position(tick)
        out.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s"/>'
                   % (at, at, TOP, TOP + height + 4, FAINT if tick == 1 else LINE))
        out.append(text(at, TOP - 4, "%g" % tick if tick >= 1 else "1/%d" % round(1 / tick), 10, "middle", FAINT))
    for group, row in lines:
        if row is None:
            y += GROUP_GAP + ROW
            out.append(text(x, y - 4, group, 12, weight="bold"))
            continue
        name, ratios = row
        thick = (ROW - 4) / max(len(counts), 1)
        for k, procs in enumerate(counts):
            if procs not in ratios:
                continue
            ratio = ratios[procs]
            colour = (FASTER if ratio <= 1 else SLOWER)[min(k, 1)]
            a, b = sorted((position(1), position(ratio)))
            out.append(rect(plot + a, y + 2 + k * thick, max(b - a, 1), thick - 0.5, colour))
        label = name if len(name) <= 46 else name[:15] + ".." + name[-29:]  # names differ at their ends
        out.append(text(plot - 6, y + 11, label, 10, "end"))
        for k, procs in enumerate(counts):
            value = ("%.2f" if ratios[procs] < 10 else "%.0f") % ratios[procs] if procs in ratios else "-"
            out.append(text(plot + PLOT + VALUE_WIDTH * (k + 1), y + 11, value, 10, "end", FAINT))
        y += ROW
    return y


def draw(bars, title):
    """The SVG's text."""
    counts = sorted({b.procs for b in bars})
    out, bottom = [], TOP
    columns = columns_of(rows_of(bars))
    width = NAME + PLOT + VALUE_WIDTH * len(counts)
    for i, lines in enumerate(columns):
        bottom = max(bottom, draw_column(out, lines, 12 + i * (width + GAP), counts))
    total_width = 24 + max(len(columns), 1) * width + max(len(columns) - 1, 0) * GAP
    total_height = bottom + BOTTOM
    head = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
            'font-family="DejaVu Sans, Verdana, sans-serif">' % ((total_width, total_height) * 2),
            rect(0, 0, total_width, total_height, "#ffffff"), text(12, 22, title, 15, weight="bold")]
    x = 12
    for k, procs in enumerate(counts):
        for colour, label in ((FASTER[min(k, 1)], "faster"), (SLOWER[min(k, 1)], "slower")):
            head.append(rect(x, 31, 10, 10, colour))
            head.append(text(x + 14, 40, "%s, %s" % (label, "1 processor" if procs == 1 else "%d processors" % procs),
                             10, colour=FAINT))
            x += 150
    return "\n".join(head + out + ["</svg>"]) + "\n"

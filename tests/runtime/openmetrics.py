#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run runtime-metrics' text test and read what it wrote as the OpenMetrics text format 1.0 wants it.

usage: openmetrics.py PROGRAM
"""
import os
import re
import subprocess
import sys
import tempfile

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{({NAME}=\"[^\"\\\n]*\"(?:,{NAME}=\"[^\"\\\n]*\")*)\}})? (\d+(?:\.\d+)?)$")
SUFFIXES = {"counter": {"_total"}, "gauge": {""}, "histogram": {"_bucket", "_count", "_sum"}}


def check(text):
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""], "must end with # EOF and a newline"
    family = kind = unit = None
    seen_families, seen_samples, buckets, count = set(), set(), [], None
    for line in lines[:-2]:
        assert line and line == line.strip(), repr(line)
        if line.startswith("#"):
            mark, what, name, rest = line.split(" ", 3)
            assert mark == "#" and what in ("TYPE", "UNIT", "HELP"), line
            if what == "TYPE":
                assert name not in seen_families, f"{name}: its samples must stand together"
                seen_families.add(name)
                family, kind, unit = name, rest, None
                assert kind in SUFFIXES, line
            else:
                assert name == family, line
                if what == "UNIT":
                    assert name.endswith("_" + rest), line
            continue
        m = SAMPLE.match(line)
        assert m, line
        assert m[1].startswith(family) and m[1][len(family):] in SUFFIXES[kind], line
        assert (m[1], m[2]) not in seen_samples, line
        seen_samples.add((m[1], m[2]))
        if m[1].endswith("_bucket"):
            buckets.append((m[2], int(m[3])))
        elif kind == "histogram" and m[1].endswith("_count"):
            count = int(m[3])
    limits = [float(re.fullmatch(r'le="([^"]+)"', label)[1]) for label, _ in buckets]
    assert limits == sorted(set(limits)) and limits[-1] == float("inf"), limits
    values = [n for _, n in buckets]
    assert values == sorted(values) and values[-1] == count, values
    assert len(seen_families) > 20, seen_families


def main():
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "metrics.txt")
        env = dict(os.environ, RUNNEL_TEST_METRICS=name)
        subprocess.run([sys.argv[1]], env=env, check=True, stdout=subprocess.DEVNULL)
        with open(name, encoding="utf-8") as f:
            text = f.read()
    check(text)
    try:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
    except ImportError:
        return
    assert len(list(text_string_to_metric_families(text))) > 20


main()

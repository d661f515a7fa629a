#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The instructions of the hot paths, all and those with a lock prefix, counted, against what they may be.

    budget.py check BUILD     count, compare with budgets.txt; status 1 if a path is off by more than LIMIT
    budget.py write BUILD     count, and write this compiler's part of budgets.txt
    budget.py show BUILD      count, and print beside the budgets

BUILD is a build directory with tests/budget-paths. paths.c says what is counted and why the counts repeat. Wall
time is noisy, instruction counts are not: this notices the one instruction too much that no benchmark does.

A count belongs to the compiler that made the code, so budgets.txt has a part for each compiler that somebody measured.
With another one, another CPU architecture, or other flags than a release build's own, there is nothing to compare:
status 77, which CTest takes for "skipped". Less than the budget is also an error, so that what was gained is kept: write the budgets anew, and commit
them with what earned them.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BUDGETS = HERE / "budgets.txt"
LIMIT = 0.03
SLACK = (0.5, 0.05)  # so much more or less is nothing: a path of a few is not to fail for a tick of the monitor
SKIPPED = 77

HEAD = """\
# The instructions of one round of each hot path (paths.c), counted by Callgrind on one processor: all, and those that
# lock a cache line (atomic read-modify-writes). Written by ./dev budget; checked in ./dev test, to within 3 %.
"""


def skip(why):
    print("skipped:", why)
    sys.exit(SKIPPED)


def cache(build):
    values = {}
    for line in open(build / "CMakeCache.txt"):
        m = re.match(r"([A-Za-z0-9_]+):[A-Z]+=(.*)", line.strip())
        if m:
            values[m[1]] = m[2]
    return values


def made_with(build):
    """The compiler and the architecture, as budgets.txt names them; skips what cannot be compared."""
    v = cache(build)
    if v.get("CMAKE_BUILD_TYPE") != "Release":
        skip("not a release build")
    for name in ("CMAKE_C_FLAGS", "CMAKE_C_FLAGS_RELEASE", "CMAKE_EXE_LINKER_FLAGS"):
        if v.get(name, "") not in ("", "-O3 -DNDEBUG"):
            skip("%s is %s" % (name, v[name]))
    if v.get("RUNNEL_COVERAGE", "OFF") != "OFF" or v.get("RUNNEL_TEST_SANITIZE"):
        skip("the build counts or checks something itself")
    compiler = v["CMAKE_C_COMPILER"]
    text = subprocess.run([compiler, "--version"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.splitlines()[0]
    kind = "clang" if "clang" in text else "gcc"
    version = re.search(r"\d+\.\d+(\.\d+)?", re.sub(r"\(.*?\)", "", text))
    return "%s %s %s" % (kind, version[0] if version else "unknown", os.uname().machine)


def count(program):
    """{name: (instructions of one round, locked ones)}"""
    if not shutil.which("valgrind"):
        skip("valgrind is missing")
    listed = subprocess.run([program, "-list"], stdout=subprocess.PIPE, text=True,
                            check=True).stdout.splitlines()
    rounds, times = (int(listed[0].split()[k]) for k in (1, 3))
    names, marks = listed[1:], 1 + 2 * times
    env = {k: v for k, v in os.environ.items() if not k.startswith("RUNNEL_")}
    env["RUNNEL_IO_URING"] = "0"  # not every kernel has one for us, and the counts are to be the same with all
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "counts")
        done = subprocess.run(["valgrind", "--tool=callgrind", "--dump-before=mark", "--collect-bus=yes",
                               "--callgrind-out-file=" + out, program],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
        if done.returncode == SKIPPED:
            skip(" ".join(l for l in done.stdout.splitlines() if not l.startswith("==")))
        if done.returncode != 0:
            sys.exit("budget-paths under Callgrind: status %d\n%s" % (done.returncode, done.stdout))
        parts = [f for f in os.listdir(folder) if re.fullmatch(r"counts\.\d+", f)]
        parts.sort(key=lambda f: int(f.split(".")[1]))
        sums = []
        for part in parts:
            with open(os.path.join(folder, part), errors="replace") as f:
                words = next(line.split() for line in f if line.startswith("summary:"))
                sums.append([int(w) for w in (words[1:] + ["0"])[:2]])
    if len(sums) < marks * len(names):
        sys.exit("Callgrind wrote %d counts for %d paths:\n%s" % (len(sums), len(names), done.stdout))
    found = {}
    for i, name in enumerate(names):
        of = sums[marks * i:marks * (i + 1)]  # the warming; then short and long in turn
        found[name] = tuple((min(s[k] for s in of[2::2]) - min(s[k] for s in of[1::2])) / rounds for k in (0, 1))
    return found


def read_budgets():
    """{compiler: {name: (instructions, locked ones)}}"""
    parts, part = {}, None
    for line in open(BUDGETS):
        words = line.split()
        if not words or words[0] == "#":
            continue
        if words[0] == "compiler":
            part = parts.setdefault(" ".join(words[1:]), {})
        else:
            part[words[0]] = (float(words[1]), float(words[2]))
    return parts


def write(found, compiler):
    parts = read_budgets() if BUDGETS.exists() else {}
    parts[compiler] = found
    with open(BUDGETS, "w") as f:
        f.write(HEAD)
        for name in sorted(parts):
            f.write("\ncompiler %s\n" % name)
            for path, (instructions, locked) in parts[name].items():
                f.write("%-36s %8.1f %6.2f\n" % (path, instructions, abs(locked)))
    print("written: tests/budget/budgets.txt, %d paths, %s" % (len(found), compiler))


def complaints(name, measured, budget):
    for what, slack, m, b in zip(("instructions", "locked instructions"), SLACK, measured, budget):
        if abs(m - b) > max(LIMIT * b, slack):
            yield "%s: %.2f %s measured, the budget is %.2f%s" % (
                name, m, what, b, ": %+.1f %%" % (100 * (m / b - 1)) if b else "")


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("check", "write", "show"):
        sys.exit(__doc__)
    verb, build = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    compiler = made_with(build)
    parts = read_budgets() if verb != "write" else {}
    budgets = parts.get(compiler, {})
    if verb == "check" and not budgets:
        skip("budgets.txt has none for %s; it has %s" % (compiler, ", ".join(parts) or "nothing"))
    found = count(str(build / "tests" / "budget-paths"))
    if verb == "write":
        return write(found, compiler)
    bad = []
    for name in list(found) + [n for n in budgets if n not in found]:
        measured, budget = found.get(name), budgets.get(name)
        if measured is None:
            bad.append("%s: in budgets.txt, but no such path" % name)
        elif budget is None:
            bad.append("%s: %.1f instructions measured, no budget" % (name, measured[0]))
        else:
            bad += complaints(name, measured, budget)
        if verb == "show" and measured is not None:
            print("%-36s %8.1f %6.2f   budget %s" % (name, *measured, "%8.1f %6.2f" % budget if budget else "none"))
    if verb == "show":
        return None
    print("%d paths; %d counts off by more than %g %%" % (len(found), len(bad), 100 * LIMIT))
    if bad:
        print("\n".join(bad))
        print("Worse: look what the path does more. Better, or worth it: ./dev budget writes the new ones;"
              " commit them with the reason.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

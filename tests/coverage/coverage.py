#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which lines of the core the tests reach, and why not the others.

    coverage.py BUILD PROFDATA LLVM-COV

BUILD is a build with RUNNEL_COVERAGE, PROFDATA what its tests have counted. Writes docs/coverage.md: a table of all
files of the core, and each line that was not reached, with the reason from explained.txt, which names it by its
function and its text, so that a reason cannot slip to another line. Without a reason, or below 95 of 100 lines, the
exit status is 1; and if a reason's line is no longer in the source.

explained.txt: "= FILE FUNCTION", then the reason on lines that begin with a tab or "- ", then the lines of source,
indented by four spaces. Several reasons may follow for one function. A closing brace goes with the line before it.
"""
import os
import re
import subprocess
import sys

CORE = ("base", "os", "arch", "sched", "time", "chan", "ctx", "sync", "group", "debug", "netpoll", "net", "file", "process")
ENOUGH = 95


def read_explained(path):
    """[(file, function, [line of source], reason)]"""
    found, file, function, reason, lines = [], None, None, [], []

    def finish():
        if lines:
            found.append((file, function, list(lines), " ".join(reason)))
        elif reason:
            sys.exit(f"{path}: a reason without lines: {' '.join(reason)}")
        lines.clear()
        reason.clear()

    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("= "):
                finish()
                file, function = line[2:].split()
            elif line.startswith("- "):
                if lines:
                    finish()
                reason.append(line[2:])
            elif line.startswith("    ") and reason:
                lines.append(line.strip())
            else:
                sys.exit(f"{path}:{number}: what is this?")
    finish()
    return found


def read_counts(root, build, profile, llvm_cov):
    """{file: ({line: count}, [(first line, function)])} of the core."""
    text = subprocess.run([llvm_cov, "export", "-format=lcov", os.path.join(build, "librunnel.so"),
                           f"-instr-profile={profile}"], capture_output=True, text=True, check=True).stdout
    files, name = {}, None
    for line in text.splitlines():
        if line.startswith("SF:"):
            name = os.path.relpath(line[3:], root)
            if not name.startswith(tuple(f"src/{d}/" for d in CORE)):
                name = None
            else:
                files[name] = ({}, [])
        elif name and line.startswith("FN:"):
            at, function = line[3:].split(",", 1)
            files[name][1].append((int(at), function.split(":")[-1]))
        elif name and line.startswith("DA:"):
            at, count = line[3:].split(",")[:2]
            files[name][0][int(at)] = int(count)
    for _, functions in files.values():
        functions.sort()
    return files


def function_at(functions, number):
    name = "?"
    for first, function in functions:
        if first <= number:
            name = function
    return name


def main():
    build, profile, llvm_cov = sys.argv[1:4]
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.abspath(os.path.join(here, "..", ".."))
    explained = read_explained(os.path.join(here, "explained.txt"))
    files = read_counts(root, build, profile, llvm_cov)
    sources, wrong = {}, []

    for file, function, lines, reason in explained:
        if file not in sources:
            with open(os.path.join(root, "src", file), encoding="utf-8") as f:
                sources[file] = [line.strip() for line in f]
        wrong += [f"explained.txt: src/{file} has no line {line}" for line in lines if line not in sources[file]]
        if files.get("src/" + file) and function not in [f for _, f in files["src/" + file][1]]:
            wrong.append(f"explained.txt: src/{file} has no function {function}")

    table, details, total, reached = [], [], 0, 0
    for name in sorted(files):
        counts, functions = files[name]
        with open(os.path.join(root, name), encoding="utf-8") as f:
            text = f.read().split("\n")
        missed = [n for n in sorted(counts) if counts[n] == 0]
        total += len(counts)
        reached += len(counts) - len(missed)
        share = 100 * (len(counts) - len(missed)) / len(counts)
        table.append(f"| `{name[4:]}` | {len(counts)} | {len(missed)} | {share:.1f} |")
        if not missed:
            continue
        details.append(f"\n### {name[4:]}\n")
        last, shown = (None, None), 0
        for n in missed:
            line, function = text[n - 1].strip(), function_at(functions, n)
            why = next((r for f, fn, lines, r in explained if f == name[4:] and fn == function and line in lines), None)
            if why is None and re.fullmatch(r"[{}]*;?", line) and last[0] == function and shown and n - shown < 12:
                why = last[1] # a brace goes with what stands before it
            if why is None:
                wrong.append(f"{name}:{n} ({function}) is not reached, and not explained: {line}")
                why = "**not explained**"
            if (function, why) != last:
                details.append(f"`{function}`: {why}\n")
            details.append("        " + text[n - 1].rstrip())
            last, shown = (function, why), n
            if n + 1 not in missed:
                details.append("")
    share = 100 * reached / total
    commit = subprocess.run(["git", "-C", root, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True,
                            check=False).stdout.strip()
    changed = subprocess.run(["git", "-C", root, "status", "--porcelain", "--", "src", "include", "tests"],
                             capture_output=True, text=True, check=False).stdout.strip()
    with open(os.path.join(root, "docs", "coverage.md"), "w", encoding="utf-8") as f:
        f.write(f"""# Coverage

`./dev coverage` writes this file: the lines of the core that one run of the tests reaches. Of **{total}** lines
**{reached}** were reached, **{share:.1f} %**, at commit {commit}{'+' if changed else ''}. The lines that were not are below, each with the
reason, from `tests/coverage/explained.txt`. What is reached only when two threads meet at a certain moment may be
there in one run and not in the next; that it is right is proven by `tests/explore`, which is not counted here.

| file | lines | not reached | % |
|---|---:|---:|---:|
""" + "\n".join(table) + "\n\n## Not reached\n" + "\n".join(details).rstrip() + "\n")
    print(f"{reached} of {total} lines of the core, {share:.1f} %: docs/coverage.md")
    for w in wrong:
        print(w)
    return 0 if share >= ENOUGH and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is promised, and the tests that prove it: writes docs/conformance.md, or checks it.

    conformance.py write BUILD...     write docs/conformance.md from the results of these build folders
    conformance.py check [BUILD...]   fail if something is neither proven nor excepted, if a test names what
                                      there is not, if docs/conformance.md is not what "write" would give (its
                                      states aside, which are those of a last run), if a test of these builds
                                      failed that proves something, or if the file says that a row passes of
                                      which these builds have not run every test

Three lists in this folder say what there is: items.txt, edges.txt and texts.txt; exceptions.txt says which
items no test proves, and why. Tests say themselves what they prove:

    items   by the name, group and numbers first (chan_15_16_order), and by the list that opens the comment
            right above (tests/support/support.h); a case of compile-fail/cases.c by the numbers in its
            comments and in its section's; the cases of an edge by the last column of edges.txt. D-05 is called
            D5 in comments, d05 in names. What is one program, or one script, says so in the same way: in the
            comment right above its line of a CMakeLists.txt, or, one way of packaging.sh, in the comment that
            opens it
    edges   by the third argument of CASE in runtime/race.c; a case is run with the edge and without it
    texts   by the string itself, exactly as the report's first line has it

States come from BUILD/results/*.txt, which the test programs write (RUNNEL_TEST_RESULTS), and of programs that write
none, such as the explorer's, from CTest's own report of ./dev test, BUILD.junit.xml: a test passes if it passed
wherever it ran, and was not skipped everywhere. What ran before its build's library was last linked proves nothing of
it, and counts as not run.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
DOC = ROOT / "docs" / "conformance.md"

GROUPS = {
    "CHAN": "Channels",
    "SEL": "Select",
    "CTX": "Contexts",
    "WG": "Wait groups",
    "MU": "Mutexes",
    "RW": "Read-write mutexes",
    "ONCE": "Once",
    "COND": "Conditions",
    "ATOM": "Atomics",
    "EG": "Error groups",
    "SF": "Flights",
    "SEM": "Semaphores",
    "TIME": "Time",
    "RT": "Goroutines, scheduler, beginnings and ends",
    "RACE": "What the race detector sees",
    "LEAK": "Goroutines that are left",
    "D": "Decisions",
}

problems = []


def problem(text):
    problems.append(text)


def rows(name, columns):
    """The rows of a list: stripped fields; lines that begin with # are comments."""
    for number, line in enumerate((HERE / name).read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [f.strip() for f in line.split("|")]
        if len(fields) != columns:
            problem(f"{name}:{number}: {len(fields)} fields, not {columns}")
            continue
        yield fields


class Test:
    """ran is the name that the results have: its own, or "ctest:" and that of the test of CTest's it is part of."""

    def __init__(self, name, file, claims, strings, ran=None):
        self.name, self.file, self.claims, self.strings = name, file, claims, strings
        self.ran = ran or name


# ---- What the sources say ---------------------------------------------------------------------------

MACRO = re.compile(r"^([A-Z_]*TEST(?:_[A-Z]+)*|EXPLORE)\((\w+)")
PROGRAM = re.compile(r"^ *(runnel_test_program\(|runnel_small_example\(|add_test\(NAME )([\w.-]+)")
WAY = re.compile(r"^(\w+)\)$")
NAME = re.compile(r"^([a-z]+)((?:_\d\d)+)(?:_|$)")
LIST = re.compile(r"^(?:(?:[A-Z]+-\d\d|[DF]\d+)(?:, |(?![\w-])))+")
NUMBER = re.compile(r"\b([A-Z]+)-(\d\d)\b")
DECISION = re.compile(r"\bD(\d{1,2})\b")
DECISION_IN_NAME = re.compile(r"(?:^|_)d(\d\d)(?=_|$)")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
DEFINE = re.compile(r'^#define (\w+) "((?:[^"\\]|\\.)*)"$', re.M)


def comment_above(lines, at):
    """The text of the comment that ends on the line before lines[at], or nothing."""
    text = []
    at -= 1
    if at < 0 or not lines[at].rstrip().endswith("*/"):
        return ""
    while at >= 0:
        text.insert(0, lines[at].strip().removeprefix("/*").removesuffix("*/").strip().removeprefix("* "))
        if lines[at].lstrip().startswith("/*"):
            return " ".join(text).strip()
        at -= 1
    return ""


def strings_of(block, defines):
    """The string literals of a piece of C, adjacent ones joined, macros for strings replaced."""
    for name, value in defines.items():
        block = re.sub(rf"(?<![\w\"]){name}\b", lambda _: f'"{value}"', block)
    block = re.sub(r'(?<!\\)"\s*"', "", block)
    return STRING.findall(block)


def numbers_in(text):
    """CHAN-15 as it stands, D5 as D-05."""
    found = [f"{g}-{n}" for g, n in NUMBER.findall(text) if g in GROUPS]
    return found + [f"D-{int(n):02}" for n in DECISION.findall(text)]


def claims_of(name, comment):
    found = []
    match = NAME.match(name)
    if match and match.group(1).upper() in GROUPS:
        found += [f"{match.group(1).upper()}-{n}" for n in match.group(2).split("_")[1:]]
    found += [f"D-{n}" for n in DECISION_IN_NAME.findall(name)]
    match = LIST.match(comment)
    if match:
        found += numbers_in(match.group(0))
    return list(dict.fromkeys(found))


def read_tests():
    tests = {}
    for path in sorted((ROOT / "tests").rglob("*.c")):
        source = path.read_text()
        lines = source.splitlines()
        defines = dict(DEFINE.findall(source))
        file = str(path.relative_to(ROOT))
        for at, line in enumerate(lines):
            match = MACRO.match(line)
            if not match:
                continue
            name = match.group(2)
            ran = f"ctest:explore-{path.stem}" if match.group(1) == "EXPLORE" else None
            end = next((i for i in range(at, len(lines)) if lines[i] == "}"), at)
            block = "\n".join(lines[at : end + 1])
            test = Test(name, file, claims_of(name, comment_above(lines, at)), strings_of(block, defines), ran)
            if name in tests:
                problem(f"{file}: the name {name} is in {tests[name].file} too")
            tests[name] = test
    return tests


def read_refused():
    """The cases of compile-fail/cases.c: what must not compile."""
    path = ROOT / "tests" / "compile-fail" / "cases.c"
    file = str(path.relative_to(ROOT))
    tests, section, case = {}, [], None
    for line in path.read_text().splitlines():
        numbers = numbers_in(line) if "/*" in line else []
        match = re.match(r"#(?:el)?if CASE == (\d+)", line)
        if line.strip().startswith("/* ----"):
            section, case = numbers, None
        elif match:
            case = Test(f"refuse:{match.group(1)}", file, list(section), [])
            tests[case.name] = case
        elif case:
            case.claims += numbers
    return tests


def hash_comment(lines):
    """The text of a comment of several lines that begin with #."""
    return " ".join(line.strip().removeprefix("#").strip() for line in lines)


def read_programs():
    """What CTest runs as one test, and says what it proves."""
    tests = {}

    def add(name, path, comment):
        claims = claims_of("", comment)
        if claims:
            tests[f"ctest:{name}"] = Test(name, str(path.relative_to(ROOT)), claims, [], f"ctest:{name}")

    for path in sorted([*(ROOT / "tests").rglob("CMakeLists.txt"), ROOT / "examples" / "CMakeLists.txt"]):
        lines = path.read_text().splitlines()
        for at, line in enumerate(lines):
            match = PROGRAM.match(line)
            if match:
                first = at
                while first > 0 and lines[first - 1].lstrip().startswith("#"):
                    first -= 1
                prefix = "examples." if "example" in match.group(1) else ""
                add(prefix + match.group(2), path, hash_comment(lines[first:at]))
    path = ROOT / "tests" / "packaging" / "packaging.sh"
    lines = path.read_text().splitlines()
    for at, line in enumerate(lines):
        match = WAY.match(line)
        if match:
            end = at + 1
            while lines[end].lstrip().startswith("#"):
                end += 1
            add(f"packaging.{match.group(1)}", path, hash_comment(lines[at + 1 : end]))
    return tests


def read_edges():
    """CASE lines of runtime/race.c: (name, has with, has without, edge)."""
    source = (ROOT / "tests" / "runtime" / "race.c").read_text()
    return [
        (name, has != "WITHOUT", has != "WITH", edge)
        for name, has, edge in re.findall(r"^ *CASE\((\w+), (\w+), \"([\w-]+)\"\)", source, re.M)
    ]


def read_results(builds):
    """name -> the set of states that the builds' last runs had."""
    results = {}
    for build in builds:
        libraries = [pathlib.Path(build) / name for name in ("librunnel.a", "librunnel.so")]
        linked = max((p.stat().st_mtime for p in libraries if p.exists()), default=0)
        for path in sorted((pathlib.Path(build) / "results").glob("*.txt")):
            if path.stat().st_mtime < linked:
                continue
            here = {}
            for line in path.read_text().splitlines():
                name, state = (line.split() + ["", ""])[:2]
                if here.get(name) != "skip" or state == "fail": # a skipped one ends as passed
                    here[name] = state
            for name, state in here.items():
                results.setdefault(name, set()).add(state)
        build = pathlib.Path(build).resolve()
        report = build.with_name(build.name + ".junit.xml")
        if report.exists() and report.stat().st_mtime >= linked:
            for case in xml.etree.ElementTree.parse(report).iter("testcase"):
                state = {"run": "pass", "fail": "fail"}.get(case.get("status"), "skip")
                results.setdefault(f"ctest:{case.get('name')}", set()).add(state)
    return results


# ---- The document ------------------------------------------------------------------------------------


def state_of(names, results):
    """Of several tests: the worst."""
    worst = "passes"
    for name in names:
        states = results.get(name, set())
        if "fail" in states:
            return "**fails**"
        if not states:
            worst = "**not run**"
        elif "pass" not in states and worst == "passes":
            worst = "skipped"
    return worst


def tests_cell(tests):
    by_file = {}
    for test in tests:
        by_file.setdefault(test.file, []).append(test)
    cells = []
    for file, there in by_file.items():
        if file.endswith("compile-fail/cases.c"):
            names = "cases " + ", ".join(t.name.split(":")[1] for t in there)
        else:
            names = ", ".join(dict.fromkeys(t.name for t in there)) # an edge has several cases
        cells.append(f"{file.removeprefix('tests/')}: {names}")
    return "; ".join(cells)


def document(results):
    tests = read_tests()
    tests.update(read_refused())
    tests.update(read_programs())
    out = []

    edges = {name: (kind, sentence, claims) for name, kind, sentence, claims in rows("edges.txt", 4)}
    cases = {name: ([], []) for name in edges}
    for name, has_with, has_without, edge in read_edges():
        if edge not in edges:
            problem(f"tests/runtime/race.c: {name} names {edge}, which is not in edges.txt")
            continue
        if has_with:
            cases[edge][0].append(name)
        if has_without:
            cases[edge][1].append(name)

    # Items
    items = dict(rows("items.txt", 2))
    exceptions = {item: (state, why) for item, state, why in rows("exceptions.txt", 3)}
    proof = {item: [] for item in items}
    for test in tests.values():
        for claim in test.claims:
            if claim in proof:
                proof[claim].append(test)
            else:
                problem(f"{test.file}: {test.name} names {claim}, which is not in items.txt")
    for edge, (_, _, claims) in edges.items():
        for item in numbers_in(claims):
            if item not in proof:
                problem(f"edges.txt: {edge} names {item}, which is not in items.txt")
                continue
            for side, names in zip(("with", "without"), cases[edge]):
                proof[item] += [Test(edge, "tests/runtime/race.c", [], [], f"race:{n}:{side}") for n in names]
    for item, (state, why) in exceptions.items():
        if item not in items:
            problem(f"exceptions.txt: {item} is not in items.txt")
        elif state not in ("none", "waits") or not why:
            problem(f"exceptions.txt: {item}: the state is none or waits, with a reason")
        elif proof[item]:
            problem(f"exceptions.txt: {item} has a test, {proof[item][0].name}")
    for item in items:
        if item.split("-")[0] not in GROUPS:
            problem(f"items.txt: {item} is of no known group")
        if not proof[item] and item not in exceptions:
            problem(f"{item} has neither a test nor an exception")
    proven = sum(bool(p) for p in proof.values())
    waiting = sum(state == "waits" for state, _ in exceptions.values())

    # Edges
    for name, (kind, *_) in edges.items():
        if kind not in ("pair", "none", "edge"):
            problem(f"edges.txt: {name} is a pair, none or edge, not {kind}")
        if (kind != "none" and not cases[name][0]) or (kind != "edge" and not cases[name][1]):
            problem(f"the edge {name} is not proven: it lacks a case in tests/runtime/race.c")

    # Texts
    texts = list(rows("texts.txt", 3))
    said = {}
    for test in tests.values():
        for string in test.strings:
            said.setdefault(string, []).append(test)
    text_proof = {}
    for word, text, note in texts:
        pattern = re.compile("(?:" + re.escape(word) + ": )?" + re.escape(text).replace("N", r"(?:N|-?\d+)") + r"(?:\\n)?")
        found = [t for string, ts in said.items() if pattern.fullmatch(string) for t in ts]
        text_proof[text] = list(dict.fromkeys(found))
        if note and not re.match(r"(none|waits): .", note):
            problem(f"texts.txt: {text}: a note is none: or waits: and a reason")
        if not found and not note:
            problem(f"no test expects the text: {text}")
        if found and note:
            problem(f"texts.txt: {text} has a test, {found[0].name}")

    out += [
        "# Conformance",
        "",
        "What a program may rely on, item by item, and the test that proves each. The items are those of Go, as",
        "its specification, memory model and tests have them, in our words; where C differs the sentence says",
        "how. The last group are decisions that Go does not make for us: how calls are captured, who owns what",
        "and when it may go, sizes, and the forms of the interface; they hold from release to release. This file is",
        "made by `./dev docs` from the tests, from the lists in `tests/conformance` and from",
        "the last run, and the test `conformance` fails when it is not what they give. Tests are named by their",
        "file under `tests/`; `build/release/tests/PROGRAM NAME` runs one.",
        "",
        f"Of {len(items)} items {proven} are proven by a test, {len(exceptions) - waiting} have no case in C and",
        f"{waiting} wait for something. {len(edges)} edges of the happens-before relation follow, and",
        f"{len(texts)} texts of panics and fatal errors.",
        "",
    ]
    for group, title in GROUPS.items():
        out += [f"## {title}", "", "| item | what | proven by | state |", "|---|---|---|---|"]
        for item, sentence in items.items():
            if item.split("-")[0] != group:
                continue
            if item in exceptions:
                state, why = exceptions[item]
                out.append(f"| {item} | {sentence} | {why} | {'no case' if state == 'none' else 'waits'} |")
            else:
                state = state_of([t.ran for t in proof[item]], results)
                out.append(f"| {item} | {sentence} | {tests_cell(proof[item])} | {state} |")
        out.append("")
    out += [
        "## Happens-before",
        "",
        "Cases of `tests/runtime/race.c`, under ThreadSanitizer: silent with the edge, reported without it.",
        "",
        "| edge | what | silent | reported | state |",
        "|---|---|---|---|---|",
    ]
    for name, (kind, sentence, _) in edges.items():
        ran = [f"race:{c}:with" for c in cases[name][0]] + [f"race:{c}:without" for c in cases[name][1]]
        cells = [", ".join(c) for c in cases[name]]
        out.append(f"| {name} | {sentence} | {cells[0]} | {cells[1]} | {state_of(ran, results)} |")
    out += [
        "",
        "## Texts",
        "",
        "The first line of the report is the word, a colon and the text, exactly, or the second where the first says what is",
        "exceeded; the status is 2.",
        "",
        "| word | text | proven by | state |",
        "|---|---|---|---|",
    ]
    for word, text, note in texts:
        if note:
            state, why = note.split(": ", 1)
            out.append(f"| {word} | {text} | {why} | {'no case' if state == 'none' else 'waits'} |")
        else:
            state = state_of([t.ran for t in text_proof[text]], results)
            out.append(f"| {word} | {text} | {tests_cell(text_proof[text])} | {state} |")

    claimed = {t.ran for p in list(proof.values()) + list(text_proof.values()) for t in p}
    claimed |= {f"race:{c}:{s}" for name, *_ in read_edges() for c in [name] for s in ("with", "without")}
    for name in sorted(claimed):
        if "fail" in results.get(name, ()):
            problem(f"{name} failed in the last run")
    return "\n".join(out) + "\n"


def without_states(text):
    """Every table row without its last column, unless that does not come from a run."""
    kept = []
    for line in text.splitlines():
        if line.startswith("|") and not re.search(r"\| (no case|waits|state|---) \|$", line):
            line = line[: line.rstrip(" |").rfind("|") + 1]
        kept.append(line)
    return kept


def claims_too_much(said, found):
    """Rows that pass in the text said, and did not run in the text found."""
    now = {tuple(line.split("|")[1:3]): line for line in found.splitlines() if line.startswith("|")}
    for line in said.splitlines():
        row = tuple(line.split("|")[1:3])
        if line.endswith("| passes |") and now.get(row, "").endswith("| **not run** |"):
            problem(f"docs/conformance.md says that this passes, and it did not run: {row[0].strip()}, {row[1].strip()}")


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in ("write", "check"):
        sys.exit(__doc__)
    text = document(read_results(sys.argv[2:]))
    if sys.argv[1] == "write":
        DOC.parent.mkdir(exist_ok=True)
        DOC.write_text(text)
    elif not DOC.exists() or without_states(DOC.read_text()) != without_states(text):
        problem("docs/conformance.md is not up to date: run ./dev docs")
    elif len(sys.argv) > 2:
        claims_too_much(DOC.read_text(), text)
    for text in problems:
        print(text)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run rntop beside programs of which it is known what their goroutines do.

usage: rntop.py RNTOP SOURCE NAMES PROGRAM...    each PROGRAM is made of SOURCE; NAMES: 1 if rntop knows functions and lines
"""
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

RNTOP, SOURCE, NAMES = sys.argv[1], sys.argv[2], sys.argv[3] == "1"
NOBODY = 65534


def line_of(mark):
    with open(SOURCE, encoding="utf-8") as f:
        return next(i for i, text in enumerate(f, 1) if "rntop.py: " + mark in text)


class Watched:
    def __init__(self, program, mode):
        self.process = subprocess.Popen([program, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """It ends by itself when its input does: it is whole."""
        if self.process.stdin:
            self.process.stdin.close()
            self.process.stdin = None
            assert self.process.wait() == 0


def rntop(*args, program=None, **more):
    done = subprocess.run([program or RNTOP, *map(str, args)], capture_output=True, text=True, check=False, **more)
    return done.returncode, done.stdout, done.stderr


def views(text):
    return re.split(r"\n\n(?=rntop: )", text.rstrip("\n"))


def rows(view):
    """(count, state) -> (at, started at, one of them), of the goroutines with a name or a wait."""
    table = view[view.index("    COUNT  STATE"):].splitlines()
    at, started, one = (table[0].index(x) for x in ("AT ", "STARTED AT", "ONE OF"))
    found = {}
    for text in table[1:]:
        assert re.match(r" *\d+  \S", text), text
        count, state = int(text[:9]), text[11:35].strip()
        found.setdefault((count, state), []).append((text[at:started].strip(), text[started:one].strip(), text[one:]))
    return found


def check_still(view, readers):
    found = rows(view)
    for count, state, function, mark in ((readers, "chan receive", "reader", "readers wait"), (5, "sleep", "sleeper", "sleepers wait"),
                                         (3, "sync.Mutex.Lock", "locker", "lockers wait")):
        assert (count, state) in found, (count, state, view)
        if NAMES:
            where = "%s at %s:%d" % (function, os.path.basename(SOURCE), line_of(mark))
            assert any(at == where for at, _, _ in found[count, state]), (where, view)
    if NAMES:
        begun = "start_still at %s:%d" % (os.path.basename(SOURCE), line_of("readers begin"))
        assert any(started == begun for _, started, _ in found[readers, "chan receive"]), view
    # A name is shown, but what is in it does nothing to the terminal.
    assert found[5, "sleep"][0][2].endswith("a ?sleeper"), view
    assert "\033" not in view
    assert found[3, "sync.Mutex.Lock"][0][2].endswith(' {wants="a mutex"}'), view
    assert view.count("{") == 1, view


def number(view, what):
    return int(re.search(what, view).group(1))


def still(program):
    with Watched(program, "still") as w:
        status, text, said = rntop("-n", 2, "-d", 0.2, w.pid)
        assert status == 0 and said == "", said
        assert len(views(text)) == 2
        for view in views(text):
            check_still(view, 7)
            # Who spins has lost its processor if work waited for a slice at the start, on a busy machine.
            lost = number(view, r"2 running \((\d) blocked in C\)") == 2
            assert re.search(r"goroutines 17: 2 running \([12] blocked in C\), 0 runnable, 15 waiting; 17 started, 0 ended", view), view
            assert "processors 2 (" in view, view
            assert lost or re.search(r"^  P\d +busy .* goroutine \d+$", view, re.M), view
        assert "per second: 0 started, 0 ended, 0 waits" in views(text)[1], text


def churn(program):
    with Watched(program, "churn") as w:
        status, text, said = rntop("-n", 20, "-d", 0.1, w.pid)
        assert status == 0 and said == "", said
        began = [number(v, r"; (\d+) started") for v in views(text)]
        assert len(began) == 20 and began == sorted(began) and began[0] < began[-1], began
        for view in views(text):
            check_still(view, 7)
        for what in r"per second: (\d+) started", r"(\d+) waits":  # the machine may be busy for the length of a view
            assert max(number(view, what) for view in views(text)[1:]) > 100, text


def many(program):
    with Watched(program, "many") as w:
        status, text, said = rntop("-n", 2, "-d", 0.1, w.pid)
        assert status == 0 and said == "", said
        for view in views(text):
            check_still(view, 100000)


def ends_meanwhile(program):
    with Watched(program, "still") as w:
        with subprocess.Popen([RNTOP, "-n", "1000", "-d", "0.1", str(w.pid)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as p:
            assert p.stdout.readline().startswith("rntop: ")
            w.end()
            _, said = p.communicate()
            assert p.returncode == 1 and said == "rntop: process %d has ended\n" % w.pid, said


def runtimes(program):
    """One after the other, with nothing between."""
    w = Watched(program, "ends")
    try:
        shown = 0
        for _ in range(100):
            status, text, said = rntop("-n", 5, "-d", 0.1, w.pid)
            if status != 0:
                assert "has ended" in said or "no process" in said or "no memory" in said, said
                break
            shown += len(views(text))
            assert all("no goroutines now" in v or "goroutines " in v for v in views(text)), text
            if shown > 20:
                break
        assert shown > 0
    finally:
        w.process.kill()
        w.process.wait()


def refused(program):
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdin.write(b"x\n")  # what it writes back, it has been started for
        other.stdin.flush()
        assert other.stdout.readline() == b"x\n"
        status, text, said = rntop("-n", 1, other.pid)
        assert status == 1 and text == "" and "has no runnel in it" in said, said
        other.kill()
        other.wait()
        status, text, said = rntop("-n", 1, other.pid)
        assert status == 1 and text == "" and "there is no process" in said, said
    for wrong in ((), ("x",), ("0",), ("-n", 0, 1), ("-d", 0, 1), (1, 2)):
        status, text, said = rntop(*wrong)
        assert status == 2 and text == "" and said.startswith("usage: "), (wrong, said)
    if os.getuid() == 0:
        with Watched(program, "still") as w, tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)  # the checkout may lie where nobody else may enter
            status, text, said = rntop("-n", 1, w.pid, program=shutil.copy(RNTOP, folder),
                                       user=NOBODY, group=NOBODY, extra_groups=[])
            assert status == 1 and text == "" and "may not be looked at" in said, said


def terminal(program):
    with Watched(program, "still") as w:
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(RNTOP, [RNTOP, "-d", "0.1", str(w.pid)])
        seen = b""
        while seen.count(b"\033[H") < 3 or b"chan receive" not in seen:
            assert select.select([fd], [], [], 60)[0], seen
            seen += os.read(fd, 65536)
        os.write(fd, b"q")
        try:
            while select.select([fd], [], [], 60)[0]:
                more = os.read(fd, 65536)
                if not more:
                    break
                seen += more
        except OSError:
            pass  # the terminal's other end is closed
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert seen.startswith(b"\033[?1049h") and seen.endswith(b"\033[?1049l"), seen[-100:]


def main():
    # A process may be forbidden what it needs, as in some containers.
    with Watched(sys.argv[4], "still") as w:
        status, _, said = rntop("-n", 1, w.pid)
        if status != 0 and "may not be looked at" in said:
            print(said)
            sys.exit(77)
    for program in sys.argv[4:]:
        for test in still, churn, many, ends_meanwhile, runtimes, refused, terminal:
            begun = time.monotonic()
            test(program)
            print("%s: %s %.1f s" % (os.path.basename(program), test.__name__, time.monotonic() - begun), flush=True)


signal.alarm(280)
main()

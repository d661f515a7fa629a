#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run runtime-trace's programs and look at their flight recordings, as Perfetto would.

usage: trace.py PROGRAM

Of each file: it is JSON; slices of a track follow each other and do not overlap; a goroutine is in one phase after the
other, in an order that can be; each arrow begins in a slice of whoever woke and ends where a run of the woken begins;
each run that followed a wake-up or a start has its arrow. Of the known program: the numbers are what it did.
"""
import collections
import json
import os
import signal
import subprocess
import sys
import tempfile

GOROUTINES, PROCESSORS = 1, 2


def ns(us):
    return round(us * 1000)


class Trace:
    def __init__(self, name):
        with open(name, encoding="utf-8") as f:
            self.file = json.load(f)
        events = self.file["traceEvents"]
        self.names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
        self.tracks = collections.defaultdict(list)
        for e in events:
            if e["ph"] == "X":
                assert e["dur"] >= 0 and e["ts"] >= 0, e
                e["from"], e["to"] = ns(e["ts"]), ns(e["ts"]) + ns(e["dur"])
                self.tracks[e["pid"], e["tid"]].append(e)
        for pid, tid in self.tracks:
            assert (pid, tid) in self.names, (pid, tid)
        self.starts = {e["id"]: e for e in events if e["ph"] == "s"}
        self.ends = {e["id"]: e for e in events if e["ph"] == "f"}
        self.count = collections.Counter(e["cat"] for e in self.starts.values())
        assert len(self.starts) == sum(e["ph"] == "s" for e in events)
        assert self.starts.keys() == self.ends.keys()
        self.check_tracks()
        self.check_arrows()

    def check_tracks(self):
        for (pid, tid), slices in self.tracks.items():
            if pid == GOROUTINES:
                for a, b in zip(slices, slices[1:]):
                    assert a["to"] == b["from"] or a["name"] in ("running", "without a processor", "blocking call"), (a, b)
                    assert a["to"] <= b["from"], (a, b)
                    if b["name"] == "running":
                        assert a["name"] in ("runnable", "blocking call", "without a processor"), (a, b)
                    else:
                        assert a["name"] != "runnable", (a, b)
            else:
                slices = sorted((s for s in slices if s["name"] not in ("wake", "start")), key=lambda s: s["from"])
                for a, b in zip(slices, slices[1:]):
                    assert a["to"] <= b["from"], (a, b)

    def at(self, e):
        """The slices of e's track that hold e's time."""
        return [s for s in self.tracks[e["pid"], e["tid"]] if s["from"] <= ns(e["ts"]) <= s["to"]]

    def check_arrows(self):
        begun = collections.Counter()
        for i, s in self.starts.items():
            f = self.ends[i]
            assert ns(s["ts"]) <= ns(f["ts"]), (s, f)
            assert f["bp"] == "e" and f["cat"] == s["cat"]
            if s["pid"] == GOROUTINES:
                assert any(x["name"] in ("running", "without a processor", "blocking call") for x in self.at(s)), s
            else:
                assert any(x["name"] == s["cat"] for x in self.at(s)), s
            assert any(x["name"] == "running" and x["from"] == ns(f["ts"]) for x in self.at(f)), f
            begun[f["tid"], ns(f["ts"])] += 1
        assert all(n == 1 for n in begun.values())
        # Each run after a wait has its arrow, unless it begins with what we see.
        for (pid, tid), slices in self.tracks.items():
            for a, b, c in zip(slices, slices[1:], slices[2:]) if pid == GOROUTINES else ():
                if b["name"] == "runnable" and c["name"] == "running" and a["name"] not in ("running", "runnable"):
                    if a["name"] not in ("blocking call", "without a processor"):
                        assert begun[tid, c["from"]] == 1, (a, b, c)

    def slices(self, name, pid=GOROUTINES):
        return [s for (p, _), t in self.tracks.items() if p == pid for s in t if s["name"] == name]


def run(program, which, folder, **env):
    name = os.path.join(folder, which + ".json")
    done = subprocess.run([program, which, name], env=dict(os.environ, **env), capture_output=True, text=True, check=False)
    return done, name


def known(program, folder):
    done, name = run(program, "known", folder)
    assert done.returncode == 0, done.stderr
    parks, readies, spawned = map(int, done.stdout.split())
    t = Trace(name)
    assert t.file["otherData"]["overwritten"] == 0 and t.file["unclear"] == 0
    waits = [s for (p, _), track in t.tracks.items() if p == GOROUTINES for s in track
             if s["name"] not in ("running", "runnable", "blocking call")]
    assert len(waits) == parks, (len(waits), parks)
    assert all("on" in s["args"] for s in waits if s["name"].startswith("chan"))
    assert t.count["wake"] == readies == parks, (t.count, readies)
    assert t.count["start"] == spawned - 1 == 5, t.count  # the first goroutine began before the recording
    assert len(t.slices("blocking call")) == 1 and len(t.slices("sleep")) == 1
    assert len(t.slices("sync.WaitGroup.Wait")) <= 1
    assert sorted(t.names[p, i] for p, i in t.names if p == GOROUTINES) == \
        ['G1 "the \\"f\u00f6rst\\"??"'.replace("\\", "")] + [t.names[GOROUTINES, i] for i in range(2, 7)], t.names
    # Who woke whom: each player by its neighbours, or the first goroutine.
    for i, s in t.starts.items():
        f = t.ends[i]
        if s["cat"] == "start":
            assert s["tid"] == 1 and s["pid"] == GOROUTINES
        elif s["pid"] == GOROUTINES and 2 <= f["tid"] <= 6:
            assert abs(s["tid"] - f["tid"]) == 1, (s, f)
    by_timer = [f for i, f in t.ends.items() if t.starts[i]["pid"] == PROCESSORS]
    assert len(by_timer) == 1 and by_timer[0]["tid"] == 1, by_timer  # the sleep


def busy(program, folder):
    done, name = run(program, "busy", folder)
    assert done.returncode == 0, done.stderr
    t = Trace(name)
    assert t.file["otherData"]["overwritten"] > 10000
    assert t.file["unclear"] < 10, t.file["unclear"]
    # Whether any began in what the rings still hold, or was woken by a timer, is chance; "known" looks at these.
    assert t.count["wake"] > 100, t.count


def by_itself(program, folder):
    auto = os.path.join(folder, "auto-%p.json")
    for which, status, starts in ("panics", 2, 2), ("ends", 0, 2), ("deadlocks", 2, 1):
        with subprocess.Popen([program, which, "-"], env=dict(os.environ, RUNNEL_TRACE=auto),
                              stderr=subprocess.PIPE, text=True) as p:
            said = p.communicate()[1]
            assert p.returncode == status, said
        t = Trace(auto.replace("%p", str(p.pid)))
        assert len(t.slices("chan receive")) == 1, which
        assert ("on purpose" in said) == (which == "panics") and ("deadlock!" in said) == (which == "deadlocks"), said
        assert t.count["start"] == starts, t.count  # the first goroutine's is a thread's
    for which, status in ("exits", 3), ("exits-first", 3), ("overflows", 2), ("leaks", 2):
        with subprocess.Popen([program, which, "-"], env=dict(os.environ, RUNNEL_TRACE=auto),
                              stderr=subprocess.PIPE, text=True) as p:
            said = p.communicate()[1]
        assert p.returncode == status, (which, said)
        assert Trace(auto.replace("%p", str(p.pid))).slices("sleep"), which
    done, _ = run(program, "ends", folder, RUNNEL_TRACE="/nowhere/at/all")
    assert done.returncode == 0 and "/nowhere/at/all: cannot be written" in done.stderr
    done, name = run(program, "nothing", folder)
    assert done.returncode == 0 and Trace(name).file["otherData"]["events"] == 0


def by_signal(program, folder):
    """A report by signal brings the file: SIGQUIT's and the process ends, another's and it goes on, as often as it comes."""
    for which in "QUIT", "USR1":
        name = os.path.join(folder, which + ".json")
        env = dict(os.environ, RUNNEL_TRACE=name, RUNNEL_DUMP_SIGNAL=which)
        with subprocess.Popen([program, "signal", "-"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as p:
            assert p.stdout.readline() == "ready\n"
            assert not os.path.exists(name)
            p.send_signal(getattr(signal, "SIG" + which))
            if which == "QUIT":
                said = p.stderr.read()  # its input stays open: it waits for that
                assert p.wait() == 2 and "[chan receive]" in said, said
            else:
                for _ in range(2):
                    while not whole(name):  # it is there before it is written; main's alarm ends this
                        assert p.poll() is None
                    check_signal(name)
                    os.unlink(name)
                    p.send_signal(signal.SIGUSR1)
                while not whole(name):
                    assert p.poll() is None
                said = p.communicate("x")[1]
                assert p.returncode == 0 and said.count("[chan receive]") == 3, said
        check_signal(name)


def whole(name):
    try:
        with open(name, encoding="utf-8") as f:
            json.load(f)
        return True
    except (FileNotFoundError, ValueError):
        return False


def check_signal(name):
    t = Trace(name)
    assert len(t.slices("chan receive")) == 1 and len(t.slices("blocking call")) == 1, t.file
    assert t.count["start"] == 2, t.count


def on_and_off(program, folder):
    done, name = run(program, "on-and-off", folder)
    assert done.returncode == 0, done.stderr
    for file, sleeps in (name, 4), (name + ".2", 0), (name + ".3", 2):
        found = Trace(file).slices("sleep")
        assert len(found) == sleeps, (file, found)


def main():
    with tempfile.TemporaryDirectory() as folder:
        for test in known, busy, by_itself, by_signal, on_and_off:
            test(sys.argv[1], folder)


signal.alarm(280)  # for a hang alone, just before CTest's: the traces are large, and the machine may be busy
main()

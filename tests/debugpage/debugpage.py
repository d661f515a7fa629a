#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ask for the pages of librunnel-debug with curl.

usage: debugpage.py CURL PROGRAM SOURCE
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

CURL, PROGRAM, SOURCE = sys.argv[1:4]
SVG = "{http://www.w3.org/2000/svg}"
ODD = "two?lines ?[1m? ? gr\u00fc\u00dfe \u20ac"  # what is shown of it, to 31 bytes


class Reply:
    def __init__(self, text):
        head, _, self.body = text.partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}


class Served:
    """The program, and what curl gets of it."""

    def __init__(self, mode, address, prefix):
        self.process = subprocess.Popen([PROGRAM, mode, address], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said = self.process.stderr.readline()
        self.base = (self.said.split()[-1].rstrip("/") if "http://" in self.said else "http://localhost") + prefix
        self.more = ["--unix-socket", address] if address.startswith("/") else []
        self.root = self.base[:len(self.base) - len(prefix)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        rest = self.process.stderr.read()
        assert self.process.wait() == 0 and rest == "served: 0\n", rest

    def get(self, page, *args, base=None):
        done = subprocess.run([CURL, "-sS", "-i", "--noproxy", "*", *self.more, *args, (base or self.base) + page],
                              capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return Reply(done.stdout.decode())


def check_goroutines(served):
    reply = served.get("/goroutines")
    assert reply.status == 200 and reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["cache-control"] == "no-store" and reply.headers["x-content-type-options"] == "nosniff"
    assert reply.body.startswith("runnel: "), reply.body[:100]
    assert re.search(r'^goroutines \S+ "<b>\\"&reader" \[chan receive\], 7 alike:$', reply.body, re.M), reply.body
    assert re.search(r'^goroutine \d+ "%s ?" \[chan receive\]:$' % re.escape(ODD), reply.body, re.M), reply.body
    folded = served.get("/goroutines?folded=1")
    assert folded.status == 200
    for line in folded.body.splitlines():
        assert re.fullmatch(r"(?:[^;]+;)*\[[^]]*\] \d+", line), line
    assert re.search(r"^reader\b[^;\n]*;(?:[^;\n]*;)?\[chan receive\] 7$", folded.body, re.M), folded.body
    assert re.search(r"^reader\b[^;\n]*;(?:[^;\n]*;)?\[chan receive\] 1$", folded.body, re.M), folded.body
    assert re.search(r"\[sleep\] 5$", folded.body, re.M), folded.body
    total = sum(int(line.split()[-1]) for line in folded.body.splitlines())
    assert total >= 7 + 1 + 5 + 2 + 2, total


def check_metrics(served):
    reply = served.get("/metrics")
    assert reply.status == 200 and reply.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert reply.body.endswith("# EOF\n")
    waiting = int(re.search(r'^runnel_goroutines\{state="waiting"\} (\d+)$', reply.body, re.M).group(1))
    assert waiting >= 7 + 1 + 5, reply.body


def check_overview(served):
    reply = served.get("/")
    assert reply.status == 200 and reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "<b>" not in reply.body and "&lt;b&gt;\\&quot;&amp;reader" in reply.body
    assert re.search(r'<td class="n">7<td>chan receive<td', reply.body), reply.body
    assert ODD in reply.body, reply.body
    for page in "goroutines", "waits", "metrics", "trace?seconds=1":
        assert 'href="%s"' % page in reply.body
    assert "Process %d," % served.process.pid in reply.body
    assert served.get("/nothing/").status == 404


def check_waits(served):
    reply = served.get("/waits")
    assert reply.status == 200 and reply.headers["content-type"] == "image/svg+xml"
    drawing = xml.etree.ElementTree.fromstring(reply.body)
    boxes = [[t.text for t in g.findall(SVG + "text")] for g in drawing.iter(SVG + "g")]
    readers = [b for b in boxes if b[0].startswith('7 goroutines: ')]
    assert len(readers) == 1 and '"<b>\\"&reader"' in readers[0][0] and readers[0][1].startswith("chan receive, for "), boxes
    assert [b for b in boxes if re.fullmatch("0x[0-9a-f]+", b[0]) and b[1:] == ["chan receive", "8 wait"]], boxes
    assert [b for b in boxes if ODD in b[0]], boxes


def check_trace(served):
    before = time.monotonic()
    reply = served.get("/trace?seconds=0.2")
    assert reply.status == 200 and time.monotonic() - before >= 0.2
    assert reply.headers["content-type"] == "application/json" and "trace.json" in reply.headers["content-disposition"]
    trace = json.loads(reply.body)
    assert trace["otherData"]["events"] > 50, trace["otherData"]
    assert any(e["name"] == "sleep" for e in trace["traceEvents"])
    for wrong in "x", "-1", "3601", "nan", "1x", "":
        assert served.get("/trace?seconds=" + wrong).status == 400, wrong


def check_recording(served):
    """It is off before, on while anybody records, and off when the last one has what it wants or is gone."""
    def front():
        return served.get("/else", base=served.root).body

    assert front() == "front /else, recording 0\n"
    with subprocess.Popen([CURL, "-sS", "--noproxy", "*", served.base + "/trace?seconds=3600"], stdout=subprocess.DEVNULL) as long:
        try:
            while "recording 0" in front():
                pass
            json.loads(served.get("/trace?seconds=0.1").body)
            assert front() == "front /else, recording 1\n"
        finally:
            long.kill()
    while "recording 1" in front():
        pass


def check_pages(served):
    for check in check_goroutines, check_metrics, check_overview, check_waits, check_trace:
        check(served)


def main():
    with Served("own", ":0", "") as served:
        assert re.fullmatch(r"runnel: debug pages at http://127\.0\.0\.1:\d+/\n", served.said), served.said
        check_pages(served)
        assert served.get("/metrics", "-X", "POST").status == 405 and served.get("/nothing").status == 404
        for host, status in (("evil.example", 403), ("evil.example:6060", 403), ("127.0.0.1.evil.example", 403),
                             ("localhost", 200), ("LOCALHOST:1", 200), ("10.1.2.3:80", 200), ("[::1]:6060", 200)):
            reply = served.get("/metrics", "-H", "Host: " + host)
            assert reply.status == status, (host, reply.status)
        port = served.base.rsplit(":", 1)[1]
        done = subprocess.run([PROGRAM, "own", ":" + port], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and done.stderr == "served: -98\n", done.stderr
    with Served("mounted", "127.0.0.1:0", "/debug/runnel") as served:
        check_pages(served)
        check_recording(served)
        assert served.get("/metrics", "-H", "Host: evil.example").status == 200  # the server's own matter
        moved = served.get("", "-L")
        assert moved.status == 301 and moved.headers["location"] == "runnel/" and "<title>runnel</title>" in moved.body
        assert served.get("/debug/runnel/more/", base=served.root).status == 404
        assert served.get("/debug", base=served.root).body.startswith("front /debug,")
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "pages")
        with Served("own", name, "") as served:
            assert served.said == "runnel: debug pages at the socket %s\n" % name
            check_metrics(served)
            assert served.get("/metrics", "-H", "Host: any.example").status == 200


signal.alarm(200)
main()

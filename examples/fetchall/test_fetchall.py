# SPDX-License-Identifier: MIT
"""fetchall from outside, against a server of this program: python3 test_fetchall.py FETCHALL"""
import http.server
import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

FETCHALL = sys.argv[1]
TIMEOUT = 60


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        s = self.server
        with s.lock:
            s.now += 1
            s.most = max(s.most, s.now)
            s.seen.append(self.path)
        try:
            kind, _, rest = self.path[1:].partition("/")
            if kind == "bytes":
                self.reply(200, b"x" * int(rest))
            elif kind == "together":  # answered when so many are here
                s.barrier.wait(TIMEOUT)
                self.reply(200, b"together")
            elif kind == "never":
                s.waiting.set()
                s.over.wait(TIMEOUT)
            elif kind == "held":
                s.over.wait(TIMEOUT)
                self.reply(200, b"held")
            elif kind == "cut":  # once somebody waits in vain
                s.waiting.wait(TIMEOUT)
                self.close_connection = True
            elif kind == "moved":
                self.send_response(302)
                self.send_header("Location", "/" + rest)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.reply(404, b"not here")
        except OSError:  # the client has gone
            self.close_connection = True
        finally:
            with s.lock:
                s.now -= 1


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *args):
        pass


class Fetchall(unittest.TestCase):
    def setUp(self):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.lock = threading.Lock()
        self.server.now = self.server.most = 0
        self.server.seen = []
        self.server.barrier = threading.Barrier(8)
        self.server.waiting, self.server.over = threading.Event(), threading.Event()
        self.base = "http://127.0.0.1:%d/" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def tearDown(self):
        self.server.over.set()
        self.server.shutdown()
        self.server.server_close()

    def run_it(self, *args, stdin=""):
        done = subprocess.run([FETCHALL, *args], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=TIMEOUT)
        return done.returncode, done.stdout, done.stderr

    def test_sizes_in_order(self):
        urls = [self.base + "bytes/%d" % n for n in (0, 3_000_000, 1, 70_000, 17)]
        want = "".join("200 %s %s\n" % (u.rsplit("/")[-1], u) for u in urls)
        self.assertEqual(self.run_it(*urls), (0, want, ""))

    def test_lists(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
            f.write("# a list\n\n%sbytes/2\n  \n%sbytes/3 \r\n" % (self.base, self.base))
            f.flush()
            want = "".join("200 %d %sbytes/%d\n" % (n, self.base, n) for n in (1, 2, 3, 4))
            got = self.run_it("--file", "-", "-f", f.name, self.base + "bytes/4",
                              stdin=self.base + "bytes/1\n")
            self.assertEqual(got, (0, want, ""))
        self.assertEqual(self.run_it("--file", "/nowhere")[0], 2)

    def test_all_at_the_same_time(self):
        urls = [self.base + "together/%d" % i for i in range(8)]
        self.assertEqual(self.run_it("--limit", "8", *urls)[0], 0)
        self.assertEqual(self.server.most, 8)

    def test_limit(self):
        urls = [self.base + "held/%d" % i for i in range(30)]
        process = subprocess.Popen([FETCHALL, "--limit=3", *urls], stdout=subprocess.PIPE, text=True)
        while process.poll() is None and self.server.now < 3:
            time.sleep(0.01)
        time.sleep(0.3)  # for a fourth, which must not come
        self.server.over.set()
        out, _ = process.communicate(timeout=TIMEOUT)
        self.assertEqual((process.returncode, out.count("200 4 ")), (0, 30))
        self.assertEqual(self.server.most, 3)

    def test_the_first_error_stops_the_rest(self):
        urls = [self.base + "never/%d" % i for i in range(20)] + [self.base + "cut"]
        urls += [self.base + "bytes/1"] * 50
        status, out, err = self.run_it("--limit", "21", *urls)
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, r"^fetchall: http 127\.0\.0\.1:\d+: Empty reply from server\n$")
        # Those that had not begun never did.
        self.assertNotIn("/bytes/1", self.server.seen)

    def test_timeout(self):
        status, out, err = self.run_it("--timeout", "300ms", self.base + "bytes/1", self.base + "never/1")
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, r"^fetchall: time is up, \d of 2 fetched\n$")

    def test_statuses(self):
        urls = [self.base + "none", self.base + "moved/bytes/5"]
        want = "404 8 %s\n200 5 %s\n" % tuple(urls)
        self.assertEqual(self.run_it(*urls), (0, want, ""))
        status, out, err = self.run_it("--fail", *urls)
        self.assertEqual((status, out), (1, ""))
        self.assertIn("none: status 404\n", err)

    def test_signal(self):
        process = subprocess.Popen([FETCHALL, self.base + "never/1"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.assertTrue(self.server.waiting.wait(TIMEOUT))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
        self.assertEqual((process.returncode, out), (1, ""))
        self.assertRegex(err, r"^fetchall: Interrupt signal received, 0 of 1 fetched\n$")

    def test_wrong_calls(self):
        for args in ([], ["--limit", "0", "u"], ["--limit", "x", "u"], ["--timeout", "soon", "u"], ["--what"]):
            status, out, err = self.run_it(*args)
            self.assertEqual((status, out), (2, ""), args)
            self.assertIn("fetchall", err)
        self.assertEqual(self.run_it("--help")[0], 0)
        status, _, err = self.run_it("ftp://127.0.0.1/")
        self.assertEqual((status, err), (1, "fetchall: http: URLs of ftp are not asked for\n"))

    def test_progress_on_a_terminal_alone(self):
        master, slave = pty.openpty()
        process = subprocess.Popen([FETCHALL, self.base + "bytes/7", self.base + "never/1"],
                                   stdout=subprocess.PIPE, stderr=slave)
        os.close(slave)
        watch = threading.Timer(TIMEOUT, process.kill)  # then there is no more to read
        watch.start()
        said = b""
        while b"1 of 2" not in said:  # or the test's own end
            said += os.read(master, 1000)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT)
        watch.cancel()
        os.close(master)
        self.assertEqual(process.returncode, 1)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])

# SPDX-License-Identifier: MIT
"""httpd from outside, by curl and wrk: python3 test_httpd.py HTTPD"""
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

HTTPD = sys.argv[1]


def bytes_acked(s):
    """Bytes that the other side's kernel has acknowledged: tcpi_bytes_acked of struct tcp_info."""
    return struct.unpack_from("=Q", s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128), 120)[0]


def was_reset(s):
    """Whether the end that was read is also a reset: so a socket ends that is closed before all that came is read."""
    poll = select.poll()
    poll.register(s, 0)
    return bool(poll.poll(1000))


def whole(answer):
    """Whether answer has a head, and the body of the length that it says."""
    head, end, body = answer.partition(b"\r\n\r\n")
    return bool(end) and len(body) >= int(re.search(rb"\r\nContent-Length: (\d+)", head).group(1))


class Files(unittest.TestCase):
    def setUp(self):
        self.assertIsNotNone(shutil.which("curl"), "curl is not installed (package curl)")
        self.tmp = tempfile.mkdtemp()
        self.root = os.path.join(self.tmp, "root")
        os.makedirs(os.path.join(self.root, "sub", "with <odd> & \"names\""))
        self.data = os.urandom(3_000_000)
        for name, data in (("a.txt", b"hello\n"), ("large.bin", self.data), ("sub/page.html", b"<p>hi")):
            with open(os.path.join(self.root, name), "wb") as f:
                f.write(data)
        with open(os.path.join(self.tmp, "secret"), "w") as f:
            f.write("secret")
        os.symlink("../secret", os.path.join(self.root, "out"))
        os.symlink("a.txt", os.path.join(self.root, "in"))
        self.start()

    def start(self, *more):
        self.process = subprocess.Popen([HTTPD, "--listen", "127.0.0.1:0", "--root", self.root, *more],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.url = "http://" + self.process.stdout.readline().split()[-1]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=60)
        self.assertEqual((self.process.returncode, err), (0, ""))
        self.assertIn("stopped: ", out)
        return out

    def tearDown(self):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.tmp)

    def curl(self, path, *args):
        """(status, body)"""
        done = subprocess.run(["curl", "-sS", "--path-as-is", "-m", "60", "-w", "\n%{http_code}", *args, self.url + path],
                              stdout=subprocess.PIPE, check=True)
        body, status = done.stdout.rsplit(b"\n", 1)
        return int(status), body

    def test_files(self):
        self.assertEqual(self.curl("/a.txt"), (200, b"hello\n"))
        self.assertEqual(self.curl("/large.bin"), (200, self.data))
        self.assertEqual(self.curl("/large.bin", "-r", "1000-1999999"), (206, self.data[1000:2000000]))
        self.assertEqual(self.curl("/large.bin", "-r", "-5"), (206, self.data[-5:]))
        self.assertEqual(self.curl("/large.bin", "-r", "3000000-")[0], 416)
        self.assertEqual(self.curl("/none")[0], 404)
        self.assertEqual(self.curl("/a.txt", "-d", "x")[0], 405)
        head = self.curl("/a.txt", "-I")[1].decode()
        etag = [line.split(": ", 1)[1] for line in head.splitlines() if line.startswith("ETag")][0]
        self.assertEqual(self.curl("/a.txt", "-H", "If-None-Match: " + etag), (304, b""))
        self.assertEqual(self.curl("/a.txt", "-z", os.path.join(self.root, "a.txt"))[0], 304)

    def test_folders(self):
        status, page = self.curl("/sub/")
        self.assertEqual(status, 200)
        self.assertIn(b'<a href="page.html">page.html</a>', page)
        self.assertIn(b"with &#60;odd&#62; &#38; &#34;names&#34;/</a>", page)
        self.assertIn(b'href="with%20%3Codd%3E%20%26%20%22names%22/"', page)
        self.assertEqual(self.curl("/sub")[0], 301)
        self.assertEqual(self.curl("/sub", "-L", "-o", os.devnull)[0], 200)
        with open(os.path.join(self.root, "sub", "index.html"), "w") as f:
            f.write("index")
        self.assertEqual(self.curl("/sub/"), (200, b"index"))

    def test_nothing_outside(self):
        for path in ("/out", "/in", "/../secret", "/sub/../../secret", "/%2e%2e/secret", "/sub/%2e%2e%2f%2e%2e/secret"):
            self.assertIn(self.curl(path)[0], (400, 404), path)
        self.stop()
        self.start("--links")
        self.assertEqual(self.curl("/in"), (200, b"hello\n"))
        self.assertEqual(self.curl("/out")[0], 404)

    def address(self):
        host, port = self.url[len("http://"):].split(":")
        return host, int(port)

    def test_sigterm_under_load(self):
        """Who asks when the end is called for is answered or refused, none by half; and the log knows of each.

        Nobody is refused before the end is called for. Who has been answered on a connection, and asks again on it before,
        is answered. Later a connection may be closed or reset before its request is read; one that was read is answered.
        """
        counts, lock, enough = {"a.txt": 0, "large.bin": 0}, threading.Lock(), threading.Event()
        problems, ending, bodies = [], threading.Event(), {"a.txt": b"hello\n", "large.bin": self.data}

        def connect():
            s = socket.socket()
            self.addCleanup(s.close)
            s.settimeout(60)
            s.connect(self.address())
            return s

        def ask(s, name, header="", answer=b""):
            """Whether the connection goes on after a whole answer, of which answer has come already; None: there is none."""
            request = ("GET /%s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (name, header)).encode()
            acked = bytes_acked(s)
            try:
                if not answer:
                    s.sendall(request)
                while not whole(answer) and (part := s.recv(1 << 16)):
                    answer += part
                dropped = not answer and bytes_acked(s) - acked >= len(request) and not was_reset(s)
            except (ConnectionResetError, BrokenPipeError):
                dropped = False
            if not answer:
                if dropped or not ending.is_set():
                    problems.append((name, "read, and dropped" if dropped else "refused too early"))
                return None
            if not answer.startswith(b"HTTP/1.1 200") or answer.split(b"\r\n\r\n", 1)[1] != bodies[name]:
                problems.append((name, len(answer), answer[:100]))
                return None
            with lock:
                counts[name] += 1
                if counts["a.txt"] > 300 and counts["large.bin"] > 10:
                    enough.set()
            return b"\r\nConnection: close\r\n" not in answer

        def load(name, header):
            while True:
                try:
                    s = connect()
                except (ConnectionRefusedError, ConnectionResetError):
                    if not ending.is_set():
                        problems.append((name, "no connection"))
                    return
                while more := ask(s, name, header):
                    pass
                s.close()
                if more is None:
                    return

        def slow():
            """Reads the rest of an answer when nobody listens any more."""
            answer = begun.recv(1000)
            try:
                while True:
                    connect().close()
            except (ConnectionRefusedError, ConnectionResetError):
                pass
            ask(begun, "large.bin", answer=answer)

        begun = socket.socket()
        self.addCleanup(begun.close)
        begun.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that most of it waits in the server
        begun.settimeout(60)
        begun.connect(self.address())
        begun.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        kept = [connect() for _ in range(20)]
        for s in kept:
            self.assertTrue(ask(s, "a.txt"), problems)
        once = "Connection: close\r\n"
        threads = [threading.Thread(target=load, args=args)
                   for args in [("a.txt", once), ("a.txt", "")] * 4 + [("large.bin", once), ("large.bin", "")] * 2]
        for t in threads:
            t.start()
        self.assertTrue(enough.wait(120))
        threads.append(threading.Thread(target=slow))
        threads[-1].start()
        for s in kept:
            s.sendall(b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        ending.set()
        out = self.stop()
        for t in threads:
            t.join()
        for s in kept:
            answer = b""
            while not whole(answer):
                part = s.recv(1 << 16)
                self.assertTrue(part, "no answer on a connection that was kept")
                answer += part
            counts["a.txt"] += 1
        self.assertEqual(problems, [])
        for name, body in bodies.items():
            self.assertEqual(out.count('"GET /%s" 200 %d\n' % (name, len(body))), counts[name])

    def test_wrk(self):
        """Under the load of wrk every answer is right, and the log has a line for each."""
        self.assertIsNotNone(shutil.which("wrk"), "wrk is not installed (package wrk)")
        connections, lines = 100, []
        reader = threading.Thread(target=lambda: lines.extend(self.process.stdout))  # or the log would stand still
        reader.start()
        said = subprocess.run(["wrk", "-t2", "-c%d" % connections, "-d2s", self.url + "/a.txt"],
                              stdout=subprocess.PIPE, text=True, check=True).stdout
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(60), 0)
        reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        self.assertNotIn("Socket errors", said)
        self.assertNotIn("Non-2xx", said)
        count = int(re.search(r"(\d+) requests in", said).group(1))
        logged = sum(line.endswith('"GET /a.txt" 200 6\n') for line in lines)
        self.assertEqual(logged, len(lines) - 1)  # and the last word
        self.assertGreater(count, connections)
        self.assertLessEqual(count, logged)
        self.assertLessEqual(logged, count + connections)  # those that were under way at its end

    def test_log_and_end(self):
        self.curl("/a.txt")
        self.curl("/none")
        out = self.stop()
        self.assertIn('"GET /a.txt" 200 6\n', out)
        self.assertIn('"GET /none" 404 ', out)


unittest.main(argv=sys.argv[:1], verbosity=1)

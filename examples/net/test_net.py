# SPDX-License-Identifier: MIT
"""echo and proxy from outside: python3 test_net.py ECHO PROXY"""
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

ECHO, PROXY = sys.argv[1:3]  # or --hold, see below


class Program:
    def __init__(self, *args, descriptors=None):
        limit = descriptors and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors)))
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limit)
        host, port = self.process.stdout.readline().split()[-1].rsplit(":", 1)
        self.at = (host, int(port))

    def connect(self):
        return socket.create_connection(self.at, timeout=60)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err

    def cpu(self):
        with open("/proc/%d/stat" % self.process.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self, but=None):
        """How many are open, but for those of a kind."""
        links = "/proc/%d/fd/" % self.process.pid
        n = 0
        for fd in os.listdir(links):
            try:
                n += but is None or but not in os.readlink(links + fd)
            except FileNotFoundError:
                pass
        return n

    def rss(self):
        with open("/proc/%d/statm" % self.process.pid) as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def read_all(s):
    got = bytearray()
    while True:
        part = s.recv(1 << 20)
        if not part:
            return bytes(got)
        got += part


class Both(unittest.TestCase):
    def setUp(self):
        self.echo = Program(ECHO, "127.0.0.1:0")
        self.proxy = Program(PROXY, "127.0.0.1:0", "%s:%d" % self.echo.at)

    def tearDown(self):
        self.assertEqual(self.proxy.stop()[::2], (0, ""))
        code, out, err = self.echo.stop()
        self.assertEqual((code, err), (0, ""))
        self.assertIn("stopping: ", out)

    def both(self):
        return (self.echo, self.proxy)

    def test_half_close(self):
        data = os.urandom(3 << 20)
        for program in self.both():
            with program.connect() as s:
                sender = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
                sender.start()
                self.assertEqual(read_all(s), data)
                sender.join()

    def test_many_at_once(self):
        conns = [program.connect() for program in self.both() for _ in range(100)]
        for i, s in enumerate(conns):
            s.sendall(b"%d" % i * 100)
        for i, s in enumerate(conns):
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(s), b"%d" % i * 100)
            s.close()

    def test_reset_in_the_middle(self):
        for program in self.both():
            for _ in range(20):
                s = program.connect()
                s.sendall(bytes(100000))
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.close()
        self.test_many_at_once()

    def test_back_pressure(self):
        """Who does not read is not read from, for ever: memory and CPU time stay as they are."""
        for program in self.both():
            s = program.connect()
            s.settimeout(0.5)
            sent = 0
            with self.assertRaises(socket.timeout):
                while sent < 1 << 30:
                    sent += s.send(bytes(1 << 16))
            cpu = program.cpu()
            time.sleep(0.5)
            self.assertLess(program.cpu() - cpu, 0.25)
            self.assertLess(program.rss(), 64 << 20 if "RUNNEL_SANITIZED" not in os.environ else 1 << 40)
            s.settimeout(60)
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(len(read_all(s)), sent)
            s.close()


class NoTarget(unittest.TestCase):
    def test_refused(self):
        proxy = Program(PROXY, "127.0.0.1:0", "127.0.0.1:1")
        with proxy.connect() as s:
            self.assertEqual(s.recv(1), b"")
        code, _, err = proxy.stop()
        self.assertEqual(code, 0)
        self.assertIn("dial tcp 127.0.0.1:1", err)


def hold(host, port, count):
    """Hold so many connections, each with a byte that is to come back. Commands by lines: "all" waits for all of the
    bytes, "ping" sends one more over the first and waits for it, a number closes so many of the last."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    held = []
    for _ in range(count):
        held.append(socket.create_connection((host, port), timeout=120))
        held[-1].sendall(b"x")
    print("held", flush=True)
    for command in sys.stdin:
        if command == "all\n":
            for s in held:
                assert s.recv(1) == b"x"
        elif command == "ping\n":
            held[0].sendall(b"y")
            assert held[0].recv(1) == b"y"
        else:
            for _ in range(int(command)):
                held.pop().close()
        print("done", flush=True)


class Holder:
    """hold() in a process of its own, whose descriptors are its own too."""

    def __init__(self, program, count):
        self.process = subprocess.Popen([sys.executable, __file__, "--hold", *map(str, program.at), str(count)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "held\n"

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n", command

    def end(self):
        self.process.communicate()


class Descriptors(unittest.TestCase):
    def await_descriptors(self, program, count, but=None):
        for _ in range(6000):
            now = program.descriptors(but)
            if now == count:
                return
            time.sleep(0.01)
        self.assertEqual(now, count)

    def test_limit_reached_and_released(self):
        """20,000 descriptors are in use, or what the limit allows; 200 more connections wait until some are free, and nobody
        else minds."""
        wanted = 2000 if "RUNNEL_SANITIZED" in os.environ else 20000
        limit = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], wanted)
        if limit < wanted:
            print("skipped: more than %d descriptors of %d (the hard limit, ulimit -Hn)" % (limit, wanted))
        echo = Program(ECHO, "127.0.0.1:0", descriptors=limit)
        self.addCleanup(echo.process.kill)
        with echo.connect() as s:
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
        before = 0
        while before != echo.descriptors():
            before = echo.descriptors()
            time.sleep(0.1)
        first = Holder(echo, limit // 2)
        first.ask("all")
        second = Holder(echo, limit - limit // 2 - before + 200)
        self.await_descriptors(echo, limit)
        cpu = echo.cpu()
        time.sleep(1)
        self.assertLess(echo.cpu() - cpu, 0.1)  # it does not try all the time
        self.assertEqual(echo.descriptors(), limit)
        first.ask("ping")
        first.ask("300")
        second.ask("all")
        # The runtime may have made a ring for itself meanwhile, which took the place of a connection.
        self.await_descriptors(echo, limit - 100, but="io_uring")
        second.end()
        first.end()
        self.await_descriptors(echo, before, but="io_uring")
        with echo.connect() as s:
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
        self.assertEqual(echo.stop()[::2], (0, ""))


if __name__ == "__main__":
    if sys.argv[1] == "--hold":
        hold(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        sys.exit()
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])

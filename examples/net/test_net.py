# SPDX-License-Identifier: MIT
"""echo and proxy from outside: python3 test_net.py ECHO PROXY"""
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

ECHO, PROXY = sys.argv[1:3]


class Program:
    def __init__(self, *args):
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
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


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])

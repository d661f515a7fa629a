# SPDX-License-Identifier: MIT
"""pgpool against a PostgreSQL server that the test starts: python3 test_pgpool.py PGPOOL CLIENTS_STARTED

Whatever must happen at the same time is held by an advisory lock: a session of the test has it, and each question waits
for it in the server until the test lets go, which the server's own list of sessions shows.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PGPOOL, STARTED = sys.argv[1:3]
TIMEOUT = 120
HELD = "select $1::int, pg_advisory_lock_shared(7)"


class Server:
    def __init__(self):
        self.starter = subprocess.Popen([STARTED, "postgres"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        lines = [self.starter.stdout.readline().strip() for _ in range(3)]
        if not lines[2]:
            sys.exit(self.starter.wait())
        self.pid, self.folder, self.conninfo = int(lines[0]), lines[1], lines[2]

    def stop(self):
        self.starter.communicate(timeout=TIMEOUT)


class Session:
    """A session of psql; asks one question at a time."""

    def __init__(self, server):
        self.psql = subprocess.Popen(["psql", "-X", "-A", "-t", "-q", "-d", server.conninfo + " application_name=test"],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, sql):
        self.psql.stdin.write(sql + ";\n\\echo over\n")
        self.psql.stdin.flush()
        lines = []
        for line in self.psql.stdout:
            if line == "over\n":
                return "".join(lines).strip()
            lines.append(line)
        raise AssertionError("psql has ended: " + sql)

    def close(self):
        self.psql.communicate(timeout=TIMEOUT)


class Base(unittest.TestCase):
    def start(self, *args, conninfo=None):
        return subprocess.Popen([PGPOOL, *args, conninfo or self.server.conninfo], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def end(self, process):
        out, err = process.communicate(timeout=TIMEOUT)
        return process.returncode, out, err

    def run_it(self, *args, conninfo=None):
        return self.end(self.start(*args, conninfo=conninfo))

    def await_held(self, process, session, count, old=()):
        """Wait until so many of pgpool's sessions wait for the lock, none of them old. Returns who."""
        for _ in range(TIMEOUT * 100):
            if process.poll() is not None:
                self.fail(process.communicate())
            now = session.ask("select pid from pg_stat_activity where wait_event = 'advisory'").split()
            self.assertLessEqual(len(now), count)
            if len(now) == count and not set(now) & set(old):
                return now
            time.sleep(0.01)
        self.fail("%d sessions do not come, but %s" % (count, now))


class Pool(Base):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        self.session = Session(self.server)
        self.session.ask("select pg_advisory_lock(7)")

    def tearDown(self):
        self.session.close()

    def let_go(self):
        self.session.ask("select pg_advisory_unlock(7)")

    def sessions(self):
        return int(self.session.ask("select count(*) from pg_stat_activity where backend_type = 'client backend' and "
                                    "application_name <> 'test'"))

    def await_no_sessions(self):
        """What a program has left ends by itself, but not what is held by the lock."""
        for _ in range(TIMEOUT * 100):
            if self.sessions() == 0:
                return
            time.sleep(0.01)
        self.fail("the server still works for somebody who has gone")

    def test_a_thousand_over_ten(self):
        status, out, err = self.run_it("--print", "--query", "select $1 * 3")
        lines = out.splitlines()
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(lines[:-1], ["%d %d" % (i, 3 * i) for i in range(1000)])
        self.assertRegex(lines[-1], r"^1000 answers over 10 connections, 10 opened, in \d+\.\d+ s$")

    def test_all_connections_and_no_more(self):
        for count in (1, 10):
            process = self.start("--connections", str(count), "--goroutines", "1000", "--query", HELD)
            self.await_held(process, self.session, count)
            # The other goroutines are there, and wait without a thread.
            self.assertEqual(self.sessions(), count)
            self.assertLess(len(os.listdir("/proc/%d/task" % process.pid)), 50)
            self.let_go()
            status, out, err = self.end(process)
            self.assertEqual((status, err), (0, ""))
            self.assertIn("1000 answers over %d connections, %d opened" % (count, count), out)
            self.session.ask("select pg_advisory_lock(7)")

    def test_broken_connections_are_replaced(self):
        process = self.start("--print", "--goroutines", "50", "--query", HELD)
        old = self.await_held(process, self.session, 10)
        for pid in old[:4]:
            self.session.ask("select pg_terminate_backend(%s)" % pid)
        self.await_held(process, self.session, 10, old[:4])
        self.let_go()
        status, out, err = self.end(process)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(out.splitlines()[:-1], ["%d %d" % (i, i) for i in range(50)])
        self.assertIn("50 answers over 10 connections, 14 opened", out)

    def test_a_question_that_breaks_each_connection(self):
        status, out, err = self.run_it("--goroutines", "1", "--query", "select pg_terminate_backend(pg_backend_pid()), $1::int")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err, "pgpool: FATAL:  terminating connection due to administrator command\n")

    def test_the_timeout_ends_it_in_the_server_too(self):
        status, out, err = self.run_it("--timeout", "1s", "--query", HELD)
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err, "pgpool: time is up, 0 of 1000 answered\n")
        self.await_no_sessions()

    def test_a_signal_too(self):
        process = self.start("--query", HELD)
        self.await_held(process, self.session, 10)
        process.send_signal(signal.SIGINT)
        status, out, err = self.end(process)
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err, "pgpool: Interrupt signal received, 0 of 1000 answered\n")
        self.await_no_sessions()

    def test_the_first_error_stops_the_rest(self):
        status, out, err = self.run_it("--query", "select 1 / ($1 - 500)")
        self.assertEqual((status, out, err), (1, "", "pgpool: ERROR:  division by zero\n"))
        # Who waits in the server for what will not come is told to stop.
        status, out, err = self.run_it("--goroutines", "10", "--query", "select case when $1 = 7 then 1 / ($1 - 7) else "
                                       "length(pg_advisory_lock_shared(7)::text) end")
        self.assertEqual((status, out, err), (1, "", "pgpool: ERROR:  division by zero\n"))
        self.await_no_sessions()
        self.assertIn("syntax error", self.run_it("--query", "selec")[2])

    def test_large_both_ways(self):
        """More than sockets hold, so that both sides wait for room."""
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as f:
            f.write("select length($1::int::text || '%s'), repeat('y', 3000000)" % ("x" * 3000000))
            f.flush()
            status, out, err = self.run_it("--print", "--goroutines", "15", "--file", f.name)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(out.splitlines()[:-1], ["%d %d" % (i, 3000000 + len(str(i))) for i in range(15)])

    def test_no_server(self):
        status, out, err = self.run_it(conninfo="host=%s/none user=postgres" % self.server.folder)
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, r'^pgpool: on socket ".*" failed: No such file or directory\n$')
        status, out, err = self.run_it(conninfo="host=127.0.0.1 port=1 user=postgres")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err, 'pgpool: at "127.0.0.1", port 1 failed: Connection refused\n')
        self.assertEqual(self.run_it(conninfo="no such thing"),
                         (1, "", 'pgpool: missing "=" after "no" in connection info string\n'))

    def test_wrong_password(self):
        hba = self.server.folder + "/data/pg_hba.conf"
        self.session.ask("create role guarded login password 'right'")
        with open(hba) as f:
            kept = f.read()
        with open(hba, "w") as f:
            f.write("local all guarded scram-sha-256\n" + kept)
        self.assertEqual(self.session.ask("select pg_reload_conf()"), "t")
        conninfo = self.server.conninfo.replace("user=postgres", "user=guarded") + " password="
        # It is read a moment later.
        for _ in range(TIMEOUT * 100):
            status, out, err = self.run_it("-g", "1", conninfo=conninfo + "wrong")
            if status:
                break
            time.sleep(0.01)
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, '^pgpool: on socket ".*" failed: FATAL:  password authentication failed for user "guarded"\n$')
        status, out, err = self.run_it("-g", "1", conninfo=conninfo + "right")
        self.assertEqual(status, 0, err)

    def test_wrong_calls(self):
        for args in (["--goroutines", "0"], ["--connections", "x"], ["--timeout", "soon"], ["--what"], ["a", "b"],
                     ["--file", "/nowhere"]):
            status, out, err = self.run_it(*args)
            self.assertEqual((status, out), (2, ""), args)
            self.assertIn("pgpool", err)
        self.assertEqual(self.run_it("--help")[0], 0)


class Gone(Base):
    """Each has a server of its own, which does not survive it."""

    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.stop)
        self.session = Session(self.server)
        self.addCleanup(self.session.close)
        self.session.ask("select pg_advisory_lock(7)")

    def processes(self):
        children = "/proc/%d/task/%d/children" % (self.server.pid, self.server.pid)
        with open(children) as f:
            return [self.server.pid] + [int(pid) for pid in f.read().split()]

    def test_the_server_ends_in_the_middle(self):
        process = self.start("--query", HELD)
        self.await_held(process, self.session, 10)
        os.kill(self.server.pid, signal.SIGQUIT)
        status, out, err = self.end(process)
        self.assertEqual((status, out), (1, ""))
        # One line, of whichever connection was first: what the server said last, or that there is none any more.
        self.assertRegex(err, r"^pgpool: .*(terminating|closed|failed|shutting down).*\n$")

    def test_the_server_stops_to_answer(self):
        process = self.start("--query", HELD, "--timeout", "2s")
        self.await_held(process, self.session, 10)
        stopped = self.processes()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        status, out, err = self.end(process)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err, "pgpool: time is up, 0 of 1000 answered\n"
                         "pgpool: the server does not let go of 10 connections\n")


if __name__ == "__main__":
    if not shutil.which("psql"):
        print("skipped: psql is not installed (Debian: postgresql-client)")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:])

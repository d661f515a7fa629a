#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of rnsum: test_rnsum.py RNSUM [TestClass...]

Everything is a file tree made here, a run of the program, and a comparison, with hashlib and where
it is there with sha256sum. Bounds on time are generous: they tell a stop from a hang.
"""

import fcntl
import hashlib
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

RNSUM = b""
PATIENCE = 120  # seconds; reached only by a hang
HUGE = 64 << 30  # of a sparse file that no machine hashes within a test
NOBODY = 65534


def run(*args, expect=None, **more):
    """Run rnsum and return (status, stdout, stderr)."""
    options = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    options.update(more)
    if "input" in options:
        del options["stdin"]
    done = subprocess.run([RNSUM, *args], timeout=PATIENCE, check=False, **options)
    if expect is not None and done.returncode != expect:
        raise AssertionError(
            f"exit status {done.returncode}, not {expect}, of {args}\n"
            f"stdout: {(done.stdout or b'')[:2000]!r}\nstderr: {(done.stderr or b'')[:4000]!r}"
        )
    return done.returncode, done.stdout, done.stderr


def escaped(path):
    new = path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"\\" if new != path else b""), new


def line_of(path, data):
    prefix, name = escaped(path)
    return prefix + hashlib.sha256(data).hexdigest().encode() + b"  " + name + b"\n"


def sha256sum_escapes_cr():
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "a\rb")
        open(path, "w").close()
        return b"\\r" in subprocess.run(["sha256sum", path], stdout=subprocess.PIPE, check=True).stdout


class Tree(unittest.TestCase):
    """A test with a directory of its own in self.dir (bytes)."""

    def setUp(self):
        self.dir = os.fsencode(tempfile.mkdtemp(prefix="rnsum-test-"))
        os.chmod(self.dir, 0o755)
        # Not shutil.rmtree, which recurses: some trees here are deep.
        self.addCleanup(subprocess.run, ["rm", "-rf", self.dir], check=True)
        self.files = {}

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, data=b""):
        path = self.path(name)
        if not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path))
        with open(path, "wb") as f:
            f.write(data)
        self.files[path] = data
        return path

    def sparse(self, name, size):
        path = self.path(name)
        with open(path, "wb") as f:
            f.truncate(size)
        return path

    def expected(self):
        return b"".join(line_of(p, self.files[p]) for p in sorted(self.files))

    def odd_tree(self):
        for i, name in enumerate(
            [
                b"plain",
                b"with space",
                b" leading space",
                b"-leading-dash",
                b"--help",
                b"*star",
                b"new\nline",
                b"back\\slash",
                b"back\\nslash",
                b"both\\\nof them",
                b"\\",
                b"\n",
                b"tab\there",
                b"escape\x1b[31m",
                "umlaut-\u00fc\u4e16\u754c".encode(),
                b"not-utf8-\xff\xfe",
                b"empty",
                b"x" * 255,
                b"dir/a",
                b"dir-a",
                b"dir.a",
                b"dir0",
                b"dir/new\nline/b",
                b"dir/sub/deep/er/file",
                b"d\\ir/x",
            ]
        ):
            self.write(name, b"" if name == b"empty" else b"content %d\n" % i)
        self.write(b"blocks", os.urandom(128 << 10))  # exactly one block
        self.write(b"blocks-and-1", os.urandom((256 << 10) + 1))
        os.mkdir(self.path(b"empty dir"))


class Listing(Tree):
    def real(self, operand):
        script = 'find "$1" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum --'
        return subprocess.run(["sh", "-c", script, "sh", operand], cwd=self.dir,
                              stdout=subprocess.PIPE, check=True).stdout

    def test_odd_names_as_sha256sum_lists_them(self):
        self.odd_tree()
        if sha256sum_escapes_cr():
            self.write(b"carriage\rreturn", b"cr")
        _, out, err = run(self.dir, expect=0)
        self.assertEqual(out, self.expected())
        self.assertEqual(err, b"")
        self.assertEqual(out, self.real(self.dir))

    def test_relative_paths_and_slashes(self):
        self.odd_tree()
        for operand in [b".", b"./", b"dir", b"dir/", b"dir//", b"../" + os.path.basename(self.dir)]:
            _, out, _ = run(b"--", operand, cwd=self.dir, expect=0)
            self.assertEqual(out, self.real(operand), operand)

    def test_operands_that_begin_with_a_dash(self):
        self.write(b"-dir/file", b"f")
        self.write(b"--help/file", b"g")
        _, out, _ = run(b"--", b"-dir", b"--help", cwd=self.dir, expect=0)
        self.assertEqual(out, line_of(b"--help/file", b"g") + line_of(b"-dir/file", b"f"))

    def test_large_sparse_file(self):
        path = self.sparse(b"sparse", 200 << 20)
        digest = hashlib.sha256()
        for _ in range(200):
            digest.update(bytes(1 << 20))
        _, out, _ = run(self.dir, expect=0)
        self.assertEqual(out, digest.hexdigest().encode() + b"  " + path + b"\n")

    def test_links_and_special_files_are_passed_over(self):
        self.write(b"file", b"f")
        os.symlink(b"file", self.path(b"link"))
        os.symlink(b".", self.path(b"loop"))
        os.symlink(b"nowhere", self.path(b"dangling"))
        os.mkfifo(self.path(b"fifo"))
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(self.path(b"socket"))
            _, out, err = run(self.dir, expect=0)
        self.assertEqual(out, self.expected())
        self.assertEqual(err, b"")

    def test_operands_that_are_links_are_followed(self):
        self.write(b"dir/file", b"f")
        os.symlink(b"dir", self.path(b"to-dir"))
        os.symlink(b"to-dir", self.path(b"to-to-dir"))
        _, out, _ = run(b"to-to-dir", b"to-dir", cwd=self.dir, expect=0)
        self.assertEqual(out, line_of(b"to-dir/file", b"f") + line_of(b"to-to-dir/file", b"f"))

    def test_zero(self):
        self.odd_tree()
        _, out, _ = run(b"-z", self.dir, expect=0)
        lines = [
            hashlib.sha256(self.files[p]).hexdigest().encode() + b"  " + p + b"\0"
            for p in sorted(self.files)
        ]
        self.assertEqual(out, b"".join(lines))

    def test_a_tree_deeper_than_any_stack(self):
        name = b"/".join([b"d"] * 1500)
        subprocess.run(["mkdir", "-p", self.path(name)], check=True)
        self.write(name + b"/file", b"deep")
        _, out, _ = run(self.dir, expect=0)
        self.assertEqual(out, self.expected())

    def test_a_tree_deeper_than_a_path_can_name(self):
        self.write(b"near", b"n")
        fd = os.open(self.dir, os.O_RDONLY)
        for _ in range(30):  # 30 * 250 is beyond PATH_MAX
            os.mkdir(b"x" * 250, dir_fd=fd)
            deeper = os.open(b"x" * 250, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = deeper
        os.close(fd)
        _, out, err = run(self.dir, expect=1)
        self.assertEqual(out, self.expected())
        self.assertIn(b"File name too long", err)

    def test_help_and_version(self):
        _, out, err = run("--help", expect=0)
        self.assertIn(b"Exit status", out)
        self.assertEqual(err, b"")
        _, out, _ = run("-h", expect=0)
        self.assertIn(b"Usage: rnsum", out)
        _, out, _ = run("--version", expect=0)
        self.assertRegex(out, rb"^rnsum \(runnel\) \d+\.\d+\.\d+\n$")


class Order(Tree):
    def setUp(self):
        super().setUp()
        self.odd_tree()
        for i in range(500):
            self.write(b"many/%d/%d" % (i % 7, i), b"%d" % i)

    def test_one_and_eight_jobs_are_equal(self):
        for jobs in ["-j1", "-j8", "--jobs=64"]:
            self.assertEqual(run(jobs, self.dir, expect=0)[1], self.expected(), jobs)

    def test_unsorted_has_the_same_lines(self):
        _, out, _ = run("-u", "-j8", self.dir, expect=0)
        self.assertEqual(
            sorted(out.split(b"\n")), sorted(self.expected().split(b"\n"))
        )

    def test_operands_in_any_order_and_inside_each_other(self):
        operands = [b"many/3", b"dir", b"many", b".", b"dir/sub", b"d\\ir", b"many/4", b"dir"]
        _, out, _ = run(*operands, cwd=self.dir, expect=0)
        paths = subprocess.run(
            [b"find", *operands, b"-type", b"f", b"-print0"], cwd=self.dir,
            stdout=subprocess.PIPE, check=True).stdout.split(b"\0")[:-1]
        lines = [line_of(p, self.files[os.path.normpath(os.path.join(self.dir, p))])
                 for p in sorted(paths)]
        self.assertEqual(out, b"".join(lines))

    def test_more_files_than_the_window(self):
        # The first file in the order is slow, so that all the others must wait for it.
        with tempfile.TemporaryDirectory(prefix="rnsum-test-") as d:
            names = [b"%05d" % i for i in range(17000)]
            for name in names:
                os.close(os.open(os.path.join(os.fsencode(d), name), os.O_CREAT | os.O_WRONLY))
            with open(os.path.join(d, "00000"), "wb") as f:
                f.truncate(64 << 20)
            _, out, _ = run("-j4", ".", cwd=d, expect=0)
        self.assertEqual([l[66:] for l in out.splitlines()], [b"./" + n for n in names])


class Checking(Tree):
    def list_of_tree(self):
        self.odd_tree()
        self.list = self.dir + b".list"
        self.addCleanup(lambda: os.path.exists(self.list) and os.unlink(self.list))
        with open(self.list, "wb") as f:
            f.write(run(self.dir, expect=0)[1])

    def both(self, *args, input=None, cwd=None):
        """rnsum --check and sha256sum --check; their status and stdout must be equal."""
        more = {"input": input} if input is not None else {}
        status, out, err = run("--check", *args, cwd=cwd, **more)
        real = subprocess.run(["sha256sum", "--check", *args], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False, cwd=cwd, **more)
        self.assertEqual((status, out), (real.returncode, real.stdout), (args, err, real.stderr))
        return status, out, err

    def test_all_right(self):
        self.list_of_tree()
        status, out, err = self.both(self.list)
        self.assertEqual((status, err), (0, b""))
        self.assertEqual(out.count(b": OK\n"), len(self.files))

    def test_a_list_on_standard_input(self):
        self.list_of_tree()
        with open(self.list, "rb") as f:
            text = f.read()
        self.assertEqual(self.both(input=text)[0], 0)
        self.assertEqual(self.both("-", input=text)[0], 0)
        self.assertEqual(self.both(input=text.rstrip(b"\n"))[0], 0)  # no newline at the end

    def test_changed_missing_and_malformed(self):
        self.list_of_tree()
        with open(self.path(b"plain"), "ab") as f:
            f.write(b"changed")
        os.unlink(self.path(b"new\nline"))
        with open(self.list, "ab") as f:
            f.write(b"# a remark\n\nnot a line\n" + b"0" * 63 + b"  short\n")
        for args in [[], ["--quiet"], ["--status"], ["--strict"], ["--ignore-missing"], ["--warn"]]:
            status, out, err = self.both(*args, self.list)
            self.assertEqual(status, 1)
            if args == ["--status"]:
                self.assertEqual(out, b"")
                continue
            self.assertIn(b"WARNING: 2 lines are improperly formatted", err)
            self.assertIn(b"WARNING: 1 computed checksum did NOT match", err)
            missing = b"WARNING: 1 listed file could not be read" in err
            self.assertEqual(missing, args != ["--ignore-missing"])
            if args == ["--warn"]:
                self.assertIn(b": %d: improperly" % (len(self.files) + 3), err)

    def test_malformed_lines_alone(self):
        self.list_of_tree()
        with open(self.list, "ab") as f:
            f.write(b"junk\n" + b"j" * 200000 + b"\n")
        self.assertEqual(self.both(self.list)[0], 0)
        self.assertEqual(self.both("--strict", self.list)[0], 1)

    def test_lists_that_are_none(self):
        self.assertEqual(self.both(input=b"")[0], 1)
        self.assertEqual(self.both(input=b"junk\n")[0], 1)
        self.assertEqual(self.both(self.path(b"missing"))[0], 1)
        self.assertEqual(self.both(self.dir)[0], 1)
        self.assertEqual(self.both("--ignore-missing", input=b"0" * 64 + b"  nowhere\n")[0], 1)

    def test_forms_of_a_line(self):
        name = b"a \\ b"
        self.write(name, b"data")
        digest = hashlib.sha256(b"data").hexdigest().encode()
        for form in [
            digest + b"  a \\ b\n",
            digest + b" *a \\ b\n",
            digest.upper() + b"  a \\ b\n",
            b" \t" + digest + b"  a \\ b\n",
            b"\\" + digest + b"  a \\\\ b\n",
            b"\\" + digest + b"  a \\ b\n",  # an escape that is none
        ]:
            self.both("--strict", input=form, cwd=self.dir)

    def test_order_is_that_of_the_list(self):
        self.list_of_tree()
        with open(self.list, "rb") as f:
            lines = f.read().splitlines(True)
        for jobs in ["-j1", "-j8"]:
            status, out, _ = run(jobs, "-c", input=b"".join(reversed(lines)))
            self.assertEqual(status, 0)
            self.assertEqual(
                out,
                subprocess.run(["sha256sum", "-c"], input=b"".join(reversed(lines)),
                               stdout=subprocess.PIPE, check=True).stdout)


class Failures(Tree):
    def test_missing_and_wrong_operands(self):
        self.write(b"good/file", b"g")
        self.write(b"good-file", b"not listed")
        os.symlink(b"good-file", self.path(b"link"))
        os.mkfifo(self.path(b"fifo"))
        operands = [b"good-file", b"good", b"missing", b"fifo", b"link", b"good-file/x", b""]
        for order in ["--jobs=2", "--unsorted"]:
            _, out, err = run(order, *operands, cwd=self.dir, expect=1)
            self.assertEqual(out, line_of(b"good/file", b"g"))
            self.assertIn(b"rnsum: missing: No such file or directory\n", err)
            self.assertIn(b"rnsum: good-file: a file, not a directory\n", err)
            self.assertIn(b"rnsum: link: a file, not a directory\n", err)
            self.assertIn(b"rnsum: fifo: not a directory\n", err)
            self.assertIn(b"rnsum: good-file/x: Not a directory\n", err)
            self.assertIn(b"rnsum: '': No such file or directory\n", err)
            self.assertIn(b"6 paths could not be read", err)
        _, out, err = run(b"good-file", cwd=self.dir, expect=1)
        self.assertEqual(out, b"")
        self.assertIn(b"rnsum: good-file: a file, not a directory\n", err)

    def test_messages_are_one_line_and_harmless(self):
        _, _, err = run(b"a\nb\x1b[2J\\", expect=1)
        self.assertIn(b"rnsum: a\\nb\\033[2J\\\\: No such file or directory\n", err)

    def test_permission_denied(self):
        self.write(b"dir/readable", b"r")
        secret = self.write(b"dir/secret", b"s")
        del self.files[secret]
        os.chmod(secret, 0)
        os.mkdir(self.path(b"dir/closed"))
        os.chmod(self.path(b"dir/closed"), 0)
        self.addCleanup(os.chmod, self.path(b"dir/closed"), 0o700)
        more = {}
        if os.geteuid() == 0:
            more = dict(user=NOBODY, group=NOBODY, extra_groups=[])
            try:
                able = run("--version", **more)[0] == 0
            except OSError:
                able = False
            if not able:
                self.skipTest("as root, and the program is where nobody else may run it")
        _, out, err = run(self.dir, expect=1, **more)
        self.assertEqual(out, self.expected())
        self.assertIn(b"/dir/secret: Permission denied\n", err)
        self.assertIn(b"/dir/closed: Permission denied\n", err)
        self.assertIn(b"2 paths could not be read", err)

    def test_loops_and_dangling_links_when_followed(self):
        self.write(b"dir/file", b"f")
        os.symlink(b"..", self.path(b"dir/up"))
        os.symlink(b"nowhere", self.path(b"dangling"))
        os.symlink(b"self", self.path(b"self"))
        os.symlink(b"dir/file", self.path(b"link"))
        _, out, err = run("-L", self.dir, expect=1)
        self.files[self.path(b"link")] = b"f"
        self.assertEqual(out, self.expected())
        self.assertIn(b"/dir/up: a loop", err)
        self.assertIn(b"/dangling: leads nowhere\n", err)
        self.assertIn(b"/self: Too many levels of symbolic links\n", err)

    def test_a_link_into_another_directory_is_no_loop(self):
        self.write(b"a/file", b"f")
        os.mkdir(self.path(b"b"))
        os.symlink(b"../a", self.path(b"b/to-a"))
        _, out, _ = run("-L", self.dir, expect=0)
        self.files[self.path(b"b/to-a/file")] = b"f"
        self.assertEqual(out, self.expected())

    def test_vanished_files_and_bounded_work(self):
        # Nobody reads the pipe, so the pipeline fills and stops: the last files are not opened yet.
        names = [b"%04d-" % i + b"n" * 200 for i in range(4000)]
        for name in names:
            self.write(name, name)
        p = subprocess.Popen([RNSUM, "-j4", self.dir], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, bufsize=0)
        first = p.stdout.read(1)  # the directory has been read
        for name in names[-100:]:
            os.unlink(self.path(name))
            del self.files[self.path(name)]
        out, err = p.communicate(timeout=PATIENCE)
        self.assertEqual(p.returncode, 1)
        self.assertEqual(first + out, self.expected())
        self.assertEqual(err.count(b": No such file or directory\n"), 100)
        self.assertIn(b"100 paths could not be read", err)

    def test_full_disk(self):
        self.odd_tree()
        for args in [[self.dir], ["-u", self.dir], ["--help"], ["--version"]]:
            with open("/dev/full", "wb") as full:
                _, _, err = run(*args, stdout=full, expect=3)
            self.assertEqual(err, b"rnsum: standard output: No space left on device\n")

    def test_full_disk_stops_the_work(self):
        # The first line cannot be written; the huge file behind it is not waited for.
        self.write(b"a", b"a")
        self.sparse(b"b", HUGE)
        with open("/dev/full", "wb") as full:
            _, _, err = run("-j2", self.dir, stdout=full, expect=3)
        self.assertIn(b"No space left", err)

    def test_closed_pipe(self):
        self.odd_tree()
        for args in [[self.dir], ["-u", self.dir], ["--help"]]:
            r, w = os.pipe()
            os.close(r)
            try:
                _, _, err = run(*args, stdout=w, expect=3)
            finally:
                os.close(w)
            self.assertEqual(err, b"rnsum: standard output: Broken pipe\n")

    def test_closed_descriptors(self):
        self.write(b"file", b"f")
        for redirection, status in [(">&-", 3), ("2>&-", 0), ("<&-", 0), ("<&- 2>&-", 0)]:
            done = subprocess.run(["sh", "-c", f'"$1" "$2" {redirection}', "sh", RNSUM, self.dir],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                                  timeout=PATIENCE)
            self.assertEqual(done.returncode, status, (redirection, done.stderr))
            self.assertEqual(done.stdout, b"" if status else self.expected())

    def test_bad_usage(self):
        for args, text in [
            ([], b"which directory"),
            (["-j0", "."], b"--jobs: '0'"),
            (["-jx", "."], b"--jobs: 'x'"),
            (["-j99999999999999999999", "."], b"--jobs"),
            (["--timeout=0", "."], b"--timeout: '0'"),
            (["--timeout=-1", "."], b"--timeout"),
            (["--timeout=5parsec", "."], b"--timeout"),
            (["--timeout=nan", "."], b"--timeout"),
            (["--quiet", "."], b"--quiet has a meaning only with --check"),
            (["-cz", "."], b"--zero has no meaning with --check"),
            (["--nonsense"], b"nonsense"),
        ]:
            _, out, err = run(*args, expect=2)
            self.assertEqual(out, b"", args)
            self.assertIn(text, err)
            self.assertIn(b"Try 'rnsum --help'", err)


class Stopping(Tree):
    def start(self, *args, **more):
        options = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       bufsize=0)
        options.update(more)
        p = subprocess.Popen([RNSUM, *args], **options)
        self.addCleanup(lambda: p.poll() is None and p.kill())
        return p

    def finish(self, p, status, sent=None):
        """Wait for p; returns stdout and stderr."""
        sent = sent or time.monotonic()
        out, err = p.communicate(timeout=PATIENCE)
        took = time.monotonic() - sent
        print(f"{self.id()}: ended {took * 1000:.0f} ms later: {err.decode(errors='replace').strip()}")
        self.assertEqual(p.returncode, status, err)
        self.assertLess(took, 20)  # 0.1 s is the aim; the machine may be busy, or a sanitizer on
        return out, err

    def opened(self, p, path):
        """Wait until p has path open."""
        until = time.monotonic() + PATIENCE
        fds = f"/proc/{p.pid}/fd"
        while time.monotonic() < until:
            for fd in os.listdir(fds):
                try:
                    if os.readlink(os.fsencode(fds) + b"/" + os.fsencode(fd)) == path:
                        return
                except FileNotFoundError:
                    pass
            time.sleep(0.005)
        self.fail("the file was never opened")

    def test_interrupted_in_a_huge_file(self):
        before = self.write(b"a", b"a")
        huge = self.sparse(b"b", HUGE)
        self.write(b"c", b"c")
        for number, name, jobs in [(signal.SIGINT, b"SIGINT", "-j1"), (signal.SIGINT, b"SIGINT", "-j4"),
                                   (signal.SIGTERM, b"SIGTERM", "-j2")]:
            p = self.start(jobs, self.dir)
            self.opened(p, huge)
            p.send_signal(number)
            out, err = self.finish(p, 128 + number)
            self.assertEqual(out, line_of(before, b"a"))
            self.assertIn(b"stopped by " + name, err)
            self.assertIn(b"hashed", err)
            self.assertIn(b"the list is complete up to " + before + b"\n", err)

    def test_interrupted_unsorted(self):
        small = {self.write(b"a", b"a"), self.write(b"c", b"c")}
        huge = self.sparse(b"b", HUGE)
        p = self.start("-u", "-j3", self.dir)
        self.opened(p, huge)
        lines = {p.stdout.readline() for _ in small}  # streamed while the huge one is at work
        p.send_signal(signal.SIGINT)
        out, err = self.finish(p, 130)
        self.assertEqual(lines, {line_of(f, self.files[f]) for f in small})
        self.assertEqual(out, b"")
        self.assertIn(b"2 listed", err)

    def test_interrupted_before_anything(self):
        huge = self.sparse(b"a", HUGE)
        p = self.start(self.dir)
        self.opened(p, huge)
        p.send_signal(signal.SIGINT)
        out, err = self.finish(p, 130)
        self.assertEqual(out, b"")
        self.assertIn(b"nothing is listed", err)

    def test_timeout(self):
        self.sparse(b"a", HUGE)
        for value in ["0.2", "200ms", "0.2s"]:
            began = time.monotonic()
            _, err = self.finish(self.start("--timeout", value, self.dir), 124)
            self.assertGreaterEqual(time.monotonic() - began, 0.2)
            self.assertIn(b"time is up after ", err)

    def test_a_timeout_that_is_not_reached(self):
        self.odd_tree()
        self.assertEqual(run("--timeout=2h", self.dir, expect=0)[1], self.expected())

    def test_interrupted_while_nobody_reads_the_list(self):
        for i in range(3000):
            self.write(b"%04d-" % i + b"n" * 200, b"%d" % i)
        p = self.start(self.dir)
        select.select([p.stdout], [], [], PATIENCE)
        # The pipe is full when nothing was added to it for a while.
        size = -1
        while True:
            now = struct.unpack("i", fcntl.ioctl(p.stdout, termios.FIONREAD, b"\0" * 4))[0]
            if now == size:
                break
            size = now
            time.sleep(0.3)
        sent = time.monotonic()
        p.send_signal(signal.SIGINT)
        p.wait(timeout=PATIENCE)  # although nobody reads
        self.assertLess(time.monotonic() - sent, 20)
        out, err = self.finish(p, 130)
        self.assertTrue(self.expected().startswith(out))
        self.assertIn(b"the list was cut", err)

    def test_interrupted_while_a_list_does_not_come(self):
        r, w = os.pipe()
        self.addCleanup(os.close, w)
        p = self.start("--check", stdin=r)
        os.close(r)
        path = self.write(b"a", b"a")
        os.write(w, line_of(path, b"a"))
        self.assertEqual(p.stdout.readline(), path + b": OK\n")
        p.send_signal(signal.SIGINT)
        _, err = self.finish(p, 130)
        self.assertIn(b"1 checked", err)

    @unittest.skipUnless(os.environ.get("RNSUM_STUCK_READ"), "needs the preloaded library")
    def test_interrupted_while_the_kernel_holds_the_workers(self):
        a = self.write(b"a", b"a")
        for i in range(4):
            self.write(b"b%d/stuck" % i, b"s")
        p = self.start("-j4", self.dir,
                       env=dict(os.environ, LD_PRELOAD=os.environ["RNSUM_STUCK_READ"]))
        for i in range(4):
            self.opened(p, self.path(b"b%d/stuck" % i))
        time.sleep(0.2)  # from open to read
        p.send_signal(signal.SIGINT)
        out, err = self.finish(p, 130)
        self.assertEqual(out, line_of(a, b"a"))
        self.assertIn(b"complete up to " + a + b"; some reads did not end in time\n", err)

    def test_interrupted_check(self):
        huge = self.sparse(b"huge", HUGE)
        r, w = os.pipe()
        p = self.start("--check", stdin=r)
        os.close(r)
        os.write(w, b"0" * 64 + b"  " + huge + b"\n")
        os.close(w)
        self.opened(p, huge)
        p.send_signal(signal.SIGTERM)
        out, err = self.finish(p, 143)
        self.assertEqual(out, b"")
        self.assertIn(b"stopped by SIGTERM", err)


class Progress(Tree):
    def on_terminal(self, *args, stdout_too=False, interrupt=False):
        """Run with stderr (and stdout) on a terminal; returns status, stdout, terminal output."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        p = subprocess.Popen([RNSUM, *args], stdin=subprocess.DEVNULL,
                             stdout=slave if stdout_too else subprocess.PIPE, stderr=slave)
        os.close(slave)
        seen, out = b"", b""
        sources = [master] + ([] if stdout_too else [p.stdout])
        until = time.monotonic() + PATIENCE
        while sources:
            for f in select.select(sources, [], [], max(0, until - time.monotonic()))[0]:
                if f == master:
                    try:
                        data = os.read(master, 65536)
                    except OSError:  # EIO: the program has closed the terminal
                        data = b""
                    seen += data
                    if interrupt and seen.count(b"\r") > 5:
                        p.send_signal(signal.SIGINT)
                        interrupt = False
                else:
                    data = os.read(f.fileno(), 65536)
                    out += data
                if not data:
                    sources.remove(f)
            if time.monotonic() > until:
                p.kill()
                self.fail("hangs")
        os.close(master)
        if p.stdout:
            p.stdout.close()
        return p.wait(timeout=PATIENCE), out, seen

    @staticmethod
    def screen(seen):
        """What a terminal would show of it: only \\r and the erasing of a line are used."""
        lines = [b""]
        for part in re.split(rb"(\r\n|\r|\x1b\[K)", seen):
            if part == b"\r\n":
                lines.append(b"")
                column_zero = True
            elif part == b"\r":
                column_zero = True
            elif part == b"\x1b[K":
                if column_zero:
                    lines[-1] = b""
            elif part:
                lines[-1] = part
                column_zero = False
        return b"\n".join(lines)

    def test_a_bar_on_a_terminal(self):
        path = self.sparse(b"sparse", HUGE)
        self.write(b"z", b"z")
        status, out, seen = self.on_terminal("-j2", self.dir, interrupt=True)
        self.assertEqual((status, out), (130, b""))
        self.assertRegex(seen, rb"\r\[[#.]+\] +\d+%  \d+ files, [0-9.]+ [KMG]?i?B, [0-9.]+ [KMGT]iB/s")
        self.assertRegex(self.screen(seen), rb"^rnsum: stopped by SIGINT[^\r]*\n$")
        self.assertNotIn(path, seen)

    def test_none_in_a_pipe(self):
        self.sparse(b"a", HUGE)
        _, out, err = run("--timeout=1", self.dir, expect=124)
        self.assertEqual(out, b"")
        self.assertNotIn(b"\r", err)
        self.assertEqual(err.count(b"\n"), 1)

    def test_lines_and_the_bar_share_a_terminal(self):
        for i in range(30):
            self.write(b"%02d" % i, b"%d" % i)
        self.sparse(b"zz", 1 << 30)
        status, _, seen = self.on_terminal("-u", self.dir, stdout_too=True)
        self.assertEqual(status, 0)
        shown = self.screen(seen).split(b"\n")
        self.assertEqual(shown.pop(), b"")
        self.assertEqual(len(shown), 31)
        for line in shown:
            self.assertRegex(line, rb"^[0-9a-f]{64}  ")
        self.assertEqual(
            sorted(l for l in shown if not l.endswith(b"/zz")),
            sorted(self.expected().splitlines()))

    def test_a_bar_while_checking(self):
        path = self.sparse(b"sparse", HUGE)
        with open(self.path(b"list"), "wb") as f:
            f.write(b"0" * 64 + b"  " + path + b"\n")
        status, out, seen = self.on_terminal("-c", self.path(b"list"), interrupt=True)
        self.assertEqual((status, out), (130, b""))
        self.assertIn(b" files, ", seen)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    RNSUM = os.fsencode(os.path.abspath(sys.argv.pop(1)))
    unittest.main()

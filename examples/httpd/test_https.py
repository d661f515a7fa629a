# SPDX-License-Identifier: MIT
"""httpd with --cert from outside, by curl, with a certificate by openssl: python3 test_https.py HTTPD"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

HTTPD = sys.argv[1]


class Secure(unittest.TestCase):
    def setUp(self):
        for program in ("curl", "openssl"):
            self.assertIsNotNone(shutil.which(program), f"{program} is not installed (package {program})")
        self.tmp = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.tmp)
        self.root = os.path.join(self.tmp, "root")
        self.cert, self.key = (os.path.join(self.tmp, name) for name in ("cert.pem", "key.pem"))
        os.makedirs(self.root)
        self.data = os.urandom(3_000_000)
        for name, data in (("a.txt", b"hello\n"), ("large.bin", self.data)):
            with open(os.path.join(self.root, name), "wb") as f:
                f.write(data)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=httpd", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.key,
                        "-out", self.cert], check=True, stderr=subprocess.DEVNULL)

    def command(self, *more):
        return [HTTPD, "--listen", "127.0.0.1:0", "--root", self.root, *more]

    def curl(self, *args, trust=True):
        """(exit status, output)"""
        done = subprocess.run(["curl", "-sS", "-m", "60", *(["--cacert", self.cert] if trust else []), *args],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return done.returncode, done.stdout

    def test_serves(self):
        process = subprocess.Popen(self.command("--cert", self.cert, "--key", self.key), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        at = process.stdout.readline().split()[-1]
        url = "https://" + at
        self.assertEqual(self.curl(url + "/a.txt", trust=False)[0], 60)  # issuer unknown
        self.assertNotEqual(self.curl("http://" + at + "/a.txt")[0], 0)
        self.assertEqual(self.curl(url + "/a.txt"), (0, b"hello\n"))
        self.assertEqual(self.curl(url + "/large.bin"), (0, self.data))
        self.assertEqual(self.curl("-r", "1000-1999999", url + "/large.bin"), (0, self.data[1000:2000000]))
        self.assertEqual(self.curl("-o", os.devnull, "-w", "%{http_code} %{num_connects}\n", url + "/none", "-o", os.devnull,
                                   url + "/large.bin"), (0, b"404 1\n200 0\n"))  # on one connection
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (0, ""))
        self.assertIn('"GET /a.txt" 200 6\n', out)
        self.assertIn("stopped: ", out)

    def test_says_what_is_wrong(self):
        for cert, key in ((self.cert + "x", self.key), (self.cert, self.cert), (self.root, self.key)):
            done = subprocess.run(self.command("--cert", cert, "--key", key), stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=60)
            self.assertEqual((done.returncode, done.stdout), (1, ""))  # nobody is told where to connect
            self.assertIn(cert, done.stderr)


unittest.main(argv=sys.argv[:1], verbosity=1)

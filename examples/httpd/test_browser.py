# SPDX-License-Identifier: MIT
"""httpd as a browser sees it, Chromium without a window: python3 test_browser.py HTTPD"""
import hashlib
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HTTPD = sys.argv[1]
TIMEOUT = 120
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ODD = 'an <odd> & "long" näme.txt'

# Asks for a part, for what lies around it, and for a file that is not there, and says what came.
PAGE = """<!doctype html><title>page</title><p id=said>nothing</p><script>
const hex = async data => [...new Uint8Array(await crypto.subtle.digest('SHA-256', data))]
    .map(b => b.toString(16).padStart(2, '0')).join('');
const get = async (path, headers) => {
    const r = await fetch(path, {headers});
    return [r.status, r.headers.get('Content-Range'), await hex(await r.arrayBuffer())].join(' ');
};
(async () => {
    const said = [await get('large.bin', {Range: 'bytes=1000-1999999'}), await get('large.bin'),
                  (await get('none')).split(' ')[0]];
    document.getElementById('said').textContent = said.join('; ');
})().catch(e => { document.getElementById('said').textContent = e; });
</script>
"""


class Browser(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)
        self.root, self.got = os.path.join(self.tmp, "root"), os.path.join(self.tmp, "got")
        os.makedirs(os.path.join(self.root, "sub"))
        os.mkdir(self.got)
        self.data = os.urandom(3_000_000)
        for name, data in ((ODD, b"hello\n"), ("large.bin", self.data), ("page.html", PAGE.encode())):
            with open(os.path.join(self.root, name), "wb") as f:
                f.write(data)
        # What Chromium reads of its user's choices: where to put files, without asking.
        os.makedirs(os.path.join(self.tmp, "user", "Default"))
        with open(os.path.join(self.tmp, "user", "Default", "Preferences"), "w") as f:
            json.dump({"download": {"default_directory": self.got, "prompt_for_download": False}}, f)
        self.httpd = subprocess.Popen([HTTPD, "--listen", "127.0.0.1:0", "--root", self.root], stdout=subprocess.PIPE,
                                      text=True)
        self.url = "http://" + self.httpd.stdout.readline().split()[-1]

    def tearDown(self):
        self.httpd.send_signal(signal.SIGTERM)
        self.log = self.httpd.communicate(timeout=TIMEOUT)[0]
        self.assertEqual(self.httpd.returncode, 0)

    def browser(self, *args):
        # Its sandbox wants rights that a container does not give; it sees nothing but pages of ours.
        return subprocess.Popen([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                                 "--no-first-run", "--no-proxy-server", "--user-data-dir=" + self.tmp + "/user", *args],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)

    def shown(self, path):
        """The document at path, as it is once all its scripts have run."""
        process = self.browser("--virtual-time-budget=30000", "--dump-dom", self.url + path)
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            self.fail(process.communicate()[1])
        self.assertEqual(process.returncode, 0, err)
        return out.decode()

    def test_a_folder(self):
        page = self.shown("/")
        self.assertIn("<h1>/</h1>", page)
        rows = [html.unescape(row) for row in re.findall(r"<tr><td><a [^>]*>([^<]*)</a></td>", page)]
        self.assertEqual(rows, sorted([ODD, "large.bin", "page.html", "sub/"]))
        # The link leads there.
        link = html.unescape(re.search(r'<a href="(an[^"]*)"', page).group(1))
        self.assertIn("hello", self.shown("/" + link))
        self.assertIn("<h1>/sub/</h1>", self.shown("/sub"))

    def test_parts(self):
        part, whole = hashlib.sha256(self.data[1000:2000000]), hashlib.sha256(self.data)
        self.assertIn("206 bytes 1000-1999999/3000000 %s; 200  %s; 404" % (part.hexdigest(), whole.hexdigest()),
                      self.shown("/page.html"))

    def test_a_download(self):
        process = self.browser(self.url + "/large.bin")
        path = os.path.join(self.got, "large.bin")
        try:
            for _ in range(TIMEOUT * 20):  # it is renamed when it is complete
                if os.path.exists(path) and os.path.getsize(path) == len(self.data):
                    break
                self.assertIsNone(process.poll())
                time.sleep(0.05)
            with open(path, "rb") as f:
                self.assertEqual(f.read(), self.data)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


if __name__ == "__main__":
    if not BROWSER:
        print("skipped: no Chromium is installed (Debian: chromium)")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])

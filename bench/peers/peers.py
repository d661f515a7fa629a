# SPDX-License-Identifier: MIT
"""Builds the programs of the peers. What they need is fetched by its ordinary client, into the build directory:
Boost.Fiber by apt-get (./dev bench), Tokio by cargo, as Cargo.lock has it. A peer that cannot be built is left out,
with a line that says why."""
import os
import re
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


def run(command, say, name, **kwargs):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs)
    if done.returncode != 0:
        lines = done.stdout.strip().splitlines() or ["no message"]
        say("no %s: %s: %s" % (name, os.path.basename(command[0]), lines[-1]))
    return done.returncode == 0


def first_line(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    return (done.stdout.splitlines() or ["unknown"])[0]


def is_new(program, sources):
    """Is the program newer than all its sources?"""
    return os.path.exists(program) and all(os.path.getmtime(s) <= os.path.getmtime(program) for s in sources)


def threads(directory, say):
    cc = shutil.which("cc") or shutil.which("gcc")
    program = os.path.join(directory, "peer_threads")
    sources = [os.path.join(HERE, f) for f in ("threads.c", "peer.h")]
    if not cc:
        say("no plain threads: no C compiler")
        return None
    if not is_new(program, sources) and not run([cc, "-std=gnu17", "-O2", "-pthread", sources[0], "-o", program],
                                                say, "plain threads"):
        return None
    return program, "POSIX threads, mutexes and condition variables, " + " ".join(os.confstr("CS_GNU_LIBC_VERSION").split())


def boost(directory, say, name, source, *libraries):
    cxx = shutil.which("c++") or shutil.which("g++")
    program = os.path.join(directory, "peer_" + source)
    sources = [os.path.join(HERE, f) for f in (source + ".cpp", "peer.h")]
    if not cxx:
        say("no %s: no C++ compiler" % name)
        return None
    if not is_new(program, sources) and not run(
            [cxx, "-std=c++17", "-O2", "-pthread", sources[0], "-o", program, *libraries],
            say, name + " (Debian: libboost-fiber-dev)"):
        return None
    version = subprocess.run([cxx, "-x", "c++", "-E", "-P", "-"], input="#include <boost/version.hpp>\nBOOST_LIB_VERSION",
                             stdout=subprocess.PIPE, text=True).stdout.strip().splitlines()
    return program, "%s %s, %s" % (name, version[-1].strip('"').replace("_", ".") if version else "",
                                   first_line(cxx, "--version"))


def tokio(directory, say):
    cargo = shutil.which("cargo") or shutil.which("cargo", path=os.path.expanduser("~/.cargo/bin"))
    if not cargo:
        say("no Tokio: no cargo")
        return None
    target = os.path.join(directory, "tokio")
    env = {**os.environ, "CARGO_TARGET_DIR": target,
           "PATH": os.environ.get("PATH", "") + ":" + os.path.dirname(cargo)}
    if not run([cargo, "build", "--release", "--locked", "--quiet"], say, "Tokio",
               cwd=os.path.join(HERE, "tokio"), env=env):
        return None
    with open(os.path.join(HERE, "tokio", "Cargo.lock")) as f:
        version = re.search(r'name = "tokio"\nversion = "([^"]*)"', f.read())
    return os.path.join(target, "release", "bench-tokio"), "Tokio %s, %s" % (
        version[1] if version else "", first_line(cargo, "--version"))


def build(directory, say):
    """{name: (program, what it is)} of the peers that can be built here."""
    directory = os.path.abspath(directory)
    made = {"Boost.Context": boost(directory, say, "Boost.Context", "context", "-lboost_context"),
            "Boost.Fiber": boost(directory, say, "Boost.Fiber", "boost", "-lboost_fiber", "-lboost_context"),
            "Tokio": tokio(directory, say), "threads": threads(directory, say)}
    return {name: peer for name, peer in made.items() if peer}

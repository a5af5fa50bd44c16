#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# ctl-streams.py ADDRESS PID [TEST...]: the checks of ctl-streams.sh, on the worker at ADDRESS whose process is PID.
import fcntl
import filecmp
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time
import urllib.request

from free_port import free_port
from patience import patience
from session_client import ADDRESS, Session, call, expect, main, until

PROGRAM = os.environ["SANDBOXCTL"]
ENV = {**os.environ, "SANDBOXD_URL": f"http://{ADDRESS}", "TERM": "xterm", "LC_ALL": "C.UTF-8"}


def ctl(*args, status=0, **options):
    p = subprocess.run([PROGRAM, *args], env=ENV, capture_output=True, timeout=patience(60), **options)
    expect(status, p.returncode, (args, p.stdout[-300:], p.stderr[-300:]))
    return p.stdout


class Terminal:
    """sandboxctl shell on a terminal of its own, of which nothing is as it usually is."""

    def __init__(self, *args):
        self.master, self.slave = pty.openpty()
        before = termios.tcgetattr(self.slave)
        before[0] |= termios.IXANY
        before[3] &= ~termios.ECHOK
        before[6][termios.VERASE] = b"\x08"
        before[6][termios.VMIN], before[6][termios.VTIME] = 3, 7
        termios.tcsetattr(self.slave, termios.TCSANOW, before)
        self.before = termios.tcgetattr(self.slave)
        self.resize(31, 97)
        self.seen = b""
        self.child = subprocess.Popen([PROGRAM, "shell", *args], env=ENV, stdin=self.slave, stdout=self.slave,
                                      stderr=self.slave, start_new_session=True,
                                      preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            self.seen += os.read(self.master, 65536)

    def type(self, text):
        os.write(self.master, text.encode())

    def shows(self, text, pattern):
        """Types @text and waits for @pattern, which what was typed does not match itself."""
        self.seen = b""
        self.type(text)
        end = time.monotonic() + patience(20)
        while not re.search(pattern.encode(), self.seen):
            assert time.monotonic() < end, (text, pattern, self.seen[-500:])
            self.read(0.2)

    def is_as_before(self):
        self.read(0)
        return termios.tcgetattr(self.slave) == self.before

    def ends(self, status):
        def ended():
            self.read(0.05)  # nothing waits for it to be read
            return self.child.poll() is not None
        until(ended, "it ends")
        expect(status, self.child.returncode, self.seen[-300:])
        assert self.is_as_before(), (self.before, termios.tcgetattr(self.slave))

    def prompt(self):
        self.shows("PS1=; echo $((6 * 7))-ready\r", "42-ready")


def running(session):
    return [e for e in call("GET", session.path + "/execs")[1]["execs"] if e["state"] == "running"]


def test_shell():
    with Session() as s, Terminal(s.id) as t:
        t.prompt()
        assert not t.is_as_before(), "keys are not passed on"
        t.shows("stty size | tr ' ' x\r", "31x97")
        t.resize(45, 123)
        t.shows("sleep 0.3; stty size | tr ' ' x\r", "45x123")
        t.shows("tty | tr / _\r", "_dev_pts_[0-9]")
        t.shows("echo gr\u00fcn\u4e2d | tr n N\r", "gr\u00fcN\u4e2d")
        # Ctrl-C is the command's
        t.shows("sleep 900; echo status $? | tr s S\r", "sleep")
        until(lambda: "sleep" in s.output("cat /proc/[0-9]*/comm"), "it sleeps")
        t.shows("\x03echo after-$?\r", "after-130")
        # jobs, where the shell has them
        t.shows("sleep 901\r", "sleep")
        until(lambda: "sleep 901" in s.output("cat /proc/[0-9]*/cmdline | tr '\\0' ' '"), "it sleeps")
        t.shows("\x1a", "[Ss]topped")
        t.shows("kill %1; fg; echo over-$?\r", "over-[1-9]")
        # a lot at once, and nothing of it is lost
        t.shows("seq 20000 | tail -c 200000; echo the-end | tr t T\r", "19999\r\n20000\r\nThe-end")
        t.type("exit 7\r")
        t.ends(7)
        until(lambda: not running(s), "nothing runs on")


def test_shell_of_its_own():
    with Terminal("--metadata", "of=shell") as t:
        t.prompt()
        sessions = call("GET", "/v1/sessions?metadata.of=shell")[1]["sessions"]
        expect(1, len(sessions))
        t.type("exit\r")
        t.ends(0)
        until(lambda: not call("GET", "/v1/sessions?metadata.of=shell")[1]["sessions"], "it ends with the shell")


def test_shell_that_is_killed():
    """The terminal is as it was, whatever sandboxctl is told to end by; what ran in the shell has ended."""
    with Session() as s:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            with Terminal(s.id) as t:
                t.prompt()
                t.shows("sleep 902\r", "sleep")
                assert not t.is_as_before()
                t.child.send_signal(number)
                until(lambda: t.read(0.05) or t.child.poll() is not None, f"{number.name} ends it")
                assert t.child.returncode != 0, t.child.returncode
                assert t.is_as_before(), number.name
            until(lambda: not running(s), f"nothing runs on after {number.name}")


def test_shell_that_is_stopped():
    with Session() as s, Terminal(s.id) as t:
        t.prompt()
        t.child.send_signal(signal.SIGTSTP)
        until(t.is_as_before, "the terminal is the caller's while it is stopped")
        t.child.send_signal(signal.SIGCONT)
        until(lambda: not t.is_as_before(), "it goes on")
        t.shows("echo $((6 * 8))\r", "48")
        t.type("exit 0\r")
        t.ends(0)


def test_shell_that_is_left():
    """Left by ~. and come back to: the same shell, with what it knows."""
    with Session() as s:
        exec_id = s.run("exec sh", background=True, pty={"rows": 24, "cols": 80})["exec_id"]
        with Terminal(s.id, exec_id) as t:
            t.shows("known=$((40 + 5)); echo $known-set\r", "45-set")
            t.shows("stty size | tr ' ' x\r", "31x97")
            t.type("\r~.")
            t.ends(0)
        expect(1, len(running(s)))
        with Terminal(s.id, exec_id) as t:
            t.shows("echo still-$known\r", "still-45")
            t.child.kill()  # so that nothing can be told
            t.child.wait()
        with Terminal(s.id, exec_id) as t:
            t.shows("echo again-$known\r", "again-45")
            t.type("exit 3\r")
            t.ends(3)


def same(a, b):
    d = filecmp.dircmp(a, b, ignore=[])
    assert not (d.left_only or d.right_only or d.diff_files or d.funny_files), d.report()
    for name in d.common_dirs:
        same(os.path.join(a, name), os.path.join(b, name))


def test_copies():
    with Session() as s, tempfile.TemporaryDirectory() as top:
        here = pathlib.Path(top)
        (here / "tree/deep/er").mkdir(parents=True)
        (here / "tree/empty").mkdir()
        (here / "tree/a\nb \u00fc").write_bytes(b"strange")
        (here / "tree/deep/er/big").write_bytes(os.urandom(20 << 20))
        (here / "tree/deep/program").write_text("#!/bin/sh\necho ran\n")
        (here / "tree/deep/program").chmod(0o755)
        (here / "tree/nothing").touch()
        (here / "tree/link").symlink_to("deep/program")
        # files
        ctl("cp", f"{top}/tree/deep/er/big", f"{s.id}:file")
        ctl("cp", f"{s.id}:file", f"{top}/back")
        assert filecmp.cmp(here / "back", here / "tree/deep/er/big", False)
        ctl("cp", f"{s.id}:file", top)
        assert filecmp.cmp(here / "file", here / "back", False)
        # folders, under another name and into one that exists
        ctl("cp", f"{top}/tree", f"{s.id}:copy")
        expect("ran\n", s.output("copy/link"))
        ctl("cp", f"{top}/tree", f"{s.id}:copy")
        expect("ran\n", s.output("copy/tree/deep/program"))
        s.output("rm -r copy/tree")
        ctl("cp", f"{s.id}:copy", f"{top}/out")
        same(here / "tree", here / "out")
        expect("deep/program", os.readlink(here / "out/link"))
        assert os.access(here / "out/deep/program", os.X_OK)
        ctl("cp", f"{s.id}:copy", f"{top}/out")
        same(here / "tree", here / "out/copy")
        # what leads out of the folder here stays where it is
        s.output("mkdir bad && ln -s /tmp bad/tmp && ln -s ../../.. bad/up && echo x >bad/f")
        ctl("cp", f"{s.id}:bad", f"{top}/bad")
        expect("x\n", (here / "bad/f").read_text())
        for args in ((f"{s.id}:none", top), (f"{top}/none", f"{s.id}:x"), (f"{top}/back", top), (f"{s.id}:f", f"{s.id}:g")):
            p = subprocess.run([PROGRAM, "cp", *args], env=ENV, capture_output=True)
            assert p.returncode != 0 and p.stderr.startswith(b"sandboxctl: "), (args, p)
        assert not (here / "none").exists()


def test_forward():
    with Session() as s:
        data = os.urandom(5 << 20)
        s.put("big", data)
        s.run("exec python3 -m http.server 3000 --bind 127.0.0.1", background=True)
        knock = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 3000))'"
        until(lambda: s.run(knock)["exit_code"] == 0, "the server listens")
        port, dead = free_port(), free_port()
        p = subprocess.Popen([PROGRAM, "forward", s.id, f"{port}:3000", f"{dead}:3001"], env=ENV, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
        try:
            expect(f"127.0.0.1:{port} -> {s.id} port 3000\n", p.stdout.readline())
            got = []
            threads = [threading.Thread(target=lambda: got.append(
                urllib.request.urlopen(f"http://127.0.0.1:{port}/big", timeout=patience(30)).read())) for _ in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            assert got == [data] * 4, [len(g) for g in got]
            with socket.create_connection(("127.0.0.1", dead), timeout=patience(20)) as c:
                c.sendall(b"x")
                try:
                    expect(b"", c.recv(10), "nobody is there")
                except ConnectionResetError:
                    pass
            page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=patience(30)).read()
            assert b"big" in page
        finally:
            p.terminate()
            _, said = p.communicate(timeout=patience(20))
        assert "3001" in said, said
        with socket.socket() as c:
            assert c.connect_ex(("127.0.0.1", port)) != 0, "it listens on"
    ctl("forward", "no-such-session", "1:1", status=1)


if __name__ == "__main__":
    main([test_shell, test_shell_of_its_own, test_shell_that_is_killed, test_shell_that_is_stopped, test_shell_that_is_left,
          test_copies, test_forward])

# SPDX-License-Identifier: LGPL-2.1-or-later
"""A coordinator under test, and its clients."""
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile

from free_port import free_port
from patience import within

CASES = []


def case(name):
    def add(function):
        CASES.append((name, function))
        return function
    return add


class Problem(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Problem(text)


def until(seconds, condition, text):
    value = within(seconds, condition)
    check(value, f"{text}: not within {seconds} s")
    return value


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Coordinator:
    def __init__(self, program, workers=(), settings="", environment=None):
        self.program = program
        self.folder = tempfile.mkdtemp(prefix="coord-test.")
        self.port = free_port()
        self.config = os.path.join(self.folder, "coordinator.conf")
        self.log = os.path.join(self.folder, "log")
        self.settings = settings
        self.workers = list(workers)
        self.environment = environment or {}
        self.process = None
        self.write()
        self.start()

    def write(self):
        urls = " ".join(w if isinstance(w, str) else w.url for w in self.workers)
        text = f"[Coordinator]\nDiscover=none\n"
        # a line of a file has a limit
        text += "Workers=" + "\n  ".join(urls.split()) + "\n" if urls else ""
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(text + self.settings + "\n")

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "--config", self.config, "--listen", f"127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.environment})
        until(15, self.is_ready, f"the start ({self.log_text()})")

    def is_ready(self):
        if self.process.poll() is not None:
            raise Problem(f"it ended with {self.process.returncode}: {self.log_text()}")
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def log_text(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                status = self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
                raise Problem("it does not end") from None
            check(status == 0, f"it ended with {status}: {self.log_text()[-2000:]}")
        elif self.process.returncode not in (0, -9):
            raise Problem(f"it has ended with {self.process.returncode}: {self.log_text()[-2000:]}")

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def request(self, method, path, body=None, headers=None, timeout=30):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
            c.request(method, path, data, headers or {}, encode_chunked="Transfer-Encoding" in (headers or {}))
            r = c.getresponse()
            return Answer(r.status, r.headers, r.read())
        finally:
            c.close()

    def create(self, body=None, headers=None, status=201):
        a = self.request("POST", "/v1/sessions", body, headers)
        check(a.status == status, f"create: {a}")
        return a.json()["session_id"] if status < 300 else a

    def raw(self, data=b"", timeout=10):
        s = socket.create_connection(("127.0.0.1", self.port), timeout)
        if data:
            s.sendall(data)
        return s

    def health(self):
        return self.request("GET", "/health").json()

    def status_of(self, name):
        for w in self.health()["workers"]:
            if w["worker_id"] == name:
                return w["status"]
        return None

    def memory_kib(self):
        with open(self.program, "rb") as f:
            if b"__asan_init" in f.read():
                return 0  # says nothing
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        return 0

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def read_all(s):
    data = b""
    while True:
        try:
            piece = s.recv(65536)
        except ConnectionResetError:
            return data
        if not piece:
            return data
        data += piece

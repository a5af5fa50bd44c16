# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client that may say anything: raw bytes over a socket, answers taken apart strictly."""
import json
import os
import socket
import time

from patience import patience


class Problem(Exception):
    """The server did what it must not do."""


def check(condition, text):
    if not condition:
        raise Problem(text)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def get(self, name):
        values = self.all(name)
        check(len(values) <= 1, f"header {name} comes {len(values)} times")
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:160]!r}"


class Connection:
    def __init__(self, address, timeout=30):
        self.buffer, self.closed = b"", False
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(address, timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:  # an answer may be there all the same
            pass

    def more(self):
        """Reads on. False at the end of the stream."""
        if self.closed:
            return False
        try:
            data = self.sock.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
        self.buffer += data
        return bool(data)

    def until(self, mark):
        while mark not in self.buffer:
            if not self.more():
                return None
        text, _, self.buffer = self.buffer.partition(mark)
        return text

    def answer(self, method="GET"):
        """The next answer, or None at the end of the stream."""
        head = self.until(b"\r\n\r\n")
        if head is None:
            check(self.buffer == b"", f"half an answer: {self.buffer[:100]!r}")
            return None
        lines = head.split(b"\r\n")
        version, status, *_ = lines[0].split(b" ")
        check(version in (b"HTTP/1.1", b"HTTP/1.0"), f"status line {lines[0]!r}")
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(b": ")
            check(colon and name, f"header line {line!r}")
            headers.append((name.decode("latin-1"), value.decode("latin-1")))
        a = Answer(int(status), headers, b"")
        if a.status == 100:
            return a
        length = a.get("Content-Length")
        if method == "HEAD" or a.status in (101, 204, 304):
            return a
        if a.get("Transfer-Encoding"):
            a.body = self.chunks()
        elif length is None:
            while self.more():
                pass
            a.body, self.buffer = self.buffer, b""
        else:
            while len(self.buffer) < int(length):
                check(self.more(), f"the answer ends after {len(self.buffer)} of {length} bytes")
            a.body, self.buffer = self.buffer[: int(length)], self.buffer[int(length) :]
        return a

    def chunks(self):
        body = b""
        while True:
            size = int(self.until(b"\r\n"), 16)
            while len(self.buffer) < size + 2:
                check(self.more(), "the answer ends within a chunk")
            check(self.buffer[size : size + 2] == b"\r\n", "no line end after a chunk")
            body, self.buffer = body + self.buffer[:size], self.buffer[size + 2 :]
            if size == 0:
                return body


class Server:
    """The worker that is tested."""

    def __init__(self, address, pid=None, key=None):
        self.address, self.pid, self.key = address, pid, key

    def connect(self, timeout=30):
        return Connection(self.address, timeout)

    def head(self, method, path, body=None, headers=()):
        lines = [f"{method} {path} HTTP/1.1", "Host: worker"]
        if self.key:
            lines.append(f"Authorization: Bearer {self.key}")
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        lines += headers
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")

    def request(self, method, path, body=None, headers=(), timeout=30):
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        with self.connect(timeout) as c:
            c.send(self.head(method, path, body, headers))
            a = c.answer(method)
            check(a is not None, f"{method} {path}: closed without an answer")
            return a

    def create(self, **members):
        a = self.request("POST", "/v1/sessions", {"wait": 20, **members})
        check(a.status == 201, f"create: {a}")
        return a.json()["session_id"]

    def delete(self, session):
        a = self.request("DELETE", f"/v1/sessions/{session}")
        check(a.status == 204, f"delete: {a}")

    def run(self, session, **members):
        a = self.request("POST", f"/v1/sessions/{session}/exec", members, timeout=60)
        check(a.status == 200, f"exec: {a}")
        return a.json()

    def healthy(self):
        start = time.monotonic()
        a = self.request("GET", "/health")
        took = time.monotonic() - start
        check(a.status == 200, f"health: {a}")
        check(took < patience(1), f"health took {took:.2f} s")

    def n_ready(self):
        """Sandboxes that wait in the pool of this process."""
        health = self.request("GET", "/health").json()
        return 0 if "workers" in health else health["pool_ready"]

    def n_fds(self):
        """Descriptors that are open, without the three of each sandbox in the pool, which comes and goes on its own."""
        for _ in range(100):
            ready = self.n_ready()
            n = len(os.listdir(f"/proc/{self.pid}/fd"))
            if ready == self.n_ready():
                return n - 3 * ready
            time.sleep(0.05)
        raise Problem("the pool does not settle")

    def memory_kib(self, field="VmRSS"):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
        raise Problem("no VmRSS")

    def settled_fds(self, wanted, within=10.0):
        """Waits until no more than @wanted descriptors are open."""
        end = time.monotonic() + patience(within)
        while (n := self.n_fds()) > wanted:
            check(time.monotonic() < end, f"{n} descriptors are open, {wanted} are expected")
            time.sleep(0.05)


def is_problem(a, status=None, field=None):
    """An error has the form that the contract promises."""
    if status is not None:
        wanted = status if isinstance(status, tuple) else (status,)
        check(a.status in wanted, f"status {a.status} instead of {status}: {a}")
    check(400 <= a.status < 600, f"not an error: {a}")
    check(a.get("Content-Type") == "application/problem+json", f"type {a.get('Content-Type')}: {a}")
    check(a.get("X-Request-Id"), "no X-Request-Id")
    j = a.json()
    for name in ("type", "title", "status", "detail"):
        check(name in j, f"no \"{name}\": {a}")
    check(j["status"] == a.status, f"says {j['status']} in a {a.status}")
    check(isinstance(j["detail"], str) and j["detail"], f"no detail: {a}")
    if field is not None:
        check(j.get("field") == field, f"field {j.get('field')!r} instead of {field!r}: {a}")
    if a.status in (429, 503):
        check(a.get("Retry-After"), "no Retry-After")


CASES = []


def case(name, **needs):
    """Registers a test. @needs: pid, keys."""

    def add(function):
        CASES.append((name, function, needs))
        return function

    return add

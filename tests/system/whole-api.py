#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""whole-api.py URL [CERTIFICATE]: with the key in $KEY, if there is one, uses each part of the API once,
in one session, at a worker or at whatever passes requests on to one. Streams have to come as they are made, not when
they are over."""
import base64
import hashlib
import http.client
import io
import json
import os
import ssl
import sys
import tarfile
import time
import urllib.parse

URL = urllib.parse.urlsplit(sys.argv[1])
PATIENCE = 60
KEY = {"X-API-Key": os.environ["KEY"]} if "KEY" in os.environ else {}


def connect():
    if URL.scheme == "https":
        context = ssl.create_default_context(cafile=sys.argv[2])
        return http.client.HTTPSConnection(URL.hostname, URL.port, timeout=PATIENCE, context=context)
    return http.client.HTTPConnection(URL.hostname, URL.port, timeout=PATIENCE)


def call(method, path, body=None, headers=None, status=200):
    c = connect()
    try:
        c.request(method, path, json.dumps(body) if isinstance(body, dict) else body, {**KEY, **(headers or {})})
        r = c.getresponse()
        data = r.read()
        expect(status, r.status, f"{method} {path}: {data[:300]!r}")
        is_json = "json" in (r.headers["Content-Type"] or "")
        return r.headers, json.loads(data) if is_json and data else data
    finally:
        c.close()


def expect(wanted, got, what="value"):
    if wanted != got:
        raise AssertionError(f"{what}: expected {wanted!r}, got {got!r}")


class Events:
    """An event stream while it runs."""

    def __init__(self, method, path, body=None):
        self.connection = connect()
        self.connection.request(method, path, json.dumps(body) if body else None, {**KEY, "Accept": "text/event-stream"})
        self.answer = self.connection.getresponse()
        expect(200, self.answer.status, path)
        expect("text/event-stream", self.answer.headers["Content-Type"].split(";")[0])

    def next(self):
        name = data = None
        for line in self.answer:
            line = line.decode().rstrip("\n")
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data = json.loads(line[6:])
            elif not line and name:
                return name, data
        return None, None

    def close(self):
        self.connection.close()


class WebSocket:
    def __init__(self, path):
        self.connection = connect()
        key = base64.b64encode(os.urandom(16)).decode()
        self.connection.request("GET", path, headers={
            **KEY, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key})
        self.socket = self.connection.sock  # the answer closes the connection's, not this one
        answer = http.client.HTTPResponse(self.socket)
        self.file = answer.fp
        answer.begin()
        expect(101, answer.status, "the upgrade")
        magic = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        expect(base64.b64encode(hashlib.sha1(magic.encode()).digest()).decode(), answer.headers["Sec-WebSocket-Accept"])
        self.answer = answer

    def send(self, data, opcode=2):
        mask = os.urandom(4)
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
        self.socket.sendall(bytes([0x80 | opcode, 0x80 | len(data)]) + mask + masked)

    def receive(self):
        first, second = self.file.read(2)
        length = second & 0x7F
        if length == 126:
            length = int.from_bytes(self.file.read(2), "big")
        elif length == 127:
            length = int.from_bytes(self.file.read(8), "big")
        return first & 0x0F, self.file.read(length)


def check_commands(s):
    expect("sandboxuser\n", call("POST", s + "/exec", {"command": "whoami"})[1]["stdout"])
    expect(7, call("POST", s + "/exec", {"argv": ["sh", "-c", "cat; exit 7"], "stdin": "in"})[1]["exit_code"])
    call("POST", s + "/exec", {"comand": "x"}, status=400)


def check_events(s):
    e = Events("POST", s + "/exec", {"command": "echo one; read line <fifo; echo two $line >&2", "cwd": "/tmp"})
    expect("start", e.next()[0])
    expect(("stdout", "one\n"), (lambda n, d: (n, d["data"]))(*e.next()))
    # it is not over: what has come was not held back until the end
    call("POST", s + "/exec", {"command": "echo more >/tmp/fifo"})
    expect(("stderr", "two more\n"), (lambda n, d: (n, d["data"]))(*e.next()))
    name, end = e.next()
    expect(("exit", 0), (name, end["exit_code"]))
    e.close()


def check_background(s):
    a = call("POST", s + "/exec", {"command": "cat; sleep 1000", "background": True, "stdin": "first\n"}, status=202)[1]
    path = f"{s}/execs/{a['exec_id']}"
    deadline = time.monotonic() + PATIENCE
    while "first" not in json.dumps(call("GET", path + "/output?from=0")[1]):
        if time.monotonic() > deadline:
            raise AssertionError("no output")
        time.sleep(0.05)
    call("POST", path + "/signal", {"signal": "KILL"}, status=204)
    expect("signaled", call("GET", path + "?wait=30")[1]["reason"])
    if a["exec_id"] not in [e["exec_id"] for e in call("GET", s + "/execs")[1]["execs"]]:
        raise AssertionError("the command is not in the list")


def check_terminal(s):
    a = call("POST", s + "/exec", {"command": "stty size; read x; echo got $x", "background": True,
                                   "pty": {"rows": 30, "cols": 90}}, status=202)[1]
    w = WebSocket(f"{s}/execs/{a['exec_id']}/tty")
    seen, said = b"", False
    while True:
        opcode, data = w.receive()
        if opcode == 8:
            break
        if opcode == 2:
            seen += data
        if b"30 90" in seen and not said:
            w.send(b"word\n")
            said = True
        if opcode == 1 and "exit" in json.loads(data):
            expect(0, json.loads(data)["exit"]["exit_code"])
    if b"got word" not in seen:
        raise AssertionError(f"the terminal said {seen!r}")


def check_files(s):
    blob = os.urandom(3 << 20)
    path = s + "/files?path=deep/down/blob"
    call("PUT", path, io.BytesIO(blob), {"Content-Length": str(len(blob))}, status=201)
    expect(True, call("GET", path)[1] == blob, "the file")
    expect(blob[1000:2001], call("GET", path, headers={"Range": "bytes=1000-2000"}, status=206)[1])
    expect(len(blob), call("GET", s + "/stat?path=deep/down/blob")[1]["size"])
    call("POST", s + "/move", {"from": "deep/down/blob", "to": "deep/moved"}, status=200)
    call("POST", s + "/dir?path=made", status=201)
    names = {e["name"] for e in call("GET", s + "/dir?path=.&depth=1")[1]["entries"]}
    if not {"deep", "made"} <= names:
        raise AssertionError(f"the folder has {names}")
    call("DELETE", s + "/files?path=deep/moved", status=204)
    call("GET", s + "/files?path=deep/moved", status=404)


def check_chunked(s):
    """A body whose length nobody knows."""
    c = connect()
    c.request("PUT", s + "/files?path=chunks", iter([b"a" * 70000, b"b" * 30]), encode_chunked=True,
              headers={**KEY, "Transfer-Encoding": "chunked"})
    r = c.getresponse()
    r.read()
    expect(201, r.status)
    c.close()
    expect(70030, call("GET", s + "/stat?path=chunks")[1]["size"])


def check_archive(s):
    packed = io.BytesIO()
    deep = "deep/" + 1000 * "d/" + "file"
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in (("tree/a", b"alpha"), ("tree/b/c", b"gamma"), (deep, b"deep")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    call("PUT", s + "/archive?path=.", packed.getvalue())
    with tarfile.open(fileobj=io.BytesIO(call("GET", s + "/archive?path=tree")[1])) as tar:
        texts = {os.path.normpath(m.name): tar.extractfile(m).read() for m in tar if m.isfile()}
    expect([b"alpha", b"gamma"], sorted(texts.values()))
    expect(b"deep", call("GET", s + "/files?path=" + deep)[1])
    call("PUT", s + "/files?path=tree/a", b"omega")
    expect(b"omega", call("GET", s + "/files?path=tree/a")[1])


def check_watch(s):
    e = Events("GET", s + "/watch?path=.&recursive=1")
    expect("ready", e.next()[0])
    call("PUT", s + "/files?path=seen", b"x", status=201)
    while True:
        name, data = e.next()
        if name is None:
            raise AssertionError("the stream ended")
        if data["path"].endswith("seen"):
            break
    e.close()
    # a folder that goes is told of, and ends the stream
    for command in ("rmdir watched", "mv watched elsewhere"):
        call("POST", s + "/dir?path=watched", status=201)
        e = Events("GET", s + "/watch?path=watched")
        expect("ready", e.next()[0])
        call("POST", s + "/exec", {"command": command})
        name, data = e.next()
        expect(("deleted", "directory"), (name, data["type"]), command)
        expect((None, None), e.next(), command)


def check_contexts(s):
    c = s + "/contexts/" + call("POST", s + "/contexts", {"language": "python"}, status=201)[1]["context_id"]
    call("POST", c + "/run", {"code": "x = 41"})
    answer = json.dumps(call("POST", c + "/run", {"code": "x + 1"})[1])
    if "42" not in answer:
        raise AssertionError(f"the interpreter says {answer}")
    call("DELETE", c, status=204)


def check_session(s, name):
    expect({"a": "b"}, call("PATCH", s, {"metadata": {"a": "b"}, "timeout": "20min"})[1]["metadata"])
    found = [x["session_id"] for x in call("GET", "/v1/sessions?metadata.a=b")[1]["sessions"]]
    if name not in found:
        raise AssertionError(f"the session is not in the list {found}")
    expect("running", call("GET", s)[1]["state"])


def main():
    key = f"whole-api-{os.getpid()}-{time.time_ns()}"
    headers, session = call("POST", "/v1/sessions", {"key": key, "timeout": "10min"}, {"X-Request-Id": "whole-api"}, 201)
    name = session["session_id"]
    s = "/v1/sessions/" + name
    expect(s, headers["Location"])
    expect("whole-api", headers["X-Request-Id"])
    expect(name, call("POST", "/create_session", {"key": key})[1]["session_id"], "the session of the key")
    call("POST", s + "/exec", {"command": "mkfifo /tmp/fifo"})
    for check in (check_commands, check_events, check_background, check_terminal, check_files, check_chunked,
                  check_archive, check_watch, check_contexts):
        start = time.monotonic()
        check(s)
        print(f"{check.__name__[6:]}: {time.monotonic() - start:.2f} s", flush=True)
    check_session(s, name)
    call("DELETE", s, status=204)
    expect("deleted", call("GET", s, status=410)[1]["reason"])


main()

# SPDX-License-Identifier: LGPL-2.1-or-later
"""What lies below a session: commands, terminals, files, interpreters."""
import base64
import io
import os
import socket
import tarfile
import time

from patience import patience

from .client import case, check, is_problem
from .values import table


def refused(a, what):
    """Whatever is wrong is the client's."""
    check(400 <= a.status < 500 or a.status == 507, f"{what}: {a}")
    is_problem(a)


def background(server, session, command="sleep 60", **members):
    a = server.request("POST", f"/v1/sessions/{session}/exec", {"command": command, "background": True, **members})
    check(a.status == 202, f"in the background: {a}")
    return f"/v1/sessions/{session}/execs/{a.json()['exec_id']}"


@case("values of a command that runs")
def running_values(server):
    s = server.create()
    path = background(server, s)
    table(server, "POST", path + "/signal", {"signal": [
        (None, 400), ([], 400), ({}, 400), (True, 400), (1.5, 400), ("", 422), ("NOPE", 422), ("SIGSIGTERM", 422),
        (0, 422), (-9, 422), (65, 422), (2**31, 422), (2**63 - 1, 422)]}, {})
    refused(server.request("POST", path + "/signal", {}), "no signal")
    refused(server.request("POST", path + "/signal", b""), "no body")
    refused(server.request("POST", path + "/resize", {"rows": 5, "cols": 5}), "no terminal")
    refused(server.request("POST", path + "/stdin", b"x"), "input is closed")
    for query in ("from=-1", "from=x", "from=", "from=1.5", "from=99999999999999999999", "from=1", "from=0x1"):
        refused(server.request("GET", f"{path}/output?{query}"), query)
    for query in ("wait=x", "wait=-1", "wait=301", "wait=1e308", "wait="):
        refused(server.request("GET", f"{path}?{query}"), query)
    a = server.request("GET", path)
    check(a.status == 200 and not a.json().get("reason"), f"it runs on: {a}")
    check(server.request("POST", path + "/signal", {"signal": "KILL"}).status == 204, "KILL")
    a = server.request("GET", path + "?wait=60")
    check(a.json()["reason"] in ("signaled", "exited"), f"{a}")
    refused(server.request("POST", path + "/signal", {"signal": "TERM"}), "it has ended")
    pty = background(server, s, "cat", pty={"rows": 10, "cols": 10})
    for size in ({}, {"rows": 5}, {"rows": 0, "cols": 5}, {"rows": 5, "cols": 1001}, {"rows": "5", "cols": 5},
                 {"rows": 5, "cols": 5, "x": 1}, [], 5):
        refused(server.request("POST", pty + "/resize", size), f"{size}")
    for members in ({"background": "yes"}, {"background": None}, {"stdin_open": 1}, {"pty": True}, {"pty": {}},
                    {"pty": {"rows": -1, "cols": 5}}, {"pty": {"rows": 2**40, "cols": 5}}):
        refused(server.request("POST", f"/v1/sessions/{s}/exec", {"command": "true", **members}), f"{members}")
    server.delete(s)


@case("ids of commands and interpreters that are none")
def sub_ids(server):
    s = server.create()
    for name in ("x", "..", "%2e%2e", "A" * 3000, "%27", "%ff", "%20", "*", "00000000-0000-0000-0000-000000000000"):
        for method, rest, body in (("GET", "", None), ("GET", "/output", None), ("POST", "/signal", {"signal": 9}),
                                   ("POST", "/stdin", b"x"), ("POST", "/resize", {"rows": 1, "cols": 1}),
                                   ("GET", "/tty", None)):
            refused(server.request(method, f"/v1/sessions/{s}/execs/{name}{rest}", body), f"{name}{rest}")
        for method, rest, body in (("GET", "", None), ("DELETE", "", None), ("POST", "/run", {"code": "1"}),
                                   ("POST", "/interrupt", None), ("POST", "/restart", None)):
            refused(server.request(method, f"/v1/sessions/{s}/contexts/{name}{rest}", body), f"{name}{rest}")
    server.delete(s)


@case("commands of another session")
def others_commands(server):
    a, b = server.create(), server.create()
    path = background(server, a).replace(a, b)
    is_problem(server.request("GET", path), 404)
    is_problem(server.request("POST", path + "/signal", {"signal": 9}), 404)
    server.delete(a)
    server.delete(b)


@case("as many commands as there may be", pid=True)
def many_commands(server):
    s = server.create()
    before = server.n_fds()
    statuses = []
    for _ in range(80):
        statuses.append(server.request("POST", f"/v1/sessions/{s}/exec",
                                       {"command": "sleep 60", "background": True}).status)
    check(set(statuses) <= {202, 429} and 429 in statuses, f"{set(statuses)}")
    check(server.request("GET", "/health").status == 200, "health")
    server.delete(s)
    server.settled_fds(before + 5)


@case("followers that leave", pid=True)
def followers(server):
    s = server.create()
    before = server.n_fds()
    head = ["Accept: text/event-stream"]
    for how in ("close", "half"):
        connections = [server.connect() for _ in range(10)]
        for c in connections:
            c.send(server.head("POST", f"/v1/sessions/{s}/exec", b'{"command":"yes | head -c 100000000; sleep 987"}', head))
            check(c.until(b"event: start") is not None, "no start")
        for c in connections:
            if how == "half":
                c.sock.shutdown(socket.SHUT_WR)
            else:
                c.sock.close()
        server.healthy()
        end = time.monotonic() + patience(15)
        while "sleep\0987" in server.run(s, command="cat /proc/[0-9]*/cmdline")["stdout"]:
            check(time.monotonic() < end, f"{how}: a command runs on")
            time.sleep(0.1)
        for c in connections:
            c.sock.close()
    server.settled_fds(before + 5 + 3 * 32)  # what the last commands printed is kept
    server.delete(s)
    server.settled_fds(before + 5)


def upgrade(server, path, *headers):
    c = server.connect()
    c.send(server.head("GET", path, None, headers))
    return c, c.answer()


GOOD = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: " + base64.b64encode(b"0123456789abcdef").decode()]


@case("terminals that are asked for wrongly")
def tty_heads(server):
    s = server.create()
    path = background(server, s, "cat", pty={"rows": 10, "cols": 10}) + "/tty"
    for i in range(len(GOOD)):
        c, a = upgrade(server, path, *GOOD[:i], *GOOD[i + 1:])
        check(a is not None and 400 <= a.status < 500, f"without {GOOD[i]}: {a}")
        c.sock.close()
    for wrong in ("Sec-WebSocket-Version: 12", "Sec-WebSocket-Key: x", "Sec-WebSocket-Key: " + "A" * 2000,
                  "Upgrade: h2c", "Connection: close"):
        name = wrong.split(":")[0]
        c, a = upgrade(server, path, *[h for h in GOOD if not h.startswith(name)], wrong)
        check(a is None or 400 <= a.status < 500, f"{wrong}: {a}")
        c.sock.close()
    server.delete(s)


@case("frames that are none", pid=True)
def frames(server):
    s = server.create()
    path = background(server, s, "cat", pty={"rows": 10, "cols": 10}) + "/tty"
    before = server.n_fds()
    mask = b"\0\0\0\0"
    for name, data in {
        "unmasked": b"\x82\x01x",
        "reserved bits": b"\xf2\x81" + mask + b"x",
        "unknown opcode": b"\x83\x81" + mask + b"x",
        "unknown control opcode": b"\x8b\x80" + mask,
        "2^63 bytes": b"\x82\xff" + b"\x80" + b"\0" * 7 + mask,
        "2^62 bytes": b"\x82\xff" + b"\x40" + b"\0" * 7 + mask + b"x" * 100,
        "length not shortest": b"\x82\xfe\x00\x01" + mask + b"x",
        "long control": b"\x89\xfe\x00\x80" + mask + b"x" * 128,
        "control in pieces": b"\x09\x81" + mask + b"x",
        "continuation of nothing": b"\x80\x81" + mask + b"x",
        "new message within one": b"\x02\x81" + mask + b"x" + b"\x82\x81" + mask + b"y",
        "text that is not UTF-8": b"\x81\x82" + mask + b"\xff\xff",
        "text that is not JSON": b"\x81\x83" + mask + b"abc",
        "text of another kind": b"\x81\x87" + mask + b'{"a":1}',
        "a size that is none": b"\x81\x90" + mask + b'{"resize":[0,-1]',
        "close with one byte": b"\x88\x81" + mask + b"x",
        "close with a wrong code": b"\x88\x82" + mask + b"\x00\x05",
        "half a frame": b"\x82\x85" + mask + b"x",
        "many pings": (b"\x89\x80" + mask) * 5000,
        "random bytes": bytes((i * 167 + 13) % 256 for i in range(4096)),
    }.items():
        c, a = upgrade(server, path, *GOOD)
        check(a is not None and a.status == 101, f"{name}: no terminal: {a}")
        c.send(data)
        c.sock.settimeout(0.3)
        try:
            while c.more():
                pass
        except (socket.timeout, OSError):
            pass  # closed or still open: both may be
        c.sock.close()
        server.healthy()
    server.settled_fds(before + 5)
    check(server.run(s, command="echo x")["stdout"] == "x\n", "the session is gone")
    server.delete(s)


@case("paths of files")
def file_paths(server):
    s = server.create()
    files = f"/v1/sessions/{s}"
    server.run(s, command="mkdir d; mkfifo fifo; ln -s loop loop; ln -s /etc/shadow link; echo x >f; chmod 0 f; touch g")
    for method, what, body in (("GET", "files", None), ("PUT", "files", b"x"), ("DELETE", "files", None),
                               ("GET", "stat", None), ("GET", "dir", None), ("POST", "dir", None),
                               ("GET", "archive", None), ("PUT", "archive", b"x"), ("GET", "watch", None)):
        for query in ("", "?path=", "?path=relative%00x", "?path=/" + "a" * 5000, "?path=/a%00b", "?nonsense=1",
                      "?path=/tmp&path=/etc&nonsense=1"):
            a = server.request(method, f"{files}/{what}{query}", body, timeout=patience(6))
            check(a.status < 500, f"{method} {what}{query}: {a}")
            if query in ("", "?path=", "?path=/a%00b", "?path=/" + "a" * 5000):
                refused(a, f"{method} {what}{query}")
    home = "/home/sandboxuser"
    for path in ("/nonexistent", f"{home}/d", f"{home}/fifo", f"{home}/loop", f"{home}/link", f"{home}/f", "/proc/1/mem",
                 "/dev/tty", "/root/x", f"{home}/g/x", "/proc/self/fd/999"):
        refused(server.request("GET", f"{files}/files?path={path}", timeout=patience(6)), f"GET {path}")
    for path in ("/", "/etc/passwd", "/nonexistent", "/proc/1/environ", "/proc/sys/kernel/core_pattern", "/dev/null",
                 f"{home}/d", "/usr/bin/x", f"{home}/g/x"):
        a = server.request("PUT", f"{files}/files?path={path}", b"x", timeout=patience(6))
        check(400 <= a.status < 500 or a.status == 507 or (path.startswith(home) and a.status < 300), f"PUT {path}: {a}")
    for path in ("/", "/etc", "/proc", home, "/nonexistent"):
        a = server.request("DELETE", f"{files}/files?path={path}", timeout=patience(6))
        check(400 <= a.status < 500, f"DELETE {path}: {a}")
    for value in ("bytes=-", "bytes=5-1", "bytes=99999999999999999999-", "bytes=a-b", "lines=1-2", "bytes=0-0,2-3", "bytes"):
        a = server.request("GET", f"{files}/files?path={home}/g", headers=[f"Range: {value}"])
        check(a.status in (200, 206, 400, 416), f"Range: {value}: {a}")
    for query in ("depth=-1", "depth=x", "depth=99999999999999999999"):
        refused(server.request("GET", f"{files}/dir?path={home}&{query}"), query)
    for body in (b"", {}, {"from": "/tmp/a"}, {"from": 5, "to": "/tmp/b"}, {"from": "/tmp/a", "to": None}, [],
                 {"from": "/tmp/a", "to": "/tmp/b", "x": 1}, {"from": "/nonexistent", "to": "/tmp/b"},
                 {"from": "/etc/passwd", "to": "/tmp/b"}, {"from": f"{home}/g", "to": "/etc/g"}):
        refused(server.request("POST", f"{files}/move", body), f"move {body}")
    check(server.run(s, command="echo x")["stdout"] == "x\n", "the session is gone")
    server.delete(s)


@case("a full disk")
def full_disk(server):
    s = server.create(disk_limit="2m")
    a = server.request("PUT", f"/v1/sessions/{s}/files?path=/home/sandboxuser/big", b"x" * (8 << 20))
    is_problem(a, 507)
    a = server.run(s, command="ls -a; df . | tail -1")
    check("big" not in a["stdout"].split(), f"half a file is left: {a}")
    server.delete(s)


def tar_of(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = target or ""
            info.mode = 0o6777
            data = b"evil" if kind == tarfile.REGTYPE else b""
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


@case("archives that are none, or lead elsewhere")
def archives(server):
    s = server.create()
    home = "/home/sandboxuser"
    for name, data in {
        "garbage": os.urandom(5000),
        "half a head": tar_of(("a", tarfile.REGTYPE, None))[:300],
        "half a file": tar_of(("a", tarfile.REGTYPE, None))[:600],
        "absolute": tar_of(("/tmp/absolute", tarfile.REGTYPE, None)),
        "dots": tar_of(("../../tmp/dots", tarfile.REGTYPE, None)),
        "through a link": tar_of(("l", tarfile.SYMTYPE, "/tmp"), ("l/through", tarfile.REGTYPE, None)),
        "hard link": tar_of(("h", tarfile.LNKTYPE, "/etc/passwd")),
        "device": tar_of(("dev", tarfile.CHRTYPE, None)),
        "long name": tar_of(("n" * 5000, tarfile.REGTYPE, None)),
    }.items():
        server.run(s, command="rm -rf in /tmp/* && mkdir in")
        a = server.request("PUT", f"/v1/sessions/{s}/archive?path={home}/in", data, timeout=patience(10))
        check(a.status < 500, f"{name}: {a}")
        a = server.run(s, command="find /tmp -name 'absolute' -o -name dots -o -name through; "
                       "find in -type c; find in -perm -4000")
        check(a["stdout"] == "", f"{name}: {a['stdout']!r}")
    server.delete(s)


@case("values of interpreters")
def contexts(server):
    s = server.create()
    path = f"/v1/sessions/{s}/contexts"
    for body in ({"language": 5}, {"language": None}, {"language": ""}, {"language": "cobol"},
                 {"language": "../python"}, {"language": "python", "x": 1}, [], 5):
        refused(server.request("POST", path, body), f"{body}")
    a = server.request("POST", path, {"language": "python"}, timeout=30)
    check(a.status in (200, 201), f"python: {a}")
    one = f"{path}/{a.json().get('context_id') or a.json().get('id')}"
    for body in ({}, b"", {"code": 5}, {"code": None}, {"code": "1", "timeout": 0}, {"code": "1", "timeout": "x"},
                 {"code": "1", "x": 1}, [], {"code": "x" * (9 << 20)}):
        refused(server.request("POST", one + "/run", body), f"run {str(body)[:60]}")
    a = server.request("POST", one + "/run", {"code": "print('\\0\\ud800', end='')"}, timeout=30)
    check(a.status < 500, f"a lone surrogate: {a}")
    server.delete(s)


@case("a session that is paused")
def paused(server):
    s = server.create()
    a = server.request("POST", f"/v1/sessions/{s}/pause", b"")
    if a.status == 409 or a.status == 501:  # without cgroups it cannot be
        is_problem(a)
        server.delete(s)
        return
    check(a.status in (200, 204), f"{a}")
    a = server.request("POST", f"/v1/sessions/{s}/exec", {"command": "true", "timeout": 2}, timeout=patience(10))
    check(a.status in (200, 409), f"a command: {a}")
    a = server.request("GET", f"/v1/sessions/{s}/files?path=/etc/passwd", timeout=40)
    check(a.status in (200, 409, 504), f"a file: {a}")
    server.delete(s)
    server.healthy()

# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that are slow, many, or gone."""
import socket
import struct
import threading
import time

from patience import patience

from .client import Problem, case, check

HEAD_PATIENCE = 10  # seconds, and the same for what a server needs to notice
BODY_PATIENCE = 30
SLACK = 8  # of a machine at rest


def closed_by(connections, deadline, step=0.7, drip=None):
    """Waits until the server has closed all, feeding each a byte a @step. Returns what they got."""
    answers = {c: b"" for c in connections}
    waiting = set(connections)
    while waiting:
        check(time.monotonic() < deadline, f"{len(waiting)} of {len(connections)} connections are still open")
        for c in list(waiting):
            try:
                if drip:
                    try:
                        c.sock.send(drip)
                    except OSError:  # closed: what was said before that is read below
                        pass
                c.sock.setblocking(False)
                try:
                    while (data := c.sock.recv(4096)):
                        answers[c] += data
                    waiting.discard(c)
                except BlockingIOError:
                    pass
                finally:
                    c.sock.setblocking(True)
            except OSError:
                waiting.discard(c)
        time.sleep(step)
    return list(answers.values())


@case("slow heads")
def slow_heads(server):
    connections = [server.connect() for _ in range(100)]
    start = time.monotonic()
    for c in connections:
        c.send(b"GET /health HTTP/1.1\r\nHost: worker\r\nX-Slow: ")
    server.healthy()
    closed_by(connections, start + HEAD_PATIENCE + patience(SLACK), drip=b"a")
    server.healthy()


@case("slow bodies")
def slow_bodies(server):
    connections = [server.connect() for _ in range(50)]
    start = time.monotonic()
    for i, c in enumerate(connections):
        c.send(server.head("POST", "/v1/sessions", None, [f"Content-Length: {100 + i}"]) + b'{"key":"')
    server.healthy()
    for text in closed_by(connections, start + BODY_PATIENCE + patience(SLACK), step=1.5, drip=b"a"):
        check(text.startswith(b"HTTP/1.1 408 "), f"no 408: {text[:80]!r}")
    server.healthy()


@case("connections that end early", pid=True)
def half_sent(server):
    before = server.n_fds()
    whole = server.head("POST", "/v1/sessions", b'{"timeout":60}')
    for end in range(0, len(whole), 7):
        for how in ("close", "half", "reset"):
            with server.connect() as c:
                c.send(whole[:end])
                if how == "half":
                    c.sock.shutdown(socket.SHUT_WR)
                elif how == "reset" and c.sock.family != socket.AF_UNIX:
                    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.healthy()
    server.settled_fds(before + 5, within=HEAD_PATIENCE + SLACK)


@case("1,000 idle connections", pid=True)
def idle_connections(server):
    before = server.n_fds()
    connections = [server.connect() for _ in range(1000)]
    for c in connections[::2]:  # half of them have been used
        c.send(server.head("GET", "/health"))
    for c in connections[::2]:
        check(c.answer().status == 200, "a client among many")
    for _ in range(100):  # more come than may stay: those that have been idle for longest go
        server.healthy()
    session = server.create()
    check(server.run(session, command="echo x")["stdout"] == "x\n", "exec")
    server.delete(session)
    for c in connections:
        c.sock.close()
    server.healthy()
    server.settled_fds(before + 5)


@case("more connections than there may be", pid=True)
def too_many_connections(server):
    before = server.n_fds()
    connections = []
    for _ in range(3000):
        try:
            connections.append(server.connect())
        except OSError:
            break
    server.healthy()
    for c in connections:
        c.sock.close()
    server.settled_fds(before + 5)
    server.healthy()


@case("clients that leave while their command runs", pid=True)
def disconnect(server):
    session = server.create()
    server.run(session, command="true")
    before, threads = server.n_fds(), len(__import__("os").listdir(f"/proc/{server.pid}/task"))
    body = b'{"command":"sleep 987 & sleep 987","timeout":900}'
    for how in ("reset", "half-close", "close"):
        connections = [server.connect() for _ in range(20)]
        for c in connections:
            c.send(server.head("POST", f"/v1/sessions/{session}/exec", body))
        end = time.monotonic() + patience(10)
        while server.run(session, command="cat /proc/[0-9]*/cmdline")["stdout"].count("sleep\0987") < 20:
            check(time.monotonic() < end, "the commands do not start")
        for c in connections:
            if how == "half-close":
                c.sock.shutdown(socket.SHUT_WR)
                continue
            if how == "reset" and c.sock.family != socket.AF_UNIX:
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.sock.close()
        server.healthy()
        end = time.monotonic() + patience(10)
        while "sleep\0987" in server.run(session, command="cat /proc/[0-9]*/cmdline")["stdout"]:
            check(time.monotonic() < end, f"{how}: commands run on")
            time.sleep(0.1)
        for c in connections:
            c.sock.close()
        server.settled_fds(before + 5)
    check(len(__import__("os").listdir(f"/proc/{server.pid}/task")) <= threads + 2, "threads are left")
    server.delete(session)
    server.healthy()


@case("clients that leave while they wait for a session")
def leave_create(server):
    connections = [server.connect() for _ in range(40)]
    for c in connections:
        c.send(server.head("POST", "/v1/sessions", b'{"key":"leaver","timeout":5,"memory_limit":"65m"}'))
    for c in connections:
        c.sock.close()
    server.healthy()


@case("clients that do not read", pid=True)
def slow_readers(server):
    sessions = [server.create() for _ in range(8)]
    before = server.memory_kib()
    connections = []
    for s in sessions:
        c = server.connect(30)
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.send(server.head("POST", f"/v1/sessions/{s}/exec",
                           b'{"command":"head -c 33554432 /dev/zero | tr \'\\\\0\' x","max_output":16777216}'))
        connections.append(c)
    highest, end = 0, time.monotonic() + 6
    while time.monotonic() < end:
        highest = max(highest, server.memory_kib() - before)
        server.healthy()
        time.sleep(0.2)
    check(highest < 96 * 1024, f"{highest // 1024} MiB more memory")
    for c in connections:
        c.sock.close()
    for s in sessions:
        server.delete(s)
    server.healthy()


@case("a storm of creations")
def create_storm(server):
    ids, wrong, lock = [], [], threading.Lock()

    def work():
        for _ in range(5):
            try:
                a = server.request("POST", "/v1/sessions", {"timeout": 120})
                with lock:
                    if a.status == 201:
                        ids.append(a.json()["session_id"])
                    elif a.status not in (429, 503):
                        wrong.append(repr(a))
            except (OSError, Problem) as e:
                with lock:
                    wrong.append(repr(e))

    threads = [threading.Thread(target=work) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check(not wrong, f"{wrong[:3]}")
    check(ids and len(set(ids)) == len(ids), f"{len(ids)} sessions, {len(set(ids))} ids")
    users = set()
    for i in ids[:10]:
        a = server.run(i, command="cat mark 2>/dev/null; echo x >mark; id -un")
        users.add(a["stdout"])
    check(users == {"sandboxuser\n"}, f"two sessions share a sandbox: {users}")
    for i in ids:
        server.delete(i)


@case("one key, many creations at once")
def key_race(server):
    answers, lock = [], threading.Lock()
    # limits of their own: none comes from the pool
    body = {"key": "race", "timeout": 60, "memory_limit": "66m", "wait": 20}

    def work():
        a = server.request("POST", "/v1/sessions", body)
        with lock:
            answers.append(a)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check(all(a.status in (200, 201) for a in answers), f"{answers}")
    found = {a.json()["session_id"] for a in answers}
    check(len(found) == 1, f"{len(found)} sessions with one key")
    check(sum(a.status == 201 for a in answers) == 1, "not exactly one is new")
    check(all(a.json()["attached"] == (a.status == 200) for a in answers), "attached is wrong")
    server.delete(found.pop())

# SPDX-License-Identifier: LGPL-2.1-or-later
"""What clients do wrong, and what they may expect."""
import asyncio
import concurrent.futures
import hashlib
import json
import resource
import socket
import time

from patience import patience

from . import fake
from .driver import Problem, case, check, read_all, until


@case("a request reaches the worker as it was")
def as_it_was(lab):
    a = lab.worker("a")
    c = lab.coordinator([a])
    session = c.create()
    target = f"/v1/sessions/{session}/files?path=%2Fa%20b%2f..%2Fc&x=%7e&y=a+b"
    seen = c.request("PUT", target, b"hello", {"X-Custom": "yes", "Authorization": "Bearer abc",
                                               "X-Sandboxd-Owner": "root", "X-Sandboxd-Token": "x",
                                               "X-Request-Id": "my-id"}).json()
    headers = {n.lower(): v for n, v in seen["headers"]}
    check((seen["path"], seen["method"], seen["length"]) == (target, "PUT", 5), f"{seen}")
    check(headers["x-custom"] == "yes" and headers["authorization"] == "Bearer abc", f"{headers}")
    check(headers["x-request-id"] == "my-id" and headers["x-forwarded-for"] == "127.0.0.1", f"{headers}")
    check("x-sandboxd-owner" not in headers and headers["x-sandboxd-token"] == a.token, f"a client's word: {headers}")
    check("expect" not in headers and "user-agent" not in headers, f"made up: {headers}")
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        seen = c.request(method, f"/v1/sessions/{session}/x").json()
        check(seen["method"] == method, f"{method}: {seen}")


@case("addresses of clients: proxies are believed only when they are trusted")
def forwarded(lab):
    a = lab.worker("a")
    for settings, wanted in (("", "127.0.0.1"),
                             ("[Http]\nTrustedProxies=127.0.0.0/8", "10.1.2.3, 127.0.0.1")):
        c = lab.coordinator([a], settings)
        session = c.create()
        seen = c.request("GET", f"/v1/sessions/{session}/x", None, {"X-Forwarded-For": "10.1.2.3"}).json()
        check(dict(seen["headers"]).get("X-Forwarded-For") == wanted, f"{seen['headers']}")


@case("heads with two meanings go nowhere")
def smuggling(lab):
    a = lab.worker("a")
    c = lab.coordinator([a])
    session = c.create()
    a.requests.clear()
    path = f"/v1/sessions/{session}/exec".encode()
    inner = b"DELETE /v1/sessions/" + session.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    for name, head in {
        "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n",
        "a list of lengths": b"Content-Length: 5, 6\r\n",
        "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "two codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "an odd coding": b"Transfer-Encoding: xchunked\r\n",
        "a coding with a tab": b"Transfer-Encoding:\tchunked, identity\r\n",
        "a plus": b"Content-Length: +5\r\n",
        "hex": b"Content-Length: 0x5\r\n",
        "negative": b"Content-Length: -1\r\n",
        "huge": b"Content-Length: 99999999999999999999999\r\n",
        "a blank before the colon": b"Content-Length : 5\r\n",
    }.items():
        s = c.raw(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n" + b"0\r\n\r\n" + inner)
        s.settimeout(5)
        try:
            answer = read_all(s)
        except socket.timeout:
            raise Problem(f"{name}: no answer") from None
        check(answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413")) or answer == b"", f"{name}: {answer[:200]}")
        check(not a.requests, f"{name}: the worker saw {[(r.method, r.target) for r in a.requests]}")
    # folded lines are one header or none, never two
    s = c.raw(b"GET /v1/sessions/" + session.encode() + b" HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n X-Evil: 2\r\n"
              b"Connection: close\r\n\r\n")
    read_all(s)
    for r in a.requests:
        check(r.get("X-Evil") is None, "a folded line became a header")
    a.requests.clear()
    # the whole of a URL as target
    for target in (b"http://evil/v1/sessions/" + session.encode(), b"//evil/" + path, b"*", b"evil:80"):
        s = c.raw(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = read_all(s)
        check(answer.startswith((b"HTTP/1.1 4",)) or answer == b"", f"{target}: {answer[:100]}")
    check(not a.requests, "the worker saw one of them")
    check(session in a.sessions, "the session is gone")


@case("a client that goes away ends its request at the worker")
def goes_away(lab):
    a = lab.worker("a")
    c = lab.coordinator([a])
    session = c.create()
    state = {}

    async def wait(worker, request, reader, writer):
        state["begun"] = True
        state["rest"] = await reader.read()
        state["ended"] = True
        return True

    async def stream(worker, request, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        return await wait(worker, request, reader, writer)

    for fault in (wait, stream):
        state.clear()
        a.faults["POST", "/v1/sessions/"] = fault
        s = c.raw(f"POST /v1/sessions/{session}/exec HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        until(5, lambda: state.get("begun"), "it begins")
        if fault is stream:
            check(b"hello" in s.recv(1000), "nothing comes")
        s.close()
        until(5, lambda: state.get("ended"), "the worker notices")
        check(state["rest"] == b"", f"it got {state['rest']}")


@case("who reads slowly holds up who writes")
def slow_reader(lab):
    a = lab.worker("a")
    c = lab.coordinator([a])
    session = c.create()
    sent = {"bytes": 0}

    async def flood(worker, request, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            for _ in range(1000):
                writer.write(b"x" * 1000000)
                await writer.drain()
                sent["bytes"] += 1000000
        except ConnectionError:
            pass
        return True

    a.faults["GET", "/v1/sessions/"] = flood
    before = c.memory_kib()
    streams = [c.raw(f"GET /v1/sessions/{session}/files HTTP/1.1\r\nHost: x\r\n\r\n".encode()) for _ in range(4)]
    for s in streams:
        s.recv(100)
    first = -1
    for _ in range(20):  # until all that is between them is full
        if sent["bytes"] == first:
            break
        first = sent["bytes"]
        time.sleep(1)
    check(sent["bytes"] == first, "the worker still writes")
    grown = c.memory_kib() - before
    check(grown < 4096, f"{grown} KiB more memory for 4 streams")
    # and goes on when it is read
    got = 0
    while got < 50000000:
        piece = len(streams[0].recv(1 << 20))
        check(piece, f"it ends after {got}")
        got += piece
    check(c.memory_kib() - before < 4096, "memory grows while it is read")
    for s in streams:
        s.close()


@case("who is not read cannot send more than a little")
def slow_worker(lab):
    a = lab.worker("a")
    c = lab.coordinator([a])
    session = c.create()

    async def ignore(worker, request, reader, writer):
        await asyncio.sleep(3)
        await worker.send(writer, 200, {})
        return True

    ignore.reads_body = True
    a.faults["PUT", "/v1/sessions/"] = ignore
    before = c.memory_kib()
    s = c.raw(f"PUT /v1/sessions/{session}/files HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\n".encode())
    s.setblocking(False)
    sent, end = 0, time.monotonic() + 1.5
    while time.monotonic() < end:
        try:
            sent += s.send(b"x" * 100000)
        except BlockingIOError:
            time.sleep(0.01)
    check(sent < 40000000, f"{sent} bytes went somewhere")
    grown = c.memory_kib() - before
    check(grown < 2048, f"{grown} KiB more memory")
    s.close()


@case("large bodies both ways are what they were")
def large(lab):
    a = lab.worker("a")
    c = lab.coordinator([a])
    session = c.create()
    data = hashlib.sha256(b"seed").digest() * 100000  # 3.2 MB

    async def echo(worker, request, reader, writer):
        body = await reader.readexactly(int(request.get("Content-Length"))) if request.get("Content-Length") else b""
        if not body:
            while True:
                size = int(await reader.readline(), 16)
                body += await reader.readexactly(size)
                await reader.readline()
                if size == 0:
                    break
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\nX-Digest: %s\r\n\r\n"
                     % (len(body), hashlib.sha256(body).hexdigest().encode()) + body)
        await writer.drain()
        return True

    echo.reads_body = True
    a.faults["POST", "/v1/sessions/"] = echo
    for size in (1, 1000, 65536, 65537, 1000000, len(data)):
        answer = c.request("POST", f"/v1/sessions/{session}/echo", data[:size])
        check(answer.body == data[:size], f"{size} bytes: {len(answer.body)} came back: {answer}")
        answer = c.request("POST", f"/v1/sessions/{session}/echo", iter([d for d in (data[:size // 2], data[size // 2:size]) if d]),
                           {"Transfer-Encoding": "chunked"})
        check(answer.status == 200, f"{size} bytes in chunks: {answer}")


@case("events come as they are")
def events(lab):
    a = lab.worker("a")
    c = lab.coordinator([a])
    session = c.create()

    async def tell(worker, request, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(5):
            event = f"id: {i}\ndata: {i}\n\n".encode()
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(0.2)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    a.faults["GET", "/v1/sessions/"] = tell
    s = c.raw(f"GET /v1/sessions/{session}/watch HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    times, data = [], b""
    while True:
        piece = s.recv(65536)
        if not piece:
            break
        data += piece
        times.append(time.monotonic())
    check(b"text/event-stream" in data and data.count(b"data: ") == 5, f"{data}")
    check(len(times) >= 5 and times[-1] - times[0] > 0.5, "they come all at once")


@case("a WebSocket goes through")
def websocket(lab):
    a = lab.worker("a")
    c = lab.coordinator([a])
    session = c.create()
    state = {}

    async def upgrade(worker, request, reader, writer):
        state["headers"] = {n.lower(): v for n, v in request.headers}
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Accept: abc\r\n\r\nfirst")
        await writer.drain()
        while True:
            data = await reader.read(65536)
            if not data:
                state["ended"] = True
                return True
            writer.write(data.upper())
            await writer.drain()

    a.faults["GET", f"/v1/sessions/{session}/execs"] = upgrade
    s = c.raw(f"GET /v1/sessions/{session}/execs/x/tty HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
              "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\nearly".encode())
    data = b""
    while b"EARLY" not in data:
        piece = s.recv(1000)
        check(piece, f"it ends: {data}")
        data += piece
    check(data.startswith(b"HTTP/1.1 101") and b"firstEARLY" in data and b"Sec-WebSocket-Accept: abc" in data, f"{data}")
    check(state["headers"]["upgrade"] == "websocket" and state["headers"]["sec-websocket-key"] == "k", f"{state}")
    big = b"x" * 3000000
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        sending = pool.submit(s.sendall, big)
        got = 0
        while got < len(big):
            piece = len(s.recv(1 << 20))
            check(piece, f"it ends after {got}")
            got += piece
        sending.result()
    s.close()
    until(5, lambda: state.get("ended"), "the worker notices the end")
    # one that is refused
    a.faults["GET", f"/v1/sessions/{session}/execs"] = fake.full
    s = c.raw(f"GET /v1/sessions/{session}/execs/x/tty HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
              "Connection: Upgrade\r\n\r\n".encode())
    check(s.recv(1000).startswith(b"HTTP/1.1 503"), "a refusal")


@case("many open streams cost little")
def many_streams(lab):
    a = lab.worker("a")
    c = lab.coordinator([a])
    session = c.create()
    for _ in range(20):
        c.create()
    before = c.memory_kib()

    async def silent(worker, request, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        await reader.read()
        return True

    a.faults["GET", "/v1/sessions/"] = silent
    n = min(1000, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200) // 3)
    streams = []
    for _ in range(n):
        s = c.raw(f"GET /v1/sessions/{session}/watch HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        streams.append(s)
    for s in streams:
        data = s.recv(1000)
        while b"hello" not in data:
            piece = s.recv(1000)
            check(piece, "nothing comes")
            data += piece
    grown = c.memory_kib() - before
    check(grown < 50 * n, f"{grown} KiB more memory for {n} streams")
    for s in streams:
        s.close()
    until(10, lambda: c.descriptors() < 60, "descriptors are given back")


@case("10,000 idle connections")
def idle(lab):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n = min(10000, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, n + 500), hard))
    a = lab.worker("a")
    c = lab.coordinator([a])
    connections = []
    for i in range(n):
        connections.append(c.raw())
        if i % 50 == 0:
            time.sleep(0.001)
    start = time.monotonic()
    session = c.create()
    check(c.request("GET", f"/v1/sessions/{session}").status == 200, "a request")
    check(time.monotonic() - start < patience(2), f"slow: {time.monotonic() - start:.2f} s")
    for s in connections:
        s.close()
    until(10, lambda: c.descriptors() < 100, "descriptors are given back")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@case("more connections than allowed: the idle make room")
def too_many(lab):
    a = lab.worker("a")
    c = lab.coordinator([a], "[Http]\nMaxConnections=20")
    connections = [c.raw() for _ in range(60)]
    check(c.request("GET", "/health").status == 200, "a new client")
    for s in connections:
        s.close()


@case("sessions belong to the key that made them")
def owners(lab):
    a, b = lab.worker("a"), lab.worker("b")
    digests = {n: hashlib.sha256(n.encode()).hexdigest() for n in ("alice-key", "bob-key")}
    c = lab.coordinator([a, b], "[Auth]\nKeys=alice:%s\n  bob:%s" % (digests["alice-key"], digests["bob-key"]))
    alice, bob = {"Authorization": "Bearer alice-key"}, {"X-API-Key": "bob-key"}
    check(c.request("POST", "/v1/sessions").status == 401, "without a key")
    check(c.request("POST", "/v1/sessions", None, {"Authorization": "Bearer x"}).status == 401, "with a wrong one")
    check(c.request("GET", "/health").status == 200, "health needs none")
    mine = c.create({"key": "k"}, alice)
    owner = {**a.sessions, **b.sessions}[mine]["owner"]
    check(owner == "alice", f"its owner is {owner}")
    check(c.request("GET", f"/v1/sessions/{mine}", None, alice).status == 200, "its maker")
    check(c.request("GET", f"/v1/sessions/{mine}", None, bob).status == 404, "somebody else")
    check(c.request("DELETE", f"/v1/sessions/{mine}", None, bob).status == 404, "somebody else deletes")
    check(c.create({"key": "k"}, bob) != mine, "a key is shared")
    c.kill()
    c.start()
    check(c.request("GET", f"/v1/sessions/{mine}", None, bob).status == 404, "somebody else, after a restart")
    check(c.request("GET", f"/v1/sessions/{mine}", None, alice).status == 200, "its maker, after a restart")


@case("one key, many at once: one session")
def one_key(lab):
    workers = [lab.worker(f"w{i}") for i in range(3)]
    c = lab.coordinator(workers)

    async def slow(worker, request, reader, writer):
        await asyncio.sleep(0.05)
        return False

    for w in workers:
        w.faults["POST", "/v1/sessions"] = slow
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        for key in ("a", "b", "c"):
            answers = list(pool.map(lambda _, k=key: c.request("POST", "/v1/sessions", {"key": k}), range(20)))
            check(all(x.status in (200, 201) for x in answers), f"{answers}")
            ids = {x.json()["session_id"] for x in answers}
            check(len(ids) == 1, f"{len(ids)} sessions of one key")
            check(sum(x.status == 201 for x in answers) == 1, "more than one 201")
    check(sum(len(w.sessions) for w in workers) == 3, "there are more sessions")
    # when the session ends, the key is free
    session = answers[0].json()["session_id"]
    check(c.request("DELETE", f"/v1/sessions/{session}").status == 204, "delete")
    check(c.create({"key": "c"}) != session, "an ended session")


@case("a creation whose client goes away leaves nothing")
def gone_in_create(lab):
    a = lab.worker("a")
    c = lab.coordinator([a])

    async def slow(worker, request, reader, writer):
        await asyncio.sleep(0.3)
        return False

    a.faults["POST", "/v1/sessions"] = slow
    for _ in range(5):
        s = c.raw(b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        time.sleep(0.1)
        s.close()
    time.sleep(0.6)
    until(5, lambda: not a.sessions, "they are taken back")


@case("clients may wait for capacity")
def waiting(lab):
    a = lab.worker("a", most=1)
    c = lab.coordinator([a])
    first = c.create()

    async def patient(worker, request, reader, writer):
        for _ in range(100):
            if json.loads(request.body or b"{}").get("wait") and len(worker.sessions) >= worker.most:
                await asyncio.sleep(0.05)
        return False

    a.faults["POST", "/v1/sessions"] = patient
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waits = pool.submit(c.request, "POST", "/v1/sessions", {"wait": 5})
        time.sleep(0.5)
        check(not waits.done(), "it does not wait")
        c.request("DELETE", f"/v1/sessions/{first}")
        check(waits.result().status == 201, f"{waits.result()}")


@case("without workers: 503, and soon after the first one 201")
def none_yet(lab):
    c = lab.coordinator([])
    start = time.monotonic()
    answer = c.request("POST", "/v1/sessions")
    check(answer.status == 503 and answer.headers["Retry-After"] and time.monotonic() - start < patience(5), f"{answer}")
    check(c.request("GET", "/health").status == 503, "health")
    check(c.request("GET", "/v1/sessions").json()["sessions"] == [], "the list")
    check(c.request("GET", "/v1/sessions/x").status == 404, "a session")

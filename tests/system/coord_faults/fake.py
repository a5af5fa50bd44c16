# SPDX-License-Identifier: LGPL-2.1-or-later
"""Workers that are none: they speak HTTP as a worker does, and go wrong when they are told to."""
import asyncio
import itertools
import json
import threading
import time
import uuid

REASONS = {200: "OK", 201: "Created", 204: "No Content", 404: "Not Found", 410: "Gone", 421: "Misdirected Request",
           503: "Service Unavailable"}


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(seconds)) + f"{int(seconds * 1000) % 1000:03}Z"


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.path, _, self.query = target.partition("?")

    def get(self, name):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return None


class Worker:
    """One worker. What it was asked is in self.requests; self.faults maps (METHOD, path prefix) to a coroutine that
    gets (worker, request, reader, writer) and returns True when it has dealt with the request."""

    def __init__(self, fleet, name, port=0, most=1000):
        self.fleet, self.name, self.port, self.most = fleet, name, port, most
        self.token = str(uuid.uuid4())
        self.sessions = {}
        self.snapshots = {}
        self.images = ["base"]
        self.revoked = set()
        self.requests = []
        self.faults = {}
        self.server = self.socket = None
        self.connections = set()
        self.status = "healthy"
        self.skew = 0  # seconds its clock is ahead
        self.n_health = 0

    # --- from the test's thread

    def start(self):
        self.fleet.call(self._start())
        return self

    def stop(self):
        """As if the process died: all connections break, nobody listens."""
        self.fleet.call(self._stop())

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def asked(self, method, prefix):
        return [r for r in self.requests if r.method == method and r.path.startswith(prefix)]

    # --- in the loop

    async def _start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, backlog=4096)
        self.port = self.server.sockets[0].getsockname()[1]

    async def also(self, path):
        """Listens on a socket as well, and says there where else."""
        self.socket = await asyncio.start_unix_server(self.serve, path)

    async def _stop(self):
        if self.socket:
            self.socket.close()
        self.server.close()
        for writer in list(self.connections):
            writer.transport.abort()
        await self.server.wait_closed()

    async def serve(self, reader, writer):
        self.connections.add(writer)
        try:
            while True:
                request = await self.read(reader)
                if request is None:
                    break
                if not await self.handle(request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connections.discard(writer)
            writer.close()

    async def read(self, reader, body=True):
        head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
        if not head:
            return None
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if line]
        request = Request(method, target, headers, b"")
        fault = self.fault(request)
        if fault and getattr(fault, "reads_body", False):
            return request
        length = request.get("Content-Length")
        if length:
            request.body = await reader.readexactly(int(length))
        elif request.get("Transfer-Encoding"):
            while True:
                size = int((await reader.readline()).split(b";")[0], 16)
                request.body += await reader.readexactly(size)
                await reader.readline()
                if size == 0:
                    break
        return request

    def fault(self, request):
        for (method, prefix), function in self.faults.items():
            if method in (request.method, "*") and request.path.startswith(prefix):
                return function
        return None

    async def handle(self, request, reader, writer):
        if request.path == "/health":
            self.n_health += 1
        else:
            self.requests.append(request)
        fault = self.fault(request)
        if fault and await fault(self, request, reader, writer):
            return False
        status, body, headers = self.answer(request)
        await self.send(writer, status, body, headers)
        return True

    async def send(self, writer, status, body, headers=()):
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        head = [f"HTTP/1.1 {status} {REASONS.get(status, 'Other')}", "Content-Type: application/json"]
        if status != 204:
            head.append(f"Content-Length: {len(data)}")
        head += [f"{n}: {v}" for n, v in headers]
        writer.write(("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + data)
        await writer.drain()

    def health(self):
        return {"status": self.status, "worker_id": self.name, "pool_size": 5, "pool_ready": 5,
                "active_sessions": len(self.sessions), "max_sessions": self.most, "limits": "enforced",
                "fencing_token": self.token, "version": "fake",
                **({"listen": [f"127.0.0.1:{self.port}"]} if self.socket else {})}

    def describe(self, session):
        return {"session_id": session["id"], "worker_id": self.name, "state": "running", "image": "base",
                **({"created_at": stamp(session["created"])} if "created" in session else {}),
                "expires_at": stamp(time.time() + 3600 + self.skew),
                "timeout": 3600, "metadata": {}, "attached": False, "from_pool": True,
                **({"key": session["key"]} if session["key"] else {}),
                **({"owner": session["owner"]} if session["owner"] else {})}

    def answer(self, request):
        if request.path == "/health":
            return (200 if self.status in ("healthy", "degraded") else 503), self.health(), ()
        token = request.get("X-Sandboxd-Token")
        if token and token != self.token:
            return 421, {"title": "Not this worker any more", "status": 421}, ()
        parts = request.path.strip("/").split("/")
        if request.path == "/v1/sessions" and request.method == "POST":
            return self.create(request)
        if request.path == "/v1/sessions":
            return self.list(request)
        if request.path == "/v1/images":
            return 200, {"images": [{"name": name} for name in self.images]}, ()
        if parts[:2] == ["v1", "snapshots"]:
            return self.snapshot(request, parts)
        if parts[:2] == ["v1", "workers"] and parts[-1] == "fence":
            for given in json.loads(request.body)["sessions"]:
                self.sessions.pop(given, None)
            self.token = str(uuid.uuid4())
            return 200, {"fencing_token": self.token}, ()
        if parts[:2] == ["v1", "workers"]:
            self.status = "draining" if parts[-1] == "drain" else "healthy"
            return 200, {"worker_id": self.name, "status": self.status}, ()
        if parts[:2] == ["v1", "sessions"] and len(parts) >= 3:
            return self.session(request, parts)
        return 404, {"title": "Not found", "status": 404}, ()

    def list(self, request):
        arguments = dict(a.split("=", 1) for a in request.query.split("&") if "=" in a)
        start, limit = int(arguments.get("next", 0)), int(arguments.get("limit", 100))
        page = [self.describe(s) for s in itertools.islice(self.sessions.values(), start, start + limit)]
        more = {"next": str(start + limit)} if start + limit < len(self.sessions) else {}
        return 200, {"sessions": page, **more}, ()

    def create(self, request):
        spec = json.loads(request.body or b"{}")
        owner, key = request.get("X-Sandboxd-Owner"), spec.get("key")
        for s in self.sessions.values():
            if key and (s["key"], s["owner"]) == (key, owner):
                return 200, {**self.describe(s), "attached": True}, ()
        if len(self.sessions) >= self.most or self.status != "healthy":
            return 503, {"title": "No capacity", "status": 503}, (("Retry-After", "1"),)
        image = spec.get("image", "base")
        if image[9:] not in self.snapshots if image.startswith("snapshot:") else image not in self.images:
            return 422, {"title": "Value out of range", "status": 422, "field": "image"}, ()
        given = request.get("X-Sandboxd-Session") or str(uuid.uuid4())
        if given in self.revoked:
            return 410, {"title": "Session ended", "status": 410, "reason": "deleted"}, ()
        self.sessions[given] = {"id": given, "key": key, "owner": owner, "created": time.time()}
        return 201, self.describe(self.sessions[given]), (("Location", f"/v1/sessions/{given}"),
                                                         ("X-Sandboxd-Load", f"5 5 {len(self.sessions)} {self.most}"))

    def snapshot(self, request, parts):
        listed = [{"snapshot_id": s, "worker_id": self.name} for s in sorted(self.snapshots)]
        if len(parts) == 2:
            return 200, {"snapshots": listed}, ()
        if parts[2] not in self.snapshots:
            return 404, {"title": "Not found", "status": 404}, ()
        if request.method == "DELETE":
            del self.snapshots[parts[2]]
            return 204, None, ()
        return 200, {"snapshot_id": parts[2], "worker_id": self.name}, ()

    def session(self, request, parts):
        known = self.sessions.get(parts[2])
        owner = request.get("X-Sandboxd-Owner")
        if request.get("X-Sandboxd-Revoke"):
            self.sessions.pop(parts[2], None)
            self.revoked.add(parts[2])
            return 204, None, ()
        if not known or (owner and known["owner"] != owner):
            return 404, {"title": "Not found", "status": 404}, ()
        if len(parts) == 3 and request.method == "DELETE":
            del self.sessions[parts[2]]
            return 204, None, ()
        if len(parts) == 3:
            return 200, self.describe(known), ()
        if parts[3] == "snapshots":
            made = str(uuid.uuid4())
            self.snapshots[made] = parts[2]
            return 201, {"snapshot_id": made, "worker_id": self.name}, (("Location", f"/v1/snapshots/{made}"),)
        if parts[3] == "fork" and request.method == "POST":
            ids = [str(uuid.uuid4()) for _ in range(json.loads(request.body or b"{}").get("count", 1))]
            for given in ids:
                self.sessions[given] = {"id": given, "key": None, "owner": known["owner"]}
            return 201, {"sessions": [self.describe(self.sessions[given]) for given in ids]}, ()
        return 200, {"path": request.target, "method": request.method, "length": len(request.body),
                     "headers": request.headers, "worker": self.name}, ()


class Fleet:
    """Runs workers in a thread of their own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.workers = []
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def add(self, name, **options):
        worker = Worker(self, name, **options).start()
        self.workers.append(worker)
        return worker

    def stop(self):
        for worker in self.workers:
            if worker.server and worker.server.is_serving():
                worker.stop()


# --- faults

async def hang(worker, request, reader, writer):
    await asyncio.sleep(3600)
    return True


async def die(worker, request, reader, writer):
    writer.transport.abort()
    return True


async def garbage(worker, request, reader, writer):
    writer.write(b"\x00\xff this is not HTTP at all \r\n\r\n" * 20)
    await writer.drain()
    return True


async def bad_json(worker, request, reader, writer):
    await worker.send(writer, 201 if request.method == "POST" else 200, b'{"session_id": 7, "x": [')
    return True


async def half(worker, request, reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 400)
    await writer.drain()
    return True


async def half_large(worker, request, reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 400000)
    await writer.drain()
    return True


async def too_much(worker, request, reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    await writer.drain()
    await asyncio.sleep(0.2)
    return True


async def cut_chunks(worker, request, reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await writer.drain()
    await asyncio.sleep(0.2)
    return True


async def bad_headers(worker, request, reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A\x00B: 1\r\n\r\nok")
    await writer.drain()
    return True


async def many_headers(worker, request, reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(5000))
                 + b"\r\nok")
    await writer.drain()
    return True


async def endless_line(worker, request, reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(1000):  # until it is not wanted any more
        writer.write(b"x" * 10000)
        await writer.drain()
    return True


async def full(worker, request, reader, writer):
    await worker.send(writer, 503, {"title": "No capacity", "status": 503}, [("Retry-After", "1")])
    return True


async def broken(worker, request, reader, writer):
    await worker.send(writer, 500, {"title": "Internal error", "status": 500, "detail": "It is broken."})
    return True


async def endless(worker, request, reader, writer):
    if request.path != "/v1/sessions":
        return False
    n = int(dict(a.split("=", 1) for a in request.query.split("&")).get("next", 0))
    await asyncio.sleep(0.05)
    page = [{"session_id": str(uuid.uuid4()), "key": "of-many", "expires_at": stamp(time.time() + 3600)}]
    await worker.send(writer, 200, {"sessions": page, "next": str(n + 1)})
    return True

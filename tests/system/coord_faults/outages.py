# SPDX-License-Identifier: LGPL-2.1-or-later
"""The coordinator, its Redis, and both of them end while they are used."""
import concurrent.futures
import http.client
import itertools
import socket
import threading
import time

from . import fake
from .driver import case, check, until
from .redis import Redis, connected


def one(lab, n_workers):
    """A Redis, workers, and a coordinator that reaches it."""
    redis = Redis(lab).start()
    workers = [lab.worker(f"w{i}") for i in range(n_workers)]
    c = lab.coordinator(workers, redis.settings)
    until(5, lambda: connected(c), "the coordinator reaches Redis")
    return redis, workers, c


class Client(threading.Thread):
    """Creates, asks and deletes without a pause. What it gets is right, or a refusal that may be repeated, or a
    connection that ends."""

    def __init__(self, c):
        super().__init__(daemon=True)
        self.c = c
        self.stopping = False
        self.good = self.cut = self.refused = 0
        self.wrong = []

    def ask(self, method, path, body=None, wanted=200):
        try:
            answer = self.c.request(method, path, body, timeout=20)
        except TimeoutError:
            self.wrong.append(f"{method} {path}: no answer")
            return None
        except (OSError, http.client.HTTPException):
            self.cut += 1
            time.sleep(0.01)
            return None
        if answer.status == wanted:
            self.good += 1
            return answer
        if answer.status in (502, 503, 504) and "problem+json" in answer.headers.get("Content-Type", ""):
            self.refused += 1
        else:
            self.wrong.append(f"{method} {path}: {answer}")
        return None

    def run(self):
        while not self.stopping:
            made = self.ask("POST", "/v1/sessions", {}, 201)
            if not made:
                continue
            path = f"/v1/sessions/{made.json()['session_id']}"
            shown = self.ask("GET", path)
            if shown and shown.json()["session_id"] not in path:
                self.wrong.append(f"another session: {shown}")
            self.ask("DELETE", path, None, 204)


@case("outages: coordinator, Redis, and both are killed under load: no wrong answer, all is back in 5 s")
def killed_under_load(lab):
    redis, workers, c = one(lab, 3)
    kept = [c.create({"key": f"kept-{i}"}) for i in range(20)]
    clients = [Client(c) for _ in range(4)]
    for client in clients:
        client.start()
    slowest = 0
    for victims in (["c"], ["r"], ["c", "r"], ["c"]):
        time.sleep(0.7)
        if "c" in victims:
            c.kill()
        if "r" in victims:
            redis.kill()
        time.sleep(0.3)
        if "r" in victims:
            redis.start()
        begin = time.monotonic()
        if "c" in victims:
            c.start()
        until(8, lambda: connected(c), f"healthy after {victims}")
        slowest = max(slowest, time.monotonic() - begin)
        for i, session in enumerate(kept):
            check(c.request("GET", f"/v1/sessions/{session}").status == 200, f"a session is lost after {victims}")
            answer = c.request("POST", "/v1/sessions", {"key": f"kept-{i}"})
            check(answer.status == 200 and answer.json()["session_id"] == session, f"a key is lost after {victims}: {answer}")
    for client in clients:
        client.stopping = True
    for client in clients:
        client.join(30)
        check(not client.is_alive(), "a request does not end")
        check(not client.wrong, f"wrong answers: {client.wrong[:3]}")
    good, cut, refused = (sum(getattr(k, n) for k in clients) for n in ("good", "cut", "refused"))
    check(good > 100, f"only {good} requests")
    print(f"  {good} answers, {refused} refused, {cut} connections cut; back after at most {slowest:.1f} s")


@case("outages: Redis comes back with an old dump: what ended since is not there again")
def old_dump(lab):
    redis, workers, c = one(lab, 2)
    old = [c.create({"key": f"old-{i}"}) for i in range(5)]
    until(5, lambda: redis.get(f"session:{old[-1]}"), "the records are written")
    check(redis.cli("SAVE") == "OK", "SAVE")
    for session in old:
        check(c.request("DELETE", f"/v1/sessions/{session}").status == 204, "delete")
    new = [c.create({"key": f"new-{i}"}) for i in range(5)]
    redis.kill()
    redis.start()  # reads the dump
    until(8, lambda: connected(c), "healthy again")
    other = lab.coordinator(workers, redis.settings)
    until(5, lambda: connected(other), "another coordinator")
    for k in c, other:
        for session in old:
            status = k.request("GET", f"/v1/sessions/{session}").status
            check(status in (404, 410), f"a session that ended answers {status}")
        for session in new:
            check(k.request("GET", f"/v1/sessions/{session}").status == 200, "a session that lives is lost")
        listed = {s["session_id"] for s in k.request("GET", "/v1/sessions").json()["sessions"]}
        check(listed == set(new), f"the list: {len(listed)} sessions")
    again = other.create({"key": "old-0"})
    check(again not in old, "a session that ended is given out again")


@case("outages: a worker whose list has no end holds nobody up when Redis comes back")
def endless_list(lab):
    redis, workers, c = one(lab, 2)
    kept = c.create({"key": "kept"})
    workers[1].faults["GET", "/v1/sessions"] = fake.endless
    redis.kill()
    redis.start()
    until(8, lambda: connected(c), "healthy again")
    until(8, lambda: workers[1].asked("GET", "/v1/sessions"), "the worker is asked what it holds")
    begin = time.monotonic()
    made = c.request("POST", "/v1/sessions", {"key": "of-many"})
    check(made.status in (200, 201), f"while it goes on: {made}")
    check(c.request("GET", f"/v1/sessions/{kept}").status == 200, "a session is not found")
    print(f"  a key was served after {time.monotonic() - begin:.1f} s")


class Address:
    """What a fail-over moves: one address, behind it one server and then another. Connections to the former are cut."""

    def __init__(self, lab, port):
        self.target = port
        self.open = set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.listener.getsockname()[1]
        lab.cleanup.append(self.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self.open |= {client, server}
            for pair in (client, server), (server, client):
                threading.Thread(target=self.move, args=pair, daemon=True).start()

    def move(self, source, to):
        try:
            while data := source.recv(65536):
                to.sendall(data)
        except OSError:
            pass
        self.cut({source, to})

    def cut(self, sockets):
        for s in sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def switch(self, port):
        self.target = port
        self.cut(self.open)
        self.open = set()

    def close(self):
        self.listener.close()
        self.cut(self.open)


@case("outages: a fail-over to a replica that lost the last writes: nobody has a key twice, no command goes astray")
def fail_over(lab):
    first = Redis(lab).start()
    replica = Redis(lab, "--replicaof", "127.0.0.1", str(first.port)).start()
    until(10, lambda: "master_link_status:up" in replica.cli("INFO", "replication"), "the replica follows")
    front = Address(lab, first.port)
    settings = f"[Redis]\nHost=127.0.0.1\nPort={front.port}\n[Coordinator]\nGiveUp=1s\nHealthInterval=200ms\n"
    workers = [lab.worker(f"w{i}") for i in range(3)]
    a, b = [lab.coordinator(workers, settings) for _ in range(2)]
    for c in a, b:
        until(5, lambda c=c: connected(c), "the coordinator reaches Redis")
    sessions = {f"old-{i}": a.create({"key": f"old-{i}"}) for i in range(15)}
    until(5, lambda: all(replica.get(f"session:{s}") for s in sessions.values()), "the replica has them")

    # from here on the first one alone is written to
    check(replica.cli("REPLICAOF", "NO", "ONE") == "OK", "REPLICAOF NO ONE")
    gone = [sessions.pop(f"old-{i}") for i in range(4)]
    for session in gone:
        check(b.request("DELETE", f"/v1/sessions/{session}").status == 204, "delete")
    for i in range(15):
        sessions[f"new-{i}"] = b.create({"key": f"new-{i}"})
    former = next(w for w in workers if sessions["old-9"] in w.sessions)
    given = {key: s for key, s in sessions.items() if s in former.sessions}
    former.stop()
    until(8, lambda: a.request("POST", "/v1/sessions", {"key": "old-9"}).status == 201, "another under the key")
    for key in given:
        answer = until(8, lambda k=key: (x := b.request("POST", "/v1/sessions", {"key": k})).status < 300 and x, key)
        sessions[key] = answer.json()["session_id"]
        check(sessions[key] != given[key], f"{key} is still the one of a worker that was given up")

    first.kill()
    front.switch(replica.port)
    former.start()
    c = lab.coordinator(workers, settings)  # knows only what the replica says
    for k in a, b, c:
        until(8, lambda k=k: connected(k), "healthy after the fail-over")
        until(8, lambda k=k: k.status_of(former.name) == "healthy", "the worker that was given up is back")
    until(8, lambda: not set(given.values()) & set(former.sessions), "what was given away is still there")
    for key, session in sessions.items():
        for k in a, b, c:
            answer = k.request("POST", "/v1/sessions", {"key": key})
            check(answer.status == 200 and answer.json()["session_id"] == session, f"{key}: {answer} from {(a, b, c).index(k)}, not {session}")
        # a worker that was slow for a second was given up too, and tidies up when it has been heard of again
        until(8, lambda key=key: sum(s["key"] == key for w in workers for s in w.sessions.values()) == 1,
              f"{key} is at one worker")
    for session in gone + list(given.values()):
        for k in a, b, c:
            status = k.request("GET", f"/v1/sessions/{session}").status
            check(status in (404, 410), f"a session that ended, or was given away, answers {status}")

    holder = {s: w.name for w in workers for s in w.sessions}
    targets = itertools.cycle(itertools.product((a, b, c), sessions.values()))
    end = time.monotonic() + 8

    def execute(target):
        if time.monotonic() > end:
            return None
        k, session = target
        answer = k.request("POST", f"/v1/sessions/{session}/exec", {"command": "true"})
        return answer.status == 200 and answer.json()["worker"] == holder[session]

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        done = [x for x in pool.map(execute, itertools.islice(targets, 10000)) if x is not None]
    check(all(done) and len(done) > 100, f"{done.count(False)} of {len(done)} commands went astray")
    print(f"  {len(given)} keys were given away in what the replica lost; {len(done)} commands, none astray")

# SPDX-License-Identifier: LGPL-2.1-or-later
"""Coordinators that share a Redis, a real one, which goes wrong."""
import asyncio
import concurrent.futures
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from free_port import free_port
from patience import patience

from . import fake
from .driver import case, check, until


class Redis:
    """A redis-server on a port of its own."""

    def __init__(self, lab, *options):
        self.folder = tempfile.mkdtemp(prefix="coord-redis.")
        self.port = free_port()
        self.options = options
        self.process = None
        lab.cleanup.append(self.remove)

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder,
             *self.options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(10, self.is_ready, "redis-server")
        return self

    def is_ready(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self, paused):
        self.process.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    def remove(self):
        if self.process:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cli(self, *words):
        r = subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True, timeout=20,
                           check=False)
        return r.stdout.strip()

    def get(self, name):
        text = self.cli("GET", name)
        return json.loads(text) if text else None

    @property
    def settings(self):
        return f"[Redis]\nHost=127.0.0.1\nPort={self.port}\n"


def connected(c):
    return c.health()["status"] == "healthy"


def pair(lab, n_workers=2, settings="", **options):
    """A Redis, workers, and two coordinators that know all of them."""
    redis = Redis(lab).start()
    workers = [lab.worker(f"w{i}") for i in range(n_workers)]
    coordinators = [lab.coordinator(workers, redis.settings + settings, **options) for _ in range(2)]
    for c in coordinators:
        until(5, lambda c=c: connected(c), "the coordinator reaches Redis")
    return redis, workers, *coordinators


def timed(function):
    start = time.monotonic()
    result = function()
    return result, time.monotonic() - start


@case("Redis: a session's record is there, as long as the session")
def record(lab):
    redis, _, a, _ = pair(lab)
    check(a.health()["store"] == "redis", "it is not the store")
    session = a.create({"metadata": {"owner": "x"}})
    found = redis.get(f"session:{session}")
    check(found["session_id"] == session and found["worker_id"] in ("w0", "w1"), f"{found}")
    check(redis.cli("KEYS", "session:*") == f"session:{session}", "KEYS does not show it")
    check(3590 <= int(redis.cli("TTL", f"session:{session}")) <= 3600, "it has another life")
    check(a.request("DELETE", f"/v1/sessions/{session}").status == 204, "it cannot be deleted")
    until(5, lambda: redis.cli("EXISTS", f"session:{session}") == "0", "the record goes with the session")


@case("Redis: coordinators serve each other's sessions")
def each_other(lab):
    _, workers, a, b = pair(lab, 3)
    for _ in range(10):
        session = a.create()
        for w in workers:
            w.requests.clear()
        answer = b.request("POST", f"/v1/sessions/{session}/exec", {"command": "x"})
        check(answer.status == 200, f"{answer}")
        check(sum(len(w.requests) for w in workers) == 1, "more workers than its own were asked")
    check(b.request("DELETE", f"/v1/sessions/{session}").status == 204, "the other cannot delete it")
    check(a.request("GET", f"/v1/sessions/{session}").status in (404, 410), "it is still there")


@case("Redis: sessions of keys, at the other coordinator too")
def owners(lab):
    import hashlib
    keys = "[Auth]\nKeys=" + " ".join(f"{n}:{hashlib.sha256(n.encode()).hexdigest()}" for n in ("one", "two")) + "\n"
    _, _, a, b = pair(lab, 2, keys)
    session = a.create(headers={"X-API-Key": "one"})
    path = f"/v1/sessions/{session}"
    check(b.request("GET", path, headers={"X-API-Key": "two"}).status == 404, "another key sees it")
    check(b.request("GET", path, headers={"X-API-Key": "one"}).status == 200, "its own key does not")
    check(b.request("GET", path, headers={"X-API-Key": "two"}).status == 404, "another key sees it now")


@case("Redis: one key, two coordinators, many at once: one session")
def one_key(lab):
    _, workers, a, b = pair(lab, 3)
    for n in range(4):
        body = {"key": f"k{n}"}
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(lambda i: (a, b)[i % 2].request("POST", "/v1/sessions", body), range(24)))
        check(all(x.status in (200, 201) for x in answers), f"{[x for x in answers if x.status > 201]}")
        check(len({x.json()["session_id"] for x in answers}) == 1, "more than one id")
        check(sum(x.status == 201 for x in answers) == 1, "made more than once")
    until(5, lambda: sum(len(w.sessions) for w in workers) == 4, "there are more sessions than keys")


@case("Redis: a key's session is replaced when it has ended")
def key_again(lab):
    _, _, a, b = pair(lab)
    first = a.create({"key": "k"})
    check(b.create({"key": "k"}, status=200) and True, "")
    check(b.request("DELETE", f"/v1/sessions/{first}").status == 204, "no delete")
    second = a.create({"key": "k"})
    check(second != first, "the ended one")
    check(b.create({"key": "k"}, status=200), "it is not the new one")


@case("Redis: not there at the start, and it comes")
def late(lab):
    redis = Redis(lab)
    w = lab.worker("w")
    c, seconds = timed(lambda: lab.coordinator([w], redis.settings))
    check(seconds < patience(4), f"the start took {seconds:.1f} s")
    health = c.health()
    check(health["status"] == "degraded" and health["store"] == "redis", f"{health}")
    check(health["store_error"], "no reason")
    plain, keyed = c.create(), c.create({"key": "k"})
    check(c.request("GET", f"/v1/sessions/{plain}").status == 200, "it is not served")
    check(c.create({"key": "k"}, status=200), "the key is not known")
    time.sleep(1)
    check(c.log_text().count("Redis cannot be used") == 1, "the log does not say it once")
    redis.start()
    until(6, lambda: connected(c), "healthy again")
    for session in plain, keyed:
        until(3, lambda s=session: redis.get(f"session:{s}"), "the record is written later")
    until(3, lambda: redis.cli("GET", "key::k") == f"session {keyed} w", "the key's entry is written later")
    check(c.log_text().count("Redis is there") == 1, "the log does not say that it is back")
    b = lab.coordinator([w], redis.settings)
    until(5, lambda: connected(b), "another")
    check(b.create({"key": "k"}, status=200), "another coordinator makes a second one")


@case("Redis: dies while it is used, and comes back empty")
def dies(lab):
    redis, workers, a, b = pair(lab)
    before = a.create({"key": "before"})
    check(b.request("GET", f"/v1/sessions/{before}").status == 200, "not there")
    redis.kill()
    until(3, lambda: a.health()["status"] == "degraded", "degraded")
    for c in a, b:
        check(c.request("GET", f"/v1/sessions/{before}").status == 200, "it is not served any more")
    made, seconds = timed(lambda: [a.create() for _ in range(20)])
    check(seconds < patience(3), f"20 creations took {seconds:.1f} s")
    check(a.create({"key": "before"}, status=200), "the key is not known")
    during = a.create({"key": "during"})
    check(b.request("GET", f"/v1/sessions/{made[0]}").status == 200, "the other does not find it by asking")
    redis.start()
    for c in a, b:
        until(8, lambda c=c: connected(c), "healthy again")
    for session in made + [during]:
        until(3, lambda s=session: redis.get(f"session:{s}"), "the record is written later")
    until(3, lambda: redis.cli("GET", "key::during").startswith("session "), "the key's entry is written later")
    check(b.create({"key": "during"}, status=200), "a second one")
    check(a.log_text().count("Redis cannot be used") == 1, a.log_text())
    check(sum(len(w.sessions) for w in workers) == 22, "sessions are left over")


@case("Redis: slow, nobody waits for it")
def slow(lab):
    redis, _, a, b = pair(lab)
    session = a.create()
    redis.pause(True)
    try:
        # the first ones wait for their time limit, those after it not at all
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for answer, seconds in pool.map(lambda i: timed(lambda: a.request(
                    "POST", "/v1/sessions", {"key": f"k{i}"} if i % 2 else None)), range(8)):
                check(answer.status == 201, f"{answer}")
                check(seconds < patience(2.5), f"{seconds:.2f} s")
        until(3, lambda: a.health()["status"] == "degraded", "degraded")
        _, seconds = timed(lambda: [a.create() for _ in range(20)])
        check(seconds < patience(2.5), f"20 creations took {seconds:.2f} s")
        answer, seconds = timed(lambda: b.request("GET", f"/v1/sessions/{session}"))
        check(answer.status == 200 and seconds < patience(2.5), f"{answer} after {seconds:.2f} s")
    finally:
        redis.pause(False)
    until(8, lambda: connected(a) and connected(b), "healthy again")
    # claims that it took after nobody waited any more do not stand in the way
    for i in 1, 3, 5, 7:
        until(5, lambda i=i: b.request("POST", "/v1/sessions", {"key": f"k{i}"}).status == 200, f"key {i}")


@case("Redis: slow, a new session is answered, and can be used through the other, before it has the record")
def record_later(lab):
    redis, workers, a, b = pair(lab, 3, "Deadline=10s\n")
    redis.pause(True)
    try:
        (session, other), seconds = timed(lambda: [a.create() for _ in range(2)])
        check(seconds < 5, f"it waits for the record: {seconds:.1f} s")
        check("store_error" not in a.health(), "it has given Redis up")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            found = pool.submit(b.request, "POST", f"/v1/sessions/{session}/exec", {"command": "x"})
            time.sleep(0.2)
            redis.pause(False)
            check(found.result().status == 200, f"{found.result()}")
    finally:
        redis.pause(False)
    until(5, lambda: redis.get(f"session:{session}") and redis.get(f"session:{other}"), "the records")
    check(b.request("DELETE", f"/v1/sessions/{session}").status == 204, "no delete")
    check(a.request("DELETE", f"/v1/sessions/{other}").status == 204, "no delete")
    until(5, lambda: redis.cli("KEYS", "session:*") == "", "a record stays")
    # given up, it is away: who does not know a session asks the workers
    b.settings = b.settings.replace("10s", "250ms")
    b.write()
    b.kill()
    b.start()
    until(5, lambda: connected(b), "the other reaches Redis")
    redis.pause(True)
    try:
        session = a.create()
        check(b.request("POST", f"/v1/sessions/{session}/exec", {"command": "x"}).status == 200, "not served by the other")
        check(b.request("DELETE", f"/v1/sessions/{session}").status == 204, "no delete by the other")
    finally:
        redis.pause(False)
    until(8, lambda: connected(a) and connected(b), "healthy again")
    until(5, lambda: redis.cli("KEYS", "session:*") == "", "a record stays")
    check(not any(w.sessions for w in workers), "a session is left")


@case("Redis: out of memory, read only, with another password")
def refuses(lab):
    redis, _, a, b = pair(lab)
    for what, broken, mended in (("OOM", ("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
                                 ("READONLY", ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"))):
        check(redis.cli(*broken) == "OK", what)
        plain, keyed = a.create(), a.create({"key": what})
        health = a.health()
        check(health["status"] == "degraded" and what in health["store_error"], f"{what}: {health}")
        check(b.request("GET", f"/v1/sessions/{plain}").status == 200, f"{what}: the other does not find it")
        check(redis.cli(*mended) == "OK", what)
        until(20, lambda: connected(a) and connected(b), f"{what}: healthy again")
        until(3, lambda: redis.get(f"session:{plain}") and redis.get(f"session:{keyed}"), f"{what}: caught up")
        check(b.create({"key": what}, status=200), f"{what}: a second one")
    redis.cli("CONFIG", "SET", "requirepass", "secret")
    redis.cli("-a", "secret", "CLIENT", "KILL", "TYPE", "normal")
    until(5, lambda: "NOAUTH" in a.health().get("store_error", ""), "the reason is NOAUTH")
    check(a.create(), "no session")


@case("Redis: garbage and wrong types under its names")
def garbage(lab):
    redis, workers, a, b = pair(lab)
    texts = ["", "nonsense", "{", "[]", "null", "7", '{"session_id":7}', '{"session_id":"ID"}', "x" * 100000,
             '{"session_id":"ID","worker_id":"../../etc"}', '{"session_id":"another","worker_id":"w0"}',
             '{"session_id":"ID","worker_id":"w0","worker_id":"w1"}', "\\0" * 10, '{"session_id":"ID","worker_id":{}}',
             '{"session_id":"ID","worker_id":"w0","expires_at":"never","owner":[],"key":{}}']
    for n, text in enumerate(texts):
        session = a.create()
        redis.cli("SET", f"session:{session}", text.replace("ID", session))
        check(b.request("GET", f"/v1/sessions/{session}").status == 200, f"{n}: not found")
    for words in (("RPUSH", "a"), ("SADD", "a"), ("HSET", "a", "b"), ("ZADD", "1", "a")):
        session, keyed = a.create(), f"k{words[0].lower()}"
        for name in (f"session:{session}", f"key::{keyed}", "workers", "given:w0", "given:w1"):
            redis.cli("DEL", name)
            check(redis.cli(words[0], name, *words[1:]) == "1", f"{words[0]} {name}")
        check(b.request("GET", f"/v1/sessions/{session}").status == 200, f"{words[0]}: not found")
        until(3, lambda s=session: redis.cli("TYPE", f"session:{s}") == "string", "the record is repaired")
        first = a.create({"key": keyed})
        check(b.request("POST", "/v1/sessions", {"key": keyed}).json()["session_id"] == first, "two of one key")
    for n, text in enumerate(("", "claim", "session", "session x", "session ../.. w0", "x" * 70000, "session a  b c")):
        redis.cli("SET", f"key::g{n}", text)
        first = a.create({"key": f"g{n}"})
        check(b.request("POST", "/v1/sessions", {"key": f"g{n}"}).json()["session_id"] == first, f"two of g{n}")
    check(connected(a) and connected(b), "that is no reason to be degraded")


@case("Redis: workers that announce themselves are found, and forgotten")
def announced(lab):
    redis = Redis(lab).start()
    c = lab.coordinator([], redis.settings)
    until(5, lambda: "store_error" not in c.health(), "it reaches Redis")
    check(c.create(status=503), "a session without workers")
    program = os.path.join(os.path.dirname(c.program), "..", "announce", "sandboxd-announce")
    w, folder = lab.worker("w9"), tempfile.mkdtemp(prefix="coord-announce.")
    lab.cleanup.append(lambda: shutil.rmtree(folder, ignore_errors=True))
    lab.fleet.call(w.also(os.path.join(folder, "w9.sock")))
    announcer = subprocess.Popen([program, "--worker", "w9", "--runtime", folder], stderr=subprocess.PIPE, env={
        **os.environ, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port)})
    try:
        until(8, lambda: c.status_of("w9") == "healthy", "it is found")
        url = c.health()["workers"][0]["url"]
        check(url == w.url, f"it is not at {w.url} but {url}")
        session = c.create()
        heartbeat = redis.get("worker:w9")
        check(heartbeat["url"] == w.url and heartbeat["status"] == "healthy", f"{heartbeat}")
        check("fencing_token" not in heartbeat and "listen" not in heartbeat, f"{heartbeat}")
        check(0 < int(redis.cli("TTL", "worker:w9")) <= 10, "it lives for too long")
        # emptied: the worker answers, so it is not taken for gone; it tells again
        redis.cli("FLUSHALL")
        time.sleep(2.5)
        check(c.request("GET", f"/v1/sessions/{session}").status == 200, "it was forgotten")
        until(5, lambda: redis.get("worker:w9"), "it tells again")
        redis.kill()
        time.sleep(1)
        redis.start()
        until(12, lambda: redis.get("worker:w9"), "it tells again after Redis was restarted")
        announcer.terminate()
        check(announcer.wait(10) == 0, "it does not end")
        check(redis.cli("EXISTS", "worker:w9", "workers") == "0", "it does not say good-bye")
        check(c.request("GET", f"/v1/sessions/{session}").status == 200, "a worker that answers is not gone")
        w.stop()
        until(8, lambda: c.status_of("w9") in ("down", None), "it is down")
    finally:
        announcer.kill()
        announcer.wait()


@case("Redis: a worker that was given up by one cannot serve what was given away, through the other either")
def given_away(lab):
    redis, workers, a, b = pair(lab, 2, "[Coordinator]\nGiveUp=1s\n")
    keyed = a.create({"key": "k"})
    holder = next(w for w in workers if keyed in w.sessions)
    other = next(w for w in workers if w is not holder)
    holder.stop()
    until(8, lambda: a.request("POST", "/v1/sessions", {"key": "k"}).status == 201, "a new one under the key")
    check(redis.get(f"session:{keyed}")["state"] == "lost", "the record does not say so")
    answer = b.request("GET", f"/v1/sessions/{keyed}")
    check(answer.status == 410 and answer.json()["reason"] == "lost", f"{answer}")
    token = holder.token
    holder.start()
    until(8, lambda: b.status_of(holder.name) == "healthy" and a.status_of(holder.name) == "healthy", "it is back")
    until(5, lambda: keyed not in holder.sessions and holder.token != token, "its session ends")
    for c in a, b:
        check(c.request("GET", f"/v1/sessions/{keyed}").status in (404, 410), "it is served again")
        check(c.request("POST", "/v1/sessions", {"key": "k"}).status == 200, "the key's new one is not found")
    check(len(other.sessions) == 1 and not holder.sessions, "there are two")


@case("Redis: a coordinator that starts later knows all, and draining is known to all")
def later(lab):
    redis, workers, a, b = pair(lab)
    sessions = [a.create() for _ in range(10)]
    c = lab.coordinator(workers, redis.settings)
    for session in sessions:
        check(c.request("GET", f"/v1/sessions/{session}").status == 200, "not known")
    check(a.request("POST", "/v1/workers/w0/drain").status == 200, "no drain")
    for x in a, b, c:
        until(5, lambda x=x: x.status_of("w0") == "draining", "draining")
    n = len(workers[0].sessions)
    for x in a, b, c:
        for _ in range(5):
            x.create()
    check(len(workers[0].sessions) == n, "new ones on the one that drains")
    for session in sessions:
        check(b.request("GET", f"/v1/sessions/{session}").status == 200, "an old one is not served")
    check(b.request("POST", "/v1/workers/w0/undrain").status == 200, "no undrain")
    until(5, lambda: a.status_of("w0") == "healthy", "healthy again")


@case("Redis: password, user and number of the database; a file of the configuration")
def credentials(lab):
    redis = Redis(lab, "--requirepass", "secret").start()
    w = lab.worker("w")
    c = lab.coordinator([w], redis.settings + "Password=secret\nDatabase=2\n")
    until(5, lambda: connected(c), "it is let in")
    session = c.create()
    check(redis.cli("--no-auth-warning", "-a", "secret", "-n", "2", "EXISTS", f"session:{session}") == "1", "not there")
    folder = tempfile.mkdtemp(prefix="coord-credentials.")
    lab.cleanup.append(lambda: shutil.rmtree(folder, ignore_errors=True))
    with open(os.path.join(folder, "redis-password"), "w", encoding="ascii") as f:
        f.write("secret\n")
    c = lab.coordinator([w], redis.settings, environment={"CREDENTIALS_DIRECTORY": folder})
    until(5, lambda: connected(c), "it is let in with the credential")
    check("secret" not in c.log_text(), "the log has the password")


@case("Redis: a worker dies while a session is made under a key, with a hanging answer")
def key_and_dead_worker(lab):
    _, workers, a, b = pair(lab)
    workers[0].faults["POST", "/v1/sessions"] = fake.die
    for n in range(6):
        first = a.create({"key": f"k{n}"})
        check(b.request("POST", "/v1/sessions", {"key": f"k{n}"}).json()["session_id"] == first, "two of one key")
    check(not workers[0].sessions and len(workers[1].sessions) == 6, "sessions are left")


def read_again(c, settings):
    """A reload, as the service manager has it."""
    c.settings = settings
    c.write()
    before = c.log_text().count("Configuration read again")
    c.process.send_signal(signal.SIGHUP)
    until(5, lambda: c.log_text().count("Configuration read again") > before, "the reload")


def clients_of(redis, *options):
    """Other than who asks."""
    return redis.cli(*options, "CLIENT", "LIST").count(" addr=") - 1


class Clients:
    """Make sessions, some of them under keys, and ask for them, until they are told to stop."""

    def __init__(self, *coordinators):
        self.coordinators, self.wrong, self.sessions, self.stopping = coordinators, [], [], False
        self.pool = concurrent.futures.ThreadPoolExecutor(4)
        self.jobs = [self.pool.submit(self.run, i) for i in range(4)]

    def run(self, number):
        n = 0
        while not self.stopping:
            c, other = self.coordinators[n % 2], self.coordinators[(n + 1) % 2]
            body = {"key": f"{number}-{n // 4}"} if number % 2 else {}
            answer = c.request("POST", "/v1/sessions", body)
            if answer.status not in (200, 201):
                self.wrong.append(f"create {answer}")
                continue
            session = answer.json()["session_id"]
            self.sessions.append((session, body.get("key")))
            for server in c, other:
                answer = server.request("GET", f"/v1/sessions/{session}")
                if answer.status != 200:
                    self.wrong.append(f"get {answer}")
            n += 1
            time.sleep(0.005)

    def stop(self):
        self.stopping = True
        for job in self.jobs:
            job.result(60)
        self.pool.shutdown()
        check(len(self.sessions) > 20, f"only {len(self.sessions)} sessions")
        check(not self.wrong, f"{len(self.wrong)} wrong answers of {len(self.sessions)}: {self.wrong[:3]}")


@case("Redis: another one by a reload, while requests go on")
def reload_to_another(lab):
    redis, workers, a, b = pair(lab, 3)
    other = Redis(lab, "--requirepass", "second", "--databases", "20").start()
    kept = a.create({"key": "kept"})
    clients = Clients(a, b)
    time.sleep(0.5)
    for c in a, b:
        read_again(c, other.settings + "Password=second\nDatabase=17\n")
    cli = "-a", "second", "--no-auth-warning", "-n", "17"
    until(10, lambda: other.cli(*cli, "EXISTS", f"session:{kept}") == "1", "what was known is told to the other")
    until(10, lambda: clients_of(redis) == 0, "the former one is let go")
    time.sleep(0.5)
    clients.stop()
    for c in a, b:
        check(c.health()["status"] == "healthy", f"{c.health()}")
        check(c.request("POST", "/v1/sessions", {"key": "kept"}).json()["session_id"] == kept, "another of the same key")
    last = b.create()
    check(other.cli(*cli, "EXISTS", f"session:{last}") == "1", "the other does not hear of a new one")
    check(redis.cli("EXISTS", f"session:{last}") == "0", "the former hears of a new one")
    of_keys = {}
    for w in workers:
        for session in w.sessions.values():
            if session.get("key"):
                of_keys.setdefault(session["key"], []).append(session)
    check(all(len(x) == 1 for x in of_keys.values()), f"several of one key: {of_keys}")
    for session, _ in clients.sessions[:20]:
        until(5, lambda s=session: other.cli(*cli, "EXISTS", f"session:{s}") == "1", "a record")
    redis.kill()
    time.sleep(1)
    check(a.health()["status"] == "healthy", "it still needs the former")


@case("Redis: a reload to one that cannot be used costs nothing")
def reload_to_none_there(lab):
    redis, _, a, b = pair(lab)
    other = Redis(lab, "--requirepass", "second").start()
    read_again(a, other.settings + "Password=wrong\n")
    until(5, lambda: "WRONGPASS" in a.health().get("store_error", ""), "the reason")
    health = a.health()
    check(health["status"] == "degraded" and health["reason"] == "The Redis that is configured now cannot be used.",
          f"{health}")
    check(a.log_text().count("going on with what was used before") == 1, "the log does not say it once")
    session = a.create({"key": "k"})
    check(redis.cli("EXISTS", f"session:{session}") == "1", "the former one is not used")
    check(b.create({"key": "k"}, status=200), "another of one key")
    read_again(a, other.settings + "Password=second\n")
    until(5, lambda: connected(a), "with the password")
    until(5, lambda: other.cli("-a", "second", "--no-auth-warning", "EXISTS", f"session:{session}") == "1", "the record")
    read_again(a, redis.settings)
    until(5, lambda: connected(a), "and back")
    until(10, lambda: clients_of(other, "-a", "second", "--no-auth-warning") == 0, "the other one is let go")


@case("Redis: one from a reload on, and none any more")
def reload_from_none(lab):
    redis = Redis(lab).start()
    workers = [lab.worker(f"w{i}") for i in range(2)]
    a = lab.coordinator(workers)
    check(a.health()["store"] == "memory", "a store from the start")
    session = a.create({"key": "k"})
    read_again(a, redis.settings)
    until(5, lambda: a.health()["store"] == "redis" and connected(a), "Redis")
    until(5, lambda: redis.cli("EXISTS", f"session:{session}") == "1", "what was known is told")
    b = lab.coordinator(workers, redis.settings)
    until(5, lambda: connected(b), "another")
    check(b.create({"key": "k"}, status=200) == session, "another makes a second one")
    announced = lab.worker("announced")
    redis.cli("ZADD", "workers", str(int(time.time() * 1000) + 600000), f"announced {announced.url}")
    until(10, lambda: a.status_of("announced") == "healthy", "who announced himself")
    redis.pause(True) # with requests on their way to it
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(a.request, "POST", "/v1/sessions", {"key": f"p{i}"}) for i in range(4)]
        time.sleep(0.05)
        read_again(a, "")
        statuses = [x.result(30).status for x in asked]
    redis.pause(False)
    check(statuses == [201] * 4, f"{statuses}")
    check(a.health()["store"] == "memory", "Redis is still used")
    check(a.status_of("announced") != "healthy", "a worker that was in Redis only")
    check(a.create({"key": "k"}, status=200) == session, "it does not know its own any more")
    until(10, lambda: clients_of(redis) == 1, "Redis is let go by all but the other")


@case("Redis: a reload while a worker's sessions are being told hides none of them")
def reload_while_told(lab):
    redis, w = Redis(lab).start(), lab.worker("w")
    session = lab.coordinator([w]).create()
    asked = []

    async def two_pages(worker, request, _reader, writer):
        if request.path != "/v1/sessions" or request.method != "GET":
            return False
        asked.append(request.query)
        if "next=" in request.query:
            end = time.monotonic() + 3
            while len([q for q in asked if "next=" not in q]) < 2 and time.monotonic() < end:
                await asyncio.sleep(0.02)
        answer = {"sessions": [], **({} if "next=" in request.query else {"next": "second"})}
        if "next=" not in request.query:
            answer["sessions"] = [worker.describe(s) for s in worker.sessions.values()]
        await worker.send(writer, 200, answer)
        return True

    w.faults["GET", "/v1/sessions"] = two_pages
    a = lab.coordinator([w], redis.settings)
    until(5, lambda: any("next=" in q for q in asked), "the second page")
    check(redis.cli("EXISTS", f"session:{session}") == "1", "the first was not told")
    read_again(a, redis.settings + "Database=1\n")
    until(5, lambda: redis.cli("-n", "1", "EXISTS", f"session:{session}") == "1", "a record in the other one")


@case("Redis: reloads again and again, also to one that never answers, cost nothing")
def reload_often(lab):
    redis, workers, a, b = pair(lab)
    for w in workers:
        w.most = 1000000
    silent = socket.create_server(("127.0.0.1", 0))
    lab.cleanup.append(silent.close)
    settings = [redis.settings + f"Database={n}\n" for n in (0, 1)]
    never = f"[Redis]\nHost=127.0.0.1\nPort={silent.getsockname()[1]}\n"
    kept = a.create({"key": "kept"})

    def rest(c):
        until(10, lambda: connected(c), "healthy")
        until(10, lambda: clients_of(redis) == 2, "one connection each")
        return c.descriptors(), c.memory_kib()

    for text in (*settings, never, settings[0]):
        read_again(a, text)
    warm_up = Clients(a, a)
    time.sleep(0.5)
    warm_up.stop()
    before = rest(a)
    clients = Clients(a, a)
    for n in range(50):
        read_again(a, never if n % 5 == 4 else settings[n % 2])
        time.sleep(0.3 if n % 10 == 0 else 0) # some answer before the next comes, most do not
    read_again(a, never)
    until(5, lambda: a.health().get("store_error"), "the reason")
    check(a.request("POST", "/v1/sessions", {"key": "kept"}).json()["session_id"] == kept, "another of the same key")
    read_again(a, settings[1])
    clients.stop()
    last = a.create()
    until(10, lambda: redis.cli("-n", "1", "EXISTS", f"session:{a.create()}") == "1", "it is the last one")
    for session in (last, kept):
        until(10, lambda s=session: redis.cli("-n", "1", "EXISTS", f"session:{s}") == "1", "a record")
    until(10, lambda: b.request("GET", f"/v1/sessions/{last}").status == 200, "the other does not find it")
    after = rest(a)
    # some lead to workers; and each session that is known takes some
    check(after[0] <= before[0] + 10, f"{before[0]} descriptors, then {after[0]}")
    check(after[1] <= before[1] + 2048 + len(clients.sessions), f"{before[1]} KiB, then {after[1]}")

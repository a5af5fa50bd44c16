# SPDX-License-Identifier: LGPL-2.1-or-later
"""The coordinator, its Redis, and both of them end while they are used."""
import http.client
import threading
import time

from .driver import case, check, until
from .redis import Redis, connected


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
    redis = Redis(lab).start()
    workers = [lab.worker(f"w{i}") for i in range(3)]
    c = lab.coordinator(workers, redis.settings)
    until(5, lambda: connected(c), "the coordinator reaches Redis")
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
    redis = Redis(lab).start()
    workers = [lab.worker(f"w{i}") for i in range(2)]
    c = lab.coordinator(workers, redis.settings)
    until(5, lambda: connected(c), "the coordinator reaches Redis")
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

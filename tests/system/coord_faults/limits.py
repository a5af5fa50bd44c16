# SPDX-License-Identifier: LGPL-2.1-or-later
"""How much a client may ask for."""
import concurrent.futures
import hashlib
import time

from . import fake
from .driver import case, check, until
from .redis import Redis, connected


def keys(*names):
    return "Keys=" + " ".join(f"{n}:{hashlib.sha256(n.encode()).hexdigest()}" for n in names) + "\n"


def by(name):
    return {"X-API-Key": name}


@case("rates: beyond them 429 with Retry-After, for each key and address alone")
def rates(lab):
    w = lab.worker("w")
    c = lab.coordinator([w], "[Auth]\n" + keys("one", "two") + "RateLimit=20/min\n[Http]\nTrustedProxies=127.0.0.1\n")

    def ask(name, address):
        return c.request("GET", "/v1/workers", headers={**by(name), "X-Forwarded-For": address})

    for i in range(20):
        check(ask("one", f"192.0.2.{i}").status == 200, f"request {i}")
    answer = ask("one", "192.0.2.200")
    check(answer.status == 429 and 1 <= int(answer.headers["Retry-After"]) <= 3, f"{answer}")
    check(answer.json()["retry_after"] >= 1 and "20 in 60 s" in answer.json()["detail"], f"{answer}")
    for i in range(20):
        check(ask("two", "192.0.2.100").status == 200, f"another key, request {i}")
    check(ask("one", "192.0.2.100").status == 429, "the address is used up")
    # who has no key is counted by address, before the key is looked at
    for _ in range(20):
        check(ask("wrong", "192.0.2.101").status == 401, "a wrong key")
    check(ask("wrong", "192.0.2.101").status == 429, "keys can be tried without end")
    for _ in range(100):
        check(c.request("GET", "/health").status == 200, "/health is limited")
    time.sleep(int(answer.headers["Retry-After"]))
    check(ask("one", "192.0.2.201").status == 200, "it may not come again")


@case("sessions of a key: no more than allowed, however many ask at once")
def sessions(lab):
    workers = [lab.worker(f"w{i}") for i in range(2)]
    c = lab.coordinator(workers, "[Auth]\n" + keys("one", "two") + "MaxSessionsPerKey=5\n")

    def create(name, body=None):
        return c.request("POST", "/v1/sessions", body, by(name))

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: create("one"), range(16)))
    check(sorted(a.status for a in answers) == [201] * 5 + [429] * 11, f"{[a.status for a in answers]}")
    refused = next(a for a in answers if a.status == 429)
    check(refused.json()["limit"] == "5 sessions" and refused.headers["Retry-After"], f"{refused}")
    keyed = create("two", {"key": "k"}).json()["session_id"]
    for _ in range(4):
        check(create("two").status == 201, "another key")
    check(create("two").status == 429, "the sixth of another key")
    check(create("two", {"key": "k"}).json()["session_id"] == keyed, "what is there takes no place")
    path = f"/v1/sessions/{keyed}"
    check(c.request("DELETE", path, headers=by("two")).status == 204, "no delete")
    check(create("two").status == 201, "the place is not free again")
    check(create("two").status == 429, "two places are free")
    c.kill()
    c.start()
    check(create("one").status == 429, "a restart forgets")
    for w in workers:
        w.most = 0
    for _ in range(8):
        check(create("one").status in (429, 503), "no place")
    check(sum(len(w.sessions) for w in workers) == 10, "there are more sessions")


@case("sessions of a key: what is made out of one that is there counts too")
def forks(lab):
    workers = [lab.worker(f"w{i}") for i in range(2)]
    c = lab.coordinator(workers, "[Auth]\n" + keys("one") + "MaxSessionsPerKey=6\n")
    path = "/v1/sessions/" + c.request("POST", "/v1/sessions", None, by("one")).json()["session_id"]

    def fork(body):
        return c.request("POST", path + "/fork", body, by("one"))

    refused = fork({"count": 6})
    check(refused.status == 429 and refused.json()["field"] == "count" and refused.json()["limit"] == "6 sessions", f"{refused}")
    check(sum(len(w.sessions) for w in workers) == 1, "it was made all the same")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: fork({"count": 2}), range(8)))
    check(sorted(a.status for a in answers) == [201] * 2 + [429] * 6, f"{[a.status for a in answers]}")
    check(fork(None).status == 201, "the last one")
    check(fork({}).status == 429, "one too many")
    check(c.request("POST", "/v1/sessions", None, by("one")).status == 429, "a create after them")
    check(sum(len(w.sessions) for w in workers) == 6, "there are more sessions")
    made = answers[[a.status for a in answers].index(201)].json()["sessions"][0]["session_id"]
    check(c.request("DELETE", f"/v1/sessions/{made}", headers=by("one")).status == 204, "no delete")
    check(fork({"count": 1}).status == 201, "the place is not free again")


@case("sessions of a key: coordinators of one Redis count together")
def together(lab):
    redis = Redis(lab).start()
    workers = [lab.worker(f"w{i}") for i in range(2)]
    settings = "[Auth]\n" + keys("one") + "MaxSessionsPerKey=6\n" + redis.settings
    a, b = (lab.coordinator(workers, settings) for _ in range(2))
    for c in a, b:
        until(5, lambda c=c: connected(c), "it reaches Redis")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: (a, b)[i % 2].request("POST", "/v1/sessions", None, by("one")), range(16)))
    made = [x.json()["session_id"] for x in answers if x.status == 201]
    check(len(made) == 6 and all(x.status in (201, 429) for x in answers), f"{[x.status for x in answers]}")
    until(5, lambda: set(redis.cli("ZRANGE", "owner:one", "0", "-1").split()) == set(made), "only they have places")
    # what a worker made before Redis had answered is taken back
    until(5, lambda: {s for w in workers for s in w.sessions} == set(made), "there are no more sessions")
    check(redis.cli("KEYS", "session:*").count("session:") == 6, "there are more records")
    for session in made[:2]:
        check(a.request("DELETE", f"/v1/sessions/{session}", headers=by("one")).status == 204, "no delete")
    until(3, lambda: int(redis.cli("ZCARD", "owner:one")) == 4, "the places are free")
    check(b.request("POST", "/v1/sessions", None, by("one")).status == 201, "no place at the other")
    # a worker that cannot give one
    for w in workers:
        w.status = "draining"
    for c in a, b:
        until(5, lambda c=c: c.status_of("w0") == "draining" and c.status_of("w1") == "draining", "draining")
    check(a.request("POST", "/v1/sessions", None, by("one")).status == 503, "a session of draining workers")
    until(3, lambda: int(redis.cli("ZCARD", "owner:one")) == 5, "a place is left behind")
    redis.kill()
    until(3, lambda: a.health()["status"] != "healthy", "degraded")
    check(a.request("GET", f"/v1/sessions/{made[2]}", headers=by("one")).status == 200, "not served")


@case("sessions of a key: forks at coordinators of one Redis count together")
def forks_together(lab):
    redis = Redis(lab).start()
    workers = [lab.worker(f"w{i}") for i in range(2)]
    settings = "[Auth]\n" + keys("one") + "MaxSessionsPerKey=9\n" + redis.settings
    a, b = (lab.coordinator(workers, settings) for _ in range(2))
    for c in a, b:
        until(5, lambda c=c: connected(c), "it reaches Redis")
    path = "/v1/sessions/" + a.request("POST", "/v1/sessions", None, by("one")).json()["session_id"] + "/fork"

    def there():
        return sum(len(w.sessions) for w in workers)

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda i: (a, b)[i % 2].request("POST", path, {"count": 3}, by("one")), range(12)))
    check(sorted(x.status for x in answers) == [201] * 2 + [429] * 10, f"{[x.status for x in answers]}")
    check(there() == 7, f"{there()} sessions")
    # b knows of none but its own forks: Redis counts
    refused = [c.request("POST", path, {"count": 3}, by("one")) for c in (a, b)]
    check(all(x.status == 429 and x.json()["field"] == "count" for x in refused), f"{refused}")
    check(b.request("POST", path, {"count": 2}, by("one")).status == 201, "there is place for two")
    check(b.request("POST", "/v1/sessions", None, by("one")).status == 429, "a create after them")
    ids = {s for w in workers for s in w.sessions}
    until(5, lambda: set(redis.cli("ZRANGE", "owner:one", "0", "-1").split()) == ids, "only they have places")
    # places of a fork that comes to nothing are free again
    for s in list(ids)[:4]:
        a.request("DELETE", f"/v1/sessions/{s}", headers=by("one"))
    path = "/v1/sessions/" + next(s for w in workers for s in w.sessions) + "/fork"
    for w in workers:
        w.faults[("POST", path)] = fake.die
    check(a.request("POST", path, {"count": 4}, by("one")).status >= 500, "it is made all the same")
    until(5, lambda: int(redis.cli("ZCARD", "owner:one")) == 5, "a place is left behind")
    # without Redis, what a coordinator knows counts
    redis.kill()
    until(3, lambda: a.health()["status"] != "healthy" and b.health()["status"] != "healthy", "degraded")
    for w in workers:
        w.faults.clear()
    check(a.request("POST", path, {"count": 9}, by("one")).status == 429, "without Redis nothing is counted")
    check(a.request("POST", path, {"count": 1}, by("one")).status == 201, "without Redis nothing is made")


@case("sessions of a key: a slow Redis that refuses late leaves nothing behind")
def refused_late(lab):
    redis = Redis(lab).start()
    workers = [lab.worker(f"w{i}") for i in range(2)]
    settings = "[Auth]\n" + keys("one") + "MaxSessionsPerKey=4\n" + redis.settings + "Deadline=10s\n"
    a, b = (lab.coordinator(workers, settings) for _ in range(2))
    for c in a, b:
        until(5, lambda c=c: connected(c), "it reaches Redis")
    made = {a.request("POST", "/v1/sessions", None, by("one")).json()["session_id"] for _ in range(4)}
    redis.pause(True)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda body: b.request("POST", "/v1/sessions", body, by("one")), (None, {"key": "k"}))
        until(5, lambda: sum(len(w.sessions) for w in workers) > 4, "the worker is asked at once")
        redis.pause(False)
        answers = list(answers)
    check(all(x.status == 429 for x in answers), f"{answers}")
    until(5, lambda: {s for w in workers for s in w.sessions} == made, "what was made is taken back")
    until(5, lambda: set(redis.cli("ZRANGE", "owner:one", "0", "-1").split()) == made, "no place is left")
    until(5, lambda: redis.cli("KEYS", "key:*") == "", "nothing is left under the key")
    check(redis.cli("KEYS", "session:*").count("session:") == 4, "a record is left")
    # for a while the store is asked first, and no worker at all
    n = sum(len(w.requests) for w in workers)
    check(b.request("POST", "/v1/sessions", None, by("one")).status == 429, "one too many")
    check(sum(len(w.requests) for w in workers) == n, "a worker was asked")
    check(a.request("DELETE", f"/v1/sessions/{made.pop()}", headers=by("one")).status == 204, "no delete")
    check(b.request("POST", "/v1/sessions", None, by("one")).status == 201, "the place is not free again")


@case("sessions of a key: what ends while Redis is away is not counted when it is back")
def ended_unheard(lab):
    redis = Redis(lab).start()
    w = lab.worker("w")
    settings = "[Auth]\n" + keys("one") + "MaxSessionsPerKey=3\n" + redis.settings
    a, b = (lab.coordinator([w], settings) for _ in range(2))
    for c in a, b:
        until(5, lambda c=c: connected(c), "it reaches Redis")
    made = [c.request("POST", "/v1/sessions", None, by("one")).json()["session_id"] for c in (a, b, a)]
    for session in made[:2]:
        check(b.request("GET", f"/v1/sessions/{session}", headers=by("one")).status == 200, "not served")
    # what it is told before anybody notices is lost with it
    until(5, lambda: redis.cli("ZCARD", "owner:one") == "3", "the places are taken")
    check(redis.cli("SAVE") == "OK", "SAVE")
    redis.pause(True)
    check(a.request("DELETE", f"/v1/sessions/{made[2]}", headers=by("one")).status == 204, "no delete")
    until(5, lambda: not connected(a) and not connected(b), "degraded")
    check(b.request("DELETE", f"/v1/sessions/{made[0]}", headers=by("one")).status == 204, "no delete")
    redis.kill()
    redis.start()
    until(10, lambda: connected(a) and connected(b), "healthy again")
    until(5, lambda: redis.cli("ZRANGE", "owner:one", "0", "-1") == made[1], "a place of one that ended")
    until(5, lambda: redis.cli("KEYS", "session:*") == f"session:{made[1]}", "a record of one that ended")
    for c in a, b:
        check(c.request("POST", "/v1/sessions", None, by("one")).status == 201, "a place is not free again")
    check(a.request("POST", "/v1/sessions", None, by("one")).status == 429, "one too many")


@case("sessions of a key: those of a worker that was given up do not count, and count again when it is back")
def given_up(lab):
    redis = Redis(lab).start()
    for store in "", redis.settings:
        workers = [lab.worker(f"{'r' if store else 'm'}{i}") for i in range(2)]
        a = lab.coordinator(workers, "[Coordinator]\nGiveUp=2s\nHealthInterval=500ms\n[Auth]\n" + keys("one") +
                            "MaxSessionsPerKey=4\n" + store)
        until(5, lambda: connected(a), "all is there")
        for _ in range(4):
            check(a.request("POST", "/v1/sessions", None, by("one")).status == 201, "a session")
        former = max(workers, key=lambda w: len(w.sessions))
        n = len(former.sessions)
        check(a.request("POST", "/v1/sessions", None, by("one")).status == 429, "more than allowed")
        former.stop()
        until(5, lambda: a.status_of(former.name) == "down", "it is down")
        for _ in range(n):
            until(5, lambda: a.request("POST", "/v1/sessions", None, by("one")).status == 201, "what is lost counts")
        check(a.request("POST", "/v1/sessions", None, by("one")).status == 429, "more than allowed on the one that is left")
        if store:
            check(redis.cli("ZCARD", "owner:one") == "4", "places")
        former.start()
        until(5, lambda: a.status_of(former.name) == "healthy", "it is back")
        until(5, lambda: not store or redis.cli("ZCARD", "owner:one") == str(4 + n), "what is back counts")
        gone = [s for w in workers for s in w.sessions][:n]
        for session in gone:
            check(a.request("DELETE", f"/v1/sessions/{session}", headers=by("one")).status == 204, "no delete")
        check(a.request("POST", "/v1/sessions", None, by("one")).status == 429, "what is back does not count")

# SPDX-License-Identifier: LGPL-2.1-or-later
"""What workers do wrong."""
import asyncio
import concurrent.futures
import time
import uuid

from patience import patience

from . import fake
from .driver import case, check, until


@case("sessions are spread evenly")
def spread(lab):
    workers = [lab.worker(f"w{i}") for i in range(3)]
    c = lab.coordinator(workers)
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        ids = list(pool.map(lambda _: c.create(), range(300)))
    check(len(set(ids)) == 300, "ids are there twice")
    counts = [len(w.sessions) for w in workers]
    check(sum(counts) == 300 and min(counts) >= 90 and max(counts) <= 110, f"spread {counts}")


@case("workers: of two sessions of one key the newer is used, and the other when that has ended")
def two_of_a_key(lab):
    workers = [lab.worker(f"w{i}") for i in range(4)]
    now = time.time()
    for i, w in enumerate(workers):
        # whichever is heard of first
        name = f"k{i // 2}-{['older', 'newer'][i % 2 ^ i // 2]}"
        w.sessions[name] = {"id": name, "key": f"k{i // 2}", "owner": None, "created": now - (5 if "older" in name else 2)}
    c = lab.coordinator(workers)
    for key in "k0", "k1":
        for age in "newer", "older":
            answer = c.request("POST", "/v1/sessions", {"key": key})
            check(answer.status == 200 and answer.json()["session_id"] == f"{key}-{age}", f"{key}: {answer}, not the {age}")
            check(c.request("DELETE", f"/v1/sessions/{key}-{age}").status == 204, "delete")
    check(not any(w.sessions for w in workers), "a session is left")


@case("a full worker gets none, and all full is 503")
def capacity(lab):
    a, b = lab.worker("a", most=3), lab.worker("b", most=10)
    c = lab.coordinator([a, b])
    for _ in range(13):
        c.create()
    check((len(a.sessions), len(b.sessions)) == (3, 10), "13 sessions do not fit")
    answer = c.create(status=503)
    check(answer.headers["Retry-After"], "no Retry-After")


@case("a worker that refuses is retried elsewhere")
def refusal(lab):
    a, b = lab.worker("a"), lab.worker("b")
    c = lab.coordinator([a, b])
    a.faults["POST", "/v1/sessions"] = fake.full
    for _ in range(20):
        c.create()
    check(len(b.sessions) == 20, f"{len(b.sessions)} of 20")


@case("a worker that fails is retried elsewhere, and is no error of the coordinator")
def failure(lab):
    a, b = lab.worker("a"), lab.worker("b")
    c = lab.coordinator([a, b])
    a.faults["POST", "/v1/sessions"] = fake.broken
    for body in [None] * 10 + [{"key": f"k{i}"} for i in range(10)] + [{"wait": 1}]:
        check(c.request("POST", "/v1/sessions", body).status == 201, f"{body}")
    check(len(b.sessions) == 21, f"{len(b.sessions)} of 21")
    b.faults["POST", "/v1/sessions"] = fake.broken
    for body in (None, {"key": "k"}, {"wait": 1}):
        answer = c.request("POST", "/v1/sessions", body)
        check(answer.status == 503 and answer.headers["Retry-After"], f"{body}: {answer}")
        check("with status 500: It is broken." in answer.json()["detail"], f"{body}: {answer}")
    answer = c.request("POST", "/v1/sessions", {"key": "k1"})  # at the one that has it
    check(answer.status in (502, 503) and answer.headers["Retry-After"], f"{answer}")
    b.faults.clear()
    c.create()


@case("what a session answers says nothing of its worker")
def payload(lab):
    a, b = lab.worker("a"), lab.worker("b")
    c = lab.coordinator([a, b])
    session = c.create()
    mine = a if session in a.sessions else b

    async def refuses(worker, request, reader, writer):
        await worker.send(writer, 500, {"title": "Internal error", "status": 500}, [("Connection", "close")])
        return True

    mine.faults["POST", "/v1/sessions/"] = refuses
    until(5, lambda: c.status_of("a") == "healthy" and c.status_of("b") == "healthy", "both are there")
    seen = set()
    for i in range(1000):
        answer = c.request("POST", f"/v1/sessions/{session}/exec", {"command": "false"})
        check(answer.status == 500, f"{answer}")
        if i % 50 == 0:
            seen.add(c.status_of(mine.name))
    seen.add(c.status_of(mine.name))
    check(seen == {"healthy"}, f"it was seen as {seen}")
    for _ in range(20):
        c.create()
    check(len(a.sessions) >= 8 and len(b.sessions) >= 8, f"{len(a.sessions)} and {len(b.sessions)}: one is avoided")


@case("clocks of workers: two hours behind or ahead, nothing is lost and nobody is out")
def clocks(lab):
    a, b = lab.worker("a"), lab.worker("b")
    a.skew, b.skew = -7200, 7200
    c = lab.coordinator([a, b])
    until(5, lambda: c.status_of("a") == "healthy" and c.status_of("b") == "healthy", "both are there")
    ids = [c.create() for _ in range(20)]
    key = c.request("POST", "/v1/sessions", {"key": "k"}).json()["session_id"]
    check(len(a.sessions) >= 8 and len(b.sessions) >= 8, f"{len(a.sessions)} and {len(b.sessions)}: one is avoided")
    time.sleep(6)  # those that seem to have ended are forgotten meanwhile
    for session in ids + [key]:
        answer = c.request("GET", f"/v1/sessions/{session}")
        check(answer.status == 200, f"{session}: {answer}")
    check(c.request("POST", "/v1/sessions", {"key": "k"}).json()["session_id"] == key, "another session for the key")
    check(c.status_of("a") == "healthy" and c.status_of("b") == "healthy", "one is out")


@case("a worker that dies while it creates: one session, elsewhere")
def dies_in_create(lab):
    a, b = lab.worker("a"), lab.worker("b")
    c = lab.coordinator([a, b])

    async def create_and_die(worker, request, reader, writer):
        worker.answer(request)
        writer.transport.abort()
        return True

    a.faults["POST", "/v1/sessions"] = create_and_die
    ids = [c.create() for _ in range(10)]
    check(len(b.sessions) == 10 and set(ids) == set(b.sessions), "not all are on the other")
    until(5, lambda: not a.sessions, "what the dead one had made is taken back")


@case("garbage, half an answer, wrong lengths for a creation")
def bad_creates(lab):
    for name, fault in (("garbage", fake.garbage), ("die", fake.die), ("half", fake.half), ("json", fake.bad_json),
                        ("headers", fake.many_headers)):
        a, b = lab.worker("a"), lab.worker("b")
        c = lab.coordinator([a, b])
        a.faults["POST", "/v1/sessions"] = fault
        for _ in range(4):
            answer = c.request("POST", "/v1/sessions")
            if name in ("half", "json"):  # an answer, but not of a session
                check(answer.status in (201, 502), f"{name}: {answer}")
            else:
                check(answer.status == 201, f"{name}: {answer}")
        check(not a.sessions, f"{name}: sessions are left")
        lab.clear()


@case("a worker that says it has the session of another is not believed")
def stolen(lab):
    a, b = lab.worker("a"), lab.worker("b")
    c = lab.coordinator([a, b])
    b.faults["POST", "/v1/sessions"] = fake.full
    victim = c.create()
    check(victim in a.sessions, "the session is at a")
    a.faults["POST", "/v1/sessions"] = fake.full

    async def steal(worker, request, reader, writer):
        described = {**a.describe(a.sessions[victim]), "worker_id": "b"}
        if request.method == "POST":
            await worker.send(writer, 201, described)
        else:
            await worker.send(writer, 200, {"sessions": [described]})
        return True

    b.faults["POST", "/v1/sessions"] = steal
    answer = c.request("POST", "/v1/sessions")
    check(answer.status != 201 or answer.json()["session_id"] != victim, f"it was given out: {answer}")
    a.faults.clear()
    b.faults["GET", "/v1/sessions"] = steal
    b.requests.clear()
    b.token = str(uuid.uuid4())  # it is asked what it holds
    until(8, lambda: b.asked("GET", "/v1/sessions"), "it is asked what it holds")
    for _ in range(20):
        time.sleep(0.02)
        answer = c.request("POST", f"/v1/sessions/{victim}/exec", {"command": "secret"})
        check(answer.status == 200 and answer.json()["worker"] == "a", f"at the thief: {answer}")


@case("a worker that answers for another session does not hide the one that was asked for")
def other_answer(lab):
    a, b = lab.worker("a"), lab.worker("b")
    session = str(uuid.uuid4())
    c = lab.coordinator([a, b])

    async def other(worker, request, reader, writer):
        made = {"id": str(uuid.uuid4()), "key": None, "owner": None}
        await worker.send(writer, 200, worker.describe(made))
        return True

    async def slow(worker, request, reader, writer):
        await asyncio.sleep(0.2)
        return False

    a.sessions[session] = {"id": session, "key": None, "owner": None}  # not known to the coordinator yet
    a.faults["GET", f"/v1/sessions/{session}"] = slow
    b.faults["GET", f"/v1/sessions/{session}"] = other
    answer = c.request("GET", f"/v1/sessions/{session}")
    check(answer.status == 200 and answer.json()["worker_id"] == "a", f"{answer}")


@case("a creation that is never answered goes elsewhere")
def hanging_create(lab):
    a, b = lab.worker("a"), lab.worker("b")
    c = lab.coordinator([a, b])
    a.faults["POST", "/v1/sessions"] = fake.hang
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        start = time.monotonic()
        answers = list(pool.map(lambda _: c.request("POST", "/v1/sessions"), range(4)))
        check(all(x.status == 201 for x in answers), f"{answers}")
        check(time.monotonic() - start < patience(20), "too late")


@case("garbage, half an answer, wrong lengths for a request")
def bad_answers(lab):
    a = lab.worker("a")
    c = lab.coordinator([a])
    session = c.create()
    path = f"/v1/sessions/{session}/files?path=x"
    for name, fault in (("garbage", fake.garbage), ("die", fake.die), ("half", fake.half),
                        ("bad headers", fake.bad_headers), ("many headers", fake.many_headers)):
        a.faults["GET", "/v1/sessions/"] = fault
        answer = c.request("GET", path)
        check(answer.status == 502 and answer.json()["status"] == 502, f"{name}: {answer}")
        a.faults.clear()
        until(5, lambda: c.request("GET", path).status == 200, f"{name}: it works again")
    a.faults["GET", "/v1/sessions/"] = fake.too_much
    answer = c.request("GET", path)
    check(answer.status == 200 and answer.body == b"hello", f"too much: {answer}")
    a.faults.clear()
    answer = c.request("GET", path)
    check(answer.status == 200 and answer.json()["worker"] == "a", f"what was too much came back: {answer}")
    for name, fault in (("half of a large one", fake.half_large), ("cut chunks", fake.cut_chunks)):
        a.faults["GET", "/v1/sessions/"] = fault
        try:
            answer = c.request("GET", path)
        except Exception:  # the connection ends before the answer
            answer = None
        check(answer is None, f"{name}: the client does not notice")
        a.faults.clear()
        until(5, lambda: c.request("GET", path).status == 200, f"{name}: it works again")


@case("a line of an answer that has no end is the worker's fault, whatever reads it")
def endless_line(lab):
    a = lab.worker("a")
    c = lab.coordinator([a])
    path = f"/v1/sessions/{c.create()}/files?path=x"
    for name, method, body, headers in (("one request", "GET", None, {}),
                                        ("another protocol", "GET", None, {"Connection": "Upgrade", "Upgrade": "x"}),
                                        ("a body in pieces", "PUT", iter([b"abc"]), {"Transfer-Encoding": "chunked"})):
        a.faults[method, "/v1/sessions/"] = fake.endless_line
        answer = c.request(method, path, body, headers)
        check(answer.status == 502 and answer.json()["status"] == 502, f"{name}: {answer}")
        a.faults.clear()
        until(5, lambda: c.request("GET", path).status == 200, f"{name}: it works again")


@case("a command is not sent twice")
def not_twice(lab):
    a = lab.worker("a")
    c = lab.coordinator([a])
    session = c.create()
    for _ in range(5):  # kept connections, whose end looks like one that was idle for too long
        c.request("GET", f"/v1/sessions/{session}")
    a.faults["POST", "/v1/sessions/"] = fake.die
    a.requests.clear()
    answer = c.request("POST", f"/v1/sessions/{session}/exec", {"command": "true"})
    check(answer.status == 502, f"{answer}")
    answer = c.request("POST", f"/v1/sessions/{session}/pause")
    check(answer.status == 502, f"{answer}")
    n = len(a.asked("POST", f"/v1/sessions/{session}/"))
    check(n == 2, f"{n} requests instead of 2")


@case("an answer that never begins is given up")
def never_begins(lab):
    a = lab.worker("a")
    c = lab.coordinator([a], "AnswerTimeout=1s")
    session = c.create()
    a.faults["GET", "/v1/sessions/"] = fake.hang
    start = time.monotonic()
    answer = c.request("GET", f"/v1/sessions/{session}/stat?path=x")
    check(answer.status == 502 and time.monotonic() - start < patience(4), f"{answer} after {time.monotonic() - start:.1f} s")


@case("a worker that accepts and says nothing is out of rotation in 3 s")
def silent_health(lab):
    a, b = lab.worker("a"), lab.worker("b")
    c = lab.coordinator([a, b])
    a.faults["*", "/"] = fake.hang
    start = time.monotonic()
    until(3, lambda: c.status_of("a") != "healthy", "it is noticed")
    until(6, lambda: c.status_of("a") == "down", "it is down")
    for _ in range(5):
        c.create()
    check(len(b.sessions) == 5, "sessions go to the silent one")
    check(c.health()["status"] == "degraded", "health does not say so")
    a.faults.clear()
    start = time.monotonic()
    until(5, lambda: c.status_of("a") == "healthy", "it is back")


@case("a dead worker is out in 3 s and back in 5, its sessions with it")
def dead_and_back(lab):
    a, b = lab.worker("a"), lab.worker("b")
    c = lab.coordinator([a, b])
    ids = [c.create() for _ in range(20)]
    mine = next(i for i in ids if i in a.sessions)
    gone = [i for i in ids if i in a.sessions and i != mine][0]
    a.stop()
    until(3, lambda: c.status_of("a") == "down", "it is noticed")
    answer = c.request("GET", f"/v1/sessions/{mine}")
    check(answer.status == 502 and answer.headers["Retry-After"], f"{answer}")
    del a.sessions[gone]
    a.token = "another"
    a.start()
    until(5, lambda: c.status_of("a") == "healthy", "it is back")
    until(2, lambda: c.request("GET", f"/v1/sessions/{mine}").status == 200, "its session is found")
    answer = c.request("GET", f"/v1/sessions/{gone}")
    check(answer.status in (404, 410), f"a session that did not survive: {answer}")


@case("a worker that is restarted while it is used: no request is lost")
def restarted(lab):
    a = lab.worker("a")
    c = lab.coordinator([a])
    session = c.create()
    for _ in range(3):
        a.stop()
        a.token += "x"
        time.sleep(0.05)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            asked = pool.submit(c.request, "GET", f"/v1/sessions/{session}")
            made = pool.submit(c.request, "POST", "/v1/sessions")
            time.sleep(0.2)
            a.start()
            check(asked.result().status == 200, f"{asked.result()}")
            check(made.result().status == 201, f"{made.result()}")


@case("a new token is noticed within the request")
def new_token(lab):
    a = lab.worker("a")
    c = lab.coordinator([a])
    session = c.create()
    for i in range(5):
        a.token = f"token-{i}"
        answer = c.request("POST", f"/v1/sessions/{session}/exec", {"command": "true"})
        check(answer.status == 200, f"{answer}")
        a.token = f"again-{i}"
        c.create()


@case("a worker that was given up cannot serve what was given away")
def given_up(lab):
    a, b = lab.worker("a"), lab.worker("b")
    c = lab.coordinator([a, b], "GiveUp=1s\nHealthInterval=200ms")
    b.status = "draining"
    until(3, lambda: c.status_of("b") == "draining", "b drains")
    told, silent, keyed = c.create(), c.create(), c.create({"key": "k"})
    b.status = "healthy"
    until(3, lambda: c.status_of("b") == "healthy", "b is back")
    a.stop()
    until(3, lambda: c.status_of("a") == "down", "it is noticed")
    answer = c.request("POST", "/v1/sessions", {"key": "k"})
    check(answer.status == 502, f"the key is given away too early: {answer}")
    answer = until(5, lambda: (x := c.request("GET", f"/v1/sessions/{told}")).status == 410 and x, "it is given up")
    check(answer.json()["reason"] == "lost", f"{answer}")
    other = c.create({"key": "k"})
    check(other != keyed and other in b.sessions, "the key has no new session")
    former = a.token
    a.start()
    until(5, lambda: c.status_of("a") == "healthy", "it is back")
    check(a.token != former, "its fencing token is the former one")
    check(told not in a.sessions and keyed not in a.sessions, "it still has what was given away")
    check(c.request("GET", f"/v1/sessions/{silent}").status == 200, "a session nobody asked for is lost")
    check(c.request("GET", f"/v1/sessions/{told}").status == 410, "what was lost is back")
    check(c.request("POST", "/v1/sessions", {"key": "k"}).json()["session_id"] == other, "the key has moved")


@case("one name, two workers")
def conflict(lab):
    a = lab.worker("same")
    c = lab.coordinator([a])
    for _ in range(3):
        c.create()
    b = lab.worker("same")
    c.workers.append(b)
    c.write()
    c.process.send_signal(1)
    until(5, lambda: "conflict" in [w["status"] for w in c.health()["workers"]], "it is noticed")
    check("Give it another name" in c.log_text(), "nothing in the log")
    for _ in range(5):
        c.create()
    check(len(b.sessions) == 0 and len(a.sessions) == 8, "both are used")
    check(c.request("GET", f"/v1/sessions/{list(a.sessions)[0]}").status == 200, "sessions of the first are lost")


@case("a worker comes back under its name at another address")
def moved(lab):
    a, b = lab.worker("a"), lab.worker("b")
    c = lab.coordinator([a, b])
    ids = [c.create() for _ in range(10)]
    mine = [i for i in ids if i in a.sessions]
    a.stop()
    until(4, lambda: c.status_of("a") == "down", "it is noticed")
    twin = lab.worker("a")
    twin.sessions = a.sessions
    c.workers = [twin, b]
    c.write()
    c.process.send_signal(1)
    until(5, lambda: all(c.request("GET", f"/v1/sessions/{i}").status == 200 for i in mine), "its sessions are found")


@case("draining: none new, the old go on")
def drain(lab):
    a, b = lab.worker("a"), lab.worker("b")
    c = lab.coordinator([a, b])
    ids = [c.create() for _ in range(6)]
    check(c.request("POST", "/v1/workers/a/drain").status == 200, "drain")
    n = len(a.sessions)
    for _ in range(6):
        c.create()
    check(len(a.sessions) == n, "a worker that drains gets sessions")
    for i in ids:
        check(c.request("GET", f"/v1/sessions/{i}").status == 200, "an old session is lost")
    check(c.request("POST", "/v1/workers/b/drain").status == 200, "drain")
    check(c.create(status=503).headers["Retry-After"], "no Retry-After")
    check(c.request("GET", "/health").status == 503 and c.health()["status"] == "draining", "health")
    check(c.request("POST", "/v1/workers/a/undrain").status == 200, "undrain")
    c.create()
    check(c.request("POST", "/v1/workers/nobody/drain").status == 404, "an unknown worker")


@case("a coordinator that is killed loses nothing")
def killed(lab):
    workers = [lab.worker(f"w{i}") for i in range(3)]
    c = lab.coordinator(workers)
    ids = [c.create({"key": f"k{i}"}) for i in range(30)]
    c.kill()
    c.start()
    for i, session in enumerate(ids):
        check(c.request("GET", f"/v1/sessions/{session}").status == 200, "a session is lost")
        answer = c.request("POST", "/v1/sessions", {"key": f"k{i}"})
        check(answer.status == 200 and answer.json()["session_id"] == session, f"a key is lost: {answer}")


@case("sessions that were made elsewhere are found by asking")
def asked(lab):
    workers = [lab.worker(f"w{i}") for i in range(5)]
    c = lab.coordinator(workers)
    workers[3].sessions["foreign"] = {"id": "foreign", "key": None, "owner": None}
    check(c.request("GET", "/v1/sessions/foreign").status == 200, "it is not found")
    check(c.request("GET", "/v1/sessions/unknown").status == 404, "what nobody has")
    n = sum(len(w.requests) for w in workers)
    check(c.request("GET", "/v1/sessions/foreign").status == 200, "it is not found again")
    check(sum(len(w.requests) for w in workers) == n + 1, "all are asked again")


@case("lists go over all workers")
def lists(lab):
    workers = [lab.worker(f"w{i}") for i in range(4)]
    c = lab.coordinator(workers)
    ids = {c.create() for _ in range(40)}
    answer = c.request("GET", "/v1/sessions?limit=1000").json()
    check({s["session_id"] for s in answer["sessions"]} == ids and "next" not in answer, "one page")
    workers[2].stop()
    until(4, lambda: c.status_of("w2") == "down", "it is noticed")
    answer = c.request("GET", "/v1/sessions?limit=1000").json()
    check(answer["missing_workers"] == ["w2"], f"{answer.get('missing_workers')}")


@case("workers by names of hosts, also one that nobody knows")
def names(lab):
    a, b = lab.worker("a"), lab.worker("b")
    c = lab.coordinator([f"http://localhost:{a.port}", "http://no-such-host.invalid:5000", b.url])
    until(8, lambda: c.status_of("a") == "healthy" and c.status_of("b") == "healthy", "both are there")
    for _ in range(20):
        c.create()
    check(len(a.sessions) >= 5 and len(b.sessions) >= 5, "one of them is not used")
    a.stop()
    until(5, lambda: c.status_of("a") == "down", "down")
    a.start()
    until(8, lambda: c.status_of("a") == "healthy", "back")

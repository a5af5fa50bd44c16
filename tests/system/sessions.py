#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# sessions.py ADDRESS PID [TEST...]: the checks of sessions.sh, on the worker at ADDRESS whose process is PID. With
# $SESSIONS_MAX the worker has that many sessions at most, and none of them is in use.
import json
import os
import select
import threading
import time
import uuid

from patience import patience
from session_client import Session, call, connect, expect, main, raw, until

MAX = int(os.environ.get("SESSIONS_MAX", 0))
MIB = 1 << 20


def usage(session):
    return call("GET", session.path)[1]["usage"]


def test_use_of_the_disk():
    with Session() as s, Session() as other:
        before = usage(s)["disk"]
        assert before < MIB, before
        untouched = usage(other)["disk"]
        # all that can be written is one file system, and what is sparse takes up nothing
        s.output("head -c 3145728 /dev/zero >big; head -c 1048576 /dev/zero >/tmp/a; head -c 1048576 /dev/zero >/dev/shm/b; "
                 "truncate -s 100M sparse")
        used = usage(s)["disk"] - before
        assert 5 * MIB <= used < 6 * MIB, used
        expect(untouched, usage(other)["disk"], "the neighbour")
        expect(0, used + before - int(s.output("df -B1 --output=used . | tail -1")), "what df says")
        # it is told while nothing in there could answer
        if call("POST", s.path + "/pause")[0] == 200:
            expect(used + before, usage(s)["disk"], "while it is paused")
            expect("paused", call("GET", s.path)[1]["state"])
        s.output("rm big /tmp/a /dev/shm/b")
        left = usage(s)["disk"]
        assert left - before < MIB, (before, left)
        # what is deleted but open counts, since it takes up memory
        s.run("head -c 2097152 /dev/zero >open; exec 3<open; rm open; touch done; sleep 1000", background=True)
        until(lambda: raw("GET", s.path + "/stat?path=done")[0] == 200, "it is written")
        assert usage(s)["disk"] - left >= 2 * MIB, usage(s)
    with Session(disk_limit="2m") as s:
        s.run("head -c 4194304 /dev/zero >full")
        assert MIB < usage(s)["disk"] <= 2 * MIB, usage(s)


def test_use_of_the_disk_is_told_at_once():
    """Whatever the sandbox does to all of its processes."""
    with Session() as s:
        s.run("for i in 1 2 3 4 5 6 7 8; do while :; do :; done & done; while :; do kill -STOP -1; done",
              background=True)
        start = time.monotonic()
        for _ in range(50):
            assert usage(s)["disk"] >= 0
        took = time.monotonic() - start
        assert took < patience(5), took


def test_commands_that_are_stopped_while_they_begin():
    """Process 1 waits for none of them: it starts others, and ends them in time."""
    with Session() as s:
        s.run("while :; do kill -STOP -1; done", background=True)
        for _ in range(5):
            start = time.monotonic()
            status, answer = call("POST", s.path + "/exec", {"command": "echo", "background": True}, timeout=120)
            assert status in (202, 504), (status, answer)
            took = time.monotonic() - start
            assert took < patience(20), took
        start = time.monotonic()
        expect("timeout", s.run("sleep 100", timeout=1)["reason"])
        assert time.monotonic() - start < patience(3)
        # nobody but the one that stops the others is in the way of it
        for e in call("GET", s.path + "/execs")[1]["execs"]:
            call("POST", f"{s.path}/execs/{e['exec_id']}/signal", {"signal": "KILL"})
        until(lambda: all(e["state"] != "running" for e in call("GET", s.path + "/execs")[1]["execs"]), "all have ended")
        expect("x\n", s.output("echo x"))


# What would outlive its time if it could: each leaves more than one process, and none of them ends by itself.
STUBBORN = {
    "ignores signals": "trap '' HUP INT QUIT TERM USR1 ALRM; sh -c \"trap '' TERM; sleep 900; sleep 900\"; sleep 900",
    "stops itself": "sh -c 'kill -STOP $$' & kill -STOP $$",
    "stops its group": "sleep 900 & kill -STOP 0",
    "holds the pipe in the background": "(sleep 900; echo late) & (exec sleep 900) 2>&1 & wait",
    "forks twice": "for i in 1 2 3; do setsid sh -c '(setsid sh -c \"trap : TERM; sleep 900; sleep 900\" &) &'; done; sleep 900",
    "forks and forks": """exec python3 -c 'import os, time
for i in range(12):
    if os.fork() == 0:
        os.setsid()
        while True:
            if os.fork():
                os._exit(0)
time.sleep(900)'""",
}


def processes(mark):
    """How many have @mark in their environment. Those that are dead have none."""
    n = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                n += mark.encode() in f.read()
        except OSError:
            pass
    return n


def stop_in_time(s, command):
    """Seconds until the answer to a command that may run for one, and how many processes are left 0.2 s later."""
    mark, seen = uuid.uuid4().hex, []
    timer = threading.Timer(0.8, lambda: seen.append(processes(mark)))
    timer.start()
    start = time.monotonic()
    answer = s.run(command, timeout=1, env={"MARK": mark})
    took = time.monotonic() - start
    expect("timeout", answer["reason"], answer)
    time.sleep(0.2)
    left = processes(mark)
    timer.join()
    assert seen[0] > 0, "nothing is seen of it while it runs"
    return took, left


def test_time_is_kept():
    """A command whose time is over is answered 0.2 s later at most, and nothing of it is there 0.2 s after that."""
    with Session() as s:
        s.run("sleep 900", timeout=0.1)
        for name, command in STUBBORN.items():
            for attempt in range(8):  # the machine may do something else for a moment
                begin = time.monotonic()
                time.sleep(1)
                late = time.monotonic() - begin - 1
                took, left = stop_in_time(s, command)
                print(f"   {name}: {took:.3f} s (a sleep: {1 + late:.3f} s), {left} processes left", flush=True)
                if 1 <= took <= 1.2 + late and left == 0:
                    break
            else:
                raise AssertionError(f"{name}: {took:.3f} s, {left} processes left")
        # whoever only leaves something behind is not waited for at all
        start = time.monotonic()
        expect("done\n", s.output("(sleep 900; echo late) & setsid sleep 900 & echo done", timeout=60))
        assert time.monotonic() - start < patience(1)
        expect("sandboxuser\n", s.output("whoami"))


def test_key():
    with Session(key="one-of-the-test", metadata={"n": "1"}) as s:
        expect(False, s.answer["attached"])
        status, again = call("POST", "/v1/sessions", {"key": "one-of-the-test", "metadata": {"n": "2"}})
        expect((200, s.id, True), (status, again["session_id"], again["attached"]), again)
        expect({"n": "1"}, again["metadata"])
        expect("one-of-the-test", again["key"])
        with Session(key="another-of-the-test") as other:
            assert other.id != s.id
    # its key is free with its end
    with Session(key="one-of-the-test") as next_one:
        assert next_one.id != s.id


def test_key_of_many_at_once():
    answers = []

    def create(i):
        # one of a kind that no pool has, so that it takes a while
        answers.append(call("POST", "/v1/sessions", {"key": "race-of-the-test", "pids_limit": 77, "wait": 30,
                                                     "metadata": {"i": str(i)}}))
    threads = [threading.Thread(target=create, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expect(1, len({answer["session_id"] for _, answer in answers}), answers)
    expect([200] * 11 + [201], sorted(status for status, _ in answers))
    for status, answer in answers:
        expect(status == 200, answer["attached"])
    expect(204, call("DELETE", "/v1/sessions/" + answers[0][1]["session_id"])[0])


def listed(query):
    return [s["session_id"] for s in call("GET", "/v1/sessions?" + query)[1]["sessions"]]


def test_filters():
    with Session(metadata={"team": "a", "run": "1"}) as a, Session(metadata={"team": "a", "run": "2", "x.y/z": "ü&="}) as b, \
            Session(metadata={"team": "b"}) as c:
        expect([a.id, b.id], listed("metadata.team=a"))
        expect([c.id], listed("metadata.team=b"))
        expect([b.id], listed("metadata.team=a&metadata.run=2"))
        expect([], listed("metadata.team=b&metadata.run=2"))
        expect([], listed("metadata.team="))
        expect([], listed("metadata.nothing=a"))
        expect([], listed("metadata.team=A"))
        expect([b.id], listed("metadata.x.y/z=%C3%BC%26%3D"))
        expect([a.id, b.id], listed("metadata.team=a&state=running"))
        expect([], listed("metadata.team=a&state=paused"))
        status, answer = call("PATCH", c.path, {"metadata": {"team": "a"}})
        expect(200, status, answer)
        expect([a.id, b.id, c.id], listed("metadata.team=a"))
        expect(422, call("GET", "/v1/sessions?" + "&".join(f"metadata.m{i}=a" for i in range(9)))[0])
    expect([], listed("metadata.team=a"))


def pages(query, between=lambda: None):
    ids, token, n = [], "", 0
    while True:
        answer = call("GET", f"/v1/sessions?{query}{token}")[1]
        ids.append([s["session_id"] for s in answer["sessions"]])
        n += 1
        assert n < 100, "there is no end"
        if "next" not in answer:
            return ids
        token = "&next=" + answer["next"]
        between()


def test_pages():
    size = 5
    sessions = [Session(metadata={"of": "pages", "odd": str(i % 2)}) for i in range(size)]
    ids = [s.id for s in sessions]
    try:
        for limit in (1, 2, 4, 5, 6):
            got = pages(f"metadata.of=pages&limit={limit}")
            expect([ids[i:i + limit] for i in range(0, size, limit)], got, f"pages of {limit}")
        expect([[ids[1]], [ids[3]]], pages("metadata.odd=1&limit=1"))
        expect([[]], pages("metadata.of=nothing&limit=1"))
        # one that ends is left out, none is told twice and none of the others is missing
        got = pages("metadata.of=pages&limit=2", lambda: [call("DELETE", sessions[i].path) for i in (0, 3)])
        expect([ids[:2], [ids[2], ids[4]]], got, "while some end")
        late = []
        got = pages("metadata.of=pages&limit=2",
                    lambda: late.append(Session(metadata={"of": "pages"})) if not late else None)
        expect([[ids[1], ids[2]], [ids[4], late[0].id]], got, "while some begin")
        sessions += late
    finally:
        for s in sessions:
            call("DELETE", s.path)


class Waiter:
    """A client that has asked for a session and waits."""

    def __init__(self, n, seconds=120):
        self.connection = connect(300)
        self.connection.request("POST", "/v1/sessions", json.dumps({"wait": seconds, "metadata": {"n": str(n)}}))
        for _ in range(2):  # it has been read, and so comes before those that ask later
            call("GET", "/health")

    def is_answered(self, seconds=0):
        return bool(select.select([self.connection.sock], [], [], seconds)[0])

    def answer(self):
        r = self.connection.getresponse()
        body = json.loads(r.read())
        self.connection.close()
        return r.status, body

    def leave(self):
        self.connection.close()


def test_waiting_for_a_place():
    if MAX == 0:
        print("the worker has no Max= here: waiting is not tested")
        return
    sessions = [Session() for _ in range(MAX)]
    try:
        status, headers, body = raw("POST", "/v1/sessions", "{}")
        expect(503, status, body)
        assert int(headers["Retry-After"]) >= 1
        start = time.monotonic()
        expect(503, call("POST", "/v1/sessions", {"wait": 1})[0])
        assert time.monotonic() - start >= 0.9, "it does not wait"
        waiters = [Waiter(i) for i in range(5)]
        waiters[2].leave()
        del waiters[2]
        until(lambda: call("GET", "/health")[0] == 200, "health")
        for w in waiters:
            assert not w.is_answered(), "a place out of nowhere"
        for k, w in enumerate(waiters):
            expect(204, call("DELETE", sessions.pop(0).path)[0])
            assert w.is_answered(patience(10)), "the one who has waited for longest is not served"
            status, answer = w.answer()
            expect((201, str((0, 1, 3, 4)[k])), (status, answer["metadata"]["n"]), answer)
            sessions.append(Session.of(answer))
            for later in waiters[k + 1:]:
                assert not later.is_answered(), "out of turn"
            expect(503, call("POST", "/v1/sessions", {})[0], "who does not wait comes last")
    finally:
        for s in sessions:
            call("DELETE", s.path)


def test_so_many_may_wait():
    if MAX == 0:
        return
    sessions = [Session() for _ in range(MAX)]
    waiters = []
    try:
        for i in range(1024):
            c = connect(300)
            c.request("POST", "/v1/sessions", '{"wait":300}')
            waiters.append(c)

        def refused():
            status, answer = call("POST", "/v1/sessions", {"wait": 1})
            expect(503, status)
            return answer.get("limit") == "1024 requests"
        until(refused, "the queue is full")
        start = time.monotonic()
        assert refused()
        assert time.monotonic() - start < patience(0.5), "a refusal waits"
        expect("sandboxuser\n", sessions[0].output("whoami"))
        for c in waiters:
            c.close()
        expect(204, call("DELETE", sessions.pop().path)[0])
        until(lambda: call("POST", "/v1/sessions", {"wait": 1, "metadata": {"of": "queue"}})[0] == 201, "room again")
    finally:
        for s in sessions:
            call("DELETE", s.path)
        for id in listed("metadata.of=queue"):
            call("DELETE", "/v1/sessions/" + id)


if __name__ == "__main__":
    main([test_use_of_the_disk, test_use_of_the_disk_is_told_at_once,
          test_commands_that_are_stopped_while_they_begin, test_time_is_kept, test_key, test_key_of_many_at_once, test_filters,
          test_pages, test_waiting_for_a_place, test_so_many_may_wait])

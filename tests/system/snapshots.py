#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# snapshots.py ADDRESS PID [TEST...]: the checks of snapshots.sh, on the worker at ADDRESS whose process is PID
import json
import threading

from session_client import Session, call, connect, descriptors, expect, main, memory, until

LIST = "cd /home/sandboxuser && find . /tmp -printf '%p %y %m %s %l\\n' | LC_ALL=C sort"


def snapshot(session):
    status, answer = call("POST", session.path + "/snapshots")
    expect(201, status, answer)
    return answer


def forget(answer):
    expect(204, call("DELETE", "/v1/snapshots/" + answer["snapshot_id"])[0])


def listed():
    return [s["snapshot_id"] for s in call("GET", "/v1/snapshots?limit=1000")[1]["snapshots"]]


def count():
    return len(call("GET", "/v1/sessions?limit=1000")[1]["sessions"])


def test_files():
    """All that a user can have comes back as it was."""
    with Session() as s:
        s.output(r"""mkdir -p d/e 'with
line'; printf 'x\n' >d/e/f; chmod 640 d/e/f; chmod 711 d/e; ln -s d/e/f link; ln -s /etc/passwd out; ln -s nowhere dead
printf a >"$(printf 'bad\377name')"; : >'with
line/empty'; head -c 3000000 /dev/urandom >random; cp random /tmp/copy; truncate -s 20000000 sparse
for i in $(seq 500); do : >d/n$i; done""")
        wanted, content = s.output(LIST), s.output("cat random | sha256sum")
        taken = snapshot(s)
        expect(("base", s.id), (taken["base_image"], taken["session_id"]))
        s.output("rm -rf d random")
        with Session(image=taken["image"]) as t:
            expect(taken["image"], t.answer["image"])
            expect(wanted, t.output(LIST))
            expect(content, t.output("cat /tmp/copy | sha256sum"))
            expect("x\n", t.output("cat link"))
            expect("ok\n", t.output("echo more >>d/e/f && echo ok"))
            again = snapshot(t)
            expect("base", again["base_image"])
            with Session(image=again["image"]) as u:
                expect("x\nmore\n", u.output("cat d/e/f"))
            forget(again)
        expect(taken, call("GET", "/v1/snapshots/" + taken["snapshot_id"])[1])
        assert taken["snapshot_id"] in listed()
        forget(taken)
        assert taken["snapshot_id"] not in listed()
        for method in ("GET", "DELETE"):
            expect(404, call(method, "/v1/snapshots/" + taken["snapshot_id"])[0])
        status, answer = call("POST", "/v1/sessions", {"image": taken["image"]})
        expect((422, "image"), (status, answer["field"]), answer)


def test_left_out():
    """Neither device, socket nor FIFO is kept, nor what its user may not read; nothing outside is looked at."""
    with Session() as s:
        s.output("mkfifo fifo; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")'; "
                 "echo a >hidden; chmod 000 hidden; mkdir shut; echo a >shut/a; chmod 000 shut; echo a >kept; "
                 "ln -s /proc/1 proc; ln -s / root")
        taken = snapshot(s)
        with Session(image=taken["image"]) as t:
            expect("kept\nproc\nroot\nshut\n", t.output("ls"))
        forget(taken)


def test_limits():
    before = listed()
    with Session(disk_limit="8m") as s:
        s.output("for i in $(seq 20); do truncate -s 8M sparse$i; done")
        status, answer = call("POST", s.path + "/snapshots")
        expect(507, status, answer)
        s.output("rm sparse*; head -c 6000000 /dev/zero >zero")
        taken = snapshot(s)
        status, answer = call("POST", "/v1/sessions", {"image": taken["image"], "disk_limit": "2m"})
        expect(507, status, answer)
        expect(400, call("POST", s.path + "/snapshots", {"name": "x"})[0])
        forget(taken)
    expect(410, call("POST", s.path + "/snapshots")[0])
    expect(404, call("POST", "/v1/sessions/nobody/snapshots")[0])
    for query in ("limit=0", "limit=1001", "limit=x", "next=x", "foo=1"):
        assert call("GET", "/v1/snapshots?" + query)[0] in (400, 422), query
    expect(before, listed())


def test_pages():
    with Session() as s:
        taken = [snapshot(s) for _ in range(5)]
        found, token = [], None
        while True:
            page = call("GET", "/v1/snapshots?limit=2" + (f"&next={token}" if token else ""))[1]
            found += page["snapshots"]
            assert len(page["snapshots"]) <= 2
            token = page.get("next")
            if not token:
                break
        expect([t["snapshot_id"] for t in taken], [f["snapshot_id"] for f in found][-5:])
        for t in taken:
            forget(t)


def test_end_meanwhile():
    """A session that ends while it is copied, and a client that goes, leave nothing behind."""
    before, open_before = listed(), descriptors()
    with Session(memory_limit="512m", disk_limit="300m") as s:
        s.output("head -c 200000000 /dev/zero >zero")
        results = []
        threads = [threading.Thread(target=lambda p=p: results.append(call("POST", s.path + p)[0]))
                   for p in ("/snapshots", "/fork")]
        for t in threads:
            t.start()
        c = connect()
        c.request("POST", s.path + "/fork", json.dumps({"count": 2}))
        c.sock.settimeout(0.05)
        try:
            c.getresponse()
        except OSError:
            pass
        c.close()
    for t in threads:
        t.join()
    assert all(status in (201, 410) for status in results), results
    for id in set(listed()) - set(before):
        expect(204, call("DELETE", "/v1/snapshots/" + id)[0])
    for one in call("GET", "/v1/sessions?limit=1000")[1]["sessions"]:
        call("DELETE", "/v1/sessions/" + one["session_id"])
    until(lambda: descriptors() <= open_before + 2, "descriptors are closed")


def test_fork():
    with Session(env={"A": "b"}, metadata={"who": "parent"}, memory_limit="256m", timeout=1000) as s:
        s.output("echo 1 >state; echo 2 >/tmp/state")
        s.run("exec sleep 1000", background=True, timeout=2000)
        status, answer = call("POST", s.path + "/fork", {"count": 3})
        expect(201, status, answer)
        children = [Session.of(one) for one in answer["sessions"]]
        expect(3, len({c.id for c in children} - {s.id}))
        for c in children:
            expect("1\n2\nb\n", c.output("cat state /tmp/state; echo $A; echo %s >state" % c.id))
            expect(({"who": "parent"}, 1000, 256 << 20, "base"),
                   (c.answer["metadata"], c.answer["timeout"], c.answer["limits"]["memory_limit"], c.answer["image"]))
        expect("1\n", s.output("cat state"))
        for c in children:
            expect(c.id + "\n", c.output("cat state"))
            call("DELETE", c.path)
        status, answer = call("POST", s.path + "/fork", {"timeout": 50, "metadata": {"who": "child"}})
        expect((201, 1), (status, len(answer["sessions"])), answer)
        child = Session.of(answer["sessions"][0])
        expect((50, {"who": "child"}), (child.answer["timeout"], child.answer["metadata"]))
        call("DELETE", child.path)
        before = count()
        for body in ({"count": 0}, {"count": 65}, {"count": -1}, {"count": "2"}, {"count": 1.5}, {"timeout": 0},
                     {"wait": 301}, {"metadata": []}, {"number": 2}, []):
            status, answer = call("POST", s.path + "/fork", body)
            assert status in (400, 422), (body, status, answer)
        expect(before, count())
    expect(410, call("POST", s.path + "/fork")[0])


def test_many():
    """Sessions from one snapshot at the same time."""
    with Session() as s:
        s.output("head -c 1000000 /dev/urandom >r")
        wanted = s.output("sha256sum r")
        taken = snapshot(s)
        grown = memory()
        sessions, errors = [], []

        def one():
            try:
                sessions.append(Session(image=taken["image"], wait=60))
            except AssertionError as e:
                errors.append(e)
        threads = [threading.Thread(target=one) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        expect([], errors)
        for t in sessions:
            expect(wanted, t.output("sha256sum r"))
            call("DELETE", t.path)
        forget(taken)
        assert memory() - grown < 8192, memory() - grown


if __name__ == "__main__":
    main([test_files, test_left_out, test_limits, test_pages, test_end_meanwhile, test_fork, test_many])

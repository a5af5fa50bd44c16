#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# pause.py ADDRESS PID [TEST...]: the checks of pause.sh, on the worker at ADDRESS whose process is PID
import json
import sys
import time

from session_client import Session, call, expect, main, raw, until


def pause(session, **body):
    status, answer = call("POST", session.path + "/pause", body)
    expect((200, "paused"), (status, answer.get("state")), answer)
    return answer


def state(session):
    return call("GET", session.path)[1]["state"]


def running(session, exec_id):
    """How much of its output there is, which asking for does not let it go on."""
    return call("GET", f"{session.path}/execs/{exec_id}/output")[1]["next"]


def test_stands_still():
    with Session(metadata={"test": "pause"}) as s, Session(metadata={"test": "pause"}) as other:
        exec_id = s.run("while :; do echo x; sleep 0.01; done", background=True)["exec_id"]
        until(lambda: running(s, exec_id) > 10, "it runs")
        pause(s)
        counts = [-1, running(s, exec_id)]
        while counts[-1] != counts[-2] and len(counts) < 20:  # what it had said before comes first
            time.sleep(0.5)
            counts.append(running(s, exec_id))
        time.sleep(0.5)
        expect(counts[-1], running(s, exec_id))
        listed = call("GET", "/v1/sessions?metadata.test=pause&state=paused")[1]["sessions"]
        expect([s.id], [one["session_id"] for one in listed])
        listed = call("GET", "/v1/sessions?metadata.test=pause&state=running")[1]["sessions"]
        expect([other.id], [one["session_id"] for one in listed])
        expect(409, call("POST", s.path + "/pause")[0])
        expect("paused", state(s))
        for body in ({"stop_clock": 1}, {"other": True}, []):
            expect(400, call("POST", other.path + "/pause", body)[0])
        expect((200, "running"), (lambda a: (a[0], a[1]["state"]))(call("POST", s.path + "/resume")))
        until(lambda: running(s, exec_id) > counts[-1], "it goes on")
        expect(200, call("POST", s.path + "/resume", {})[0])
        expect(400, call("POST", s.path + "/resume", {"what": 1})[0])


def test_any_request_lets_it_go_on():
    with Session() as s:
        s.put("file", b"abc")
        cat = s.run("cat", background=True, stdin_open=True)["exec_id"]
        status, context = call("POST", s.path + "/contexts", {"language": "bash"})
        expect(201, status, context)
        cid = context["context_id"]
        requests = {
            "command": lambda: expect("ok\n", s.output("echo ok")),
            "file": lambda: expect(b"abc", s.get("file")),
            "write": lambda: s.put("file", b"def"),
            "stat": lambda: expect(200, call("GET", s.path + "/stat?path=file")[0]),
            "dir": lambda: expect(200, call("GET", s.path + "/dir?path=.")[0]),
            "archive": lambda: expect(200, raw("GET", s.path + "/archive?path=.")[0]),
            "stdin": lambda: expect(200, raw("POST", f"{s.path}/execs/{cat}/stdin", b"more\n")[0] // 100 * 100),
            "code": lambda: expect("1\n", call("POST", f"{s.path}/contexts/{cid}/run", {"code": "echo 1"})[1]["stdout"]),
            "snapshot": lambda: expect(204, call("DELETE", "/v1/snapshots/" + call(
                "POST", s.path + "/snapshots")[1]["snapshot_id"])[0]),
            "signal": lambda: expect(200, call("POST", f"{s.path}/execs/{cat}/signal", {"signal": "KILL"})[0] // 100 * 100),
        }
        for name, request in requests.items():
            pause(s)
            request()
            expect("running", state(s), name)
        # these do not
        pause(s)
        for path in ("", "/execs", f"/execs/{cat}", f"/execs/{cat}/output", "/contexts"):
            expect(200, call("GET", s.path + path)[0])
        expect(200, call("PATCH", s.path, {"metadata": {"a": "b"}})[0])
        expect("paused", state(s))
        expect(204, call("DELETE", s.path)[0])


def test_clock():
    with Session(timeout=2) as s, Session(timeout=2) as stopped:
        pause(s)
        pause(stopped, stop_clock=True)
        until(lambda: call("GET", s.path)[0] == 410, "its time is over", 15)
        expect("expired", call("GET", s.path)[1]["reason"])
        time.sleep(0.5)
        expect("paused", state(stopped))
        expect("ok\n", stopped.output("echo ok"))
        until(lambda: call("GET", stopped.path)[0] == 410, "its time goes on", 15)


if __name__ == "__main__":
    with Session() as probe:
        status, answer = call("POST", probe.path + "/pause")
    if status == 409:
        print("sessions cannot be paused here: " + json.dumps(answer))
        sys.exit(0)
    main([test_stands_still, test_any_request_lets_it_go_on, test_clock])

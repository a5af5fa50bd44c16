#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# restart.py SESSIONS COUNTERS: the load of restart.sh, and its checks
import http.client
import json
import subprocess
import sys
import threading
import time

ADDRESS = ("127.0.0.1", 5000)
UNIT = "sandboxd@worker1.service"
SPAWNER = "sandboxd-spawner@worker1.service"


def call(method, path, body=None, timeout=60):
    c = http.client.HTTPConnection(*ADDRESS, timeout=timeout)
    c.request(method, path, json.dumps(body) if body is not None else None)
    r = c.getresponse()
    text = r.read()
    c.close()
    return r.status, json.loads(text) if text else None


def patient(method, path, body=None):
    """As a client does that may repeat its request."""
    end = time.monotonic() + 30
    while True:
        try:
            return call(method, path, body)
        except (OSError, http.client.HTTPException):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class Follower(threading.Thread):
    """Reads the output of a counter, comes back with its offset whenever the connection ends."""

    def __init__(self, session):
        super().__init__(daemon=True)
        self.session = session
        status, answer = patient("POST", f"/v1/sessions/{session}/exec", {
            "command": "i=0; while [ ! -e stop ]; do echo $i; i=$((i+1)); [ $((i % 100)) = 0 ] && sleep 0.02; done; exit 7",
            "background": True})
        assert status == 202, answer
        self.exec_id = answer["exec_id"]
        self.pid = answer["pid"]
        self.offset = 0
        self.text = []
        self.exit = []
        self.problem = None
        self.reconnects = 0

    def run(self):
        while not self.exit and not self.problem:
            try:
                self.follow()
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.02)
            self.reconnects += 1

    def follow(self):
        c = http.client.HTTPConnection(*ADDRESS, timeout=60)
        c.request("GET", f"/v1/sessions/{self.session}/execs/{self.exec_id}/output?from={self.offset}", None,
                  {"Accept": "text/event-stream"})
        r = c.getresponse()
        if r.status != 200:
            self.problem = f"status {r.status}: {r.read()!r}"
            return
        event, identity = None, None
        for line in r:
            line = line.decode().rstrip("\n")
            if line.startswith("event: "):
                event = line[7:]
            elif line.startswith("id: "):
                identity = int(line[4:])
            elif line.startswith("data: "):
                data = json.loads(line[6:])
                if event == "stdout":
                    if data["offset"] != self.offset:
                        self.problem = f"offset {data['offset']} where {self.offset} was next"
                        return
                    self.text.append(data["data"])
                    self.offset = identity
                elif event == "missing":
                    self.problem = f"missing: {data}"
                    return
                elif event == "exit":
                    self.exit.append(data)
                    return


def show(name):
    return subprocess.run(["systemctl", "show", "-p", name, "--value", UNIT], capture_output=True, text=True).stdout.strip()


def wait_ready(old):
    begin = time.monotonic()
    while show("MainPID") in (old, "0") or show("ActiveState") != "active":
        if time.monotonic() - begin > 60:
            sys.exit("the worker does not come back")
        time.sleep(0.02)
    return time.monotonic() - begin


def main():
    n_sessions, n_counters = int(sys.argv[1]), int(sys.argv[2])
    sessions = []
    for i in range(n_sessions):
        status, answer = patient("POST", "/v1/sessions", {"metadata": {"n": str(i)}, "env": {"N": str(i)}})
        assert status == 201, answer
        sessions.append(answer["session_id"])
    for i, s in enumerate(sessions):
        status, answer = patient("POST", f"/v1/sessions/{s}/exec", {"command": "echo $N > n; cat n"})
        assert status == 200 and answer["stdout"] == f"{i}\n", answer
    followers = [Follower(s) for s in sessions[:n_counters]]
    for f in followers:
        f.start()
    time.sleep(1)

    for name, command in (
            ("restart", ["systemctl", "restart", UNIT]),
            ("kill", ["systemctl", "kill", "-s", "KILL", "--kill-who=main", UNIT]),
            ("reload", ["systemctl", "reload", UNIT]),
            ("kill again", ["systemctl", "kill", "-s", "KILL", "--kill-who=main", UNIT]),
            ("reload of the spawner", ["systemctl", "reload", SPAWNER]),
            ("end of the zygote", ["sh", "-c", "kill -9 $(pgrep -P $(systemctl show -p MainPID --value " + SPAWNER +
                                   ") -u $(head -n 1 /etc/subuid | cut -d : -f 2))"]),
            ("daemon-reexec", ["systemctl", "daemon-reexec"]),
            ("restart of a stuck one", ["systemctl", "kill", "-s", "STOP", "--kill-who=main", UNIT]),
            ("restart again", ["systemctl", "restart", UNIT])):
        old = show("MainPID")
        begin = time.monotonic()
        subprocess.run(command, check=True)
        took = time.monotonic() - begin
        if "restart" in name or "kill" in name:
            took += wait_ready(old)
        # what asks meanwhile waits in the socket and is answered
        status, answer = patient("GET", "/health")
        assert status == 200, answer
        print(f"{name}: ready after {took:.2f} s, {answer['active_sessions']} sessions")
        assert answer["active_sessions"] == n_sessions, answer
        status, answer = patient("POST", "/v1/sessions", {"pids_limit": 100})
        assert status == 201, (name, answer)
        status, _ = patient("DELETE", f"/v1/sessions/{answer['session_id']}")
        assert status == 204, name
        time.sleep(0.5)

    lost = 0
    for i, s in enumerate(sessions):
        status, answer = patient("POST", f"/v1/sessions/{s}/exec", {"command": "cat n; echo $N"})
        if status != 200 or answer["stdout"] != f"{i}\n{i}\n":
            print(f"session {s}: {status} {answer}")
            lost += 1
        status, answer = patient("GET", f"/v1/sessions/{s}")
        assert answer["metadata"] == {"n": str(i)}, answer
    for f in followers:
        status, answer = patient("GET", f"/v1/sessions/{f.session}/execs/{f.exec_id}")
        assert answer["state"] == "running" and answer["pid"] == f.pid, answer
        patient("POST", f"/v1/sessions/{f.session}/exec", {"command": "touch stop"})
    bad = 0
    for f in followers:
        f.join(60)
        text = "".join(f.text)
        lines = text.split("\n")[:-1]
        if f.problem or len(f.exit) != 1 or f.exit[0]["exit_code"] != 7 or lines != [str(i) for i in range(len(lines))]:
            wrong = next((i for i, l in enumerate(lines) if l != str(i)), None)
            print(f"counter {f.session}: {f.problem} {f.exit} first wrong line {wrong} of {len(lines)}")
            bad += 1
    total = sum(f.offset for f in followers)
    reconnects = sum(f.reconnects for f in followers)
    print(f"{n_sessions - lost} of {n_sessions} sessions kept; {n_counters - bad} of {n_counters} counters without a gap, "
          f"{total} bytes, {reconnects} connections")
    for s in sessions:
        status, answer = patient("DELETE", f"/v1/sessions/{s}")
        assert status == 204, answer
    status, answer = patient("GET", f"/v1/sessions/{sessions[0]}")
    assert status == 410 and answer["reason"] == "deleted", answer
    old = show("MainPID")
    subprocess.run(["systemctl", "restart", UNIT], check=True)
    status, answer = patient("GET", f"/v1/sessions/{sessions[0]}")
    assert status == 410 and answer["reason"] == "deleted", answer
    sys.exit(1 if lost or bad else 0)


main()

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
END_OF_MAIN = ["systemctl", "kill", "-s", "KILL", "--kill-who=main", SPAWNER]


def call(method, path, body=None, timeout=60):
    c = http.client.HTTPConnection(*ADDRESS, timeout=timeout)
    c.request(method, path, json.dumps(body) if body is not None else None)
    r = c.getresponse()
    text = r.read()
    c.close()
    return r.status, json.loads(text) if text else None


def patient(method, path, body=None):
    """As a client does that may repeat its request, and does when it is told to come back."""
    end = time.monotonic() + 60
    while True:
        try:
            status, answer = call(method, path, body)
            if status != 503 or time.monotonic() > end:
                return status, answer
            time.sleep(answer["retry_after"])
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


def spawner_pid():
    return subprocess.run(["systemctl", "show", "-p", "MainPID", "--value", SPAWNER], capture_output=True,
                          text=True).stdout.strip()


def wait_spawner(old):
    begin = time.monotonic()
    while spawner_pid() in (old, "0") or call("GET", "/health")[0] != 200:
        if time.monotonic() - begin > 60:
            sys.exit("the spawner does not come back")
        time.sleep(0.02)
    return time.monotonic() - begin


def working_pid():
    """The spawner's child that works: the one with its name."""
    return subprocess.run(["pgrep", "-P", spawner_pid(), "-f", "sandboxd-spawner --worker"], capture_output=True,
                          text=True).stdout.strip()


class Steady(threading.Thread):
    """A client that never stops to create, use and delete sessions, in the pool's size and in others."""

    def __init__(self):
        super().__init__(daemon=True)
        self.stopping = False
        self.cycles = 0
        self.slowest = 0
        self.refused = []
        self.cut = 0
        self.patient = False  # what was being made may be refused

    def run(self):
        while not self.stopping:
            begin = time.monotonic()
            try:
                body = {"pids_limit": 100} if self.cycles % 2 else {}
                status, answer = call("POST", "/v1/sessions", body)
                if status == 201:
                    path = f"/v1/sessions/{answer['session_id']}"
                    status, answer = call("POST", f"{path}/exec", {"command": "echo $((6 * 7))"})
                    if status == 200 and answer["stdout"] == "42\n":
                        status, answer = call("DELETE", path)
                if status == 503 and self.patient:
                    self.cut += 1
                    time.sleep(0.1)
                elif status not in (200, 201, 204):
                    self.refused.append((status, answer))
            except (OSError, http.client.HTTPException):
                self.cut += 1  # it was in flight when the worker was killed
            self.slowest = max(self.slowest, time.monotonic() - begin)
            self.cycles += 1


def sandboxes_outlive_the_spawner():
    """The service manager leaves them alone, so that the next one can go on with them."""
    return subprocess.run(["systemctl", "show", "-p", "KillMode", "--value", SPAWNER], capture_output=True,
                          text=True).stdout.strip() == "process"


def lose_the_spawner():
    """Its main process, or else all of it: nothing is left in its control group, the worker says so and begins anew."""
    status, answer = patient("POST", "/v1/sessions", {})
    assert status == 201, answer
    session = answer["session_id"]
    target = call("GET", "/health")[1]["pool_size"]
    if sandboxes_outlive_the_spawner():
        subprocess.run(["systemctl", "kill", "-s", "KILL", SPAWNER], check=True)
    else:
        subprocess.run(["kill", "-9", spawner_pid()], check=True)
    begin = time.monotonic()
    while True:
        status, answer = patient("GET", f"/v1/sessions/{session}")
        if status != 200 or time.monotonic() - begin > 30:
            break
        time.sleep(0.01)
    assert status == 410 and answer["reason"] == "lost", answer
    told = time.monotonic() - begin
    while call("GET", "/health")[1]["pool_ready"] < min(target, 5) and time.monotonic() - begin < 60:
        time.sleep(0.02)
    full = time.monotonic() - begin
    status, answer = patient("POST", "/v1/sessions", {})
    assert status == 201, answer
    status, _ = patient("DELETE", f"/v1/sessions/{answer['session_id']}")
    assert status == 204
    print(f"end of the spawner: lost told after {told:.2f} s, pool full after {full:.2f} s")
    return full


class Paused:
    """A session that stands still, and its clock too."""

    def __init__(self):
        status, answer = patient("POST", "/v1/sessions", {"timeout": 600})
        assert status == 201, answer
        self.path = "/v1/sessions/" + answer["session_id"]
        status, answer = patient("POST", self.path + "/exec", {
            "command": "while :; do echo x; sleep 0.05; done", "background": True})
        assert status == 202, answer
        self.output = f"{self.path}/execs/{answer['exec_id']}/output"
        status, answer = patient("POST", self.path + "/pause", {"stop_clock": True})
        self.possible = status == 200
        if not self.possible:
            print(f"sessions cannot be paused here: {answer}")

    def length(self):
        return patient("GET", self.output)[1]["next"]

    def check(self, when):
        answer = patient("GET", self.path)[1]
        assert answer["usage"]["disk"] >= 0, answer
        if not self.possible:
            return
        assert answer["state"] == "paused", (when, answer)
        for _ in range(20):  # what it said in the moment that process 1 took to answer a new worker comes first
            said = self.length()
            time.sleep(0.3)
            if self.length() == said:
                return
        raise AssertionError(f"{when}: it goes on")

    def go_on(self):
        if self.possible:
            said = self.length()
            assert patient("POST", self.path + "/resume")[1]["state"] == "running"
            end = time.monotonic() + 60
            while self.length() == said:
                assert time.monotonic() < end, "it does not go on"
                time.sleep(0.05)
        assert patient("DELETE", self.path)[0] == 204


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
    still = Paused()
    steady = Steady()
    steady.start()

    for name, command in (
            ("restart", ["systemctl", "restart", UNIT]),
            ("kill", ["systemctl", "kill", "-s", "KILL", "--kill-who=main", UNIT]),
            ("reload", ["systemctl", "reload", UNIT]),
            ("kill again", ["systemctl", "kill", "-s", "KILL", "--kill-who=main", UNIT]),
            ("reload of the spawner", ["systemctl", "reload", SPAWNER]),
            ("end of the zygote", ["sh", "-c", "kill -9 $(pgrep -o -f sandbox-init"
                                   " -u $(head -n 1 /etc/subuid | cut -d : -f 2))"]),
            ("end of the spawner's working process", ["kill", "-9"]),
            ("another end of it", ["kill", "-9"]),
            ("reload of the spawner after it", ["systemctl", "reload", SPAWNER]),
            ("newer packages, restart", ["sh", "-c", "dpkg -i /lab/newer/*.deb >/lab/newer/log 2>&1 || "
                                         "{ cat /lab/newer/log; exit 1; }"]),
            ("daemon-reexec", ["systemctl", "daemon-reexec"]),
            ("restart of a stuck one", ["systemctl", "kill", "-s", "STOP", "--kill-who=main", UNIT]),
            ("restart again", ["systemctl", "restart", UNIT]),
            ("end of the spawner's main process", END_OF_MAIN),
            ("another end of that", END_OF_MAIN),
            ("reload of the spawner after that", ["systemctl", "reload", SPAWNER])):
        if command == END_OF_MAIN and not sandboxes_outlive_the_spawner():
            continue
        old = show("MainPID")
        if command == ["kill", "-9"]:
            command = command + [working_pid()]
        holder = spawner_pid()
        steady.patient = command == END_OF_MAIN
        begin = time.monotonic()
        subprocess.run(command, check=True)
        took = time.monotonic() - begin
        if "restart" in name or "kill" in name:
            took += wait_ready(old)
        if command == END_OF_MAIN:
            took += wait_spawner(holder)
            holder = spawner_pid()
        # what asks meanwhile waits in the socket and is answered
        status, answer = patient("GET", "/health")
        assert status == 200, answer
        print(f"{name}: ready after {took:.2f} s, {answer['active_sessions']} sessions")
        # one is the steady client's, and one that it did not hear of for each time that it was cut off
        assert n_sessions <= answer["active_sessions"] <= n_sessions + 2 + steady.cut, answer
        assert spawner_pid() == holder, "the spawner's main process is another"
        still.check(name)
        status, answer = patient("POST", "/v1/sessions", {"pids_limit": 100})
        assert status == 201, (name, answer)
        status, _ = patient("DELETE", f"/v1/sessions/{answer['session_id']}")
        assert status == 204, name
        time.sleep(0.5)

    still.go_on()
    steady.stopping = True
    steady.join(60)
    print(f"{steady.cycles} sessions made, used and deleted meanwhile, slowest {steady.slowest:.2f} s, "
          f"{steady.cut} cut off, refused: {steady.refused[:3]}")
    assert not steady.refused, steady.refused
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
    lose_the_spawner()
    sys.exit(1 if lost or bad else 0)


main()

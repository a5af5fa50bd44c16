#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""kills.py KILLS NAME=PORT...: workers that are killed at any moment of a session's life, KILLS times in all, while clients
make, use and delete sessions. Afterwards each has what it had before, and nothing else."""
import http.client
import json
import os
import random
import signal
import sys
import threading
import time

from patience import within

SLICE = "/sys/fs/cgroup/sandboxd.slice"
BLANKS_MAX = 4  # that the spawner makes ahead, src/spawner/blank.h


class Worker(threading.Thread):
    def __init__(self, name, port, kills):
        super().__init__(daemon=True)
        self.name_, self.port, self.kills = name, port, kills
        self.stopping = False
        self.kept = self.sessions()
        self.cycles = self.cut = 0
        self.problem = None
        self.client = threading.Thread(target=self.use, daemon=True)

    def call(self, method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            c.request(method, path, json.dumps(body) if body is not None else None)
            r = c.getresponse()
            text = r.read()
            return r.status, json.loads(text) if text else None
        finally:
            c.close()

    def patient(self, method, path):
        """Asked again when the worker was killed under it."""
        while True:
            try:
                return self.call(method, path)
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)

    def sessions(self):
        return {s["session_id"] for s in self.patient("GET", "/v1/sessions?limit=1000")[1]["sessions"]}

    def use(self):
        while not self.stopping:
            self.cycles += 1
            try:
                status, made = self.call("POST", "/v1/sessions", {"pids_limit": 64} if self.cycles % 2 else {})
                if status != 201:
                    continue
                path = f"/v1/sessions/{made['session_id']}"
                status, answer = self.call("POST", f"{path}/exec", {"command": "echo $((6*7))"})
                if status == 200 and answer["stdout"] != "42\n":
                    self.problem = f"a wrong answer: {answer}"
                self.call("DELETE", path)
            except (OSError, http.client.HTTPException, ValueError):
                self.cut += 1

    def pid(self):
        """Of its process, or None while there is none."""
        try:
            with open(f"{SLICE}/sandboxd@{self.name_}.service/cgroup.procs", encoding="ascii") as f:
                return int(f.readline() or 0) or None
        except OSError:
            return None

    def run(self):
        self.client.start()
        try:
            for _ in range(self.kills):
                self.patient("GET", "/health")
                time.sleep(random.random() / 8)
                pid = self.pid()
                os.kill(pid, signal.SIGKILL)
                if not within(15, lambda pid=pid: self.pid() not in (pid, None)):
                    raise OSError("it does not come back")
            self.stopping = True
            self.client.join(60)
            self.look()
        except (OSError, ValueError) as e:
            self.problem = f"{type(e).__name__} {e}"
        self.stopping = True

    def boxes(self):
        tree = f"{SLICE}/sandboxd-spawner@{self.name_}.service"
        n = 0
        for leaf in os.listdir(tree):
            if leaf.startswith("slot-"):
                with open(f"{tree}/{leaf}/cgroup.procs", encoding="ascii") as f:
                    n += len(f.readlines())
        return n

    def look(self):
        now = self.sessions()
        for session in now - self.kept:
            self.call("DELETE", f"/v1/sessions/{session}")

        def is_whole():
            health = self.call("GET", "/health")[1]
            known = health["pool_ready"] + len(self.kept)
            return (health["active_sessions"] == len(self.kept) and health["pool_ready"] == health["pool_size"] and
                    known <= self.boxes() <= known + BLANKS_MAX)

        if not self.kept <= now or not within(30, is_whole):
            raise OSError(f"{len(self.kept - now)} lost, {self.boxes()} sandboxes, {self.call('GET', '/health')[1]}")


def main():
    targets = [a.rsplit("=", 1) for a in sys.argv[2:]]
    workers = [Worker(name, int(port), int(sys.argv[1]) // len(targets)) for name, port in targets]
    begin = time.monotonic()
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    bad = [f"{w.name_}: {w.problem}" for w in workers if w.problem]
    print(f"{sum(w.kills for w in workers)} kills in {time.monotonic() - begin:.0f} s, {sum(w.cycles for w in workers)} sessions "
          f"begun, {sum(w.cut for w in workers)} cut off, what is left: {bad or 'nothing'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

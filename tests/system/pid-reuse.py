#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""pid-reuse.py BUILD N: in a pid namespace of its own, where numbers of processes are made to come again at once: a worker
whose commands are killed all the time, beside N processes that are not its own. None of those may get a signal."""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from patience import patience, within

NEXT = "/proc/sys/kernel/ns_last_pid"
WINDOW = 300  # numbers that are used again and again


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Client(threading.Thread):
    """Sessions with commands that are killed: by their time, with what they left behind."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.stopping, self.cycles, self.wrong = port, False, 0, []

    def call(self, method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            c.request(method, path, json.dumps(body) if body is not None else None)
            r = c.getresponse()
            text = r.read()
            return r.status, json.loads(text) if text else None
        finally:
            c.close()

    def is_up(self):
        try:
            return self.call("GET", "/health")[1]["pool_ready"] > 0
        except (OSError, http.client.HTTPException):
            return False

    def run(self):
        while not self.stopping:
            status, made = self.call("POST", "/v1/sessions", {"pids_limit": 64})
            if status != 201:
                self.wrong.append(made)
                return
            path = f"/v1/sessions/{made['session_id']}"
            status, answer = self.call("POST", path + "/exec", {
                "command": "sleep 100 & sleep 100 & sleep 100", "timeout": 0.05})
            if status != 200 or answer["reason"] != "timeout":
                self.wrong.append(answer)
            self.call("DELETE", path)
            self.cycles += 1


def foreigners(n):
    """Processes that live for a moment, some at a time. How many were killed, and how many had a number that had been
    another's."""
    had, again, killed, live = set(), 0, 0, 0
    begun = 0
    while begun < n or live > 0:
        while live < 40 and begun < n:
            pid = os.fork()
            if pid == 0:
                time.sleep(0.02)
                os._exit(0)
            again += pid in had
            had.add(pid)
            live += 1
            begun += 1
            if begun % 10 == 0 and pid > first + WINDOW:
                with open(NEXT, "w", encoding="ascii") as f:
                    f.write(str(first))
        _, status = os.wait()
        live -= 1
        killed += os.WIFSIGNALED(status)
    return again, killed


build, count = sys.argv[1], int(sys.argv[2])
work = tempfile.mkdtemp(prefix="sandboxd-pids.")
os.chmod(work, 0o755)
client = Client(free_port())
with open(f"{work}/log", "wb") as log:
    worker = subprocess.Popen(
        [f"{build}/src/daemon/sandboxd", "--standalone", "--worker", f"pids-{os.urandom(3).hex()}", "--state",
         os.environ.get("FAULTS_STATE", f"{work}/state"), "--runtime", f"{work}/run", "--listen", f"127.0.0.1:{client.port}"],
        stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=dict(os.environ, POOL_SIZE="3"))
try:
    if not within(120, client.is_up):
        with open(f"{work}/log", encoding="utf-8", errors="replace") as f:
            sys.exit("it does not start: " + f.read()[-2000:])
    first = 1000
    client.start()
    # in a process of its own: wait(2) is for its children alone
    r, w = os.pipe()
    if os.fork() == 0:
        os.write(w, json.dumps(foreigners(count)).encode())
        os._exit(0)
    os.close(w)
    with os.fdopen(r) as f:
        again, killed = json.loads(f.read())
    client.stopping = True
    client.join(patience(60))
    print(f"  {client.cycles} sessions with commands that are killed; {count} processes of others, {again} with a number that "
          f"was another's, {killed} killed")
    if killed or client.wrong or client.is_alive() or client.cycles < 10 or again < count // 2 or worker.poll() is not None:
        sys.exit(f"not so: {client.wrong[:2]}")
finally:
    if worker.poll() is None:
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)
    shutil.rmtree(work, ignore_errors=True)

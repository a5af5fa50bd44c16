# SPDX-License-Identifier: LGPL-2.1-or-later
# For tests that talk to a worker: arguments ADDRESS PID [TEST...], requests, and running the tests.
import http.client
import json
import os
import socket
import sys
import time
import traceback

from patience import within

ADDRESS = sys.argv[1]
WORKER = int(sys.argv[2])


def connect(timeout=60):
    return http.client.HTTPConnection(ADDRESS, timeout=timeout)


def raw(method, path, body=None, headers=None, timeout=60):
    """Status, headers, body."""
    c = connect(timeout)
    try:
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        return r.status, r.headers, r.read()
    finally:
        c.close()


def call(method, path, body=None, timeout=60):
    status, _, text = raw(method, path, json.dumps(body) if body is not None else None, timeout=timeout)
    return status, json.loads(text) if text else None


def expect(wanted, got, what=""):
    if wanted != got:
        raise AssertionError(f"{what or 'value'}: expected {wanted!r}, got {got!r}")


def until(condition, what, seconds=30):
    if not within(seconds, condition):
        raise AssertionError(f"not in {seconds} s: {what}")


def descriptors():
    return len(os.listdir(f"/proc/{WORKER}/fd"))


def memory():
    """What the worker uses for itself, KiB."""
    with open(f"/proc/{WORKER}/status") as f:
        return int(next(line for line in f if line.startswith("RssAnon:")).split()[1])


class Session:
    def __init__(self, **options):
        status, answer = call("POST", "/v1/sessions", options)
        expect(201, status, answer)
        self.adopt(answer)

    def adopt(self, answer):
        self.id = answer["session_id"]
        self.path = "/v1/sessions/" + self.id
        self.answer = answer
        return self

    @classmethod
    def of(cls, answer):
        return cls.__new__(cls).adopt(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        call("DELETE", self.path)

    def run(self, command, **options):
        status, answer = call("POST", self.path + "/exec", {"command": command, **options})
        expect(202 if options.get("background") else 200, status, answer)
        return answer

    def output(self, command, **options):
        answer = self.run(command, **options)
        expect(0, answer["exit_code"], answer)
        return answer["stdout"]

    def put(self, path, data):
        status, _, text = raw("PUT", f"{self.path}/files?path={path}", data)
        assert status in (200, 201), text

    def get(self, path):
        status, _, data = raw("GET", f"{self.path}/files?path={path}")
        expect(200, status, data)
        return data


def main(tests):
    wanted = sys.argv[3:]
    failed = 0
    for test in tests:
        if wanted and test.__name__ not in wanted:
            continue
        start = time.monotonic()
        try:
            test()
            print(f"ok {test.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED {test.__name__}", flush=True)
            traceback.print_exc(file=sys.stdout)
    sys.exit(1 if failed else 0)

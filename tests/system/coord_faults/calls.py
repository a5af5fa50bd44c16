# SPDX-License-Identifier: LGPL-2.1-or-later
"""Library calls of the coordinator fail: no descriptors, interrupted, no memory."""
import errno
import http.client
import itertools
import os
import threading
import time

from injected import Injected

from .driver import case, check, until
from .redis import Redis, connected

KINDS = [
    ("accept4", "EMFILE"), ("accept4", "ENFILE"), ("accept4", "ECONNABORTED"), ("socket", "EMFILE"), ("socket", "ENOBUFS"),
    ("socketpair", "EMFILE"), ("pipe2", "EMFILE"), ("fcntl64", "EMFILE"), ("openat64", "EMFILE"), ("epoll_ctl", "ENOMEM"),
    ("epoll_ctl", "ENOSPC"), ("setsockopt", "ENOBUFS"), ("getsockopt", "ENOBUFS"), ("poll", "EINTR"), ("read", "EINTR"),
    ("read", "EAGAIN"), ("write", "EINTR"), ("write", "EAGAIN"), ("recv", "EINTR"), ("recv", "ECONNRESET"),
    ("send", "EINTR"), ("send", "EPIPE"), ("recvmsg", "EINTR"), ("sendmsg", "EINTR"), ("sendmsg", "ENOBUFS"),
    ("malloc", "ENOMEM", 997), ("malloc", "ENOMEM", 97), ("malloc", "ENOMEM", 13), ("calloc", "ENOMEM", 97),
    ("calloc", "ENOMEM", 13), ("realloc", "ENOMEM", 13),
]


NAMES = itertools.count()


class Client:
    """Uses the whole way of a session. An answer is right, or a problem document; a connection may end; none is without
    an end."""

    def __init__(self, c):
        self.c = c
        self.good = self.refused = self.broken = 0
        self.improper = []

    def ask(self, method, path, body=None):
        try:
            answer = self.c.request(method, path, body, timeout=40)
        except TimeoutError:
            self.improper.append(f"{method} {path}: no answer")
            return None
        except (OSError, http.client.HTTPException, ValueError):
            self.broken += 1
            return None
        if answer.status < 300:
            self.good += 1
            return answer
        # a session that lives is not said to be none
        if answer.status in (404, 410) and path.startswith("/v1/sessions/"):
            self.improper.append(f"{method} {path}: {answer}")
        # "unhealthy" is an answer
        elif "problem+json" in (answer.headers.get("Content-Type") or "") or path == "/health":
            self.refused += 1
        else:
            self.improper.append(f"{method} {path}: {answer}")
        return None

    def round(self, n):
        made = self.ask("POST", "/v1/sessions", {"key": f"k{next(NAMES)}"} if n % 2 else {})
        self.ask("GET", "/v1/sessions")
        self.ask("GET", "/health")
        if not made:
            return
        path = f"/v1/sessions/{made.json()['session_id']}"
        self.ask("GET", path)
        self.ask("POST", f"{path}/exec", {"command": "true"})
        self.ask("PUT", f"{path}/files?path=f", b"x" * 20000)
        self.ask("DELETE", path)


def prepared(lab, shared):
    build = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(lab.program))))
    redis = Redis(lab)
    faults = Injected(redis.folder)
    environment = faults.environment(build)
    if not os.path.exists(environment["LD_PRELOAD"]):
        print("  not with sanitizers, which stand in for the same calls")
        return None
    workers = [lab.worker(f"w{i}") for i in range(2)]
    if shared:
        redis.start()
    c = lab.coordinator(workers, redis.settings if shared else "", environment=environment)
    until(5, lambda: connected(c), "it reaches Redis")
    Client(c).round(0)
    Client(c).round(1)
    return faults, c, workers


def is_well(c):
    client = Client(c)
    client.round(0)
    client.round(1)
    return client.good == 14 and connected(c)


def settled(c, before):
    """As many descriptors as before; connections that are kept may be fewer, or one more to each server."""
    until(20, lambda: c.descriptors() <= before + 4, f"descriptors: more than the {before} of before")


@case("calls: each 7th of a kind fails: proper answers, and all is as before")
def calls_that_fail(lab):
    made = prepared(lab, True)
    if not made:
        return
    faults, c, _ = made
    time.sleep(0.5)
    before, met, n_hits = c.descriptors(), 0, 0
    for call, name, *every in KINDS:
        clients = [Client(c) for _ in range(2)]
        faults.set(c.process.pid, call, getattr(errno, name), *every or [7])
        end = time.monotonic() + 0.5

        def use(client, end=end):
            n = 0
            while time.monotonic() < end or n < 2:
                client.round(n)
                n += 1

        threads = [threading.Thread(target=use, args=(k,)) for k in clients]
        for t in threads:
            t.start()
        for t in threads:
            t.join(90)
        _, hits = faults.clear()
        what = f"{call} {name} {every} ({hits} times)"
        check(c.process.poll() is None, f"it ends: {what}")
        check(not any(t.is_alive() for t in threads), f"a request has no end: {what}")
        check(not any(k.improper for k in clients), f"{what}: {[k.improper for k in clients]}")
        until(15, lambda: is_well(c), f"it is well again after {what}")
        settled(c, before)
        met += hits > 0
        n_hits += hits
    print(f"  {met} of {len(KINDS)} kinds were met, {n_hits} failures")


@case("calls: allocations that a round of requests needs fail, one after the other, for 20 s")
def each_allocation(lab):
    made = prepared(lab, False)
    if not made:
        return
    faults, c, _ = made
    time.sleep(0.5)
    before, client = c.descriptors(), Client(c)
    hits, n, tried, end = 1, 0, 0, time.monotonic() + 20
    while hits > 0 and time.monotonic() < end:
        n += 1 + tried // 4  # the first are those of a connection, and much alike
        tried += 1
        faults.set(c.process.pid, "memory", errno.ENOMEM, n, True)
        try:
            client.round(n)
        finally:
            _, hits = faults.clear()
        check(c.process.poll() is None, f"it ends at the allocation {n}")
        check(not client.improper, f"no proper answer with the allocation {n}: {client.improper[:3]}")
    until(15, lambda: is_well(c), "it is well again")
    settled(c, before)
    print(f"  {tried} of the first {n} allocations, {client.refused} requests refused, {client.broken} broken")

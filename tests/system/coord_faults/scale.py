# SPDX-License-Identifier: LGPL-2.1-or-later
"""How much of it one coordinator carries, and what that costs."""
import http.client
import os
import resource
import time
import uuid

from .driver import case, check, until
from .redis import Redis, connected


def raise_limit(n):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, n)), hard))
    return min(hard, n)


def peak_kib(c):
    if c.memory_kib() == 0:
        return 0  # says nothing
    with open(f"/proc/{c.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))


def cpu_seconds(c):
    with open(f"/proc/{c.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@case("10,000 sessions and 1,000 streams in 64 MiB")
def memory(lab):
    raise_limit(6000)
    redis = Redis(lab).start()
    workers = [lab.worker(f"w{i}", most=100000) for i in range(2)]
    for w in workers:
        for _ in range(5000):
            session = str(uuid.uuid4())
            w.sessions[session] = {"id": session, "key": None, "owner": None}
    c = lab.coordinator(workers, redis.settings)
    until(30, lambda: connected(c) and b"sessions_known 10000" in c.request("GET", "/metrics").body, "all are known")
    until(30, lambda: int(redis.cli("DBSIZE")) >= 10000, "all are in Redis")

    async def silent(worker, request, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        await reader.read()
        return True

    ids = [session for w in workers for session in w.sessions]
    for w in workers:
        w.faults["GET", "/v1/sessions/"] = silent
    streams = [c.raw(f"GET /v1/sessions/{ids[i * 10]}/watch HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 60)
               for i in range(1000)]
    for s in streams:
        data = b""
        while b"hello" not in data:
            piece = s.recv(1000)
            check(piece, "nothing comes")
            data += piece
    peak = peak_kib(c)
    print(f"  {peak} KiB at most", flush=True)
    check(peak < 64 * 1024, f"{peak} KiB")
    for s in streams:
        s.close()


def make_sessions(c, n):
    """Over one connection. Returns how many were refused because no worker was well enough."""
    client, refused = http.client.HTTPConnection("127.0.0.1", c.port, timeout=30), 0
    for _ in range(n):
        client.request("POST", "/v1/sessions")
        answer = client.getresponse()
        text = answer.read()
        check(answer.status in (201, 503), f"create: {answer.status} {text}")
        refused += answer.status == 503
    client.close()
    return refused


@case("50 workers: each has its share of 5,000 sessions, within a tenth")
def even(lab):
    workers = [lab.worker(f"w{i}", most=1000000) for i in range(50)]
    c = lab.coordinator(workers)
    for _ in range(10):  # a busy machine makes some of them look slow, so that the rest gets more
        until(60, lambda: c.health()["status"] == "healthy", "all are there")
        before = [len(w.sessions) for w in workers]
        refused = make_sessions(c, 5000)
        counts = [len(w.sessions) - n for w, n in zip(workers, before)]
        print(f"  {min(counts)} to {max(counts)}, {refused} refused", flush=True)
        if not refused and min(counts) >= 90 and max(counts) <= 110:
            check(sum(counts) == 5000, "sessions are lost")
            return
    check(False, f"{min(counts)} to {max(counts)} instead of 100 each")


@case("1,000 workers: polled with less than a tenth of a processor, and used evenly")
def many_workers(lab):
    raise_limit(6000)
    workers = [lab.worker(f"w{i}") for i in range(1000)]
    c = lab.coordinator(workers)
    until(60, lambda: c.health()["status"] == "healthy", "all are there")
    for _ in range(4):  # what else runs on the machine costs it time as well
        before, start, polls = cpu_seconds(c), time.monotonic(), sum(w.n_health for w in workers)
        time.sleep(6)
        share = (cpu_seconds(c) - before) / (time.monotonic() - start)
        polls = sum(w.n_health for w in workers) - polls
        print(f"  {share * 100:.1f} % of a processor, {polls} polls", flush=True)
        check(polls > 2000, "they are not polled")
        if share < 0.1 or not c.memory_kib():  # the sanitizers cost more
            break
    else:
        check(False, f"{share * 100:.1f} % of a processor")
    counts = [0]
    for _ in range(10):  # a busy machine makes some of them look slow, so that the rest gets more
        before = [len(w.sessions) for w in workers]
        until(60, lambda: c.health()["status"] == "healthy", "all are there")
        answers = [c.request("POST", "/v1/sessions", {}) for _ in range(2000)]
        bad = [a for a in answers if a.status != 201]
        check(all(a.status == 503 for a in bad), f"create: {bad[:1]}")
        if bad:  # or all of them, when the machine has no time for the thousand that are played
            print(f"  {len(bad)} refused", flush=True)
            continue
        counts = [len(w.sessions) - n for w, n in zip(workers, before)]
        check(sum(counts) == 2000, "sessions are lost")
        # two random choices: nobody has many more than a share of two
        if max(counts) <= 7:
            return
        print(f"  {max(counts)} at one", flush=True)
    check(False, f"at most {max(counts)}")

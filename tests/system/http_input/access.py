# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keys, owners, and paths of the host."""
import math
import os
import tempfile
import time

from patience import patience

from .client import Server, case, check, is_problem

GUARDED = ["/v1/sessions", "//v1/sessions", "/v1//sessions", "/./v1/sessions", "/x/../v1/sessions", "/v1%2fsessions",
           "/%76%31/sessions", "/V1/SESSIONS", "/v1/sessions/", "/v1/sessions?key=x", "/v1/sessions#", "/v1/sessions%00",
           "/v1/sessions;x", "/health/../v1/sessions", "/health%2f..%2fv1/sessions", "/health%00/../v1/sessions",
           "/health;/v1/sessions", "/health?/v1/sessions", "/health#/v1/sessions", "/health/", "/health%20",
           "http://worker/v1/sessions", "http://worker/health/../v1/sessions", "/metrics", "/v1/workers", "\\v1\\sessions"]


def keyless(server):
    return Server(server.address, server.pid)


def with_headers(server, *headers, path="/v1/sessions", method="GET"):
    return keyless(server).request(method, path, None, headers)


@case("keys", keys=True)
def keys(server):
    key = server.key
    wrong = {
        "none": [],
        "empty": ["Authorization: Bearer "],
        "no word": ["Authorization:"],
        "other scheme": [f"Authorization: Basic {key}"],
        "no scheme": [f"Authorization: {key}"],
        "other key": ["Authorization: Bearer sesame"],
        "prefix": [f"Authorization: Bearer {key[:-1]}"],
        "longer": [f"Authorization: Bearer {key}x"],
        "twice in one": [f"Authorization: Bearer {key}{key}"],
        "list": [f"Authorization: Bearer {key},{key}"],
        "two words": [f"Authorization: Bearer {key} {key}"],
        "other case": [f"Authorization: Bearer {key.swapcase()}"],
        "10,000 letters": ["Authorization: Bearer " + "a" * 10000],
        "empty X-API-Key": ["X-API-Key:"],
        "wrong X-API-Key": ["X-API-Key: sesame"],
        "other header": [f"Api-Key: {key}", f"X-API_Key: {key}", f"Proxy-Authorization: Bearer {key}"],
        "cookie": [f"Cookie: key={key}"],
        "doubled, wrong first": ["Authorization: Bearer sesame", f"Authorization: Bearer {key}"],
        "doubled, wrong last": [f"Authorization: Bearer {key}", "Authorization: Bearer sesame"],
        "doubled X-API-Key": [f"X-API-Key: {key}", "X-API-Key: sesame"],
        # the library ends a value at NUL, so that KEY NUL x is KEY; nothing behind it counts
        "NUL": ["Authorization: Bearer \0"],
        "NUL and the key": [f"Authorization: Bearer \0{key}"],
        "wrong, NUL and the key": [f"Authorization: Bearer sesame\0{key}"],
    }
    for name, headers in wrong.items():
        with server.connect() as c:
            c.send(keyless(server).head("GET", "/v1/sessions", None, headers))
            a = c.answer()
            check(a is None or a.status in (400, 401), f"{name}: {a}")
            if a and a.status == 401:
                is_problem(a, 401)
                check(a.get("WWW-Authenticate"), f"{name}: no WWW-Authenticate")
    for headers in ([f"Authorization: Bearer {key}"], [f"authorization: bearer {key}"], [f"X-API-Key: {key}"],
                    [f"x-api-key:{key}"]):
        check(with_headers(server, *headers).status == 200, f"{headers} is not accepted")
    # the key comes before the body and before what the path says
    for method, path in (("POST", "/v1/sessions"), ("GET", "/v1/sessions/x"), ("POST", "/v1/sessions/x/exec"),
                         ("DELETE", "/v1/sessions/x"), ("PATCH", "/v1/sessions/x"), ("GET", "/metrics"),
                         ("POST", "/v1/workers/x/drain"), ("POST", "/create_session")):
        check(with_headers(server, method=method, path=path).status == 401, f"{method} {path} without a key")


@case("spellings of a guarded path", keys=True)
def spellings(server):
    for path in GUARDED:
        for method in ("GET", "POST"):
            a = keyless(server).request(method, path)
            open_path = path.split("?")[0].split("#")[0] == "/health" and method == "GET"
            check(not 200 <= a.status < 300 or open_path, f"{method} {path}: {a}")
            check(b"sessions\":" not in a.body.replace(b"_sessions\":", b""), f"{method} {path} lists: {a}")


@case("what a proxy says is no key", keys=True)
def hop_by_hop(server):
    for headers in (["X-Forwarded-For: 127.0.0.1"], ["X-Real-IP: 127.0.0.1"], ["Forwarded: for=127.0.0.1"],
                    ["X-Tenant: admin"], ["X-Forwarded-User: root"], ["X-Original-URL: /health"],
                    ["X-Rewrite-URL: /health"], ["X-HTTP-Method-Override: GET"], ["Connection: authorization"],
                    ["Connection: authorization, x-api-key", "Upgrade: h2c"], ["Host: localhost"]):
        a = with_headers(server, *headers)
        check(a.status in (400, 401), f"{headers}: {a}")


@case("sessions belong to their key", keys=True)
def owners(server, other_key=None):
    other = Server(server.address, server.pid, server.other_key)
    session = server.create(key="shared", metadata={"a": "b"})
    for method, rest, body in (("GET", "", None), ("PATCH", "", {"timeout": 5}), ("DELETE", "", None),
                               ("POST", "/exec", {"command": "id"})):
        is_problem(other.request(method, f"/v1/sessions/{session}{rest}", body), 404)
    check(session not in other.request("GET", "/v1/sessions?limit=1000").body.decode(), "the list shows it")
    twin = other.create(key="shared")
    check(twin != session, "attached to another's session")
    again = server.request("POST", "/v1/sessions", {"key": "shared"})
    check(again.status == 200 and again.json()["session_id"] == session and again.json()["attached"], f"{again}")
    server.delete(session)
    is_problem(other.request("GET", f"/v1/sessions/{session}"), 404)
    is_problem(server.request("GET", f"/v1/sessions/{session}"), 410)
    other.delete(twin)


@case("comparing keys takes the same time", keys=True)
def key_timing(server):
    """Welch's t over interleaved wrong keys that differ in the first or in the last byte."""
    key = server.key
    first, last = ("x" if key[0] != "x" else "y") + key[1:], key[:-1] + ("x" if key[-1] != "x" else "y")
    times = {first: [], last: []}
    with server.connect() as c:
        for i in range(3000):
            wrong = (first, last)[(i * 7919 >> 3) & 1]
            data = keyless(server).head("GET", "/v1/sessions", None, [f"X-API-Key: {wrong}"])
            start = time.perf_counter()
            c.send(data)
            check(c.answer().status == 401, "a wrong key is accepted")
            times[wrong].append(time.perf_counter() - start)
    stats = []
    for sample in times.values():
        sample = sorted(sample)[: len(sample) * 8 // 10]  # the slow ones are the machine's
        mean = sum(sample) / len(sample)
        stats.append((mean, sum((x - mean) ** 2 for x in sample) / (len(sample) - 1) / len(sample)))
    difference = abs(stats[0][0] - stats[1][0])
    t = difference / math.sqrt(stats[0][1] + stats[1][1])
    check(difference < 2e-6 or t < 12, f"{difference * 1e6:.2f} us, t = {t:.1f}")


TRAVERSAL = ["{0}", "../../../../../../..{0}", "/home/../../../../..{0}", "//{0}", "/.{0}", "....//....//{0}",
             "/proc/1/root{0}", "/proc/self/root{0}", "/proc/1/cwd{0}", "/proc/self/cwd/../..{0}", "/dev/fd/0/..{0}",
             "/dev/stdin", "file://{0}", "{0}%00", "/tmp/x%00/..{0}", "..%2f..%2f..%2f..{0}", "%2e%2e/%2e%2e/%2e%2e{0}",
             "..%252f..%252f..{0}", "..%c0%af..%c0%af{0}", "\\..\\..\\..{0}", "/etc/shadow"]


@case("web pages")
def web_pages(server):
    """Without keys everyone on the machine may ask, but no page in somebody's browser may."""
    for headers in (["Origin: http://evil.example"], ["Origin: null"], ["Sec-Fetch-Site: cross-site"]):
        a = with_headers(server, *headers, method="POST")
        is_problem(a, 403)
    a = server.request("GET", "/health", None, ["Origin: http://evil.example"])
    check(a.status == 200, f"health: {a}")
    for host, status in (("evil.example", 403), ("evil.example:5000", 403), ("127.0.0.1.evil.example", 403),
                         ("localhost", 200), ("127.0.0.1:5000", 200), ("[::1]:5000", 200), ("worker1", 200)):
        head = f"GET /v1/sessions HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        with server.connect() as c:
            c.send(head)
            a = c.answer("GET")
        check(a.status == status, f"{host}: {a}")


@case("paths of the host")
def path_traversal(server):
    secret = os.urandom(16).hex()
    session = server.create()
    server.run(session, command="ln -s / up; ln -s /proc/1/root root; ln -s ../../../../../.. dots; mkfifo fifo")
    with tempfile.NamedTemporaryFile("w", prefix="sandboxd-secret-", dir="/var/tmp") as f:
        f.write(secret)
        f.flush()
        os.chmod(f.name, 0o644)
        paths = [p.format(f.name) for p in TRAVERSAL]
        paths += [f"/home/sandboxuser/{link}{f.name}" for link in ("up", "root", "dots")] + ["/home/sandboxuser/fifo"]
        for path in paths:
            for what in ("files", "stat", "dir", "archive"):
                start = time.monotonic()
                a = server.request("GET", f"/v1/sessions/{session}/{what}?path={path}", timeout=patience(6))
                check(time.monotonic() - start < patience(6), f"{what} {path} took too long")
                check(secret.encode() not in a.body, f"{what} {path}: a file of the host")
                check(b"root:$" not in a.body and b"root:!" not in a.body, f"{what} {path}: passwords of the host")
                check(a.status < 500, f"{what} {path}: {a}")
        a = server.run(session, argv=["cat", *(p for p in paths if p.startswith("/") and "fifo" not in p)])
        check(secret not in a["stdout"], "a command reads a file of the host")
    server.delete(session)

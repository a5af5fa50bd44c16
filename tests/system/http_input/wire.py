# SPDX-License-Identifier: LGPL-2.1-or-later
"""Requests that are not HTTP, or that two programs in a row could understand differently."""
import re
import socket

from .client import Problem, case, check, is_problem

MARK = b"smuggled-request"
SMUGGLED = b"GET /health HTTP/1.1\r\nHost: worker\r\nX-Request-Id: " + MARK + b"\r\n\r\n"


def talk(server, data, timeout=30):
    """Sends @data and reads until the server closes. Returns what came, and whether it closed."""
    with server.connect(timeout) as c:
        c.send(data)
        try:
            while c.more():
                pass
        except socket.timeout:
            pass
        return c.buffer, c.closed


def refused(server, name, data, statuses=(400,), wrong=None):
    """One refusal at most, then the end of the connection; what came behind it is not taken for a request."""
    try:
        text, closed = talk(server, data)
        check(closed, f"the connection stays open: {text[:200]!r}")
        check(MARK not in text, f"a request within a request was answered: {text!r}")
        heads = re.findall(rb"HTTP/1\.1 (\d+) [^\r]*\r\n", text)
        # the library (0.9.75) writes the head of its own refusals twice
        check(len(set(heads)) <= 1 and len(heads) <= 2, f"{len(heads)} answers: {text!r}")
        if heads:
            check(int(heads[0]) in statuses, f"{text[:300]!r}")
    except Problem as e:
        if wrong is None:
            raise
        wrong.append(f"{name}: {e}")


def all_refused(server, rows, statuses=(400,)):
    wrong = []
    for name, data in rows.items():
        refused(server, name, data, statuses, wrong)
    check(not wrong, "\n  " + "\n  ".join(wrong))
    server.healthy()


def post(server, *headers, body=b"", version="HTTP/1.1"):
    lines = [f"POST /v1/sessions {version}".encode(), b"Host: worker"]
    if server.key:
        lines.append(f"Authorization: Bearer {server.key}".encode())
    return b"\r\n".join([*lines, *headers]) + b"\r\n\r\n" + body


CHUNKED_BODY = b"0\r\n\r\n" + SMUGGLED


@case("length and encoding that contradict each other")
def cl_te(server):
    rows = {}
    for te in (b"chunked", b"Chunked", b"xchunked", b"chunked, identity", b"identity", b"gzip, chunked",
               b"chunked,chunked", b"\tchunked", b"chunked ", b"\x0bchunked", b'"chunked"', b"chunked;a=b", b"", b"x"):
        rows[f"Content-Length and Transfer-Encoding: {te!r}"] = post(
            server, b"Content-Length: 6", b"Transfer-Encoding: " + te, body=CHUNKED_BODY)
    for te in (b"xchunked", b"chunked, identity", b"identity", b"gzip, chunked", b"chunked,chunked", b'"chunked"',
               b"chunked;a=b", b"\x0bchunked", b"x"):
        rows[f"Transfer-Encoding: {te!r}"] = post(server, b"Transfer-Encoding: " + te, body=CHUNKED_BODY)
    rows |= {
        "encoding before length": post(server, b"Transfer-Encoding: chunked", b"Content-Length: 6", body=CHUNKED_BODY),
        "doubled encoding": post(server, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked",
                                 body=CHUNKED_BODY),
        "encoding and identity": post(server, b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity",
                                      body=CHUNKED_BODY),
        "space before the colon": post(server, b"Transfer-Encoding : chunked", b"Content-Length: 6", body=CHUNKED_BODY),
        "folded encoding": post(server, b"Transfer-Encoding:\r\n chunked", b"Content-Length: 6", body=CHUNKED_BODY),
        "encoding in a folded line": post(server, b"X: y\r\n Transfer-Encoding: chunked", b"Content-Length: 6",
                                          body=CHUNKED_BODY),
        "bare LF before encoding": post(server, b"X: y\nTransfer-Encoding: chunked", b"Content-Length: 6",
                                        body=CHUNKED_BODY),
        "bare CR before encoding": post(server, b"X: y\rTransfer-Encoding: chunked", b"Content-Length: 6",
                                        body=CHUNKED_BODY),
        "HTTP/1.0 chunked": post(server, b"Transfer-Encoding: chunked", b"Connection: keep-alive", body=CHUNKED_BODY,
                                 version="HTTP/1.0"),
        "HTTP/1.0 chunked with a length": post(server, b"Transfer-Encoding: chunked", b"Content-Length: 6",
                                               b"Connection: keep-alive", body=CHUNKED_BODY, version="HTTP/1.0"),
    }
    all_refused(server, rows, (400, 501))


@case("lengths that are none")
def lengths(server):
    rows = {}
    for value in (b"+2", b"-1", b"0x2", b"2,2", b"2, 2", b"2 2", b"", b"abc", b"2a", b"2;", b"1e1", b'"2"', b"\xb2",
                  b"18446744073709551616", b"18446744073709551618", b"99999999999999999999999999999999",
                  b"9223372036854775808", b"-0"):
        rows[f"Content-Length: {value!r}"] = post(server, b"Content-Length: " + value, body=b"{}" + SMUGGLED)
    rows["doubled, equal"] = post(server, b"Content-Length: 2", b"Content-Length: 2", body=b"{}" + SMUGGLED)
    rows["doubled, different"] = post(server, b"Content-Length: 2", b"Content-Length: 40", body=b"{}" + SMUGGLED)
    rows["doubled, zero first"] = post(server, b"Content-Length: 0", b"Content-Length: 2", body=b"{}" + SMUGGLED)
    all_refused(server, rows, (400, 413))


@case("chunks that are none")
def chunks(server):
    streams = {
        "no number": b"G\r\n{}\r\n0\r\n\r\n",
        "empty number": b"\r\n{}\r\n0\r\n\r\n",
        "negative": b"-2\r\n{}\r\n0\r\n\r\n",
        "plus": b"+2\r\n{}\r\n0\r\n\r\n",
        "0x": b"0x2\r\n{}\r\n0\r\n\r\n",
        "space before": b" 2\r\n{}\r\n0\r\n\r\n",
        "2^64": b"10000000000000000\r\n{}\r\n0\r\n\r\n",
        "2^64 + 2": b"10000000000000002\r\n{}\r\n0\r\n\r\n",
        "2^68 - 1": b"FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
        "longer than its size": b"2\r\n{}x\r\n0\r\n\r\n",
        "no line end after the data": b"2\r\n{}0\r\n\r\n",
        "endless extension": b"2;" + b"a" * 40000 + b"\r\n{}\r\n0\r\n\r\n",
        "extension without an end": b"2;" + b"a" * 60000,
        "NUL in the size": b"2\0\r\n{}\r\n0\r\n\r\n",
        "garbage after the size": b"2 x\r\n{}\r\n0\r\n\r\n",
        "16 KiB of digits": b"0" * 40000 + b"2\r\n{}\r\n0\r\n\r\n",
    }
    all_refused(server, {k: post(server, b"Transfer-Encoding: chunked", body=v + SMUGGLED)
                         for k, v in streams.items()}, (400, 413, 431))
    # what is allowed, and that nothing of it becomes a request or a header
    for name, body in {
        "pieces": b'2\r\n{"\r\n9\r\ntimeout":\r\n3\r\n60}\r\n0\r\n\r\n',
        "leading zeros": b"00002\r\n{}\r\n0000\r\n\r\n",
        "extension": b"2;a=b\r\n{}\r\n0\r\n\r\n",
        "trailer": b"2\r\n{}\r\n0\r\nX-Trailer: y\r\n\r\n",
        "trailer with a length": b"2\r\n{}\r\n0\r\nContent-Length: 50\r\nHost: other\r\n\r\n",
    }.items():
        with server.connect() as c:
            c.send(post(server, b"Transfer-Encoding: chunked", body=body) + server.head("GET", "/health"))
            a = c.answer()
            check(a.status in (201, 400), f"{name}: {a}")
            if a.status == 201:
                server.delete(a.json()["session_id"])
                a = c.answer()
                check(a and a.status == 200 and b"status" in a.body, f"{name}: what follows: {a}")


@case("heads that are none")
def header_syntax(server):
    get = b"GET /health HTTP/1.1\r\n"
    host = b"Host: worker\r\n"
    end = b"\r\n" + SMUGGLED
    rows = {
        "NUL in a name": get + host + b"X\0Y: a\r\n" + end,
        "space in a name": get + host + b"X Y: a\r\n" + end,
        "space before the colon": get + host + b"X : a\r\n" + end,
        "space before the first name": get + b" " + host + end,
        "no colon": get + host + b"nonsense\r\n" + end,
        "bare CR in a value": get + host + b"X: a\rY: b\r\n" + end,
        "no host": get + end,
        "two hosts": get + host + host + end,
        "two different hosts": get + host + b"Host: other\r\n" + end,
        "no version": b"GET /health\r\n" + host + end,
        "HTTP/9.9": b"GET /health HTTP/9.9\r\n" + host + end,
        "HTTP/2.0": b"GET /health HTTP/2.0\r\n" + host + end,
        "HTTP/1.10": b"GET /health HTTP/1.10\r\n" + host + end,
        "HTTP/1.1x": b"GET /health HTTP/1.1x\r\n" + host + end,
        "http/1.1": b"GET /health http/1.1\r\n" + host + end,
        "HTTP/ 1.1": b"GET /health HTTP/ 1.1\r\n" + host + end,
        "HTP/1.1": b"GET /health HTP/1.1\r\n" + host + end,
        "spaces in the path": b"GET /health x HTTP/1.1\r\n" + host + end,
        "only a line end": b"\r\n" * 20000,
        "8-bit method": b"G\xc9T /health HTTP/1.1\r\n" + host + end,
        "method with a brace": b"GE{T /health HTTP/1.1\r\n" + host + end,
        "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)) + b"\r\n\r\n",
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",
        "random bytes": bytes((i * 167 + 13) % 256 for i in range(4096)) + b"\r\n\r\n",
        "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "head of 40 KiB in one header": get + host + b"X: " + b"a" * 40960 + b"\r\n" + end,
        "head of 40 KiB in many": get + host + b"X: a\r\n" * 6800 + end,
        "name of 40 KiB": get + host + b"X" * 40960 + b": a\r\n" + end,
        "path of 40 KiB": b"GET /" + b"a" * 40960 + b" HTTP/1.1\r\n" + host + end,
        "method of 40 KiB": b"A" * 40960 + b" /health HTTP/1.1\r\n" + host + end,
        "no line end in 40 KiB": b"GET /" + b"a" * 40960,
    }
    all_refused(server, rows, (400, 404, 405, 413, 414, 431, 501, 505))


@case("bare line feeds are no request within a request")
def bare_lf(server):
    # a lone LF as line end may be read or refused, but the same way for the whole head
    for data in (b"GET /health HTTP/1.1\nHost: worker\n\n", b"GET /health HTTP/1.1\r\nHost: worker\r\nX: a\n\r\n"):
        text, _ = talk(server, data, timeout=1)
        heads = re.findall(rb"HTTP/1\.1 (\d+) ", text)
        check(len(heads) <= 1 and set(heads) <= {b"200", b"400"}, f"{data!r}: {text!r}")


@case("methods")
def methods(server):
    for path in ("/health", "/v1/sessions", "/v1/sessions/0/exec", "/nonsense", "*"):
        for method in ("TRACE", "CONNECT", "OPTIONS", "PUT", "PROPFIND", "get", "DELETE", "A" * 200, "HEALTH"):
            a = server.request(method, path)
            check(a.status in (204, 400, 404, 405, 501), f"{method} {path}: {a}")
            check(b"Host: worker" not in a.body, f"{method} {path} echoes the request")
            if a.status == 405:
                is_problem(a, 405)
                check(a.get("Allow"), f"{method} {path}: no Allow")
    for path in ("/health", "/v1/sessions", "/nonsense"):
        with server.connect() as c:
            c.send(server.head("HEAD", path) + server.head("GET", path))
            head, body = c.answer("HEAD"), c.answer()
            check(head and body and head.status == body.status, f"HEAD {path}: {head}, {body}")
    a = server.request("GET", "http://worker/health")
    check(a.status in (200, 400, 404), f"absolute path: {a}")
    a = server.request("GET", "http://other:99999/v1/sessions")
    check(a.status in (200, 400, 404), f"absolute path: {a}")


@case("request ids")
def request_ids(server):
    for given in ("abc", "a" * 128, "A-Z_0.9:/+=", "550e8400-e29b-41d4-a716-446655440000"):
        check(server.request("GET", "/health", headers=[f"X-Request-Id: {given}"]).get("X-Request-Id") == given,
              f"{given} is not kept")
    seen = set()
    for given in ("", "a" * 129, "a b", 'a"b', "a<b>", "é", "a\tb", "č\u010aX-Evil: 1", "%0d%0aX-Evil: 1", "a,b"):
        a = server.request("GET", "/health", headers=[f"X-Request-Id: {given}"])
        if a.status == 400:
            continue
        got = a.get("X-Request-Id")
        check(got and got != given and got not in seen, f"{given!r} gives {got!r}")
        check(not a.all("X-Evil"), "a header was made up")
        seen.add(got)


@case("no header comes from text")
def header_injection(server):
    evil = "\u010d\u010aX-Evil: 1\u010d\u010a\u010d\u010a"
    for method, path, body in (
        ("GET", "/v1/sessions/%0d%0aX-Evil:%201", None),
        ("GET", "/%0d%0aX-Evil:%201", None),
        ("GET", "/v1/sessions?metadata.a%0d%0aX-Evil:%201=1", None),
        ("GET", "/v1/sessions?a%0d%0aX-Evil:%201=1", None),
        ("POST", "/v1/sessions", {"key": evil}),
        ("POST", "/v1/sessions", {evil: "x"}),
        ("POST", "/v1/sessions", {"image": evil}),
        ("POST", "/v1/sessions", {"metadata": {evil: "x"}}),
        ("POST", "/v1/sessions", {"metadata": {"a": evil + "\r\nX-Evil: 1\r\n\r\n"}}),
    ):
        a = server.request(method, path, body)
        check(not a.all("X-Evil"), f"{method} {path} {body}: {a.headers}")
        if a.status == 201:
            server.delete(a.json()["session_id"])


@case("many requests on one connection")
def keep_alive(server):
    session = server.create()
    with server.connect() as c:
        for i in range(50):
            c.send(server.head("POST", f"/v1/sessions/{session}/exec", f'{{"command":"echo {i}"}}'.encode()))
            a = c.answer()
            check(a.status == 200 and a.json()["stdout"] == f"{i}\n", f"{i}: {a}")
            c.send(server.head("GET", "/nonsense"))
            is_problem(c.answer(), 404)
    with server.connect() as c:  # all at once, answered in order
        c.send(b"".join(server.head("GET", "/health", None, [f"X-Request-Id: r{i}"]) for i in range(30)))
        for i in range(30):
            check(c.answer().get("X-Request-Id") == f"r{i}", f"answer {i} is another's")
    with server.connect() as c:  # a slow one before fast ones
        c.send(server.head("POST", f"/v1/sessions/{session}/exec", b'{"command":"sleep 0.3; echo first"}')
               + server.head("GET", "/health")
               + server.head("POST", f"/v1/sessions/{session}/exec", b'{"command":"echo third"}'))
        check(c.answer().json()["stdout"] == "first\n", "the first answer")
        check("pool_size" in c.answer().json(), "the second answer")
        check(c.answer().json()["stdout"] == "third\n", "the third answer")
    with server.connect() as c:
        c.send(server.head("GET", "/health", None, ["Connection: close"]) + server.head("GET", "/health"))
        check(c.answer().status == 200 and c.answer() is None, "goes on after Connection: close")
    with server.connect() as c:
        c.send(b"GET /health HTTP/1.0\r\n\r\n")
        check(c.answer().status == 200 and c.answer() is None, "HTTP/1.0 without keep-alive stays open")
    with server.connect() as c:  # an early refusal does not take the body for a request
        c.send(server.head("POST", "/nonsense", SMUGGLED))
        is_problem(c.answer(), 404)
        try:
            check(c.answer() is None, "the body was taken for a request")
        except socket.timeout:
            pass
    server.delete(session)


@case("expectations")
def expect(server):
    with server.connect() as c:
        c.send(server.head("POST", "/v1/sessions", None, ["Content-Length: 2", "Expect: 100-continue"]))
        check(c.answer().status == 100, "no 100 Continue")
        c.send(b"{}")
        a = c.answer()
        check(a.status == 201, f"{a}")
        server.delete(a.json()["session_id"])
    with server.connect() as c:
        c.send(server.head("POST", "/v1/sessions", None, ["Content-Length: 99999999", "Expect: 100-continue"]))
        is_problem(c.answer(), 413)
    with server.connect() as c:
        c.send(server.head("GET", "/health", None, ["Expect: nonsense"]))
        check(c.answer().status in (200, 417), "an unknown expectation")

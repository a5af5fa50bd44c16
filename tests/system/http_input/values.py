# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bodies: what is not JSON, what is not of the contract, what is out of range."""
import base64
import json
import uuid

from patience import patience, within

from .client import case, check, is_problem

BROKEN = {
    "empty string in an object": b'{"',
    "unclosed object": b'{"timeout":5',
    "trailing comma": b'{"timeout":5,}',
    "two documents": b"{}{}",
    "text after it": b"{} x",
    "array": b"[]",
    "string": b'"x"',
    "number": b"5",
    "null": b"null",
    "single quotes": b"{'timeout':5}",
    "comment": b"{/* */}",
    "member without value": b'{"timeout"}',
    "NaN": b'{"timeout":NaN}',
    "Infinity": b'{"timeout":Infinity}',
    "hexadecimal": b'{"timeout":0x10}',
    "leading zero": b'{"timeout":010}',
    "leading plus": b'{"timeout":+1}',
    "integer above 2^63": b'{"timeout":9223372036854775808}',
    "endless exponent": b'{"timeout":1e999}',
    "NUL byte": b'{"key":"a\0b"}',
    "NUL between": b"{}\0",
    "escaped NUL": b'{"key":"a\\u0000b"}',
    "escaped NUL in a name": b'{"k\\u0000y":"a"}',
    "lone surrogate": b'{"key":"\\ud800"}',
    "wrong UTF-8": b'{"key":"\xff"}',
    "overlong UTF-8": b'{"key":"\xc0\xaf"}',
    "surrogate in UTF-8": b'{"key":"\xed\xa0\x80"}',
    "raw newline in a string": b'{"key":"a\nb"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"timeout":5}'.encode("utf-16"),
    "duplicate member": b'{"timeout":5,"timeout":6}',
    "duplicate member, escaped": b'{"timeout":5,"time\\u006fut":6}',
    "duplicate member below": b'{"env":{"A":"1","A":"2"}}',
    "33 levels": b'{"a":' * 33 + b"1" + b"}" * 33,
    "33 levels of arrays": b'{"a":' + b"[" * 33 + b"]" * 33 + b"}",
    "60,000 [": b"[" * 60000,
    "60,000 {": b'{"a":' * 40000,
}

# value: status, field
CREATE = {
    "key": [(5, 400), (None, 400), ("", 422), ("a" * 65, 422), ("a b", 422), ("../x", 422), ("é", 422), ("a\n", 422)],
    "image": [(5, 400), ("", 422), ("a" * 256, 422), ("../../etc", 422), ("/etc", 422), (".", 422), ("..", 422),
              ("nosuchimage", 422), ("base/../base", 422), ("base\n", 422), ("base/", 422), ("snapshot:x", 422)],
    "timeout": [("x", 422), ("", 422), (None, 400), (True, 400), ([], 400), ({}, 400), (0, 422), (-1, 422), (0.5, 422),
                (1e308, 422), (-1e308, 422), (1e-300, 422), (2**53, 422), (2**63 - 1, 422), (-(2**63), 422),
                (86401, 422), ("-5s", 422), ("5 fortnights", 422), ("9999999999999999999h", 422), ("1e3", 422)],
    "wait": [("x", 422), (None, 400), (-1, 422), (301, 422), (1e308, 422), ("1000h", 422)],
    "env": [(5, 400), ([], 400), (None, 400), ({"A": 1}, 400, "env.A"), ({"A": None}, 400, "env.A"),
            ({"1A": "x"}, 422, "env.1A"), ({"A=B": "x"}, 422, "env.A=B"), ({"": "x"}, 422, "env."),
            ({"A B": "x"}, 422, "env.A B"), ({"a" * 257: "x"}, 422, "env." + "a" * 50),
            ({"A": "x" * 32769}, 422, "env.A"), ({f"A{i}": "x" for i in range(513)}, 422),
            ({f"A{i}": "x" * 30000 for i in range(3)}, 422)],
    "metadata": [(5, 400), ([], 400), ({"A": 1}, 400, "metadata.A"), ({"": "x"}, 422, "metadata."),
                 ({"a b": "x"}, 422, "metadata.a b"), ({"a" * 65: "x"}, 422, "metadata." + "a" * 50),
                 ({"a": "x" * 1025}, 422, "metadata.a"), ({f"a{i}": "x" for i in range(65)}, 422)],
    "memory_limit": [("x", 422), ("", 422), ("1x", 422), (None, 400), (1.5, 400), (True, 400), (0, 422), (-1, 422),
                     (1, 422), ("7m", 422), ("65t", 422), ("0x10m", 422), ("-1m", 422), (2**63 - 1, 422),
                     ("99999999999999999999", 422), ("16e", 422)],
    "cpu_quota": [("50000", 400), (None, 400), (1.5, 400), (0, 422), (-1, 422), (999, 422), (102400001, 422),
                  (2**32 + 50000, 422), (2**63 - 1, 422)],
    "pids_limit": [("10", 400), (None, 400), (10.0, 400), (0, 422), (-1, 422), (3, 422), (65537, 422),
                   (2**32 + 100, 422)],
    "disk_limit": [("x", 422), (None, 400), (0, 422), (-1, 422), ("1k", 422), ("65t", 422), (2**63 - 1, 422)],
    "network": [("host", 422), (5, 422), (None, 422), ("", 422), ("None", 422)],
}

PATCH = {
    "timeout": CREATE["timeout"],
    "metadata": CREATE["metadata"],
    "key": [("x", 400)],
    "image": [("base", 400)],
    "memory_limit": [("64m", 400)],
}

EXEC = {
    "command": [(5, 400), (None, 400), ([], 400), ("", 422), ("x" * (1 << 20), 413), ("x" * 131072, 413)],
    "argv": [(5, 400), ("ls", 400), ({}, 400), ([], 422), ([""], 422, "argv[0]"), (["a", 5], 400, "argv[1]"),
             (["a", None], 400, "argv[1]"), (["a", ["b"]], 400, "argv[1]"), (["x"] * 16385, 413),
             (["a", "x" * 131072], 413, "argv[1]"), (["echo"] + ["x" * 100000] * 2, 413)],
    "cwd": [(5, 400), (None, 400), ("", 422), ("tmp", 422), ("./", 422), ("/" + "a" * 4096, 422),
            ("/nonexistent", 422), ("/etc/passwd", 422), ("/root", 422), ("/proc/1/root", 422)],
    "env": CREATE["env"],
    "stdin": [(5, 400), ([], 400), (True, 400)],
    "stdin_encoding": [(5, 400), ("latin-1", 422), ("", 422), ("BASE64", 422)],
    "timeout": [("x", 422), (None, 400), (True, 400), (0, 422), (-1, 422), (0.0001, 422), (86401, 422), (1e308, 422),
                ("", 422), ("-1s", 422), (2**63 - 1, 422)],
    "encoding": [(5, 400), ("latin-1", 422), ("", 422), ("utf-8\n", 422)],
    "max_output": [(None, 400), (-1, 422), ("x", 422), (1.5, 400), (64 * 1048576 + 1, 422), (2**63 - 1, 422)],
}


def show(value):
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:24]}… ({len(text)} bytes)"


def table(server, method, path, rows, base):
    """Goes through all members and values; says all that is wrong."""
    wrong = []
    for member, values in rows.items():
        for value, status, *field in values:
            a = server.request(method, path, {**base, member: value})
            try:
                is_problem(a, status, field[0] if field else member)
            except Exception as e:  # noqa: BLE001 every wrong row is told
                wrong.append(f"{member}: {show(value)}: {e}")
            if a.status == 201:
                server.delete(a.json()["session_id"])
    check(not wrong, "\n  " + "\n  ".join(wrong))


@case("malformed documents")
def malformed(server):
    session = server.create()
    for method, path in (("POST", "/v1/sessions"), ("POST", "/create_session"), ("PATCH", f"/v1/sessions/{session}"),
                         ("POST", f"/v1/sessions/{session}/exec")):
        for name, body in BROKEN.items():
            a = server.request(method, path, body, timeout=patience(2))
            check(a.status == 400, f"{method} {path}, {name}: {a}")
            is_problem(a, 400)
    server.delete(session)
    server.healthy()


@case("values of a create")
def create_values(server):
    table(server, "POST", "/v1/sessions", CREATE, {})


@case("values of a patch")
def patch_values(server):
    session = server.create(timeout=600)
    table(server, "PATCH", f"/v1/sessions/{session}", PATCH, {})
    check(server.request("GET", f"/v1/sessions/{session}").json()["timeout"] == 600, "the time limit has changed")
    server.delete(session)


@case("values of an exec")
def exec_values(server):
    session = server.create()
    path = f"/v1/sessions/{session}/exec"
    table(server, "POST", path, {k: v for k, v in EXEC.items() if k in ("command", "argv")}, {})
    table(server, "POST", path, {k: v for k, v in EXEC.items() if k not in ("command", "argv")}, {"command": "true"})
    is_problem(server.request("POST", path, {}), 400)
    is_problem(server.request("POST", path, b""), 400)
    is_problem(server.request("POST", path, {"command": "true", "argv": ["true"]}), 400, "command")
    is_problem(server.request("POST", path, {"command": "cat", "stdin": "?", "stdin_encoding": "base64"}), 422, "stdin")
    check(server.run(session, command="echo still here")["stdout"] == "still here\n", "the session is gone")
    server.delete(session)


@case("unknown members are named")
def unknown_members(server):
    session = server.create()
    for name in ("tiemout", "Timeout", "timeout ", "__proto__", "a" * 63, "é" * 20, "\U0001f600" * 15, '"', "\\", "<b>",
                 "a\r\nX-Evil: 1", "\x7f\x1b[31m", "%s%n"):
        for method, path in (("POST", "/v1/sessions"), ("PATCH", f"/v1/sessions/{session}"),
                             ("POST", f"/v1/sessions/{session}/exec")):
            a = server.request(method, path, {name: 5})
            is_problem(a, 400, name)
            check(not a.all("X-Evil"), "a header was made up")
    # too long to be named in full: whatever is left of it is valid text
    for name in ("", "a" * 5000, "é" * 5000, "a" + "€" * 100, "aa" + "\U0001f600" * 100):
        is_problem(server.request("POST", "/v1/sessions", {name: 5}), 400)
    server.delete(session)


@case("sizes of bodies")
def body_sizes(server):
    is_problem(server.request("POST", "/v1/sessions", b" " * (256 * 1024 + 1)), 413, "body")
    is_problem(server.request("POST", "/v1/sessions", b"{" + b" " * 262142 + b"}x"), 413, "body")
    a = server.request("POST", "/v1/sessions", b"{" + b" " * 262142 + b"}")
    check(a.status == 201, f"a body of the greatest size: {a}")
    session = a.json()["session_id"]
    path = f"/v1/sessions/{session}/exec"
    is_problem(server.request("POST", path, b" " * (16 * 1048576 + 1)), 413, "body")
    # as many names as a body holds: no search that goes quadratic
    many = json.dumps({f"k{i}": i for i in range(300000)}).encode()
    is_problem(server.request("POST", path, many, timeout=patience(5)), 400)
    is_problem(server.request("POST", path, {"command": "true", "env": {f"K{i}": "" for i in range(300000)}},
                              timeout=patience(5)), 422, "env")
    a = server.run(session, command="wc -c", stdin="x" * (8 << 20))
    check(a["stdout"].strip() == str(8 << 20), f"8 MiB of standard input: {a}")
    # a body for a route that takes none
    is_problem(server.request("GET", "/health", b"x" * 1000), 413, "body")
    server.delete(session)
    server.healthy()


@case("bodies of 100 MB are not kept", pid=True)
def huge_bodies(server):
    session = server.create()
    before = server.memory_kib()
    path = f"/v1/sessions/{session}/exec"
    with server.connect() as c:
        c.send(server.head("POST", path, None, ["Content-Length: 100000000"]))
        is_problem(c.answer(), 413, "body")
    piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    with server.connect(30) as c:
        c.send(server.head("POST", path, None, ["Transfer-Encoding: chunked"]))
        for _ in range(96):
            c.send(piece)
        c.send(b"0\r\n\r\n")
        is_problem(c.answer(), 413, "body")
    server.healthy()
    grown = server.memory_kib() - before
    check(grown < 48 * 1024, f"{grown} KiB more memory")
    server.delete(session)


@case("commands of odd sizes and bytes")
def odd_commands(server):
    s = server.create()
    a = server.run(s, argv=["/bin/sh", "-c", "echo $#", "sh"] + ["x"] * 10000)
    check(a["stdout"] == "10000\n", f"10,000 arguments: {a}")
    a = server.run(s, argv=["printf", "%s", "x" * 131071])
    check(len(a["stdout"]) == 131071, "the longest argument")
    a = server.run(s, argv=["printf", "%s|", "", " ", "a\nb", "é\U0001f600", "\x01\x7f", "$(id)", "'\""])
    check(a["stdout"] == "| |a\nb|é\U0001f600|\x01\x7f|$(id)|'\"|", f"arguments as they are: {a}")
    a = server.run(s, command="printf 'a\\377\\000\\303b'")
    check(a["stdout"] == "a\ufffd\0\ufffdb", f"bytes that are not UTF-8: {a}")
    a = server.run(s, command="printf 'a\\377\\000\\303b'", encoding="base64")
    check(base64.b64decode(a["stdout"]) == b"a\xff\0\xc3b", f"bytes in base64: {a}")
    a = server.run(s, command="cat", stdin=base64.b64encode(bytes(range(256))).decode(), stdin_encoding="base64",
                   encoding="base64")
    check(base64.b64decode(a["stdout"]) == bytes(range(256)), "all bytes through standard input")
    a = server.run(s, argv=["/nonexistent"])
    check((a["exit_code"], a["reason"]) == (127, "exited"), f"no such program: {a}")
    a = server.run(s, argv=["/etc/passwd"])
    check((a["exit_code"], a["reason"]) == (126, "exited"), f"no program: {a}")
    a = server.run(s, argv=["-c"])
    check(a["exit_code"] == 127, f"an option for a name: {a}")
    a = server.run(s, command="head -c 3000000 /dev/zero | tr '\\0' x; echo end")
    check(a["stdout_truncated"] and len(a["stdout"]) == 1 << 20 and a["stdout"].endswith("end\n")
          and a["stdout_bytes"] == 3000004, "3 MB of output are cut in the middle")
    a = server.run(s, command="echo hello; echo err >&2", max_output=0)
    check(a["stdout"] == "" and a["stdout_truncated"] and a["stderr_bytes"] == 4, f"no output kept: {a}")
    a = server.run(s, command="echo abcdef", max_output=3)
    check(a["stdout"] == "abf"[:2] + "\n", f"3 bytes kept: {a}")
    server.delete(s)


IDS = ["", "%20", "..", ".", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "a%00b", "A" * 5000, "*", "'", "%27%20or%201=1",
       "%252e%252e", "..%5c..", "%c0%ae%c0%ae", "%ff%fe", "-", "0", "null", "undefined", "%0d%0aX-Evil:%201", "%",
       "%g0", "~", "a;b", "a?b=c", "a#b", "{id}", "%7b%7d", str(uuid.UUID(int=0)), "../health", "%2e%2e%2fhealth"]


@case("ids that are none")
def ids(server):
    a_session = server.create()
    spellings = IDS + [a_session.upper(), a_session + "%20", "%20" + a_session, a_session + "%00", a_session[:-1],
                       a_session + "/", "{" + a_session + "}", a_session + "x", a_session.replace("-", "")]
    for name in spellings:
        for method, rest, body in (("GET", "", None), ("DELETE", "", None), ("PATCH", "", {"timeout": 5}),
                                   ("POST", "/exec", {"command": "true"})):
            a = server.request(method, f"/v1/sessions/{name}{rest}", body)
            listing = name in ("", "a?b=c", "a#b")
            check(a.status in ((400, 404, 405, 410) if not listing else (200, 400, 404, 405)),
                  f"{method} {name!r}{rest}: {a}")
            check(not a.all("X-Evil"), f"{name!r} made a header")
            check(b"root:" not in a.body, f"{name!r}: a file of the host")
    is_problem(server.request("GET", f"/v1/sessions/{uuid.uuid4()}"), 404)
    check(server.request("GET", f"/v1/sessions/{a_session}").status == 200, "the session is gone")
    server.delete(a_session)


@case("an ended session says why")
def ended(server):
    session = server.create()
    server.delete(session)
    for method, rest, body in (("GET", "", None), ("DELETE", "", None), ("PATCH", "", {"timeout": 5}),
                               ("POST", "/exec", {"command": "true"})):
        a = server.request(method, f"/v1/sessions/{session}{rest}", body)
        is_problem(a, 410)
        check(a.json().get("reason") == "deleted" and a.json().get("session_id") == session, f"{method}: {a}")
    short = server.create(timeout=1)
    check(within(3, lambda: server.request("GET", f"/v1/sessions/{short}").status == 410), "it does not expire")
    a = server.request("POST", f"/v1/sessions/{short}/exec", {"command": "true"})
    is_problem(a, 410)
    check(a.json()["reason"] == "expired", f"{a}")


@case("arguments of the list")
def list_arguments(server):
    for query, status in (("limit=0", 422), ("limit=1001", 422), ("limit=-1", 422), ("limit=x", 422), ("limit=", 422),
                          ("limit=99999999999999999999", 422), ("next=x", 422), ("next=-1", 422), ("nonsense=1", 400),
                          ("state=ended", 422), ("state=", 422),
                          ("limit=1&nonsense=1", 400), ("%00=1", 400), ("a%0d%0ab=1", 400),
                          ("&".join(f"metadata.a{i}=x" for i in range(9)), 422)):
        is_problem(server.request("GET", f"/v1/sessions?{query}"), status)
    for query in ("", "limit=1", "state=running", "metadata.a=b", "metadata.=", "next=0", "metadata.a=%ff"):
        a = server.request("GET", f"/v1/sessions?{query}")
        check(a.status == 200 and isinstance(a.json()["sessions"], list), f"{query}: {a}")


@case("time limits of commands")
def exec_timeouts(server):
    session = server.create()
    a = server.run(session, command="echo before; sleep 900", timeout=1)
    check(a["reason"] == "timeout" and a["stdout"] == "before\n" and a["duration_ms"] < patience(3000), f"{a}")
    a = server.run(session, command="trap '' TERM INT; (trap '' TERM; setsid sleep 900 &) ; kill -STOP $$", timeout="300ms")
    check(a["reason"] == "timeout", f"{a}")
    a = server.run(session, command="(sleep 900; echo late) & echo done")
    check(a["reason"] == "exited" and a["stdout"] == "done\n" and a["duration_ms"] < patience(3000), f"a grandchild holds: {a}")
    a = server.run(session, command="cat /proc/[0-9]*/cmdline")
    check("sleep" not in a["stdout"].replace("cat", ""), f"something runs on: {a['stdout']!r}")
    server.delete(session)

#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# contexts.py ADDRESS PID [TEST...]: the checks of contexts.sh, on the worker at ADDRESS whose process is PID
import http.client
import json
import os
import socket
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from patience import patience, within  # noqa: E402

ADDRESS = sys.argv[1]
WORKER = int(sys.argv[2])


def call(method, path, body=None, timeout=60):
    c = http.client.HTTPConnection(ADDRESS, timeout=timeout)
    try:
        c.request(method, path, json.dumps(body) if body is not None else None)
        r = c.getresponse()
        text = r.read()
        return r.status, json.loads(text) if text else None
    finally:
        c.close()


def expect(wanted, got, what=""):
    if wanted != got:
        raise AssertionError(f"{what or 'value'}: expected {wanted!r}, got {got!r}")


def events(response):
    """The events of an answer, as (name, data)."""
    name = None
    for line in response:
        line = line.decode().rstrip("\n")
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


class Session:
    def __init__(self, **options):
        status, answer = call("POST", "/v1/sessions", options)
        expect(201, status, answer)
        self.path = "/v1/sessions/" + answer["session_id"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        call("DELETE", self.path)

    def context(self, language="python", **options):
        status, answer = call("POST", self.path + "/contexts", {"language": language, **options})
        expect(201, status, answer)
        return Context(self, answer["context_id"])

    def execute(self, command):
        return call("POST", self.path + "/exec", {"command": command})[1]

    def wait_begun(self):
        """Until the code that runs has made the file "begun"."""
        assert within(10, lambda: self.execute("rm begun 2>/dev/null")["exit_code"] == 0), "it does not begin"


class Context:
    def __init__(self, session, identity):
        self.session, self.path = session, f"{session.path}/contexts/{identity}"

    def post(self, verb, body=None, timeout=60):
        return call("POST", f"{self.path}/{verb}", body, timeout)

    def run(self, code, **options):
        status, answer = self.post("run", {"code": code, **options})
        expect(200, status, answer)
        return answer

    def show(self):
        return call("GET", self.path)[1]

    def state(self):
        return self.show()["state"]

    def wait(self, **wanted):
        """Until it is shown as @wanted."""
        if not within(30, lambda: all(self.show()[k] == v for k, v in wanted.items())):
            raise AssertionError(f"expected {wanted}, got {self.show()}")

    def stream(self, code, **options):
        c = http.client.HTTPConnection(ADDRESS, timeout=60)
        c.request("POST", self.path + "/run", json.dumps({"code": code, **options}), {"Accept": "text/event-stream"})
        r = c.getresponse()
        expect(200, r.status)
        return c, r

    def delete(self):
        return call("DELETE", self.path)[0]


def is_ok(answer, **wanted):
    expect("ok", answer["status"], answer)
    for name, value in wanted.items():
        expect(value, answer[name], name)


def value(answer):
    is_ok(answer)
    return answer["results"][-1]["text"]


# --- what they tell ---


def python_keeps_its_state():
    with Session() as s:
        c = s.context()
        is_ok(c.run("x = 20\ndef double(n):\n    return 2 * n"), results=[], stdout="")
        expect("40", value(c.run("double(x)")))
        expect("41", value(c.run("_ + 1")))
        expect(3, call("GET", c.path)[1]["runs"])


def python_tells_results():
    with Session() as s:
        c = s.context()
        is_ok(c.run("{'a': [1, True, None, 1.5, 'é']}"), results=[
            {"main": True, "text": "{'a': [1, True, None, 1.5, 'é']}", "json": {"a": [1, True, None, 1.5, "é"]}}])
        is_ok(c.run("None"), results=[])
        is_ok(c.run("float('nan')"), results=[{"main": True, "text": "nan"}])
        is_ok(c.run("10**30"), results=[{"main": True, "text": str(10**30), "cut": ["json"]}])
        is_ok(c.run("object"), results=[{"main": True, "text": "<class 'object'>"}])
        answer = c.run("class P:\n    def _repr_html_(self): return '<b>x</b>'\n"
                       "    def _repr_png_(self): return b'\\x89PNG\\0'\n"
                       "    def _repr_svg_(self): raise ValueError\n"
                       "    def _repr_mimebundle_(self): return {'text/latex': '$x$', 'text/plain': 'plain', 'a/b': 1}\n"
                       "display(P(), 5)\nP()")
        shown = {"text": "plain", "html": "<b>x</b>", "latex": "$x$", "png": "iVBORwA="}
        is_ok(answer, results=[{**shown, "main": False}, {"text": "5", "json": 5, "main": False},
                               {**shown, "main": True}])


def python_tells_errors():
    with Session() as s:
        c = s.context()
        answer = c.run("def f(n):\n    return 1 / n\n\nprint('before')\nf(0)")
        expect("error", answer["status"])
        expect("before\n", answer["stdout"])
        expect(("ZeroDivisionError", "division by zero"), (answer["error"]["name"], answer["error"]["value"]))
        for line in 'File "<run 1>", line 5, in <module>', "    return 1 / n", 'line 2, in f':
            assert line in answer["error"]["traceback"], answer["error"]["traceback"]
        assert "sandboxd" not in answer["error"]["traceback"], answer["error"]["traceback"]
        answer = c.run("def f(:")
        expect("SyntaxError", answer["error"]["name"])
        answer = c.run("f(0)")
        assert "return 1 / n" in answer["error"]["traceback"], "lines of former runs are shown"
        expect("SystemExit", c.run("import sys; sys.exit(4)")["error"]["name"])
        expect("EOFError", c.run("input()")["error"]["name"])
        expect("idle", c.state())


def python_keeps_streams_apart():
    with Session() as s:
        c = s.context()
        is_ok(c.run("import os, sys\nprint('out')\nprint('err', file=sys.stderr)\nos.system('echo sub; echo suberr >&2')\n"
                    "print('end', end='')"), stdout="out\nsub\nend", stderr="err\nsuberr\n")
        answer = c.run("print('x' * 3000000)", max_output=1000)
        expect((1000, True), (len(answer["stdout"]), answer["stdout_truncated"]))


def python_awaits():
    with Session() as s:
        c = s.context()
        expect("3", value(c.run("import asyncio\nx = await asyncio.sleep(0.01, 3)\nx")))
        expect("7", value(c.run("async def f():\n    return 7\nawait f()")))
        answer = c.run("await asyncio.sleep(60)", timeout=0.3)
        expect(("timeout", "idle"), (answer["status"], answer["context_state"]))
        expect("3", value(c.run("await f() - 4")))


def python_shows_figures():
    with Session() as s:
        c = s.context()
        # a stand-in with the same surface, for images without matplotlib
        is_ok(c.run("""
import os
os.makedirs("matplotlib/backends")
open("matplotlib/__init__.py", "w").close()
open("matplotlib/backends/__init__.py", "w").close()
open("matplotlib/backends/backend_agg.py", "w").write("class FigureCanvasAgg: pass\\n")
open("matplotlib/pyplot.py", "w").write('''
import importlib, os
backend = importlib.import_module(os.environ["MPLBACKEND"].removeprefix("module://"))
backend.FigureCanvas
figures = {}
class Figure:
    def __init__(self, n): figures[n] = self; self.n = n
    def savefig(self, f, format, bbox_inches): f.write(b"PNG%d" % self.n)
    def __repr__(self): return "<Figure %d>" % self.n
def get_fignums(): return list(figures)
def figure(n): return figures.get(n) or Figure(n)
def close(f): del figures[f.n]
show = backend.show
''')"""))
        answer = c.run("import matplotlib.pyplot as plt\nfirst = plt.figure(1)\nplt.show()\nprint('between')\nsecond = plt.figure(2)")
        is_ok(answer, stdout="between\n", results=[
            {"main": False, "text": "<Figure 1>", "png": "UE5HMQ=="}, {"main": False, "text": "<Figure 2>", "png": "UE5HMg=="}])
        is_ok(c.run("1"), results=[{"main": True, "text": "1", "json": 1}])


def bash_keeps_its_state():
    with Session() as s:
        c = s.context("bash")
        is_ok(c.run("x=5; cd /tmp; f() { echo \"f $1\"; }; declare -A m=([a]=b); false || true"), exit_code=0)
        is_ok(c.run("f $x; pwd; echo ${m[a]}; echo é | wc -c; cat; echo err >&2"), stdout="f 5\n/tmp\nb\n3\n", stderr="err\n")
        answer = c.run("(exit 3)")
        expect(("error", 3), (answer["status"], answer["exit_code"]))
        is_ok(c.run("echo $?"), stdout="3\n")
        expect(2, c.run("if ; then")["exit_code"])
        expect("", c.run("")["stdout"])
        answer = c.run("set -x; true; set +x")
        assert "__sandboxd_" not in answer["stderr"].replace('"$__sandboxd_code"', ""), answer["stderr"]
        answer = c.run("echo bye; exit 7")
        expect(("ended", 7, "bye\n", "exited"), tuple(answer[k] for k in ("status", "exit_code", "stdout", "reason")))
        expect("ended", c.state())
        expect(409, c.post("run", {"code": "echo"})[0])
        expect(200, c.post("restart")[0])
        is_ok(c.run("echo ${x-gone}; pwd"), stdout="gone\n/home/sandboxuser\n")


def node_keeps_its_state():
    with Session() as s:
        status, answer = call("POST", s.path + "/contexts", {"language": "javascript"})
        if status == 422:
            return "the image has no node"
        c = Context(s, answer["context_id"])
        is_ok(c.run("const x = 2; let y = 3; function f(n) { return n * x; }"), results=[])
        is_ok(c.run("let y = 4; f(y)"), results=[{"main": True, "text": "8", "json": 8}])
        is_ok(c.run("({ a: [1, 'b'] })"), results=[{"main": True, "text": "{ a: [ 1, 'b' ] }", "json": {"a": [1, "b"]}}])
        is_ok(c.run("console.log('out'); console.error('err'); await new Promise((r) => setTimeout(r, 10)); display(y)"),
              stdout="out\n", stderr="err\n", results=[{"main": False, "text": "4", "json": 4}])
        answer = c.run("null.x")
        expect(("error", "TypeError"), (answer["status"], answer["error"]["name"]))
        assert "sandboxd" not in answer["error"]["traceback"], answer["error"]["traceback"]
        expect("5", c.run("throw 5")["error"]["value"])
        expect("SyntaxError", c.run("f(")["error"]["name"])
        for code in "while (true) {}", "await new Promise(() => {})":
            answer = c.run(code, timeout=0.5)
            expect(("timeout", "idle"), (answer["status"], answer["context_state"]))
        expect("8", value(c.run("f(y)")))
        is_ok(c.run("require('child_process').execSync('cat; ls /proc/self/fd | wc -l').toString()"),
              results=[{"main": True, "text": "'4\\n'", "json": "4\n"}])


def events_come_in_order():
    code = ("import sys\nfor i in range(3):\n    print('out', i)\n    display(i)\n    print('err', i, file=sys.stderr)\n'é' * 20000")
    with Session() as s:
        c, r = s.context().stream(code)
        seen = list(events(r))
        c.close()
    expect("start", seen[0][0])
    expect(["exit"], [name for name, _ in seen if name == "exit"])
    expect("exit", seen[-1][0])
    expect("ok", seen[-1][1]["status"])
    text = [(name, data.get("data", data.get("text"))) for name, data in seen[1:-1]]
    expect(("result", repr("é" * 20000)), text[-1])
    # of the two streams the order is not known
    for stream, first, second in ("stdout", "out", None), ("stderr", None, "err"):
        wanted = []
        for i in range(3):
            wanted += [(stream, f"{first} {i}\n")] if first else []
            wanted += [("result", str(i))]
            wanted += [(stream, f"{second} {i}\n")] if second else []
        expect(wanted, [(name, data) for name, data in text[:-1] if name in ("result", stream)])


def output_of_runs_has_offsets():
    with Session() as s:
        context = s.context()
        for n in range(2):
            c, r = context.stream(f"print('é' * 30000); print({n})")
            parts = [d for name, d in events(r) if name == "stdout"]
            c.close()
            expect("é" * 30000 + f"\n{n}\n", "".join(d["data"] for d in parts))
            at = parts[0]["offset"]
            for d in parts:
                expect(at, d["offset"])
                at += len(d["data"].encode())


# --- how they end ---


def meanwhile(context, code, action):
    """The answer to @code, while whose run @action is done."""
    answers = []
    t = threading.Thread(target=lambda: answers.append(context.run(code)))
    t.start()
    context.wait(state="running")
    try:
        action()
    finally:
        t.join()
    return answers[0]


def interrupts_keep_the_state():
    for language, code, after in (("python", "import time\nx = 1\nopen('begun', 'w').close()\ntime.sleep(60)\nx = 2", "print(x)"),
                                  ("bash", "x=1; : >begun; sleep 60; x=2", "echo $x")):
        with Session() as s:
            c = s.context(language)
            expect(409, c.post("interrupt")[0])

            def interrupt(c=c, s=s):
                s.wait_begun()
                expect(204, c.post("interrupt")[0])

            answer = meanwhile(c, code, interrupt)
            expect(("interrupted", "idle"), (answer["status"], answer["context_state"]), language)
            assert answer["duration_ms"] < patience(5000), answer
            is_ok(c.run(after), stdout="1\n")


def interrupts_hit_their_run_only():
    with Session() as s:
        c = s.context()
        for i in range(40):
            threading.Thread(target=lambda: c.post("interrupt"), daemon=True).start()
            first = c.run("import time\nfor _ in range(20): time.sleep(0.0005)")
            assert first["status"] in ("ok", "interrupted"), first
            is_ok(c.run("sum(range(100))"))


def time_outs_keep_the_state():
    for language, code, after in (("python", "x = 1\nwhile True: pass", "print(x)"),
                                  ("bash", "x=1; while :; do :; done", "echo $x"),
                                  ("bash", "x=1; cat /dev/zero >/dev/null", "echo $x")):
        with Session() as s:
            c = s.context(language)
            answer = c.run(code, timeout=0.5)
            expect(("timeout", "idle"), (answer["status"], answer["context_state"]), language)
            assert answer["duration_ms"] < patience(2000), answer
            is_ok(c.run(after), stdout="1\n")


def stubborn_code_is_killed():
    for language, code in (("python", "import time\nprint('here')\nwhile True:\n    try: time.sleep(9)\n    except KeyboardInterrupt: pass"),
                           ("bash", "trap '' INT; echo here; while :; do sleep 1; done")):
        with Session() as s:
            c = s.context(language)
            answer = c.run(code, timeout=1)
            expect(("timeout", "timeout", "ended", "here\n"),
                   tuple(answer[k] for k in ("status", "reason", "context_state", "stdout")))
            expect(409, c.post("run", {"code": "1"})[0])
            status, answer = c.post("restart")
            expect((200, "idle", 0), (status, answer["state"], answer["runs"]))
            is_ok(c.run("print(1)" if language == "python" else "echo 1"), stdout="1\n")


def ends_are_explained():
    with Session() as s:
        for code, wanted in (("import os; os._exit(5)", ("ended", "exited", 5)),
                             ("import os; os.kill(os.getpid(), 9)", ("ended", "signaled", 137)),
                             ("import os; os.close(3); import time; time.sleep(60)", ("ended", "lost", None))):
            c = s.context()
            answer = c.run("print('said')\n" + code)
            expect((*wanted, "said\n"), (answer["status"], answer["reason"],
                                        wanted[2] and answer["exit_code"], answer["stdout"]), code)
            expect("ended", c.state())
            expect(204, c.delete())
    with Session() as s:
        c = s.context()
        answer = meanwhile(c, "import time; time.sleep(60)", lambda: expect(204, call("DELETE", s.path)[0]))
        expect(("ended", "lost"), (answer["status"], answer["reason"]))
        expect(410, c.post("run", {"code": "1"})[0])


def restart_and_delete_end_what_runs():
    with Session() as s:
        for verb in "restart", "delete":
            c = s.context()
            c.run("x = 1\nimport subprocess\np = subprocess.Popen(['sleep', '1000'])")

            def end(c=c, verb=verb):
                if verb == "restart":
                    expect((200, "idle"), (lambda a: (a[0], a[1]["state"]))(c.post("restart")))
                    expect("NameError", c.run("x")["error"]["name"])
                else:
                    expect(204, c.delete())
                    expect(404, call("GET", c.path)[0])

            expect("ended", meanwhile(c, "import time; time.sleep(60)", end)["status"])
            # nothing of it runs any more; what pgrep finds is not itself
            expect("0\n", s.execute("pgrep -xc sleep; true")["stdout"])


def runs_queue():
    with Session() as s:
        c = s.context()
        answers, threads = {}, []
        for i in range(5):
            threads.append(threading.Thread(target=lambda i=i: answers.update(
                {i: c.run("import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n"
                          f"log = globals().get('log', []) + [{i}]\nlen(log)")})))
            threads[-1].start()
            c.wait(state="running", queued=i)
        s.execute("touch go")
        for t in threads:
            t.join()
        expect([str(i + 1) for i in range(5)], [value(answers[i]) for i in range(5)])
        sockets = []
        for _ in range(33):
            sockets.append(c.stream("import time; time.sleep(60)") if not sockets else None)
            if sockets[-1] is None:
                sockets[-1] = http.client.HTTPConnection(ADDRESS, timeout=10)
                sockets[-1].request("POST", c.path + "/run", json.dumps({"code": "1"}))
        c.wait(queued=32)
        expect(429, c.post("run", {"code": "1"})[0])
        for x in sockets[1:]:
            x.close()
        c.wait(queued=0)
        sockets[0][0].close()


def a_client_that_goes_interrupts():
    with Session() as s:
        c = s.context()
        for how in "answer", "stream":
            h = http.client.HTTPConnection(ADDRESS)
            h.request("POST", c.path + "/run", json.dumps({"code": "import time\nx = 1\nopen('begun', 'w').close()\ntime.sleep(60)\nx = 2"}),
                      {} if how == "answer" else {"Accept": "text/event-stream"})
            c.wait(state="running")
            s.wait_begun()
            h.sock.close() if how == "answer" else h.close()
            c.wait(state="idle")
            expect("1", value(c.run("x")), how)


def a_slow_reader_slows_the_code():
    with Session() as s:
        context = s.context()
        c, r = context.stream("for i in range(400000): print('%099d' % i)")
        time.sleep(2)
        assert context.state() == "running"
        text = "".join(d["data"] for name, d in events(r) if name == "stdout")
        c.close()
        expect(40000000, len(text))
        expect([f"{i:099d}" for i in range(0, 400000, 997)], text.split("\n")[:-1][::997])


def limits_and_mistakes():
    with Session() as s:
        contexts = [s.context("bash") for _ in range(16)]
        status, answer = call("POST", s.path + "/contexts", {"language": "bash"})
        expect((429, "contexts"), (status, answer["field"]))
        expect(16, len(call("GET", s.path + "/contexts")[1]["contexts"]))
        for c in contexts[1:]:
            expect(204, c.delete())
        c = contexts[0]
        for status, field, verb, body in (
                (422, "language", "contexts", {"language": "cobol"}), (400, "language", "contexts", {}),
                (422, "cwd", "contexts", {"language": "bash", "cwd": "/nonesuch"}),
                (422, "cwd", "contexts", {"language": "bash", "cwd": "x"}),
                (400, "memory", "contexts", {"language": "bash", "memory": 1}),
                (400, "code", "run", {}), (400, "code", "run", {"code": 5}), (413, "code", "run", {"code": "#" * 1048577}),
                (422, "timeout", "run", {"code": "", "timeout": 0}), (400, "cell", "run", {"code": "", "cell": 1})):
            got, answer = call("POST", s.path + "/contexts", body) if verb == "contexts" else c.post("run", body)
            expect((status, field), (got, answer.get("field")), str(body)[:80])
        expect(1, len(call("GET", s.path + "/contexts")[1]["contexts"]))
        expect(404, call("GET", s.path + "/contexts/nonesuch")[0])
        is_ok(c.run("true " + "#" * 1000000))
        is_ok(s.context("bash", cwd="/tmp", env={"A": "b c"}).run("pwd; echo $A"), stdout="/tmp\nb c\n")
    with Session(env={"COLOUR": "red"}) as s:
        expect("'red'", value(s.context().run("import os; os.environ['COLOUR']")))


def forked_copies_do_not_speak():
    with Session() as s:
        c = s.context()
        is_ok(c.run("import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint('parent' if pid else 'child')"),
              stdout="child\nparent\n")
        is_ok(c.run("pid = os.fork()\nif pid == 0: raise SystemExit(3)\nos.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"),
              results=[{"main": True, "text": "3", "json": 3}])
        is_ok(c.run("import multiprocessing as m\nwith m.Pool(2) as p: print(p.map(abs, [-1, -2]))"), stdout="[1, 2]\n")


# --- code that talks in the driver's place ---


def worker_memory():
    with open(f"/proc/{WORKER}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:")) // 1024


def worker_answers():
    start = time.monotonic()
    expect(200, call("GET", "/health")[0])
    assert time.monotonic() - start < patience(1)


def lies_end_the_interpreter():
    with Session() as s:
        for frame in ("garbage\n", "x" * 100, "text\n", "text -1\n", "text 99999999999999999999\n", "text 1x\n", "nonesuch 0\n",
                      "\0", "done 5\n99 ok", "done 2\nxx", "begin 2\n99", "result 5\nother", "ready 1\nx", "done 10\n1 exit 256"):
            c = s.context()
            answer = c.run(f"import os, time\nos.write(3, {frame!r}.encode())\ntime.sleep(60)")
            expect(("ended", "lost"), (answer["status"], answer["reason"]), frame[:20])
            expect(204, c.delete())
    worker_answers()


def lies_that_make_sense_hurt_the_liar_alone():
    with Session() as s, Session() as other:
        good = other.context()
        c = s.context()
        # the end of a run that goes on: what follows is not the next one's
        expect("ok", c.run("import os\nos.write(3, b'done 4\\n1 ok')\nimport time; time.sleep(0.3); print('late')")["status"])
        answer = c.run("print('second')")
        expect("ok", answer["status"])
        assert answer["stdout"].endswith("second\n"), answer
        # old numbers, words out of place
        is_ok(c.run("os.write(3, b'done 4\\n1 okbegin 1\\n1ready 1\\n0result 4\\nmainname 1\\nx')"))
        for text in (b"json 1\n[", b"json 200000\n" + b"[" * 200000, b"text 3\n\xff\xfe\xfd", b"png 0\n", b"json 5\n1e999",
                     b"json 8\n\"\\ud800\"", b"json 20\n" + b"1" * 20):
            answer = c.run(f"import base64\nos.write(3, base64.b64decode('{__import__('base64').b64encode(text).decode()}'))\n"
                           "os.write(3, b'result 7\\ndisplay')\nNone")
            expect(("ok", 1), (answer["status"], len(answer["results"])), text[:10])
        is_ok(good.run("1"))


def floods_are_bounded():
    with Session() as s:
        c = s.context()
        before = worker_memory()
        answer = c.run("import os\nwhile True: os.write(3, b'text 0\\n' * 4096)", timeout=1)
        expect("timeout", answer["status"])
        worker_answers()
        answer = c.run("import os\nwhile True: os.write(3, b'result 7\\ndisplay' * 4096)", timeout=1)
        expect("timeout", answer["status"])
        answer = c.run("for i in range(20000): display(i)")
        expect((1000, 19000), (len(answer["results"]), answer["results_dropped"]))
        answer = c.run("for i in range(30): display('x' * 1000000)")
        assert sum(len(r["text"]) for r in answer["results"]) < 9 << 20
        assert answer["results_dropped"] > 20, answer["results_dropped"]
        answer = c.run("'x' * 50000000")
        expect(["json", "text"], sorted(answer["results"][0]["cut"]))
        expect(1 << 20, len(answer["results"][0]["text"]))
        answer = c.run("raise ValueError('x' * 5000000)")
        expect(65536, len(answer["error"]["value"]))
        answer = c.run("import os\nb = memoryview(bytes(1 << 20))\nos.write(3, b'png 1000000000\\n')\n"
                       "for i in range(200):\n    n = 0\n    while n < len(b): n += os.write(3, b[n:])", timeout=10)
        expect("timeout" if answer["status"] == "timeout" else "ok", answer["status"])
        grown = worker_memory() - before
        assert grown < 64, f"the worker has grown by {grown} MiB"
        worker_answers()


def a_flood_nobody_reads_is_bounded():
    with Session() as s:
        context = s.context()
        before = worker_memory()
        c, r = context.stream("for i in range(100): display('x' * 1000000)")
        time.sleep(2)
        grown = worker_memory() - before
        assert grown < 40, f"the worker has grown by {grown} MiB"
        expect(100, len([1 for name, _ in events(r) if name == "result"]))
        c.close()
        # when nothing runs nothing is read
        is_ok(context.run("import threading, os\ndef f():\n    while True: os.write(3, b'text 0\\n' * 1000)\n"
                          "t = threading.Thread(target=f, daemon=True); t.start()"))
        times = os.times
        before = sum(map(int, open(f"/proc/{WORKER}/stat").read().rsplit(")", 1)[1].split()[11:13]))
        time.sleep(1)
        after = sum(map(int, open(f"/proc/{WORKER}/stat").read().rsplit(")", 1)[1].split()[11:13]))
        assert after - before < 10, f"{after - before} ticks for what nobody asked for"


TESTS = [python_keeps_its_state, python_tells_results, python_tells_errors, python_keeps_streams_apart, python_awaits,
         python_shows_figures, bash_keeps_its_state, node_keeps_its_state, events_come_in_order, output_of_runs_has_offsets,
         interrupts_keep_the_state, interrupts_hit_their_run_only, time_outs_keep_the_state, stubborn_code_is_killed,
         ends_are_explained, restart_and_delete_end_what_runs, runs_queue, a_client_that_goes_interrupts,
         a_slow_reader_slows_the_code, limits_and_mistakes, forked_copies_do_not_speak, lies_end_the_interpreter,
         lies_that_make_sense_hurt_the_liar_alone, floods_are_bounded, a_flood_nobody_reads_is_bounded]


def main():
    failed = 0
    for test in TESTS:
        if sys.argv[3:] and test.__name__ not in sys.argv[3:]:
            continue
        start = time.monotonic()
        try:
            note = test()
            print(f"ok {test.__name__} ({time.monotonic() - start:.1f} s){': ' + note if note else ''}", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL {test.__name__}\n{traceback.format_exc()}", flush=True)
    expect(0, call("GET", "/health")[1]["active_sessions"], "sessions left")
    return failed > 0


sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# streams.py ADDRESS PID [TEST...]: the checks of streams.sh, on the worker at ADDRESS whose process is PID.
import base64
import io
import json
import tarfile
import threading
import time
import urllib.parse

from patience import patience
from session_client import Session, call, connect, descriptors, expect, main, memory, raw, until


def start(session, command, **options):
    return f"{session.path}/execs/{session.run(command, background=True, **options)['exec_id']}"


def ended(path):
    until(lambda: call("GET", path)[1].get("exit_code") is not None, "the command ends")


def follow(path, offset=0):
    """What one reader gets until the exit event: its bytes and how many such events."""
    data, exits, kind = b"", 0, None
    c = connect()
    c.request("GET", f"{path}/output?from={offset}", headers={"Accept": "text/event-stream"})
    r = c.getresponse()
    expect(200, r.status)
    for line in r:
        if line.startswith(b"event: "):
            kind = line[7:].strip()
            exits += kind == b"exit"
        elif line.startswith(b"data: ") and kind == b"stdout":
            event = json.loads(line[6:])
            data += event["data"].encode() if "data" in event else base64.b64decode(event["bytes"])
    c.close()
    return data, exits


def test_two_readers():
    """Each gets all of it, however they read."""
    with Session() as s:
        path = start(s, "for i in $(seq 2000); do echo line $i; done; sleep 0.2; echo end")
        got = {}
        threads = [threading.Thread(target=lambda i=i: got.__setitem__(i, follow(path))) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        wanted = "".join(f"line {i}\n" for i in range(1, 2001)).encode() + b"end\n"
        for i in range(4):
            expect((wanted, 1), got[i], f"reader {i}")
        expect((wanted[7:], 1), follow(path, 7), "from an offset, afterwards")


def test_wrong_offsets():
    with Session() as s:
        path = start(s, "printf 0123456789")
        ended(path)
        expect("56789", call("GET", path + "/output?from=5")[1]["stdout"])
        for offset in ("-1", "x", "1.5", "", "18446744073709551616", "0x5"):
            status, answer = call("GET", f"{path}/output?from={offset}")
            assert status in (400, 422), (offset, status, answer)
            expect("from", answer["field"], answer)
        status, answer = call("GET", path + "/output?from=1000")
        assert status == 200 and answer["stdout"] == "" or status == 422 and answer["field"] == "from", (status, answer)


def test_output_that_is_gone():
    """Nobody reads, and more comes than is kept: the beginning is told to be missing, by how much, and nothing else is."""
    total, kept = 64 << 20, set()
    with Session() as s:
        path = start(s, f"head -c {total} /dev/zero | tr '\\0' x")
        ended(path)
        for offset in (0, 1000, total // 2, total - 1000):
            c = connect()
            c.request("GET", f"{path}/output?from={offset}", headers={"Accept": "text/event-stream"})
            at, missing, exits, kind = offset, 0, 0, None
            for line in c.getresponse():
                if line.startswith(b"event: "):
                    kind = line[7:].strip()
                    exits += kind == b"exit"
                elif line.startswith(b"data: ") and kind in (b"missing", b"stdout"):
                    event = json.loads(line[6:])
                    expect(at, event["offset"], "where it goes on")
                    if kind == b"missing":
                        assert missing == 0 and at == offset, (at, event)
                        missing = event["bytes"]
                    at += event["bytes"] if kind == b"missing" else len(event["data"])
            c.close()
            expect((total, 1), (at, exits), f"from {offset}")
            if offset < total - 1000:
                kept.add(offset + missing)
            else:
                expect(0, missing, "the end is there")
        assert len(kept) == 1 and total // 2 < min(kept) < total, kept


def test_silence_is_told():
    with Session() as s:
        c = connect(120)
        c.request("POST", s.path + "/exec", '{"command":"sleep 17; echo end"}', {"Accept": "text/event-stream"})
        lines = [line for line in c.getresponse() if line.startswith((b":", b"event:"))]
        c.close()
        expect([b"event: start", b": keep-alive", b"event: stdout", b"event: exit"], [line.strip() for line in lines])


def test_stdin_after_the_end():
    with Session() as s:
        path = start(s, "true", stdin_open=True)
        ended(path)
        for query in ("", "?eof=1"):
            expect(409, raw("POST", path + "/stdin" + query, b"late\n")[0])
        path = start(s, "cat", stdin_open=True)
        expect(204, raw("POST", path + "/stdin?eof=1", b"all\n")[0])
        ended(path)
        expect("all\n", call("GET", path + "/output")[1]["stdout"])
        expect(409, raw("POST", path + "/stdin", b"late\n")[0], "after its end of file")
        # a command whose input was never open has none
        path = start(s, "sleep 60")
        expect(409, raw("POST", path + "/stdin", b"x")[0], "no input")


def test_resize_of_no_terminal():
    with Session() as s:
        path = start(s, "sleep 60")
        expect(409, call("POST", path + "/resize", {"rows": 10, "cols": 10})[0])
        path = start(s, "sleep 60", pty={"rows": 24, "cols": 80})
        expect(204, call("POST", path + "/resize", {"rows": 10, "cols": 10})[0])
        for size in ({"rows": 0, "cols": 10}, {"rows": 10, "cols": 70000}, {"rows": -1, "cols": 1}, {"rows": 10}):
            status, answer = call("POST", path + "/resize", size)
            assert status in (400, 422) and answer["field"], (size, status, answer)


def quote(name):
    return urllib.parse.quote(name)


def test_strange_names():
    """A line feed is a character like others; what is not UTF-8 is told apart and harms nobody."""
    with Session() as s:
        names = ["a\nb", " ", "-rf", "tab\there", "quote\"'`$x", "\u202egnp.exe", "\u00fc\u4e2d", "%41", "back\\slash", "x" * 255]
        for name in names:
            status, _, text = raw("PUT", f"{s.path}/files?path=d/{quote(name)}", name.encode())
            expect(201, status, (name, text))
            expect((200, name.encode()), raw("GET", f"{s.path}/files?path=d/{quote(name)}")[::2], name)
            expect(len(name.encode()), call("GET", f"{s.path}/stat?path=d/{quote(name)}")[1]["size"], name)
        expect(sorted(names), sorted(e["name"] for e in call("GET", s.path + "/dir?path=d")[1]["entries"]), "listed")
        # made inside, where no rule holds
        s.output("cd d && printf x >$(printf 'bad\\377name') && printf y >$(printf '\\300\\200')")
        status, _, text = raw("GET", s.path + "/dir?path=d")
        expect(200, status)
        expect(len(names) + 2, len(json.loads(text.decode())["entries"]), "with names that are not UTF-8")
        status, _, tar = raw("GET", s.path + "/archive?path=d")
        expect(200, status)
        with tarfile.open(fileobj=io.BytesIO(tar), errors="surrogateescape") as t:
            inside = {m.name.removeprefix("./").split("/")[-1] for m in t.getmembers() if m.isfile()}
        for name in names + ["bad\udcffname", "\udcc0\udc80"]:
            assert name in inside, (name, inside)
        assert raw("GET", s.path + "/files?path=d/bad%FFname")[0] in (200, 400, 422)
        for path in ("d/%00", "d/" + "x" * 256, "d/" + "x/" * 2100):
            status, answer = call("GET", f"{s.path}/stat?path={path}")
            assert 400 <= status < 500, (path[:20], status, answer)
        expect("sandboxuser\n", s.output("whoami"))


def test_many_commands_one_after_another():
    with Session() as s:
        c = connect()

        def run():
            c.request("POST", s.path + "/exec", '{"command":"echo x"}')
            r = c.getresponse()
            body = r.read()
            assert r.status == 200 and b'"x\\n"' in body, (r.status, body)
        for _ in range(1000):
            run()
        fds, kib = descriptors(), memory()
        for _ in range(9000):
            run()
        c.close()
        assert descriptors() <= fds + 20, (fds, descriptors())
        assert memory() <= kib + 1024, (kib, memory())
        assert len(call("GET", s.path + "/execs")[1]["execs"]) <= 64, "all are remembered"
        assert int(s.output("ls /proc | grep -c '^[0-9]*$'")) < 10, "processes are left"


def test_a_folder_of_many_files():
    with Session(disk_limit="512m", pids_limit=64) as s:
        # there is an end to files, not only to their bytes
        full = s.run("mkdir full && cd full && seq 100000 | xargs touch 2>&1 | tail -n 1; rm -rf ../full", timeout=120)
        assert "No space left" in full["stdout"], full
        s.output("mkdir many && cd many && seq 60000 | xargs touch", timeout=120)
        kib = memory()
        status, _, text = raw("GET", s.path + "/dir?path=many", timeout=120)
        answer = json.loads(text)
        assert status in (200, 413, 422), answer
        if status == 200:
            entries = answer["entries"]
            assert len(entries) == 60000 or answer.get("truncated"), (len(entries), list(answer))
        assert memory() <= kib + 64 * 1024, (kib, memory())
        expect("sandboxuser\n", s.output("whoami"))
        c = connect(120)
        c.request("GET", s.path + "/archive?path=many")
        r = c.getresponse()
        with tarfile.open(fileobj=r, mode="r|") as t:
            expect(60000, sum(m.isfile() for m in t), "in the archive")
        c.close()


MANY = """import os
os.mkdir("million")
os.chdir("million")
for i in range(%d):
    os.close(os.open("f%%07d" %% i, os.O_CREAT | os.O_WRONLY))"""


def test_a_million_files():
    """As many as a larger disk_limit allows: listed as they come, and cut with a mark, beside other requests."""
    with open("/proc/meminfo") as f:
        free_mib = next(int(line.split()[1]) // 1024 for line in f if line.startswith("MemAvailable:"))
    n = 1000000 if free_mib > 3072 else 200000  # each takes about 1 KiB of the kernel's memory
    with Session(disk_limit="9g", memory_limit="4g", timeout=600) as s:
        s.output(f"python3 -c '{MANY % n}'", timeout=300)
        kib, peak, slowest = memory(), 0, 0.0
        answer = json.loads(raw("GET", s.path + "/dir?path=million", timeout=120)[2])
        expect((100000, 100000, True), (len(answer["entries"]), answer["count"], answer["truncated"]), "by default")
        del answer
        c = connect(300)
        c.request("GET", f"{s.path}/dir?path=million&limit={n}")
        r = c.getresponse()
        expect(200, r.status)
        entries, tail, piece, turns = 0, b"", b"x", 0
        while piece:
            piece = r.read1(1 << 20)
            entries += (tail[-6:] + piece).count(b'"name":')
            tail = (tail + piece)[-100:]
            turns += 1
            if turns % 200 == 0:
                start = time.monotonic()
                expect(200, call("GET", "/health")[0])
                slowest = max(slowest, time.monotonic() - start)
                peak = max(peak, memory() - kib)
        c.close()
        print(f"   {entries} files, worker +{peak} KiB, a request beside it {slowest * 1000:.1f} ms at most", flush=True)
        expect(n, entries)
        assert tail.endswith(b'],"count":%d,"truncated":false,"unreadable":false}' % n), tail
        assert peak < 4096, peak
        assert slowest < patience(0.5), slowest


if __name__ == "__main__":
    main([test_two_readers, test_wrong_offsets, test_output_that_is_gone, test_silence_is_told, test_stdin_after_the_end,
          test_resize_of_no_terminal, test_strange_names,
          test_many_commands_one_after_another, test_a_folder_of_many_files, test_a_million_files])

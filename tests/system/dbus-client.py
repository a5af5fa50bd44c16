#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Another implementation of D-Bus as the client of a worker: objects, commands, descriptors, errors, bad input."""

import os
import socket
import sys
import time

import dbus

NAME = "org.sandboxd.worker.worker1"
bus = dbus.SystemBus()


def interface(path, name):
    return dbus.Interface(bus.get_object(NAME, path), "org.sandboxd." + name)


def step(text):
    print("--", text, flush=True)


def expect(wanted, got):
    if wanted != got:
        sys.exit(f"FAILED: expected {wanted!r}, got {got!r}")


def expect_error(name, part, call, *arguments):
    try:
        got = call(*arguments)
    except dbus.DBusException as error:
        if error.get_dbus_name() != name or part not in error.get_dbus_message():
            sys.exit(f"FAILED: expected {name} with {part!r}, got {error}")
        return
    sys.exit(f"FAILED: expected {name}, got {got!r}")


INVALID = "org.sandboxd.Error.InvalidArgument"
worker = interface("/org/sandboxd/worker", "Worker1")
properties = dbus.Interface(bus.get_object(NAME, "/org/sandboxd/worker"), dbus.PROPERTIES_IFACE)
manager = dbus.Interface(bus.get_object(NAME, "/org/sandboxd"), "org.freedesktop.DBus.ObjectManager")

step("a session with all options, as object and in the list")
session_id, path = worker.CreateSession({
    "Timeout": 600.5, "Env": dbus.Dictionary({"GREETING": "hello"}, signature="ss"),
    "Metadata": dbus.Dictionary({"job": "1"}, signature="ss"), "MemoryLimit": "64m", "CPUQuota": dbus.UInt32(50000),
    "PidsLimit": dbus.UInt64(50), "DiskLimit": dbus.Int32(1 << 25), "Image": "base", "Network": "none", "Wait": "1s"})
expect(path, worker.GetSession(session_id))
listed = [entry for entry in worker.ListSessions() if entry[0] == session_id]
expect([path, "running", "base"], [str(item) for item in listed[0][1:4]])
managed = manager.GetManagedObjects()
expect({"job": "1"}, managed[path]["org.sandboxd.Session1"]["Metadata"])
session = interface(path, "Session1")
known = dbus.Interface(bus.get_object(NAME, path), dbus.PROPERTIES_IFACE).GetAll("org.sandboxd.Session1")
expect(("sandboxuser", 64 << 20, 1 << 25, 50), (known["User"], known["MemoryLimit"], known["DiskLimit"], known["PidsLimit"]))
expect(True, abs(known["ExpiresAt"] / 1e6 - time.time() - 600) < 30)

step("commands")
run = lambda command, **options: session.Execute(command, dbus.Dictionary(options, signature="sv"), byte_arrays=True)
expect((0, "exited", b"hello sandboxuser\n", b""),
       (lambda a: (a[0], a[1], bytes(a[2]), bytes(a[3])))(run('echo "$GREETING $(whoami)"')))
answer = run("cat; echo $X >&2; exit 3", Stdin=dbus.ByteArray(b"a\0\xff"), Cwd="/tmp",
             Env=dbus.Dictionary({"X": "y"}, signature="ss"))
expect((3, b"a\0\xff", b"y\n"), (int(answer[0]), bytes(answer[2]), bytes(answer[3])))
answer = run("echo begun; sleep 60", Timeout=0.3)
expect(("timeout", b"begun\n"), (str(answer[1]), bytes(answer[2])))
answer = run("head -c 3000000 /dev/zero", MaxOutput=dbus.UInt32(1000))
expect(1000, len(answer[2]))
answer = run("head -c 8388608 /dev/zero | tr '\\0' x; head -c 8388608 /dev/zero >&2", MaxOutput="8m")
expect((8 << 20, 8 << 20), (len(answer[2]), len(answer[3])))
expect(127, int(run("exec /no/such/program")[0]))

step("bad input")
expect_error(INVALID, 'no option "Cwdd"', lambda: run("true", Cwdd="/"))
expect_error(INVALID, '"Cwd" has to be an absolute path', lambda: run("true", Cwd="tmp"))
expect_error(INVALID, "No such file", lambda: run("true", Cwd="/no/such/folder"))
expect_error(INVALID, "empty", lambda: run(""))
expect_error(INVALID, "131071", lambda: run("x" * 200000))
expect_error(INVALID, "more than 512", lambda: run(
    "true", Env=dbus.Dictionary({f"V{i}": "" for i in range(100000)}, signature="ss")))
expect_error(INVALID, '"MemoryLimit" is out of range',
             lambda: worker.CreateSession({"MemoryLimit": dbus.UInt64(2**64 - 1)}))
expect_error("org.freedesktop.DBus.Error.InvalidArgs", "sa{sv}",
             lambda: bus.call_blocking(NAME, path, "org.sandboxd.Session1", "Execute", "u", (5,)))
expect_error("org.sandboxd.Error.NoSuchSession", "", lambda: worker.GetSession("x" * 100000))
expect_error(INVALID, "nothing", lambda: worker.CreateSession({"Image": "nothing"}))
expect_error("org.freedesktop.DBus.Error.UnknownMethod", "", lambda: session.Pwn())
expect_error("org.freedesktop.DBus.Error.PropertyReadOnly", "", lambda: properties.Set("org.sandboxd.Worker1", "PoolSize", 1))

step("descriptors of the caller as streams")


def wait_for(condition):
    end = time.time() + 10
    while not condition():
        if time.time() > end:
            sys.exit("FAILED: waited in vain")
        time.sleep(0.02)


null = os.open("/dev/null", os.O_RDWR)
run_fd = lambda argv, stdin, stdout, stderr, **options: session.ExecuteFd(
    argv, dbus.Dictionary(options, signature="sv"), *(dbus.types.UnixFd(fd) for fd in (stdin, stdout, stderr)))
source, feed = os.pipe()
drain, sink = os.pipe()
exec_id = run_fd(["/bin/sh", "-c", "cat; echo end >&2; pwd"], source, sink, sink, Cwd="/tmp")
os.close(source)
os.close(sink)
expect(36, len(exec_id))
os.write(feed, b"through a pipe\n")
os.close(feed)
with os.fdopen(drain, "rb") as stream:
    expect(b"through a pipe\nend\n/tmp\n", stream.read())  # up to its end: no copy of it stays in the worker

ours, theirs = socket.socketpair()
run_fd(["cat"], theirs.fileno(), theirs.fileno(), null)
theirs.close()
ours.sendall(b"through a socket")
ours.shutdown(socket.SHUT_WR)
expect(b"through a socket", ours.makefile("rb").read())

with open("/tmp/dbus-client.out", "w+b") as out:
    run_fd(["echo", "into a file"], null, out.fileno(), null)
    wait_for(lambda: os.path.getsize(out.name) > 0)
    expect(b"into a file\n", open(out.name, "rb").read())

master, slave = os.openpty()
run_fd(["tty"], slave, slave, slave)
expect(True, len(os.read(master, 100)) > 0)

step("what is not passed in")
refused = "The descriptor for"
folder = os.open("/", os.O_RDONLY)
tcp = socket.create_connection(("127.0.0.1", 5000))
unconnected = socket.socket(socket.AF_UNIX)
for fd in (folder, os.open("/etc/passwd", os.O_PATH), tcp.fileno(), unconnected.fileno(), master,
           os.open("/dev/zero", os.O_RDONLY), os.open("/proc/self/ns/net", os.O_RDONLY)):
    expect_error(INVALID, refused, run_fd, ["true"], fd, null, null)
expect_error(INVALID, "stdout is not open for writing", run_fd, ["true"], null, os.open("/etc/passwd", os.O_RDONLY), null)
expect_error(INVALID, "more than 16384", run_fd, ["x"] * 20000, null, null, null)

step("time limit and end")
session.SetTimeout(dbus.UInt64(1000 * 1000000))
expect_error(INVALID, '"usec"', session.SetTimeout, dbus.UInt64(0))
session.Terminate()
expect_error("org.sandboxd.Error.NoSuchSession", "has ended: deleted", run, "true")
expect_error("org.sandboxd.Error.NoSuchSession", "has ended", lambda: worker.DestroySession(session_id))
expect(False, path in manager.GetManagedObjects())

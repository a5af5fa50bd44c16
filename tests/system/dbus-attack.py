#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Attacks on a worker over the system bus, by members of the group "sandbox" (alice, bob) and by others (carol).
Run by root. One line a case, "ok NAME" or "FAIL NAME: what", then "D-Bus: N of N cases held"."""

import os
import pwd
import socket
import subprocess
import sys
import time
import traceback

import dbus
import dbus.lowlevel

NAME = "org.sandboxd.worker.worker1"
WORKER, SESSION = "org.sandboxd.Worker1", "org.sandboxd.Session1"
DENIED = ("AccessDenied", "InteractiveAuthorizationRequired", "Forbidden")
CASES = []


class Broken(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Broken(text)


def case(user):
    """Registers a function that is run as this user, in a process of its own."""
    def add(function):
        CASES.append((function.__name__, user, function))
        return function
    return add


def worker(bus):
    return dbus.Interface(bus.get_object(NAME, "/org/sandboxd/worker", introspect=False), WORKER)


def create(bus):
    return [str(x) for x in worker(bus).CreateSession(dbus.Dictionary({"Timeout": dbus.UInt32(120)}, signature="sv"))]


def error_of(call, *arguments, **options):
    """The name of the error, or None when the call worked."""
    try:
        call(*arguments, **options)
    except dbus.DBusException as e:
        return e.get_dbus_name()
    return None


def refused(what, call, *arguments):
    name = error_of(call, *arguments)
    check(name, f"{what}: it works")
    check(not name.endswith(("NoReply", "Disconnected", "ServiceUnknown")), f"{what}: {name}")
    return name


def raw(bus, path, interface, member, signature, *arguments):
    return bus.call_blocking(NAME, path, interface, member, signature, arguments, timeout=20)


def worker_pid():
    return int(subprocess.check_output(["systemctl", "show", "-P", "MainPID", "sandboxd@worker1"]))


EVERY = [("/org/sandboxd/worker", WORKER, "CreateSession", "a{sv}", [{}]),
         ("/org/sandboxd/worker", WORKER, "ListSessions", "", []),
         ("/org/sandboxd/worker", WORKER, "GetSession", "s", ["x"]),
         ("/org/sandboxd/worker", WORKER, "DestroySession", "s", ["x"]),
         ("/org/sandboxd/worker", WORKER, "Drain", "", []),
         ("/org/sandboxd/worker", WORKER, "SetPoolSize", "u", [2]),
         ("/org/sandboxd/worker", "org.freedesktop.DBus.Properties", "GetAll", "s", [WORKER]),
         ("/org/sandboxd", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "", []),
         ("/org/sandboxd/worker", "org.freedesktop.DBus.Introspectable", "Introspect", "", [])]


@case("carol")
def stranger_is_not_heard(bus):
    for path, interface, member, signature, arguments in EVERY:
        name = refused(member, raw, bus, path, interface, member, signature, *arguments)
        check(name.endswith("AccessDenied"), f"{member}: {name}")


@case("carol")
def stranger_by_unique_name(bus):
    """The policy names the well-known name: the unique one has to be shut too."""
    owner = bus.get_name_owner(NAME)
    for path, interface, member, signature, arguments in EVERY:
        name = error_of(bus.call_blocking, owner, path, interface, member, signature, arguments)
        check(name and name.endswith("AccessDenied"), f"{member}: {name}")


@case("alice")
def names_cannot_be_taken(bus):
    for name in (NAME, "org.sandboxd.worker", "org.sandboxd.worker.other", "org.sandboxd.Coordinator",
                 "org.freedesktop.PolicyKit1"):
        for flags in (0, dbus.bus.NAME_FLAG_REPLACE_EXISTING):
            check(error_of(bus.request_name, name, flags), f"{name} is taken")


@case("alice")
def management_needs_more(bus):
    for member, signature, arguments in (("Drain", "", []), ("Undrain", "", []), ("SetPoolSize", "u", [3])):
        name = refused(member, raw, bus, "/org/sandboxd/worker", WORKER, member, signature, *arguments)
        check(name.endswith(DENIED), f"{member}: {name}")


@case("bob")
def sessions_of_others(bus):
    with open("/tmp/dbus-attack.session", encoding="ascii") as f:
        session_id, path = f.read().split()
    null = os.open("/dev/null", os.O_RDWR)
    for member, signature, arguments in (
            ("Execute", "sa{sv}", ["id", {}]), ("Terminate", "", []), ("Pause", "", []), ("Resume", "", []),
            ("SetTimeout", "t", [1000000]),
            ("ExecuteFd", "asa{sv}hhh", [["id"], {}] + [dbus.types.UnixFd(null)] * 3)):
        name = refused(member, raw, bus, path, SESSION, member, signature, *arguments)
        check(name.endswith(DENIED + ("NoSuchSession",)), f"{member}: {name}")
    refused("DestroySession", raw, bus, "/org/sandboxd/worker", WORKER, "DestroySession", "s", session_id)
    refused("GetSession", raw, bus, "/org/sandboxd/worker", WORKER, "GetSession", "s", session_id)
    for member, signature, arguments in (("GetAll", "s", [SESSION]), ("Get", "ss", [SESSION, "Metadata"])):
        refused(member, raw, bus, path, "org.freedesktop.DBus.Properties", member, signature, *arguments)
    objects = raw(bus, "/org/sandboxd", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "")
    check(path not in objects, "it is among the managed objects")
    check(all(row[0] != session_id for row in worker(bus).ListSessions()), "it is in the list")


@case("alice")
def wrong_signatures(bus):
    _, path = create(bus)
    for where, interface, member in (
            [("/org/sandboxd/worker", WORKER, m) for m in ("CreateSession", "GetSession", "DestroySession", "SetPoolSize")] +
            [(path, SESSION, m) for m in ("Execute", "ExecuteFd", "SetTimeout")]):
        for signature, arguments in (("", []), ("i", [-1]), ("v", ["x"]), ("ay", [[1, 2]]), ("a{ss}", [{"a": "b"}]),
                                     ("aaaas", [[[[["x"]]]]]), ("(ss)", [("a", "b")]), ("sss", ["a"] * 3)):
            refused(f"{member} with {signature}", raw, bus, where, interface, member, signature, *arguments)


@case("alice")
def values_out_of_range(bus):
    _, path = create(bus)
    for options in ({"Timeout": dbus.UInt64(2**64 - 1)}, {"Timeout": dbus.Int64(-1)}, {"Timeout": float("nan")},
                    {"Timeout": float("inf")}, {"MemoryLimit": dbus.Int64(-1)}, {"PidsLimit": dbus.UInt64(2**63)},
                    {"CPUQuota": float("-inf")}, {"DiskLimit": "1e9999"}, {"Wait": "forever"}, {"Image": "../../etc"},
                    {"Image": "/"}, {"Key": "x" * 100000}, {"Key": ["a"]}, {"Metadata": "x"}, {"Nothing": 1},
                    {"Env": dbus.Dictionary({"A=B": "c"}, signature="ss")}):
        refused(repr(options), worker(bus).CreateSession, dbus.Dictionary(options, signature="sv"))
    for usec in (0, 1, 2**64 - 1):
        refused(f"SetTimeout {usec}", raw, bus, path, SESSION, "SetTimeout", "t", dbus.UInt64(usec))


@case("alice")
def deep_and_long(bus):
    _, path = create(bus)
    nested = dbus.String("x", variant_level=60)
    for options in ({"Env": nested}, {"Cwd": nested}, {"Stdin": nested}):
        error_of(raw, bus, path, SESSION, "Execute", "sa{sv}", "true", dbus.Dictionary(options, signature="sv"))
    many = dbus.Dictionary({f"Option{i}": dbus.UInt32(i) for i in range(100000)}, signature="sv")
    refused("100,000 options", raw, bus, path, SESSION, "Execute", "sa{sv}", "true", many)
    refused("a command of 16 MiB", raw, bus, path, SESSION, "Execute", "sa{sv}", "x" * (16 << 20), {})
    refused("100,000 arguments", raw, bus, path, SESSION, "ExecuteFd", "asa{sv}hhh", ["x"] * 100000, {},
            *[dbus.types.UnixFd(0)] * 3)


@case("alice")
def odd_paths(bus):
    for path in ("/org/sandboxd/session/" + x for x in ("_", "_2e_2e", "_2f_2e_2e", "a", "_00", "x" * 200, "_zz", "a/b")):
        refused(path, raw, bus, path, SESSION, "Execute", "sa{sv}", "id", {})
        refused(path, raw, bus, path, "org.freedesktop.DBus.Properties", "GetAll", "s", SESSION)
    for session_id in ("", "..", "../worker", "%s%n", "x" * 70000, "a\u202eb", "*"):
        refused(session_id[:10], raw, bus, "/org/sandboxd/worker", WORKER, "GetSession", "s", session_id)


@case("alice")
def properties_are_read_only(bus):
    _, path = create(bus)
    for where, interface, name, value in (("/org/sandboxd/worker", WORKER, "PoolSize", dbus.UInt32(1)),
                                          ("/org/sandboxd/worker", WORKER, "Draining", True),
                                          (path, SESSION, "ExpiresAt", dbus.UInt64(2**63)),
                                          (path, SESSION, "Owner", "uid:0"), (path, SESSION, "State", "ended")):
        refused(name, raw, bus, where, "org.freedesktop.DBus.Properties", "Set", "ssv", interface, name, value)


@case("alice")
def descriptors_of_other_kinds(bus):
    _, path = create(bus)
    null = os.open("/dev/null", os.O_RDWR)
    inet = socket.socket()
    lonely = socket.socket(socket.AF_UNIX)
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
    kinds = {"folder": os.open("/", os.O_RDONLY), "O_PATH": os.open("/etc/passwd", os.O_PATH),
             "process": os.pidfd_open(os.getpid()), "namespace": os.open("/proc/self/ns/user", os.O_RDONLY),
             "network": inet.fileno(), "netlink": netlink.fileno(), "event": os.eventfd(0),
             "nobody's": lonely.fileno()}
    for name, fd in kinds.items():
        for place in range(3):
            fds = [null] * 3
            fds[place] = fd
            refused(f"{name} as {place}", raw, bus, path, SESSION, "ExecuteFd", "asa{sv}hhh", ["true"], {},
                    *(dbus.types.UnixFd(x) for x in fds))


@case("alice")
def forged_signals_and_answers(bus):
    """A worker listens to its bus and to polkit alone."""
    owner = bus.get_name_owner(NAME)
    for i in range(200):
        answer = dbus.lowlevel.SignalMessage("/org/freedesktop/PolicyKit1/Authority",
                                             "org.freedesktop.PolicyKit1.Authority", "Changed")
        answer.set_destination(owner)
        bus.send_message(answer)
        signal = dbus.lowlevel.SignalMessage("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged")
        signal.append("org.freedesktop.PolicyKit1", "", ":1.1", signature="sss")
        signal.set_destination(owner)
        bus.send_message(signal)
    bus.flush()
    check(error_of(worker(bus).Drain), "Drain works after forged signals")


@case("alice")
def calls_without_end(bus):
    """Far more calls than may wait: some are refused, nobody else waits long."""
    _, path = create(bus)
    answers = []
    for i in range(3000):
        message = dbus.lowlevel.MethodCallMessage(NAME, path, SESSION, "Execute")
        message.append("sleep 30", {}, signature="sa{sv}")
        bus.send_message_with_reply(message, answers.append, timeout_s=60)
    bus.flush()
    start = time.monotonic()
    subprocess.run(["curl", "-sf", "-o", "/dev/null", "--max-time", "20", "http://127.0.0.1:5000/health"], check=True)
    check(time.monotonic() - start < 10, f"health took {time.monotonic() - start:.1f} s")
    # and leaves with all of them under way
    os._exit(0)


@case("alice")
def words_for_the_journal(bus):
    for text in ("x\nMESSAGE=forged-entry\n", "\x1b]0;forged-entry\x07", "x\r\nX-Evil: 1"):
        error_of(worker(bus).CreateSession, dbus.Dictionary({"Image": text, "Key": text}, signature="sv"))
        error_of(worker(bus).CreateSession, dbus.Dictionary(
            {"Metadata": dbus.Dictionary({text: text}, signature="ss")}, signature="sv"))
        error_of(worker(bus).GetSession, text)
    journal = subprocess.run(["journalctl", "-q", "-b", "-o", "cat", "MESSAGE=forged-entry"], capture_output=True, check=False)
    check(not journal.stdout, "an entry was made up")


@case("alice")
def half_messages(_bus):
    """Bytes that are no message: the bus has to end the connection, the worker must not notice."""
    for junk in (b"\0" * 4096, b"l\1\0\1" + b"\xff" * 60, os.urandom(2048)):
        s = socket.socket(socket.AF_UNIX)
        s.connect("/run/dbus/system_bus_socket")
        s.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        s.settimeout(5)
        check(s.recv(100).startswith(b"OK"), "the bus does not take the user")
        try:
            s.sendall(b"BEGIN\r\n" + junk)
        except OSError:
            pass
        s.close()


def run(name, user, function):
    """In a child as @user. Returns what is wrong, or None."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            entry = pwd.getpwnam(user)
            os.initgroups(user, entry.pw_gid)
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            function(dbus.SystemBus(private=True))
        except BaseException as e:  # noqa: BLE001 whatever it was, the case did not hold
            os.write(write, (f"{type(e).__name__}: {e}" if isinstance(e, Broken) else traceback.format_exc()).encode()[:4000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as f:
        text = f.read().decode()
    os.waitpid(pid, 0)
    return text or None


def main():
    before = worker_pid()
    bus = dbus.SystemBus()
    # of root, for bob to reach for
    session_id, path = create(bus)
    with open("/tmp/dbus-attack.session", "w", encoding="ascii") as f:
        f.write(f"{session_id} {path}")
    os.chmod("/tmp/dbus-attack.session", 0o644)
    held = 0
    for name, user, function in CASES:
        wrong = run(name, user, function)
        if not wrong:
            end = time.monotonic() + 20
            while (took := health()) is None and time.monotonic() < end:
                time.sleep(0.1)
            wrong = "the worker is not healthy any more" if took is None else None
        if not wrong and worker_pid() != before:
            wrong = "the worker is another process"
        held += not wrong
        print(f"FAIL {name}: {wrong}" if wrong else f"ok {name}", flush=True)
    print(f"D-Bus: {held} of {len(CASES)} cases held")
    return held != len(CASES)


def health():
    start = time.monotonic()
    r = subprocess.run(["curl", "-sf", "-o", "/dev/null", "--max-time", "5", "http://127.0.0.1:5000/health"], check=False)
    return time.monotonic() - start if r.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""manual-examples.py PAGE: runs the examples of a page of the manual and compares what they print.

In literal blocks of the section EXAMPLES a line after "$ " is a command, "> " its next line, and the others are what it
prints, where "..." is any number of lines. How wide columns are, and numbers of more than nine digits, do not count.
The session's id of the manual becomes the one that the first command that creates a session tells. What monitors the
bus runs beside a session that is created and destroyed."""

import re
import subprocess
import sys

WORKER = ["org.sandboxd.worker.worker1", "/org/sandboxd/worker", "org.sandboxd.Worker1"]
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def escaped(session):
    """As a bus path has it."""
    text = session.replace("-", "_2d")
    return "_%02x%s" % (ord(text[0]), text[1:]) if text[0].isdigit() else text


class Names:
    """Translates between the manual's session and the real one."""

    def __init__(self, manual):
        self.manual, self.real = manual, None

    def swap(self, text, old, new):
        return text.replace(escaped(old), escaped(new)).replace(old, new)

    def to_real(self, text):
        return self.swap(text, self.manual, self.real) if self.real else text

    def to_manual(self, text):
        return self.swap(text, self.real, self.manual) if self.real else text


def examples(page):
    """Pairs of a command and the lines that it prints."""
    text = page.split(".Sh EXAMPLES", 1)[1].split(".Sh SEE ALSO", 1)[0]
    for block in re.findall(r"(?ms)^\.Bd -literal.*?\n(.*?)^\.Ed$", text):
        for escape, sign in ((r"\(ga", "`"), (r"\&", ""), (r"\-", "-"), (r"\e", "\\")):
            block = block.replace(escape, sign)
        command, output = None, []
        for line in block.splitlines():
            if line.startswith("$ "):
                if command:
                    yield command, output
                command, output = line[2:], []
            elif command and not output and (command.endswith("\\") or line.startswith("> ")):
                command += "\n" + line.removeprefix("> ")
            elif command:
                output.append(line)
        if command:
            yield command, output


def normal(line):
    return re.sub(r"\d{10,}", "N", " ".join(line.split()))


def matches(wanted, got):
    """Does the list of lines match, "..." being any number of them?"""
    if not wanted:
        return not got
    if wanted[0] == "...":
        return any(matches(wanted[1:], got[i:]) for i in range(len(got) + 1))
    return bool(got) and wanted[0] == got[0] and matches(wanted[1:], got[1:])


class Shell:
    """One shell for all commands."""

    def __init__(self):
        self.process = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)

    def run(self, command):
        self.process.stdin.write(command + "\necho; echo '<end>'\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line == "<end>\n":
                break
            lines.append(line.rstrip("\n"))
        while lines and not lines[-1]:
            lines.pop()
        return lines


def busctl(*arguments):
    return subprocess.run(["busctl", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def monitor(command):
    """What it prints while a session comes and goes, and that session's id."""
    with subprocess.Popen(["bash", "-c", "exec " + command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as process:
        lines = [process.stdout.readline().rstrip("\n")]
        session = ID.search(busctl("call", *WORKER, "CreateSession", "a{sv}", "0")).group()
        busctl("call", *WORKER, "DestroySession", "s", session)
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if '"deleted"' in line:
                process.terminate()
        return lines, session


def main():
    page = open(sys.argv[1], encoding="utf-8").read()
    names = Names(ID.search(page).group())
    shell = Shell()
    failed = count = 0
    for command, wanted in examples(page):
        count += 1
        if command.startswith("busctl monitor"):
            got, session = monitor(command)
            got = [names.swap(line, session, names.manual) for line in got]
        else:
            got = shell.run(names.to_real(command))
            if "CreateSession" in command and not names.real:
                names.real = ID.search("\n".join(got)).group()
            got = [names.to_manual(line) for line in got]
        good = matches([normal(line) for line in wanted], [normal(line) for line in got])
        print("ok" if good else "FAIL", command)
        if not good:
            failed += 1
            print("expected:", *wanted, "got:", *got, sep="\n    ")
    print(f"{count} examples, {failed} failed")
    return 1 if failed or count < 10 else 0


sys.exit(main())

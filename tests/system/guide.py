#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""guide.py PAGE: runs the commands of a page in Markdown and compares what they print.

In blocks of the kind "console" a line after "# " is a command, which has to succeed, and the lines after it are what it
prints, on both streams. A line "…" stands for any number of lines, "…" in a line for any text."""

import re
import subprocess
import sys

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)


def examples(page):
    """Pairs of a command and the lines that it prints."""
    for block in BLOCK.findall(page):
        command, output = None, []
        for line in block.splitlines():
            if line.startswith("# "):
                if command:
                    yield command, output
                command, output = line[2:], []
            elif command and not output and command.endswith("\\"):
                command += "\n" + line
            else:
                output.append(line)
        yield command, output


def matches(wanted, got):
    if not wanted:
        return not got
    if wanted[0] == "…":
        return any(matches(wanted[1:], got[i:]) for i in range(len(got) + 1))
    if not got:
        return False
    pattern = ".*".join(re.escape(part) for part in wanted[0].split("…"))
    return re.fullmatch(pattern, got[0].rstrip()) is not None and matches(wanted[1:], got[1:])


class Shell:
    """One shell for all commands."""

    def __init__(self):
        self.process = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)

    def run(self, command):
        self.process.stdin.write(command + "\nprintf '\\n<end %s>\\n' $?\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.startswith("<end "):
                return int(line[5:-2]), lines[:-1] if lines and not lines[-1] else lines
            lines.append(line.rstrip("\n"))
        raise RuntimeError("the shell has ended")


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        page = f.read()
    shell = Shell()
    failed = count = 0
    for command, wanted in examples(page):
        count += 1
        status, got = shell.run(command)
        good = status == 0 and matches(wanted, got)
        print("ok" if good else "FAIL", command, flush=True)
        if not good:
            failed += 1
            print(f"status {status}, expected:", *wanted, "got:", *got, sep="\n    ")
    print(f"{count} commands, {failed} failed")
    return 1 if failed or count < 20 else 0


sys.exit(main())

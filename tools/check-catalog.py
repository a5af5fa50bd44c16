#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks units/*.catalog: each row of the message table in src/log/message.h has one entry there, each entry has a row,
a subject, its support lines, which name no page that man/ has not, and names no journal field but those that the
table's comment lists. Where journalctl is installed, it has to understand the files as well. Prints one line for each
offence; exits with 1."""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROW = re.compile(r'\bM\((\w+),\s*"([0-9a-f]{32})"\)')
FIELDS = re.compile(r"Fields: ([A-Z_ ]+)\.")
HEADERS = ["Subject", "Defined-By", "Support"]


def read_entries(text):
    """Yields (line number, id, headers, body) of each entry."""
    for match in re.finditer(r"^-- (\S+)[^\n]*\n(.*?)(?=^-- |\Z)", text, re.MULTILINE | re.DOTALL):
        head, _, body = match.group(2).partition("\n\n")
        headers = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
        yield text.count("\n", 0, match.start()) + 1, match.group(1), headers, body


def check_text(header, catalogs, pages):
    rows = {ident: name for name, ident in ROW.findall(header)}
    fields = {name for match in FIELDS.finditer(header.replace("\n * ", " ")) for name in match.group(1).split()}
    offences, seen = [], set()

    entries = ((name, *entry) for name, text in catalogs.items() for entry in read_entries(text))
    for name, line, ident, headers, body in entries:
        where = f"units/{name}:{line}"
        if ident not in rows:
            offences.append(f"{where}: {ident} is no message of src/log/message.h")
        if ident in seen:
            offences.append(f"{where}: {ident} is here twice")
        seen.add(ident)
        for key in HEADERS:
            if not headers.get(key):
                offences.append(f"{where}: no {key}: line")
        page = re.fullmatch(r"man:(.+)\((\d)\)", headers.get("Support", ""))
        if page and f"{page[1]}.{page[2]}" not in pages:
            offences.append(f"{where}: there is no {headers['Support']}")
        if not body.strip():
            offences.append(f"{where}: no explanation")
        for field in re.findall(r"@(\w+)@", headers.get("Subject", "") + body):
            if field not in fields:
                offences.append(f"{where}: @{field}@ is no field of src/log/message.h")
    for ident, name in rows.items():
        if ident not in seen:
            offences.append(f"units: no entry {ident} for {name}")
    if not rows:
        offences.append("src/log/message.h:1: no message found")
    return offences, rows


def check_journalctl(paths, rows):
    """Compiles the files into a database of its own and reads it back."""
    with tempfile.TemporaryDirectory() as root:
        folder = pathlib.Path(root, "usr/lib/systemd/catalog")
        folder.mkdir(parents=True)
        pathlib.Path(root, "var/lib/systemd/catalog").mkdir(parents=True)
        for path in paths:
            shutil.copy(path, folder)
        made = subprocess.run(["journalctl", f"--root={root}", "--update-catalog"], capture_output=True, text=True)
        if made.returncode != 0 or made.stderr.strip():
            return [f"units: journalctl: {made.stderr.strip() or made.returncode}"]
        listed = subprocess.run(["journalctl", f"--root={root}", "--list-catalog"], capture_output=True, text=True)
        found = set(re.findall(r"^([0-9a-f]{32}) ", listed.stdout, re.MULTILINE))
        return [f"units: journalctl does not find {i}" for i in rows if i not in found]


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    paths = sorted(root.glob("units/*.catalog"))
    catalogs = {path.name: path.read_text(encoding="utf-8") for path in paths}
    offences, rows = check_text(
        (root / "src/log/message.h").read_text(), catalogs, {path.name for path in root.glob("man/*.[1-9]")})
    if not offences and shutil.which("journalctl"):
        offences = check_journalctl(paths, rows)
    for offence in offences:
        print(offence, file=sys.stderr)
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())

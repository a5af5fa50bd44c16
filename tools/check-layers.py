#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks that every include of src/ points down the layers.

A folder may include itself and what lies below it; folders of one level never meet. The folders apart may
include just what their row names, also through other headers: they are programs of their own. Prints one line
for each offence, FILE:LINE: what is wrong, and exits with 1."""

import pathlib
import re
import sys

# Low to high.
LAYERS = [
    ["base"],
    ["log", "error"],
    ["conf"],
    ["spec"],
    ["fetch"],
    ["store"],
    ["runtime"],
    ["pool"],
    ["session"],
    ["http", "bus"],
    ["daemon"],
]

# Folder: all it may reach, itself apart.
APART = {
    "init": {"base", "spec"},
    "archive": {"base", "spec"},
    "spawner": {"base", "spec", "init"},
    "image": {"base", "log", "error", "spec", "archive"},
    "ctl": {"base", "spec", "error"},
    "announce": {"base", "log", "error", "conf", "spec", "fetch", "store", "daemon"},
    "coord": {"base", "log", "error", "conf", "spec", "fetch", "store", "http", "bus"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def allowed_by_folder():
    allowed = {folder: reach | {folder} for folder, reach in APART.items()}
    below = set()
    for level in LAYERS:
        for folder in level:
            allowed[folder] = below | {folder}
        below |= set(level)
    return allowed


def includes(path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1)


def reached(src, path, seen):
    """All headers of src/ that path includes, directly or not."""
    for _, name in includes(path):
        if name not in seen:
            seen.add(name)
            if (src / name).is_file():
                reached(src, src / name, seen)
    return seen


def check(src):
    allowed = allowed_by_folder()
    offences = []
    for path in sorted(src.rglob("*.[ch]")):
        folder = path.relative_to(src).parts[0]
        if folder not in allowed:
            offences.append(f"{path}:1: folder {folder} has no row in tools/check-layers.py")
            continue
        direct = set()
        for number, name in includes(path):
            direct.add(name)
            if "/" not in name and name.endswith(".inc"):
                continue  # made by the build, for this folder alone
            target = name.split("/")[0]
            if "/" not in name:
                offences.append(f'{path}:{number}: write "{folder}/{name}": includes name their folder')
            elif target not in allowed:
                offences.append(f'{path}:{number}: "{name}": no folder {target} in tools/check-layers.py')
            elif target not in allowed[folder]:
                may = ", ".join(sorted(allowed[folder] - {folder})) or "nothing"
                offences.append(f'{path}:{number}: "{name}": {folder} may include {may}')
        if folder in APART:
            for name in sorted(reached(src, path, set()) - direct):
                if "/" in name and name.split("/")[0] not in allowed[folder]:
                    offences.append(f"{path}:1: {folder} reaches {name} through another header")
    return offences


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    if not (root / "src").is_dir():
        print(f"{root}/src: no such folder", file=sys.stderr)
        return 2
    offences = check(root / "src")
    for offence in offences:
        print(offence, file=sys.stderr)
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A coordinator among workers and clients that go wrong.

coord-faults.py PROGRAM [PATTERN...]

PROGRAM is sandbox-coord; the workers are played. One line a case, "ok NAME" or "FAIL NAME: what", then "N passed,
N failed". PATTERN: only cases whose name contains one.
"""
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from coord_faults import calls, clients, limits, outages, redis, scale, snapshots, workers  # noqa: E402,F401 they register their cases
from coord_faults.driver import CASES, Coordinator, Problem  # noqa: E402
from coord_faults.fake import Fleet  # noqa: E402


class Lab:
    """What one case uses; all of it ends with the case."""

    def __init__(self, program):
        self.program = program
        self.fleet = Fleet()
        self.coordinators = []
        self.cleanup = []

    def worker(self, name, **options):
        return self.fleet.add(name, **options)

    def coordinator(self, workers_, settings="", **options):
        c = Coordinator(self.program, workers_, settings, **options)
        self.coordinators.append(c)
        return c

    def clear(self):
        try:
            for c in self.coordinators:
                c.stop()
        finally:
            for c in self.coordinators:
                if c.process.poll() is None:
                    c.kill()
                c.remove()
            self.fleet.stop()
            for function in self.cleanup:
                function()
            self.coordinators, self.fleet, self.cleanup = [], Fleet(), []


def main():
    program, patterns = sys.argv[1], sys.argv[2:]
    passed = failed = 0
    for name, function in CASES:
        if patterns and not any(p in name for p in patterns):
            continue
        lab = Lab(program)
        start = time.monotonic()
        text = None
        try:
            function(lab)
        except Problem as e:
            text = str(e)
        except Exception:
            text = traceback.format_exc().strip().replace("\n", "\n  ")
        if text and lab.coordinators:
            text += "\n  " + lab.coordinators[-1].log_text().replace("\n", "\n  ")[-1500:]
        try:
            lab.clear()
        except Problem as e:
            text = text or str(e)
        if text:
            failed += 1
            print(f"FAIL {name}: {text}", flush=True)
        else:
            passed += 1
            print(f"ok {name} ({time.monotonic() - start:.1f} s)", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

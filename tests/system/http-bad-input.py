#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Gives a running worker everything that is wrong.

http-bad-input.py [--door NAME] [--pid PID] [--key KEY --other-key KEY] [--except PATTERN]
                  ADDRESS:PORT|SOCKET [PATTERN...]

One line a case, "ok NAME" or "FAIL NAME: what", then "DOOR: N of N cases held". Cases that look at the worker's process
want --pid, those about keys want a worker with keys. PATTERN: only cases whose name contains one, none of those that --except
names.
"""
import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from http_input import access, load, resources, values, wire  # noqa: E402,F401 they register their cases
from http_input.client import CASES, Server  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("patterns", nargs="*")
    parser.add_argument("--door", default="the server")
    parser.add_argument("--except", dest="left_out", action="append", default=[])
    parser.add_argument("--pid", type=int)
    parser.add_argument("--key")
    parser.add_argument("--other-key")
    o = parser.parse_intermixed_args()
    address = o.address
    if ":" in address:
        host, port = address.rsplit(":", 1)
        address = (host, int(port))
    server = Server(address, o.pid, o.key)
    server.other_key = o.other_key

    passed = failed = 0
    for name, function, needs in CASES:
        if o.patterns and not any(p in name for p in o.patterns):
            continue
        if any(p in name for p in o.left_out):
            continue
        if (needs.get("pid") and not o.pid) or (needs.get("keys") and not o.key):
            continue
        start = time.monotonic()
        try:
            function(server)
            passed += 1
            print(f"ok {name} ({time.monotonic() - start:.1f} s)", flush=True)
        except Exception as e:  # noqa: BLE001 whatever went wrong is the case's failure
            failed += 1
            print(f"FAIL {name}: {type(e).__name__}: {e}", flush=True)
    print(f"{o.door}: {passed} of {passed + failed} cases held")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: LGPL-2.1-or-later
"""A port for a server of a test: also a program that prints one."""
import random
import socket


def free_port():
    """Others may run beside it, so it is none that clients are given, and not the same each time."""
    while True:
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", random.randrange(20000, 30000)))
            except OSError:
                continue
            return s.getsockname()[1]


if __name__ == "__main__":
    print(free_port())

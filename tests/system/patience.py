# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long a test waits for what a machine at rest does at once."""
import os
import time


def patience(seconds):
    """@seconds of a machine at rest: longer on one that has more to do than it has processors."""
    return seconds * min(8.0, max(1.0, 2 * os.getloadavg()[0] / os.cpu_count()))


def within(seconds, condition):
    """Waits for @condition to be true. Returns its value, or None when it was not in @seconds and the patience."""
    end = time.monotonic() + patience(seconds)
    while not (value := condition()):
        if time.monotonic() > end:
            return None
        time.sleep(0.02)
    return value

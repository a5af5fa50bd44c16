# SPDX-License-Identifier: LGPL-2.1-or-later
"""Library calls that fail in a process that was started with tests/faults/shim.c."""
import mmap
import os
import struct


class Injected:
    """What the shim reads. It is given a folder that the process can reach, and stays there."""

    def __init__(self, folder):
        self.path = f"{folder}/faults"
        with open(self.path, "wb") as f:
            f.write(b"\0" * 4096)
        os.chmod(self.path, 0o666)
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 4096)

    def environment(self, build):
        return {"LD_PRELOAD": f"{build}/tests/faults/libfaults.so", "FAULTS": self.path}

    def set(self, pid, call, error, every, once=False):
        """Each @every-th @call of the process fails with @error; or, @once, only the first of these."""
        self.map[0:64] = struct.pack("=6I40s", pid, error, 0, 0, 0, once, call.encode())
        self.map[8:12] = struct.pack("=I", every)

    def clear(self):
        """All is well again; how many calls there were, and how many failed."""
        self.map[8:12] = struct.pack("=I", 0)
        return struct.unpack("=2I", self.map[12:20])

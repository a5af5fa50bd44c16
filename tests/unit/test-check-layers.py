#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The layer check finds what it is for: each test makes a small source tree and looks at what is said about it."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).resolve().parents[2] / "tools/check-layers.py"


class Layers(unittest.TestCase):
    def check(self, files):
        with tempfile.TemporaryDirectory() as root:
            for name, text in files.items():
                path = pathlib.Path(root, "src", name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            done = subprocess.run([sys.executable, CHECK, root], capture_output=True, text=True)
            return done.returncode, done.stderr.replace(root + "/src/", "")

    def test_down_is_fine(self):
        code, said = self.check({
            "daemon/a.c": '#include <stdio.h>\n#include "http/a.h"\n#include "base/a.h"\n',
            "http/a.h": '#include "session/a.h"\n',
            "init/a.c": '#include "spec/a.h"\n',
        })
        self.assertEqual((code, said), (0, ""))

    def test_up_is_refused_with_its_line(self):
        code, said = self.check({"pool/a.c": '\n#include "session/a.h"\n'})
        self.assertEqual(code, 1)
        self.assertTrue(said.startswith('pool/a.c:2: "session/a.h": pool may include '), said)

    def test_http_and_bus_never_meet(self):
        self.assertEqual(self.check({"http/a.c": '#include "bus/a.h"\n'})[0], 1)
        self.assertEqual(self.check({"bus/a.c": '#include "http/a.h"\n'})[0], 1)

    def test_folder_apart_reaches_no_more_than_its_row(self):
        self.assertEqual(self.check({"init/a.c": '#include "log/a.h"\n'})[0], 1)
        code, said = self.check({"init/a.c": '#include "spec/a.h"\n', "spec/a.h": '#include "error/a.h"\n'})
        self.assertEqual(code, 1)
        self.assertIn("init reaches error/a.h through another header", said)

    def test_nothing_includes_a_folder_apart(self):
        self.assertEqual(self.check({"daemon/a.c": '#include "spawner/a.h"\n'})[0], 1)

    def test_include_without_folder_is_refused(self):
        code, said = self.check({"base/a.c": '#include "a.h"\n'})
        self.assertEqual(code, 1)
        self.assertIn('write "base/a.h"', said)

    def test_new_folder_needs_a_row(self):
        self.assertEqual(self.check({"util/a.c": ""})[0], 1)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The recipes of the packages know what meson.build wants, and of one version."""

import pathlib
import re
import sys
import unittest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent


def source(path):
    return (TOP / path).read_text(encoding="utf-8")


MESON = source("meson.build")
SPEC = source("packaging/sandboxd.spec")
CONTROL = source("packaging/debian/control")


class Packaging(unittest.TestCase):
    def test_one_version(self):
        version = re.search(r"^  version: '(.*)',$", MESON, re.M).group(1)
        self.assertIn(f"Version:        {version}\n", SPEC)
        self.assertTrue(source("packaging/debian/changelog").startswith(f"sandboxd ({version}) "))

    def test_the_spec_wants_the_libraries(self):
        wanted = set(re.findall(r"\bdependency\('([^']+)'", MESON))
        self.assertGreater(len(wanted), 8)
        self.assertEqual(sorted(re.findall(r"^BuildRequires: +pkgconfig\(([^)]+)\)", SPEC, re.M)), sorted(wanted))

    def test_meson_is_of_one_version(self):
        version = re.search(r"meson_version: '>=([\d.]+)'", MESON).group(1)
        self.assertIn(f"meson (>= {version})", CONTROL)
        self.assertIn(f"meson >= {version}\n", SPEC)

    def test_the_packages_are_the_same(self):
        deb = set(re.findall(r"^Package: (.*)$", CONTROL, re.M))
        rpm = {"sandboxd"} | {name if flag else f"sandboxd-{name}"
                              for flag, name in re.findall(r"^%package (-n )?(\S+)$", SPEC, re.M)}
        self.assertEqual(rpm, deb)


if __name__ == "__main__":
    sys.exit(unittest.main())

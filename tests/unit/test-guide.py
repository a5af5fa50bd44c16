#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""doc/migrate-from-guide.md and the dashboard name what is there: settings with their defaults, commands, metrics,
files. That its commands work is tests/system/guide.sh."""

import json
import pathlib
import re
import sys
import unittest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent


def source(path):
    return (TOP / path).read_text(encoding="utf-8")


GUIDE = source("doc/migrate-from-guide.md")


def settings(path):
    """{("Section", "Key"): default}"""
    found, section = {}, None
    for line in source(path).splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        match = re.fullmatch(r"#([A-Z][A-Za-z]+)=(.*)", line)
        if match:
            found[section, match.group(1)] = match.group(2)
    return found


class Guide(unittest.TestCase):
    def test_variables_and_settings_have_their_defaults(self):
        variables = dict(re.findall(r"^#([A-Z_]+)=(.*)$", source("etc/default/sandboxd"), re.M))
        known = settings("etc/sandboxd.conf")
        rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) \| (\S+) \|$", GUIDE, re.M)
        rows = [row for row in rows if row[0] in variables]
        self.assertEqual(sorted(name for name, _, _ in rows), sorted(variables))
        for name, setting, default in rows:
            default = "" if default == "nothing" else default
            self.assertEqual(default, variables[name], name)
            match = re.fullmatch(r"`\[(\w+)\] (\w+)=`", setting)
            if match:
                self.assertEqual(known[match.groups()], default, setting)

    def test_commands_are_there(self):
        names = re.findall(r'^ +\{ "([a-z]+(?: [a-z]+)?)", "', source("src/ctl/command.c"), re.M)
        words = set(re.findall(r"sandboxctl ([a-z]+(?: [a-z]+)?)", GUIDE))
        self.assertGreater(len(words), 5)
        for word in words:
            self.assertTrue(word in names or word.split()[0] in names, f"sandboxctl {word}")

    def test_metrics_are_there(self):
        text = source("src/http/health.c")
        metrics = set(re.findall(r'METRIC\("[a-z]+", "([a-z_]+)"', text)) | set(re.findall(r"# TYPE sandboxd_([a-z_]+) ", text))
        dashboard = json.loads(source("doc/grafana-dashboard.json"))
        shown = set()
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                shown |= set(re.findall(r"sandboxd_([a-z_]+)", target["expr"]))
        self.assertGreater(len(shown), 8)
        self.assertEqual(sorted(shown - metrics), [])

    def test_links_lead_somewhere(self):
        for target in re.findall(r"\]\(([^)#:]+)\)", GUIDE):
            self.assertTrue((TOP / "doc" / target).exists(), target)


if __name__ == "__main__":
    sys.exit(unittest.main())

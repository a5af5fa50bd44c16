#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""sandboxd-http(7) has every route of the worker and of the coordinator and no other, every member that a request may
have, every parameter and every status of the table of errors."""

import pathlib
import re
import sys
import unittest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = (TOP / "man/sandboxd-http.7").read_text(encoding="utf-8")
TABLES = ["src/http/api.c", "src/coord/routes.c"]
ROUTE = re.compile(r'^\s*\{ "([A-Z*]+)", *"(/[^"]*)",', re.M)
BODIES = ["src/spec/create.c", "src/spec/exec.c", "src/spec/context.c"]


def source(path):
    return (TOP / path).read_text(encoding="utf-8")


def http_sources():
    return "".join(p.read_text(encoding="utf-8") for p in sorted((TOP / "src/http").glob("*.c")))


def words():
    return set(re.findall(r"[A-Za-z_0-9]+", PAGE.replace(r"\(dq", '"')))


class HttpMan(unittest.TestCase):
    def test_routes_are_those_of_the_tables(self):
        routes = set()
        for path in TABLES:
            found = ROUTE.findall(source(path))
            self.assertGreater(len(found), 5, path)
            # what a coordinator hands on is in the worker's table; what lies below a route belongs to it
            routes |= {f"{method} {pattern}" for method, pattern in found if not pattern.endswith("/*")}
        described = {re.sub(r"\{[a-z]+\}", "{}", route)
                     for route in re.findall(r"^\.It Li ((?:ANY|[A-Z]+) /\S*)$", PAGE, re.M)}
        described = {route.replace("ANY ", "* ") for route in described}
        self.assertEqual(sorted(routes - described), [], "routes that the page lacks")
        self.assertEqual(sorted(described - routes), [], "routes that are not there")

    def test_members_of_requests_are_described(self):
        text = "".join(source(path) for path in BODIES) + http_sources()
        members = set(re.findall(r'\{ "([a-z_]+)", [a-z_]+, (?:offsetof\(|0 \})', text))
        self.assertGreater(len(members), 20)
        self.assertEqual(sorted(members - words()), [])

    def test_parameters_are_described(self):
        text = http_sources()
        parameters = set(re.findall(r'http_request_argument(?:_bytes)?\(r, "([a-z_]+)"', text))
        for known in re.findall(r"known\[\] = \{([^}]*)\}", text):
            parameters |= set(re.findall(r'"([a-z_]+)"', known))
        self.assertGreater(len(parameters), 5)
        self.assertEqual(sorted(parameters - words()), [])

    def test_errors_are_described(self):
        rows = re.findall(r'E\([A-Z_]+, "[A-Za-z]+", [A-Z]+, (\d+), "([^"]*)"\)', source("src/error/error.h"))
        self.assertGreater(len(rows), 10)
        described = re.findall(r"^\.It (\d{3})\n(.*)", PAGE, re.M)
        self.assertEqual(sorted(set(described_status for described_status, _ in described)),
                         sorted(set(status for status, _ in rows)))
        for status, title in rows:
            texts = [text for number, text in described if number == status]
            self.assertTrue(any(title.lower() in text.lower() for text in texts), f"{status} {title}: {texts}")


if __name__ == "__main__":
    sys.exit(unittest.main())

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""docs/reference/kernel.md: each statement has its source, and the tests that it names exist."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "frontdoor"))
import harness  # noqa: E402

CHECKOUT = pathlib.Path(harness.CHECKOUT)
PAGE = CHECKOUT / "docs/reference/kernel.md"


def statements():
    text = PAGE.read_text(encoding="utf-8")
    return [" ".join(item.split()) for item in re.findall(r"^- (\*\*.*?)(?=^- |^## |\Z)", text, re.M | re.S)]


def cases():
    """Suite.Case of every GoogleTest case in the sources."""
    found = set()
    for source in (CHECKOUT / "tests").rglob("*.cpp"):
        for suite, case in re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", source.read_text(encoding="utf-8"), re.M):
            found.add(f"{suite}.{case}")
    return found


class Kernel(unittest.TestCase):

    def test_each_statement_has_its_source(self):
        self.assertGreater(len(statements()), 20)
        for statement in statements():
            self.assertRegex(statement, r"Source: |\(`\w+\(\)` in `drivers/", statement)
            self.assertRegex(statement, r"^\*\*(Not p|P)romised:\*\*", statement)

    def test_the_tests_that_it_names_exist(self):
        known = cases()
        named = re.findall(r"`([A-Z]\w+\.[A-Z]\w+)`", PAGE.read_text(encoding="utf-8"))
        self.assertGreater(len(named), 20)
        self.assertEqual([name for name in named if name not in known], [], "no such tests")


if __name__ == "__main__":
    harness.main()

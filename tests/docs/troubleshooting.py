#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""docs/reference/troubleshooting.md has each error code, with its words, and a cause, a remedy and a way to see it.

The words are those of errors.md, which ctest compares with the enumeration. With --write, puts them into the page anew.
"""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "frontdoor"))
import harness  # noqa: E402

REFERENCE = pathlib.Path(harness.CHECKOUT) / "docs/reference"
PAGE = REFERENCE / "troubleshooting.md"
TITLE = re.compile(r"^## `(\w+)`\n", re.M)


def words():
    """What each error code says, and its remedy."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| \d+ \|$", (REFERENCE / "errors.md").read_text(encoding="utf-8"), re.M)
    return {name: f"> {message}: {remedy}" for name, message, remedy in rows}


def entries():
    parts = TITLE.split(PAGE.read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2]))


def write():
    text = PAGE.read_text(encoding="utf-8")
    for name, line in words().items():
        text = re.sub(rf"(## `{name}`\n\n)(?:> [^\n]*\n\n)?", lambda m, line=line: f"{m[1]}{line}\n\n", text)
    PAGE.write_text(text, encoding="utf-8")


class Troubleshooting(unittest.TestCase):

    def test_every_error_code_has_an_entry(self):
        self.assertGreater(len(words()), 30)
        missing = [name for name in words() if name not in entries()]
        self.assertEqual(missing, [], f"{PAGE.name} has no section for these")

    def test_each_entry_has_the_words_of_its_error(self):
        for name, line in words().items():
            self.assertIn(f"\n{line}\n", entries().get(name, ""), f"{name}: run tests/docs/troubleshooting.py --write")

    def test_each_entry_has_a_cause_a_remedy_and_a_way_to_see_it(self):
        for name, text in entries().items():
            for part in ("Cause", "Do", "See"):
                self.assertRegex(text, rf"(?m)^- \*\*{part}:\*\* \S.+\.$", f"{name}: {part}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    else:
        harness.main()

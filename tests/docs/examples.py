#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What examples/ promises of its sources, and that the chapters about them quote what is there."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "frontdoor"))
import harness  # noqa: E402

CHECKOUT = pathlib.Path(harness.CHECKOUT)
EXAMPLES = sorted((CHECKOUT / "examples").glob("*.cpp"))
LINES = 250
# The library's own headers, and those of the packages that it needs itself; <name> alone is the language's or POSIX's.
ALLOWED = re.compile(r"<(uiovfio/\w+\.hpp|fmt/\w+\.h|boost/asio[\w/]*\.hpp|sys/\w+\.h|\w+)>")


def includes(text):
    return re.findall(r"^\s*#\s*include\s+(\S+)", text, re.M)


def flat(text):
    """Without the layout: indentation, and where lines break."""
    return " ".join(text.split())


class Examples(unittest.TestCase):

    def test_there_are_two(self):
        self.assertEqual([path.name for path in EXAMPLES], ["edu.cpp", "nvme.cpp"])

    def test_each_is_shorter_than_250_lines(self):
        for path in EXAMPLES:
            self.assertLess(len(path.read_text(encoding="utf-8").splitlines()), LINES, path.name)

    def test_they_use_public_headers_only(self):
        for path in EXAMPLES:
            for header in includes(path.read_text(encoding="utf-8")):
                self.assertRegex(header, ALLOWED, path.name)
                self.assertFalse(header.startswith("<pcienic"), path.name)

    def test_they_know_nothing_of_our_device(self):
        for path in EXAMPLES:
            self.assertNotIn("pcienic", path.read_text(encoding="utf-8").lower(), path.name)

    def test_what_the_chapters_quote_is_in_the_sources(self):
        for path in EXAMPLES:
            source = flat(path.read_text(encoding="utf-8"))
            chapter = CHECKOUT / "docs/learn" / f"{path.stem}.md"
            quotes = re.findall(r"^```cpp\n(.*?)^```$", chapter.read_text(encoding="utf-8"), re.M | re.S)
            self.assertTrue(quotes, f"{chapter.name} shows no code")
            for quote in quotes:
                self.assertIn(flat(quote), source, f"{chapter.name} quotes what {path.name} does not have")


if __name__ == "__main__":
    harness.main()

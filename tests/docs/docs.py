#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the documents say must be there: the files that they link to, the headings, the commands, the tools."""

import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "frontdoor"))
import harness  # noqa: E402

CHECKOUT = pathlib.Path(harness.CHECKOUT)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.M | re.S)


def documents():
    return sorted(path for path in CHECKOUT.rglob("*.md")
                  if not any(part.startswith((".", "build")) for part in path.relative_to(CHECKOUT).parts))


def prose(path):
    """The text without its code blocks, where brackets are not links."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors(path):
    """What a code host makes of the headings."""
    found = set()
    for heading in re.findall(r"^#+ +(.+?)\s*$", prose(path), re.M):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        found.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return found


def readme():
    return (CHECKOUT / "README.md").read_text(encoding="utf-8")


class Docs(unittest.TestCase):

    def test_links_lead_to_files_of_the_repository(self):
        broken = []
        for document in documents():
            for target in (first or second for first, second in LINK.findall(prose(document))):
                if re.match(r"[a-z]+:", target):
                    continue
                name, _, anchor = target.partition("#")
                path = (document.parent / name).resolve() if name else document
                if not path.exists():
                    broken.append(f"{document.relative_to(CHECKOUT)}: {target}: no such file")
                elif anchor and path.suffix == ".md" and anchor not in anchors(path):
                    broken.append(f"{document.relative_to(CHECKOUT)}: {target}: no such heading")
        self.assertFalse(broken, "\n".join(broken))

    def test_verbs_are_those_of_the_front_door(self):
        usage = subprocess.run([str(CHECKOUT / "pcienic"), "help"], check=True, stdout=subprocess.PIPE, text=True).stdout
        verbs = set(re.findall(r"^  ([a-z]+) ", usage, re.M)) | {"help"}
        for document in documents():
            text = document.read_text(encoding="utf-8")
            for verb in re.findall(r"\./pcienic ([a-z]+)\b", text):
                self.assertIn(verb, verbs, f"{document.relative_to(CHECKOUT)}: ./pcienic {verb}")
            for option in re.findall(r"\./pcienic run [^\n]*?(--[a-z-]+)", text):
                self.assertIn(option, usage, f"{document.relative_to(CHECKOUT)}: ./pcienic run {option}")

    def test_tools_named_are_built(self):
        built = set()
        for lists in (*(CHECKOUT / "tools").rglob("CMakeLists.txt"), CHECKOUT / "tests/bench/CMakeLists.txt"):
            built |= set(re.findall(r"pcienic_add_(?:tool|executable)\((pcienic-[a-z]+)", lists.read_text(encoding="utf-8")))
        devices = set(re.findall(r"pcienic-(?:basic|mmio|msi|msix|dma|caps|rx)\b", "".join(
            path.read_text(encoding="utf-8") for path in documents())))
        for document in documents():
            for name in re.findall(r"(?<![\w./<-])(pcienic-[a-z]+)\b", prose(document)):
                if name not in devices:
                    self.assertIn(name, built, document.relative_to(CHECKOUT))

    def test_headers_shown_in_the_readme_are_public(self):
        for header in re.findall(r"#include <((?:uiovfio|pcienic)/[\w.]+)>", readme()):
            self.assertTrue(any(CHECKOUT.glob(f"uio-vfio-lib/**/include/{header}")), header)

    def test_readme_has_no_place_left_to_fill_in(self):
        self.assertEqual(re.findall(r"TODO|FIXME|XXX|TBD|@@", readme()), [])

    def test_chapters_of_the_readme_are_those_of_the_path(self):
        for chapter in (CHECKOUT / "docs/learn").glob("[0-9]*.md"):
            self.assertIn(f"docs/learn/{chapter.name}", readme(), "a chapter that the README does not name")


if __name__ == "__main__":
    harness.main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes the code blocks of one language in a Markdown file to a source file, in their order: extract.py IN LANGUAGE OUT"""

import pathlib
import re
import sys

HEADER = "// SPDX-License-Identifier: MIT\n// The code of {name}, which is compiled so that it stays true.\n"


def blocks(text, language):
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", text, re.M | re.S)


def main(source, language, target):
    source, target = pathlib.Path(source), pathlib.Path(target)
    found = blocks(source.read_text(encoding="utf-8"), language)
    if not found:
        sys.exit(f"{source}: no code block of language {language}")
    text = HEADER.format(name=source.name) + "\n".join(found)
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])

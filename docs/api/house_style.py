#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Doxygen's filter for our headers: says in its language what our manner of writing comments means.

A comment stands above a paragraph of declarations, without a blank line between them, and is meant for all of them: a
function and its twin with an error_code, an accessor and its sibling. Doxygen wants that as a group. What the compiler
could have written (copy, move, destruction) needs no comment beyond the class's own. No line is added or taken away, so
that Doxygen's warnings name the right ones.
"""

import re
import sys

COMMENT = re.compile(r"^\s*///(?!<)")
SPECIAL = re.compile(r"^\s*(?:(?:constexpr|explicit|virtual) )*"
                     r"(?:~(?P<d>\w+)\(\)|(?P<c>\w+)\((?:const )?(?P=c)&&?(?: \w+)?\)|"
                     r"(?P<a>\w+)& operator=\((?:const )?(?P=a)&&?(?: \w+)?\))[^;{]*;\s*$")
INVISIBLE = re.compile(r"^\s*(?:friend |static_assert|using \w+::|template <>|//(?!/))")
OPENS = re.compile(r"^\s*(?:template <.*> *)?(?:struct|class|enum|namespace|inline namespace|union)\b.*\{\s*$")
ENDS = re.compile(r"^\s*(?:\}|public:|private:|protected:|#)")


def depth_of(line):
    code = re.sub(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\'|//.*', "", line)
    return (code.count("{") - code.count("}") + code.count("(") - code.count(")"))


def without_special_members(lines):
    """Blanks out what needs no comment, unless it has one."""
    kept = []
    for number, line in enumerate(lines):
        commented = number > 0 and COMMENT.match(lines[number - 1])
        kept.append("" if SPECIAL.match(line) and not commented else line)
    return kept


def statements(lines, start):
    """From START, the first line and the one past the end of each declaration of the paragraph."""
    found = []
    at = start
    while at < len(lines) and lines[at].strip() and not ENDS.match(lines[at]) and not COMMENT.match(lines[at]):
        first = at
        depth = 0
        while at < len(lines):
            depth += depth_of(lines[at])
            at += 1
            text = re.sub(r"//.*", "", lines[at - 1]).rstrip()
            if depth <= 0 and text.endswith((";", "}", ",")):
                break
        found.append((first, at))
    return found, at


def grouped(lines):
    """With a group around each paragraph of several declarations that begins with a comment."""
    result = list(lines)
    at = 0
    while at < len(lines):
        if not COMMENT.match(lines[at]):
            at += 1
            continue
        comment = at
        while at < len(lines) and COMMENT.match(lines[at]):
            at += 1
        if at == len(lines) or not lines[at].strip() or OPENS.match(lines[at]):
            continue
        declarations, at = statements(lines, at)
        visible = [d for d in declarations if not INVISIBLE.match(lines[d[0]])]
        if len(visible) > 1:
            result[comment] = re.sub(r"///", "/** @{ */ ///", lines[comment], count=1)
            result[at - 1] = lines[at - 1] + " /** @} */"
    return result


def main(path):
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    sys.stdout.write("\n".join(grouped(without_special_members(lines))))


if __name__ == "__main__":
    main(sys.argv[1])

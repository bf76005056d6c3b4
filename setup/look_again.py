#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""After a red run of ctest: is a case unstable, or broken? `./pcienic test --look-again` ends with it, as CI does.

    look_again.py BUILD_FOLDER

Each case that failed is run again by itself, twice. If it passes both times, it is named as unstable, and its logs and the
command that repeats it are left in BUILD_FOLDER/unstable. If that holds for all that failed, the exit status is 0, else 8,
ctest's own. Never forgiven are:

  what a sanitizer or the C library's heap reported
  a crash of QEMU, and what a guest's HEALTH says of its kernel; not a boot that died before anything of ours ran
  more than three cases: then something is broken

A guest's suite is one machine. Its cases are looked at together, in a boot of the whole suite; if the machine was lost, all
that went with it counts as one case.
"""

import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree

MOST = 3
CTEST_FAILED = 8
# ctest keeps that much of a case's output for its JUnit file; a report may stand at its end.
WHOLE_OUTPUT = ("--test-output-size-failed", "1000000000")
NEVER = re.compile(
    r"(Address|Leak|Memory|Thread|UndefinedBehavior)Sanitizer|: runtime error: |"
    r"\*\*\* stack smashing detected|^(free|malloc|realloc|munmap_chunk|double free|corrupted)\b.*(invalid|corrupt|free)|"
    r"the guest died: (?!it |nothing |test case )|^(kernel, |DMAR fault|QEMU, announced by no test)", re.M)


class Case:
    """One case of the first run that did not pass."""

    def __init__(self, element, properties):
        self.name = element.get("name")
        self.output = element.findtext("system-out") or ""
        fixtures = properties.get("FIXTURES_SETUP", []) + properties.get("FIXTURES_REQUIRED", [])
        self.suite = next((fixture for fixture in fixtures if fixture.startswith("guest.")), None)
        self.reason = (element.find("skipped").get("message") if element.find("skipped") is not None else "failed")

    @property
    def went_with_its_machine(self):
        return self.reason == "Fixture dependency failed"


class Group:
    """Cases that are run again together: one, or those of a guest's suite."""

    def __init__(self, name, cases, outcome):
        self.name, self.cases, self.outcome = name, cases, outcome
        self.lost = bool(outcome.get("lost"))

    @property
    def weight(self):
        return 1 if self.lost else len([case for case in self.cases if not case.went_with_its_machine])

    @property
    def names(self):
        return [f"{self.name} (the machine was lost)"] if self.lost else [case.name for case in self.cases]

    @property
    def title(self):
        return ", ".join(self.names)

    @property
    def pattern(self):
        # A suite whole: its HEALTH sees what a single case would not.
        return f"^{re.escape(self.name)}[.]" if self.cases[0].suite else f"^{re.escape(self.name)}$"

    def why_never(self):
        for case in self.cases:
            if case.reason not in ("failed", "Fixture dependency failed"):
                return f"{case.name}: {case.reason}"
            if found := NEVER.search(case.output):
                line = case.output[case.output.rfind("\n", 0, found.start()) + 1:].split("\n", 1)[0]
                return f"{case.name} reported: {line.strip()[:200]}"
            if case.name == f"{self.name}.HEALTH" and not self.lost:
                return f"{case.name} found something"
        if self.lost and self.outcome.get("died") == "qemu":
            return f"QEMU died: {self.outcome['lost']}"
        if self.lost and self.outcome.get("died") == "guest" and self.outcome.get("init_ran", True):
            return f"the guest died: {self.outcome['lost']}"
        return None


class Build:
    """A build folder whose ctest has run."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        self.unstable = self.folder / "unstable"
        listing = subprocess.run(["ctest", "--test-dir", str(self.beside("listing")), "--show-only=json-v1"], check=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.properties = {
            test["name"]: {each["name"]: each["value"] for each in test.get("properties", [])}
            for test in json.loads(listing.stdout)["tests"]}
        shutil.rmtree(self.unstable / "listing")

    def beside(self, name):
        """A folder with the same tests: ctest empties the log of the folder that it is called in."""
        folder = self.unstable / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "CTestTestfile.cmake").write_text(f"subdirs([==[{self.folder}]==])\n", encoding="utf-8", errors="surrogateescape")
        return folder

    def failed(self, report):
        """The cases that did not pass, of a JUnit file of ctest's."""
        for element in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
            skipped = element.find("skipped")
            if element.get("status") == "fail" or (
                    element.get("status") == "notrun" and not (skipped is not None and skipped.get("message", "").startswith("SKIP_"))):
                yield Case(element, self.properties.get(element.get("name"), {}))

    @staticmethod
    def tests_in(report):
        return len(list(xml.etree.ElementTree.parse(report).getroot().iter("testcase")))

    def groups(self, report):
        members = {}
        for case in self.failed(report):
            members.setdefault(case.suite or case.name, []).append(case)
        return [Group(name, cases, self.outcome(cases[0].suite)) for name, cases in members.items()]

    def logs(self, suite):
        return self.folder / "guest-logs" / suite.removeprefix("guest.")

    def outcome(self, suite):
        """How a suite's machine ended: the runner's word (vmrunner/suite.py)."""
        try:
            return json.loads((self.logs(suite) / "outcome.json").read_text(encoding="utf-8")) if suite else {}
        except (OSError, ValueError):
            return {}

    def passes_again(self, group, times=2):
        kept = self.unstable / re.sub(r"[^\w.-]", "_", group.name)
        kept.mkdir(parents=True, exist_ok=True)
        for case in group.cases:
            (kept / (re.sub(r"[^\w.-]", "_", case.name) + ".log")).write_text(case.output, encoding="utf-8", errors="surrogateescape")
        command = f"./pcienic test --until-fail 100 -R {shlex.quote(group.pattern)}"
        (kept / "repeat").write_text(f"{command}\n", encoding="utf-8")
        # The next boot writes there.
        if group.cases[0].suite and self.logs(group.name).is_dir():
            shutil.copytree(self.logs(group.name), kept / "guest-logs", dirs_exist_ok=True, ignore=shutil.ignore_patterns("initrd.cpio"))
        wanted = {case.name for case in group.cases}
        for turn in range(1, times + 1):
            folder = self.beside(f"{kept.name}/again-{turn}")
            report = folder / "junit.xml"
            print(f"looking again at {group.title}: {turn} of {times}", flush=True)
            ended = subprocess.run(["ctest", "--test-dir", str(folder), "-R", group.pattern, "--no-tests=error", "--output-on-failure",
                                    "--output-junit", str(report), *WHOLE_OUTPUT], check=False, stdin=subprocess.DEVNULL)
            if ended.returncode != 0:
                return False
            ran = {element.get("name") for element in xml.etree.ElementTree.parse(report).getroot().iter("testcase")
                   if element.get("status") == "run"}
            if not wanted <= ran:  # a case that is skipped now has not passed
                return False
        return True


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build = Build(sys.argv[1])
    try:
        groups = build.groups(build.folder / "junit.xml")
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        sys.exit(f"ctest failed, and left no JUnit file to look at: {error}")
    if not build.tests_in(build.folder / "junit.xml"):
        print("no test has that name or label: ./pcienic test -N lists all, ./pcienic test --print-labels the labels")
        sys.exit(CTEST_FAILED)
    if not groups:
        sys.exit("ctest failed, and its JUnit file names no case that did")
    never = {group.title: why for group in groups if (why := group.why_never())}
    if never:
        for title, why in never.items():
            print(f"never forgiven: {title}: {why}")
        sys.exit(CTEST_FAILED)
    if (count := sum(group.weight for group in groups)) > MOST:
        print(f"{count} cases failed: more than {MOST} are not taken for unstable")
        sys.exit(CTEST_FAILED)
    broken = [group for group in groups if not build.passes_again(group)]
    print(f"logs, and the command that repeats each: {build.unstable}")
    for group in groups:
        for name in group.names:
            print(f"broken: {name}: it failed again by itself" if group in broken else f"unstable: {name}")
    sys.exit(CTEST_FAILED if broken else 0)


if __name__ == "__main__":
    main()

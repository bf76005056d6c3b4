# SPDX-License-Identifier: MIT
"""What the logs of a suite's one boot say: about one case (`report`), and about the machine as a whole (`health`).

What a test may announce (tests/guest/support/expect.hpp), and how it is matched:
  dmar         the test case writes markers into the kernel log, and waits for its fault to appear there: a fault line
               counts as announced only between that case's markers.
               What QEMU says about a refused access is taken as part of an announced fault.
  guest_error  QEMU's log has no notion of the guest's time, so a line that matches the pattern counts as announced
               wherever it stands, any number of times.
  trace        an event of those that --trace asks for, wherever it stands in QEMU's log.
A pattern that was announced and never appeared fails the case that announced it.
"""

import collections
import dataclasses
import fnmatch
import json
import pathlib
import re

from .channels import RecordParser
from .errors import UsageError
from .machine import LOG_NAMES
from .vm import console_lines

EXIT_PASSED, EXIT_FAILED, EXIT_SKIPPED = 0, 1, 77

MARKER = re.compile(r"pcienic-(case|program) (start|end) (\S+)")
KERNEL_COMPLAINT = re.compile(
    r"WARNING: |\bBUG: |Oops: |Kernel panic|general protection fault|possible (circular|recursive) locking|"
    r"INFO: (rcu|task|possible)|rcu: .*stall|soft lockup|hard LOCKUP|hung_task|refcount_t: |UBSAN: |KASAN: |"
    r"segfault at|traps: |Out of memory")
DMAR_FAULT = re.compile(r"DMAR: \[.*(Request device|fault)", re.IGNORECASE)
DMAR_PREAMBLE = re.compile(r"DMAR: DRHD: handling fault status")
SANITIZER_REPORT = re.compile(r"ERROR: (Address|Leak|Memory)Sanitizer|WARNING: ThreadSanitizer|: runtime error: ")
# What QEMU itself says when its IOMMU refuses an access, beside the fault that the guest's kernel logs: its model
# reports each kind of failed translation once, and the access goes to a region without a name.
REFUSED_BY_IOMMU = re.compile(r"\bvtd_|fault is not recorded|region '\(null\)', reason: rejected")
HARMLESS_QEMU = re.compile(r"warning: (TCG|host) doesn't support requested feature")
# --trace writes into the same log: EVENT ARGUMENTS, which QEMU 7 prefixes with PROCESS@TIME.
TRACE_LINE = re.compile(r"^(?:\d+@\d+\.\d+:)?([A-Za-z0-9_]+) ")
# What is announced to be there, by the kind of the announcement.
IN_QEMUS_LOG = {"guest_error": "a guest error", "trace": "a traced event"}
TAINT_WARNED, TAINT_DIED, TAINT_LOCKUP = 1 << 9, 1 << 7, 1 << 14


@dataclasses.dataclass
class Case:
    name: str
    program: str
    finished: bool = False
    status: str = ""
    failures: list = dataclasses.field(default_factory=list)
    leaked: list = dataclasses.field(default_factory=list)
    expects: list = dataclasses.field(default_factory=list)  # (kind, pattern)


class SuiteLog:
    """The logs of one boot, read once."""

    def __init__(self, log_dir):
        self.directory = pathlib.Path(log_dir)
        try:
            self.outcome = json.loads(self._text("outcome"))
        except (FileNotFoundError, ValueError):
            raise UsageError(f"{log_dir} has no finished run: "
                             "the suite's BOOT test has not run, or was killed") from None
        self.cases = {}
        self.program_status = {}
        self.exit_record = None
        self.outside = []  # failures that belong to no case
        parser = RecordParser()
        program, current = "?", None
        for record in parser.feed(self._text("results").encode()):
            kind = record["type"]
            if kind == "program":
                program, current = record["name"], None
            elif kind == "program_end":
                self.program_status[record["name"]] = record["status"]
            elif kind == "start":
                current = self.cases[record["name"]] = Case(record["name"], program)
            elif kind == "expect" and current:
                current.expects.append((record["kind"], record["pattern"]))
            elif kind == "failure" and current:
                current.failures.append(record)
            elif kind == "failure":
                self.outside.append(record)
            elif kind == "end" and current:
                current.finished, current.status = True, record["status"]
                current.leaked = record.get("leaked", [])
                current = None
            elif kind == "exit":
                self.exit_record = record
        self.garbage = parser.garbage + ([parser.truncated()] if parser.truncated() else [])
        self.console = console_lines(log_dir)
        self.output = self._text("stdout").splitlines()
        self.errors = self._text("stderr").splitlines()
        said_by_qemu = self._text("qemu").splitlines() + self._text("qemu_stderr").splitlines()
        self.qemu = [line for line in said_by_qemu if line.strip()]

    def _text(self, name):
        try:
            return (self.directory / LOG_NAMES[name]).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            if name == "outcome":
                raise
            return ""

    def kernel_lines(self):
        """(line, the case it fell into or None) for the kernel's log."""
        case = None
        for line in self.console:
            if marker := MARKER.search(line):
                case = marker.group(3) if marker.group(2) == "start" else None
            else:
                yield line, self.cases.get(case) if case else None

    def case_output(self, name):
        """What the case printed, between GoogleTest's own marks, then what the kernel logged meanwhile."""
        part, inside = [], False
        for line in self.output:
            if line.startswith(f"[ RUN      ] {name}") and line[13:] == name:
                inside = True
            elif inside and line.startswith("=== "):
                part.append(line)
                break
            if inside:
                part.append(line)
                if re.match(r"\[ +(OK|FAILED|SKIPPED) +\] ", line) and line.split("] ", 1)[1].split(" ")[0] == name:
                    break
        kernel = [line for line, case in self.kernel_lines() if case and case.name == name]
        return part + (["kernel log:", *kernel] if kernel else [])


def case_verdict(log, name):
    """(exit status, one sentence)."""
    case = log.cases.get(name)
    lost = log.outcome["lost"]
    if case is None:
        if log.outcome["filter"]:
            return EXIT_SKIPPED, f"not selected by the filter {log.outcome['filter']}"
        if lost:
            return EXIT_FAILED, f"NOT RUN: the virtual machine was lost before it: {lost}"
        stopped = [f"{other.program} ended in the middle of {other.name}"
                   for other in log.cases.values() if not other.finished]
        stopped += [f"{program} ended with status {status}"
                    for program, status in log.program_status.items() if status not in (0, 1)]
        return EXIT_FAILED, "NOT RUN: " + (", ".join(stopped) or "no program of the suite started it")
    if not case.finished:
        if case.program in log.program_status:
            ended = log.program_status[case.program]
            return EXIT_FAILED, f"CRASHED: {case.program} ended with status {ended} in the middle of it"
        return EXIT_FAILED, f"LOST: the virtual machine was lost in the middle of it: {lost or 'no end record'}"
    if case.status == "skipped":
        return EXIT_SKIPPED, "skipped"
    if case.status != "passed":
        return EXIT_FAILED, "failed"
    for kind, pattern in case.expects:
        if kind in IN_QEMUS_LOG and not any(re.search(pattern, line) for line in log.qemu):
            return EXIT_FAILED, f"failed: it announced {IN_QEMUS_LOG[kind]} '{pattern}', which QEMU never logged"
    return EXIT_PASSED, "passed"


def failed_by_itself(log, name):
    """True if the case ran to its end and its own assertions failed."""
    case = log.cases.get(name)
    return case is not None and case.finished and case.status == "failed"


def complaints(log):
    """Everything wrong with the machine that no case carries; empty for a healthy run."""
    found = []
    if log.outcome["lost"]:
        found.append(f"the virtual machine was lost: {log.outcome['lost']}")
    if log.exit_record is None:
        found.append("the end record is missing: the guest did not end by itself")
    elif taint := log.exit_record.get("taint", 0) & (TAINT_WARNED | TAINT_DIED | TAINT_LOCKUP):
        found.append(f"the kernel marked itself tainted by a warning, an oops or a lockup (bits {taint:#x})")
    found += [f"QEMU refused what the guest asked for: {error}" for error in log.outcome.get("monitor_errors", [])]
    found += [f"the results channel carried something else: {line[:200]}" for line in log.garbage]
    found += _kernel_complaints(log)
    found += [f"sanitizer: {line.strip()}" for line in log.output + log.errors if SANITIZER_REPORT.search(line)]
    found += _qemu_complaints(log)
    for failure in log.outside:
        found.append(f"failure outside any case: {failure.get('file')}:{failure.get('line')}: {failure.get('message')}")
    for case in log.cases.values():
        if case.leaked:
            found.append(f"{case.name} left file descriptors open: {', '.join(case.leaked)}")
    found += _program_complaints(log)
    return found


def _kernel_complaints(log):
    found = []
    for line, case in log.kernel_lines():
        patterns = [pattern for kind, pattern in (case.expects if case else []) if kind == "dmar"]
        where = f"during {case.name}" if case else "outside any case"
        if DMAR_PREAMBLE.search(line):
            if not patterns:
                found.append(f"DMAR fault, announced by no test, {where}: {line}")
        elif DMAR_FAULT.search(line):
            if not any(re.search(pattern, line) for pattern in patterns):
                found.append(f"DMAR fault, announced by no test, {where}: {line}")
        elif KERNEL_COMPLAINT.search(line):
            found.append(f"kernel, {where}: {line}")
    return found


def _qemu_complaints(log):
    expected = [pattern for case in log.cases.values() for kind, pattern in case.expects if kind == "guest_error"]
    faults_announced = any(kind == "dmar" for case in log.cases.values() for kind, _ in case.expects)
    counts = collections.Counter()
    for line in log.qemu:
        if _is_trace(line, log.outcome["trace"]) or HARMLESS_QEMU.search(line):
            continue
        if any(re.search(pattern, line) for pattern in expected):
            continue
        if faults_announced and REFUSED_BY_IOMMU.search(line):
            continue
        counts[line] += 1
    return [f"QEMU, announced by no test: {line}" + (f" ({count} times)" if count > 1 else "")
            for line, count in counts.items()]


def _is_trace(line, patterns):
    event = TRACE_LINE.match(line)
    return event is not None and any(fnmatch.fnmatchcase(event.group(1), pattern) for pattern in patterns)


def _program_complaints(log):
    """A program's exit status that its cases do not explain: a leak report at exit, a failed global set-up."""
    found = []
    for program, status in log.program_status.items():
        cases = [case for case in log.cases.values() if case.program == program]
        explained = any(not case.finished or case.status == "failed" for case in cases)
        if status and not explained:
            found.append(f"{program} ended with status {status}, which none of its cases explains")
    for program in log.outcome["programs"]:
        if program not in log.program_status:
            found.append(f"{program} did not end")
    return found

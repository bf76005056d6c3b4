# SPDX-License-Identifier: MIT
"""GoogleTest programs in one boot: the listing of their cases on the host, and the run itself."""

import json
import pathlib
import subprocess

from .errors import UsageError
from .machine import LOG_NAMES
from .products import TESTS_DIRECTORY

RUN_SUITE = "/usr/libexec/pcienic-guest/run-suite"


def guest_command(programs, case_filter):
    return [RUN_SUITE, case_filter or "", *(f"{TESTS_DIRECTORY}/{pathlib.Path(p).name}" for p in programs)]


def list_cases(program, case_filter=None):
    """The cases of a GoogleTest program, which is run on the host for that: listing touches no device."""
    command = [program, "--gtest_list_tests"] + ([f"--gtest_filter={case_filter}"] if case_filter else [])
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                            errors="surrogateescape")
    if answer.returncode:
        raise UsageError(f"{program} --gtest_list_tests ended with status {answer.returncode}: {answer.stderr.strip()}")
    suite, cases = None, []
    for line in answer.stdout.splitlines():
        name = line.partition("#")[0].rstrip()
        if not line.startswith(" ") and name.endswith("."):
            suite = name
        elif line.startswith("  ") and suite and "DISABLED_" not in suite + name:
            cases.append(suite + name.strip())
    return cases


def unique_cases(programs, case_filter=None):
    """The cases of a suite's programs, in their order."""
    owners = {}
    for program in programs:
        for case in list_cases(program, case_filter):
            if case in owners:
                raise UsageError(f"{case} is in {owners[case]} and in {program}: "
                                 "within a suite a case's name must be its own")
            owners[case] = program
    return list(owners)


def save_outcome(log_dir, outcome, case_filter, programs, trace):
    """Beside the logs, what the logs themselves do not tell."""
    summary = {"lost": outcome.lost, "died": outcome.died, "init_ran": outcome.init_ran, "status": outcome.status, "filter": case_filter or "", "trace": trace,
               "monitor_errors": outcome.monitor_errors,
               "programs": [pathlib.Path(p).name for p in programs]}
    path = pathlib.Path(log_dir) / LOG_NAMES["outcome"]
    path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")

# SPDX-License-Identifier: MIT
"""One QEMU process, from start to end."""

import contextlib
import ctypes
import dataclasses
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

from .channels import Follower, RecordParser
from .errors import GuestDied, UsageError
from .machine import LOG_NAMES
from .monitor import Monitor
from .qemu import Qmp

PR_SET_PDEATHSIG = 1
TICK_SECONDS = 0.01
AFTER_THE_END_SECONDS = 30
CONSOLE_LINES = 100
SIGNS_OF_DEATH = re.compile(r"Kernel panic - not syncing.*|Oops:.*|BUG:.*|Out of memory.*|Attempted to kill init.*")


@dataclasses.dataclass
class Outcome:
    """How a guest ended: with the status of its command, or lost for a reason."""

    status: int | None = None
    lost: str | None = None
    died: str | None = None  # what was lost: "qemu" ended, the "guest" did, or nothing was heard ("hang")
    records: list = dataclasses.field(default_factory=list)
    garbage: list = dataclasses.field(default_factory=list)
    monitor_errors: list = dataclasses.field(default_factory=list)  # of what the guest asked QEMU for

    def of_type(self, kind):
        return [record for record in self.records if record["type"] == kind]

    @property
    def init_ran(self):
        """Before its first record nothing of ours has run in the guest."""
        return bool(self.records)


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def console_lines(log_dir):
    """The console's lines without the terminal's control characters."""
    try:
        text = (pathlib.Path(log_dir) / LOG_NAMES["console"]).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc", "", text)
    return [line.rstrip() for line in text.replace("\r", "\n").split("\n") if line.strip()]


class VirtualMachine:
    """Starts QEMU with a prepared command line and follows it to its end.

    `on_stdout` and `on_stderr` get the command's output as it arrives. Leaving the context kills what still runs."""

    def __init__(self, command_line, watchdogs, on_stdout=None, on_stderr=None, allow_qmp=False):
        self._command = command_line
        self._allow_qmp = allow_qmp
        self._log_dir = pathlib.Path(command_line.log_dir)
        self._watchdogs = watchdogs
        self._sinks = {name: sink for name, sink in (("stdout", on_stdout), ("stderr", on_stderr)) if sink}
        self._process = None

    def __enter__(self):
        # Of an earlier run; and nothing is written through a link.
        for name in ("console", "results", "stdout", "stderr", "qemu", "qemu_stderr", "outcome", "command"):
            (self._log_dir / LOG_NAMES[name]).unlink(missing_ok=True)
        (self._log_dir / LOG_NAMES["command"]).write_bytes(os.fsencode(f"{self._command}\n"))
        interactive = self._command.interactive
        try:
            with open(self._log_dir / LOG_NAMES["qemu_stderr"], "wb") as errors:
                # Interactive QEMU reads the terminal, so it must stay in our process group.
                self._process = subprocess.Popen(
                    self._command.words(), stdin=None if interactive else subprocess.DEVNULL,
                    stdout=None if interactive else errors, stderr=errors,
                    preexec_fn=_die_with_parent, start_new_session=not interactive)
        except OSError as error:
            raise UsageError(f"QEMU {self._command.binary} cannot be started: {error.strerror}") from error
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        pathlib.Path(self._command.qmp_socket).unlink(missing_ok=True)

    def follow(self):
        """Returns the Outcome once QEMU has ended or a watchdog has ended it."""
        with contextlib.ExitStack() as stack:
            followers = {name: stack.enter_context(contextlib.closing(Follower(self._log_dir / LOG_NAMES[name])))
                         for name in ("results", "console", *self._sinks)}
            monitor = stack.enter_context(contextlib.closing(Monitor(self._command.qmp_socket)))
            outcome = self._follow(followers, monitor)
        if outcome.status is None and outcome.lost is None:
            outcome.died, outcome.lost = self._cause_of_death()
        return outcome

    def _follow(self, followers, monitor):
        outcome = Outcome(monitor_errors=monitor.errors)
        parser = RecordParser()
        ended_at = None
        while True:
            gone = self._process.poll() is not None  # asked before reading: what is read after it is complete
            if followers["console"].read():
                self._watchdogs.heard()
            for name, sink in self._sinks.items():
                if data := followers[name].read():
                    self._watchdogs.heard()
                    sink(data)
            for record in parser.feed(followers["results"].read()):
                self._watchdogs.heard()
                self._watchdogs.record(record)
                outcome.records.append(record)
                if record["type"] == "qmp" and self._allow_qmp:
                    monitor.request(record)
                elif record["type"] == "qmp":
                    monitor.errors.append(f"{record.get('execute')}: --allow-qmp was not given")
                if record["type"] == "exit":
                    outcome.status = record.get("status")
                    ended_at = time.monotonic()
            if gone:
                break
            monitor.poll()
            if ended_at is not None:
                if time.monotonic() - ended_at > AFTER_THE_END_SECONDS:
                    break
            elif reason := self._watchdogs.expired():
                outcome.died = "hang"
                outcome.lost = f"{reason} (QEMU says it is {self._qemu_state()}), so it was ended"
                break
            time.sleep(TICK_SECONDS)
        outcome.garbage = parser.garbage
        return outcome

    def _qemu_state(self):
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(self._command.qmp_socket)
                with connection.makefile("rw", encoding="utf-8") as file:
                    return Qmp(file, file).execute("query-status")["status"]
        except (OSError, EOFError, ValueError, KeyError) as error:
            return f"not answering: {error or type(error).__name__}"

    def _cause_of_death(self):
        """What died, and of what. A panic ends QEMU with 0 (-no-reboot)."""
        code = self._process.returncode
        for line in console_lines(self._log_dir):
            if match := SIGNS_OF_DEATH.search(line):
                return "qemu" if code else "guest", match.group(0)
        said = (self._log_dir / LOG_NAMES["qemu_stderr"]).read_text(encoding="utf-8", errors="replace").strip()
        if code < 0:
            # What QEMU, glib or the C library says of an abort comes last; device models may have written before it.
            # Another signal comes from outside, and QEMU has no word on it.
            last = said.splitlines()[-1] if said and code == -signal.SIGABRT else ""
            return "qemu", f"QEMU was killed by {signal.Signals(-code).name}" + (f": {last}" if last else "")
        if code:
            return "qemu", f"QEMU ended with status {code}" + (f": {said}" if said else "")
        return "guest", "QEMU ended before the guest reported how its command ended"


def describe_loss(outcome, log_dir, lines=CONSOLE_LINES):
    """What a user needs to see of a guest that was lost."""
    console = console_lines(log_dir)[-lines:]
    logs = " ".join(sorted(name for name in os.listdir(log_dir) if name != LOG_NAMES["initrd"]))
    parts = [f"the last {len(console)} console lines:", *(f"  {line}" for line in console)] if console else []
    when = " before its init ran" if outcome.died != "qemu" and not outcome.init_ran else ""
    return GuestDied("\n".join([*parts, f"logs in {log_dir}: {logs}", f"the guest died{when}: {outcome.lost}"]))

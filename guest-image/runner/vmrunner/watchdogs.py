# SPDX-License-Identifier: MIT
"""How long may nothing happen. The limits only tell a hang from slowness; no test's result depends on them."""

import dataclasses
import time


@dataclasses.dataclass
class Limits:
    """Seconds; None means no limit."""

    boot: float | None = 30  # until the command starts
    silence: float | None = None  # between two signs of life, once it has started
    case: float | None = None  # from a test case's start to its end
    total: float | None = None

    def scaled(self, factor):
        return Limits(*(None if value is None else value * factor for value in dataclasses.astuple(self)))


SUITE_LIMITS = Limits(boot=30, silence=60, case=60, total=240)


class Watchdogs:
    """Is told what happens; `expired` says which limit was passed, if any."""

    def __init__(self, limits, clock=time.monotonic):
        self.limits = limits
        self._clock = clock
        self._started = self._heard = clock()
        self._booted = False
        self._case = None  # name, since

    def heard(self):
        self._heard = self._clock()

    def record(self, record):
        if record["type"] == "boot":
            self._booted = True
        elif record["type"] == "start":
            self._case = (record.get("name"), self._clock())
        elif record["type"] in ("end", "program_end"):
            self._case = None

    def expired(self):
        now = self._clock()

        def passed(limit, since):
            return limit is not None and now - since > limit

        if passed(self.limits.total, self._started):
            return f"it was still running after {self.limits.total:.0f} seconds"
        if not self._booted:
            if passed(self.limits.boot, self._started):
                return f"it did not come up in {self.limits.boot:.0f} seconds"
            return None
        if self._case and passed(self.limits.case, self._case[1]):
            return f"test case {self._case[0]} was still running after {self.limits.case:.0f} seconds"
        if passed(self.limits.silence, self._heard):
            return f"nothing was heard from it for {self.limits.silence:.0f} seconds"
        return None

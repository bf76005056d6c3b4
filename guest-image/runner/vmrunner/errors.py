# SPDX-License-Identifier: MIT
"""What goes wrong around a guest, with the exit status that each kind gets."""

EXIT_USAGE = 2
EXIT_GUEST_DIED = 125
EXIT_SIGNAL = 128


class Failure(Exception):
    """A message for the user; `status` is what the process exits with."""

    status = EXIT_GUEST_DIED


class UsageError(Failure):
    """The request itself cannot be met: a word on the command line, or a file or tool that is not there."""

    status = EXIT_USAGE


class GuestDied(Failure):
    """The guest ended, or had to be ended, before it could say how its command ended."""


class Interrupted(Exception):
    """A signal asked this process to end."""

    def __init__(self, signum):
        super().__init__(signum)
        self.status = EXIT_SIGNAL + signum

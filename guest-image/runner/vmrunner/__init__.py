# SPDX-License-Identifier: MIT
"""Boots the guest, runs something in it, and says what became of it.

errors        what is told to the user, and the exit status that goes with it
machine       the one table of what differs between architectures, and QEMU's command line
qemu          which QEMU, and what it knows
acceleration  KVM where it works, else TCG
cache         the cache that set-up keeps, held while it is used
image         which kernel and base initramfs
products      what the build folder gives the guest
initramfs     this run's files, appended to the base
channels      the files QEMU writes while we read them
watchdogs     how long may nothing happen
monitor       what the guest asks of QEMU
vm            one QEMU process from start to end
suite         GoogleTest programs in one boot
verdicts      what a suite's logs say about a case, and about the machine
cli           the command line
"""

# SPDX-License-Identifier: MIT
"""KVM where it works, else TCG. That /dev/kvm opens proves nothing, so a guest is tried."""

import hashlib
import os
import pathlib
import subprocess
import tempfile
import time

from .cache import open_cache
from .errors import UsageError

PROBE_SECONDS = 10
# TCG is an order of magnitude slower: every time limit is multiplied by this.
SLOWNESS = {"kvm": 1, "tcg": 10}


def kvm_obstacle(machine, binary, kernel, cpuinfo="/proc/cpuinfo", device="/dev/kvm"):
    """Why KVM cannot be used, or None where a guest runs on it."""
    flags = set(pathlib.Path(cpuinfo).read_text(encoding="utf-8").split())
    if not flags & machine.cpu_flags:
        return f"the processor shows none of {', '.join(sorted(machine.cpu_flags))}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} is not there or may not be opened"
    return _trial_obstacle(machine, binary, kernel)


def _trial_obstacle(machine, binary, kernel):
    with tempfile.TemporaryDirectory(prefix="pcienic-kvm-") as directory:
        console = pathlib.Path(directory) / "console"
        words = [binary, *(word for path in machine.firmware for word in ("-L", path)), "-nodefaults",
                 "-no-user-config", "-display", "none", "-no-reboot", "-m", "256M", "-accel", "kvm", *machine.arguments,
                 "-kernel", kernel, "-append", f"console={machine.console} panic=-1", "-serial", f"file:{console}"]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE) as qemu:
            try:
                deadline = time.monotonic() + PROBE_SECONDS
                while time.monotonic() < deadline:
                    if console.exists() and console.stat().st_size:
                        return None
                    if qemu.poll() is not None:
                        return "a trial guest failed: " + qemu.stderr.read().decode(errors="replace").strip()
                    time.sleep(0.02)
                return f"a trial guest made no progress in {PROBE_SECONDS} seconds"
            finally:
                qemu.kill()


def choose(machine, binary, kernel, say):
    """"kvm" or "tcg". The trial's answer holds for this boot of the host."""
    wanted = os.environ.get("PCIENIC_ACCEL", "auto")
    if wanted == "tcg":
        return "tcg"
    if wanted not in ("kvm", "auto"):
        raise UsageError(f"PCIENIC_ACCEL={wanted}: kvm, tcg or auto")
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    key = hashlib.sha256(os.fsencode(f"{boot} {binary} {kernel}")).hexdigest()[:16]
    verdict = open_cache() / f"guest-kvm-{key}"
    if verdict.exists():
        obstacle = verdict.read_text(encoding="utf-8") or None
    else:
        obstacle = kvm_obstacle(machine, binary, kernel)
        complete = verdict.with_name(f"{verdict.name}.{os.getpid()}")  # another runner must not read half an answer
        complete.touch(0o600)
        complete.write_text(obstacle or "", encoding="utf-8")
        complete.rename(verdict)
    if not obstacle:
        return "kvm"
    if wanted == "kvm":
        raise UsageError(f"PCIENIC_ACCEL=kvm, but {obstacle}; PCIENIC_ACCEL=tcg runs without it")
    say(f"no KVM ({obstacle}): emulating the processor with TCG, about ten times slower")
    return "tcg"

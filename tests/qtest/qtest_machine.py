#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""QEMU under qtest: a machine without a guest, where the test's program plays the CPU.

    machine = Machine("pcienic-mmio")
    function = Function(machine)
    function.enable()
    machine.write(BAR0, 0xdeadbeef)

Nothing runs in it unless it is asked for, so what a guest can reach only by luck is exact: a copy held in the middle by
a stopped machine, a migration in that moment, an unplug. An interrupt is observed as what it is, a write: its message is
aimed at guest RAM, and read back there.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import unittest

QEMU = os.environ.get("PCIENIC_QEMU", "")
SKIPPED = 77  # tells ctest that nothing was tested
WATCHDOG_S = 120  # no test waits for this; it ends one that hangs

BAR0 = 0xFE000000
BAR1 = 0xFE001000
RAM = 0x100000  # the first megabyte has holes
VECTORS = 4
COMMAND, MEMORY_AND_MASTER = 0x04, 0x06


class Machine:
    """A q35 with devices under test, stopped in time but for what is asked of it."""

    def __init__(self, *devices, extra=()):
        self._files = tempfile.TemporaryDirectory()
        where = pathlib.Path(self._files.name)
        self._log = where / "log"
        sockets = {name: socket.socket(socket.AF_UNIX) for name in ("qtest", "qmp")}
        arguments = [QEMU, "-M", "q35", "-m", "64", "-nodefaults", "-display", "none", "-accel", "qtest",
                     "-L", "/usr/share/seabios", "-L", "/usr/share/qemu", "-D", str(self._log), "-d", "guest_errors", "-trace", "pcienic_*"]
        for name, listener in sockets.items():
            listener.bind(str(where / name))
            listener.listen(1)
            listener.settimeout(1)
            arguments += ["-chardev", f"socket,id={name},path={where / name}"]
        arguments += ["-qtest", "chardev:qtest", "-qtest-log", "none", "-mon", "chardev=qmp,mode=control", *extra]
        for number, device in enumerate(devices):
            arguments += ["-device", device if "bus=" in device else f"{device},addr={number + 2}"]
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL)
        self._streams = {}
        self._events = []
        for name, listener in sockets.items():
            connection = self._accept(listener)
            connection.settimeout(WATCHDOG_S)
            self._streams[name] = connection.makefile("rw", encoding="ascii")
            connection.close()  # the stream keeps it open
            listener.close()
        self._read_qmp()
        self.qmp("qmp_capabilities")

    def _accept(self, listener):
        """QEMU's connection; one that refuses its arguments ends instead."""
        deadline = time.monotonic() + WATCHDOG_S
        while True:
            try:
                return listener.accept()[0]
            except TimeoutError:
                if self.process.poll() is not None:
                    raise EOFError(f"QEMU ended with status {self.process.returncode} as it began") from None
                if time.monotonic() > deadline:
                    raise

    def close(self, expected=0):
        """End QEMU in good order: a sanitizer reports, and a crash is seen, only in its exit status."""
        if self.process.poll() is None:
            with contextlib.suppress(OSError, EOFError):
                self.qmp("quit")
        status = self.process.wait(WATCHDOG_S)
        for stream in self._streams.values():
            with contextlib.suppress(OSError):  # what was not sent when QEMU ended
                stream.close()
        self._files.cleanup()
        if status != expected:
            raise AssertionError(f"QEMU ended with status {status}, not {expected}")

    def qtest(self, command):
        """One command of QEMU's qtest protocol; returns what it answers after OK."""
        stream = self._streams["qtest"]
        stream.write(command + "\n")
        stream.flush()
        while True:
            line = stream.readline()
            if not line:
                raise EOFError(f"QEMU ended at the qtest command '{command}'")
            if not line.startswith("IRQ"):
                break
        if not line.startswith("OK"):
            raise AssertionError(f"qtest command '{command}': {line.strip()}")
        return line[2:].strip()

    def _read_qmp(self):
        line = self._streams["qmp"].readline()
        if not line:
            raise EOFError("QEMU ended")
        return json.loads(line)

    def qmp(self, command, **arguments):
        self._streams["qmp"].write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._streams["qmp"].flush()
        while True:
            answer = self._read_qmp()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise AssertionError(f"QMP command '{command}': {answer['error']['desc']}")
            self._events.append(answer.get("event"))

    def wait_event(self, name):
        """Returns once the event NAME was seen; an event may overtake the answer to the command that caused it."""
        while name not in self._events:
            self._events.append(self._read_qmp().get("event"))
        self._events.remove(name)

    def log(self):
        return self._log.read_text(encoding="utf-8")

    def read(self, address, size=4):
        return int(self.qtest(f"read{' bw l   q'[size]} {address:#x}"), 0)

    def write(self, address, value, size=4):
        self.qtest(f"write{' bw l   q'[size]} {address:#x} {value:#x}")

    def read_memory(self, address, length):
        return bytes.fromhex(self.qtest(f"read {address:#x} {length:#x}")[2:])

    def write_memory(self, address, data):
        self.qtest(f"write {address:#x} {len(data):#x} 0x{data.hex()}")


class Function:
    """A PCI function of the machine, by its configuration space."""

    def __init__(self, machine, bus=0, device=2):
        self.machine = machine
        self._address = 0x80000000 | bus << 16 | device << 11

    def config(self, offset, size=4):
        self.machine.qtest(f"outl 0xcf8 {self._address | (offset & ~3):#x}")
        value = int(self.machine.qtest("inl 0xcfc"), 0)
        return value >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def set_config(self, offset, value, size=4):
        self.machine.qtest(f"outl 0xcf8 {self._address | (offset & ~3):#x}")
        self.machine.qtest(f"out{' bw l'[size]} {0xCFC + (offset & 3):#x} {value:#x}")

    def enable(self):
        self.set_config(0x10, BAR0)
        self.set_config(0x14, BAR1)
        self.set_config(COMMAND, MEMORY_AND_MASTER, 2)

    def find(self, capability):
        offset = self.config(0x34, 1)
        while offset and self.config(offset, 1) != capability:
            offset = self.config(offset + 1, 1)
        return offset

    def enable_msi(self, vectors=VECTORS, data=0x40):
        self.set_config(0x44, RAM)
        self.set_config(0x48, data, 2)
        self.set_config(0x42, 1 | (vectors.bit_length() - 1) << 4, 2)

    def enable_msix(self):
        for vector in range(VECTORS):
            for offset, value in ((0, RAM + 4 * vector), (4, 0), (8, 0x1000 + vector), (12, 0)):
                self.machine.write(BAR1 + 16 * vector + offset, value)
        self.set_config(self.find(0x11) + 2, 0x8000, 2)


def main():
    """Runs the tests of the calling program; with --list, names them as unittest takes them, one a line."""
    if sys.argv[1:] == ["--list"]:
        for suite in unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]):
            for case in suite:
                print(case.id().removeprefix("__main__."))
        return
    remedy = f"'./pcienic test' sets it; by hand, PCIENIC_QEMU=/path/to/qemu-system-x86_64 {sys.argv[0]}"
    if not QEMU:
        print(f"PCIENIC_QEMU is not set: {remedy}", file=sys.stderr)
        sys.exit(SKIPPED)
    if not os.access(QEMU, os.X_OK):
        sys.exit(f"PCIENIC_QEMU={QEMU} cannot be run: {remedy}")
    unittest.main()

# SPDX-License-Identifier: MIT
"""Which QEMU is used, and which PCI devices it has."""

import json
import os
import shutil
import subprocess

from .cache import hold_qemu
from .errors import UsageError


def find_binary(given):
    """The QEMU to run: --qemu-binary, else $PCIENIC_QEMU."""
    name = given or os.environ.get("PCIENIC_QEMU")
    if not name:
        raise UsageError("no QEMU: set PCIENIC_QEMU (./pcienic does), or give --qemu-binary FILE")
    path = shutil.which(name)
    if not path:
        raise UsageError(f"QEMU '{name}' is not there or not executable; ./pcienic setup builds it")
    hold_qemu(path)
    return path


def guest_mistakes(binary):
    """What QEMU has to log so that each mistake of a guest is seen, as its -d takes it.

    An access that no region takes is one of the guest_errors of QEMU 7.2; 10.0 has it apart, as invalid_mem, which 7.2
    refuses. So the tests that announce one need not know the version."""
    try:
        asked = subprocess.run([binary, "-d", "help"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    except OSError as error:
        raise UsageError(f"QEMU {binary} cannot be started: {error.strerror}") from error
    known = {line.split(" ")[0] for line in asked.stdout.splitlines()}
    return "guest_errors,invalid_mem" if "invalid_mem" in known else "guest_errors"


class Qmp:
    """The machine protocol over a pair of files: one JSON object a line."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self._next_object()  # the greeting
        self.execute("qmp_capabilities")

    def _next_object(self):
        line = self.reader.readline()
        if not line:
            raise EOFError("QEMU closed its monitor")
        return json.loads(line)

    def execute(self, command, **arguments):
        self.writer.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.writer.flush()
        while True:
            answer = self._next_object()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise ValueError(answer["error"]["desc"])


class DeviceTypes:
    """QEMU's PCI devices, asked of QEMU: which exist, and which of them are PCI Express devices."""

    def __init__(self, binary):
        self.binary = binary
        try:
            process = subprocess.Popen(
                [binary, "-M", "none", "-nodefaults", "-no-user-config", "-display", "none", "-qmp", "stdio"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        except OSError as error:
            raise UsageError(f"QEMU {binary} cannot be started: {error.strerror}") from error
        try:
            with process:
                qmp = Qmp(process.stdout, process.stdin)
                self._express = self._implementers(qmp, "pci-express-device")
                self.names = self._express | self._implementers(qmp, "conventional-pci-device")
                qmp.execute("quit")
        except (EOFError, ValueError, OSError) as error:
            raise UsageError(f"QEMU {binary} does not answer: {error}") from error

    @staticmethod
    def _implementers(qmp, interface):
        return {item["name"] for item in qmp.execute("qom-list-types", implements=interface, abstract=False)}

    def express(self, name):
        """True for a PCI Express device, and for one that can be either; False for a conventional one; else None."""
        return name in self._express if name in self.names else None

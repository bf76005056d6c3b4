# SPDX-License-Identifier: MIT
"""The pcienic device as a qtest's program sees it: registers by name, its rings, its BARs. The names and numbers are the
register description's, so that nothing is typed a second time here."""

import pathlib
import struct
import sys

from qtest_machine import COMMAND, MEMORY_AND_MASTER, Function, Machine

REGISTERS = pathlib.Path(__file__).resolve().parents[2] / "qemu-device" / "registers"
sys.path.insert(0, str(REGISTERS))
import description  # noqa: E402  pylint: disable=wrong-import-position

DEVICE = description.load(REGISTERS / "pcienic.yaml")
BY_NAME = {register.name: register for register in [*DEVICE.registers, *DEVICE.doorbells]}
VECTORS = 32
MEMORY_SIZE = 16 << 20

REGISTER_BAR, MSIX_BAR, MEMORY_BAR = 0xFE000000, 0xFE010000, 0xC0000000
ECAM = 0xB0000000

# Where in guest RAM (64 MiB) everything is
MESSAGES = 0x100000  # 4 bytes for each vector
RING, COMPLETIONS, LISTS = 0x200000, 0x240000, 0x280000
SOURCE, DESTINATION = 32 << 20, 48 << 20
PIECE = 16 << 20

QUIET = ("-trace", "enable=-pcienic_dma_*", "-trace", "enable=-pcienic_run")  # for copies of gigabytes


def _enum(words, word, field):
    word = next(w for w in words if w.name == word)
    field = next(f for f in word.fields if f.name == field)
    return {value.name: value.value << field.lsb for value in field.enum}


def field(register, name):
    """The mask of a field of a register."""
    return next(f.mask for f in BY_NAME[register].fields if f.name == name)


_STRUCTURES = {structure.name: structure.words for structure in DEVICE.structures}
OPCODE = _enum(_STRUCTURES["DESCRIPTOR"], "CONTROL", "OPCODE")
CODE = _enum(_STRUCTURES["COMPLETION"], "STATUS", "CODE")
STATE = _enum(DEVICE.registers, "DMA_STATUS", "STATE")
MODE = _enum(DEVICE.registers, "IRQ_STATUS", "MODE")
ERROR = _enum(DEVICE.registers, "ERR_CODE", "CODE")
CODE_MASK = 0xFF
INTERRUPT, SOURCE_SG, DESTINATION_SG = 1 << 10, 1 << 8, 1 << 9
PHASE = 1 << 31


class Pcienic(Function):
    """A pcienic with its BARs where the constants above say."""

    def __init__(self, machine, bus=0, device=2):
        super().__init__(machine, bus, device)
        self._ecam = ECAM | bus << 20 | device << 15
        self._tail, self._phase, self._log2 = 0, PHASE, 4
        host_bridge = Function(machine, device=0)
        host_bridge.set_config(0x60, ECAM | 1)  # what firmware does: extended configuration space in memory

    def enable(self):
        for bar, address in ((0, REGISTER_BAR), (2, MSIX_BAR), (4, MEMORY_BAR), (5, 0)):
            self.set_config(0x10 + 4 * bar, address)
        self.set_config(COMMAND, MEMORY_AND_MASTER, 2)

    def set_bus_master(self, on):
        self.set_config(COMMAND, 0x06 if on else 0x02, 2)

    # Extended configuration space

    def ext(self, offset):
        return self.machine.read(self._ecam + offset)

    def set_ext(self, offset, value):
        self.machine.write(self._ecam + offset, value)

    def find_ext(self, capability):
        offset = 0x100
        while offset and self.ext(offset) & 0xFFFF != capability:
            offset = self.ext(offset) >> 20
        return offset

    # Registers

    def read(self, name, element=0):
        register = BY_NAME[name]
        return self.machine.read(REGISTER_BAR + register.offset + element * register.width // 8, register.width // 8)

    def write(self, name, value, element=0):
        register = BY_NAME[name]
        self.machine.write(REGISTER_BAR + register.offset + element * register.width // 8, value, register.width // 8)

    def error(self):
        """(code, info) of the latched error, None if there is none; frees the latch."""
        if not self.read("ERR_STATUS") & field("ERR_STATUS", "VALID"):
            return None
        latched = self.read("ERR_CODE"), self.read("ERR_INFO")
        self.write("ERR_STATUS", field("ERR_STATUS", "VALID") | field("ERR_STATUS", "OVERFLOW"))
        return latched

    def function_level_reset(self):
        control = self.find(0x10) + 8
        self.set_config(control, self.config(control, 2) | 0x8000, 2)

    def set_power_state(self, state):
        self.set_config(self.find(0x01) + 4, state, 2)

    # Interrupts: messages are aimed at MESSAGES in guest RAM

    def message(self, vector):
        """The data of the message that arrived for the vector, 0 if none has; forgets it."""
        value = self.machine.read(MESSAGES + 4 * vector)
        self.machine.write(MESSAGES + 4 * vector, 0)
        return value

    def set_msix_entry(self, vector, masked=False):
        for offset, value in ((0, MESSAGES + 4 * vector), (4, 0), (8, 0x5000 + vector), (12, int(masked))):
            self.machine.write(MSIX_BAR + 16 * vector + offset, value)

    def enable_msix(self, vectors=VECTORS):
        for vector in range(vectors):
            self.set_msix_entry(vector)
        self.set_config(self.find(0x11) + 2, 0x8000, 2)

    def enable_msi(self, vectors, data=0x40):
        capability = self.find(0x05)
        self.set_config(capability + 4, MESSAGES)
        self.set_config(capability + 8, 0)
        self.set_config(capability + 12, data, 2)
        self.set_config(capability + 2, 1 | (vectors.bit_length() - 1) << 4, 2)

    def intx(self):
        return bool(self.config(0x06, 2) & 0x08)

    # DMA

    def start_engine(self, log2=4):
        self._tail, self._phase, self._log2 = 0, PHASE, log2
        self.machine.write_memory(RING, bytes(32 << log2))
        self.machine.write_memory(COMPLETIONS, bytes(16 << log2))
        self.write("DMA_RING_BASE", RING)
        self.write("DMA_COMPLETION_BASE", COMPLETIONS)
        self.write("DMA_RING_SIZE", log2)
        self.write("DMA_CTRL", 1)

    @staticmethod
    def descriptor(opcode, source=0, destination=0, length=0, tag=0, sources=0, destinations=0, flags=0, vector=0, phase=PHASE):
        flags |= SOURCE_SG * bool(sources) | DESTINATION_SG * bool(destinations)
        control = OPCODE.get(opcode, opcode) | flags | vector << 16 | phase
        return struct.pack("<QQIIII", source, destination, length, tag, sources | destinations << 16, control)

    def submit(self, opcode, *arguments, **options):
        """Puts a descriptor into the ring and rings the doorbell; returns its index."""
        index = self._tail
        self.machine.write_memory(RING + 32 * index, self.descriptor(opcode, *arguments, phase=self._phase, **options))
        self._tail += 1
        if self._tail == 1 << self._log2:
            self._tail, self._phase = 0, self._phase ^ PHASE
        self.write("DMA_DOORBELL", 0)
        return index

    def state(self):
        return self.read("DMA_STATUS") & field("DMA_STATUS", "STATE")

    def finish(self):
        """Waits until the engine has nothing to do; returns its state."""
        while self.state() == STATE["BUSY"]:
            pass
        return self.state()

    def completion(self, index):
        """(code, detail, tag), or None if the entry is not of the first lap."""
        detail, tag, status = struct.unpack("<QII", self.machine.read_memory(COMPLETIONS + 16 * index, 16))
        return (status & CODE_MASK, detail, tag) if status & PHASE else None

    def execute(self, opcode, *arguments, **options):
        """A command, from its descriptor to its completion: (code, detail)."""
        index = self.submit(opcode, *arguments, **options)
        self.finish()
        return self.completion(index)[:2]

    def write_list(self, address, pieces):
        self.machine.write_memory(address, b"".join(struct.pack("<QII", at, length, 0) for at, length in pieces))

    def never_rest(self):
        """Gives the engine work without end: a ring of two, whose first command copies for long and whose second copies
        the next lap's ring, prepared, over the ring. At whatever moment something happens, the engine is at work."""
        self.start_engine(log2=1)
        self.write_list(LISTS, [(SOURCE, PIECE)] * 255)
        self.write_list(LISTS + 4096, [(DESTINATION, PIECE)] * 255)
        laps = LISTS + 8192, LISTS + 8192 + 64
        for lap, phase in enumerate((PHASE, 0)):
            self.machine.write_memory(laps[lap], self._long_copy(phase) + self.descriptor(
                "HOST_TO_HOST", laps[1 - lap], RING, 64, phase=phase))
        self.machine.write_memory(RING, self.machine.read_memory(laps[0], 64))
        self.write("DMA_DOORBELL", 0)

    LONG = 255 * PIECE

    def _long_copy(self, phase):
        return self.descriptor("HOST_TO_HOST", LISTS, LISTS + 4096, self.LONG, tag=0x1046, sources=255, destinations=255,
                               phase=phase)

    def hold_in_long_copy(self):
        """After never_rest(): stops the machine in the middle of a long copy."""
        head = field("DMA_STATUS", "HEAD")
        while True:
            self.machine.qmp("stop")
            if self.read("DMA_STATUS") & head == head & -head and self.read("DMA_COMPLETED") % 2 == 0:
                return
            self.machine.qmp("cont")

    def end_with_this_copy(self):
        """After hold_in_long_copy(): makes the command that follows foreign to the engine."""
        phase = 0 if self.read("DMA_COMPLETED") // 2 % 2 else PHASE
        self.machine.write_memory(RING + 32, self.descriptor("NOP", phase=phase ^ PHASE))


def machine_with(*devices, extra=()):
    """A machine and the pcienic in it."""
    machine = Machine(*(devices or ("pcienic",)), extra=extra)
    return machine, Pcienic(machine)


PORT_DEVICE = 4
NATIVE_HOTPLUG = ("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")


def behind_root_port(*arguments, extra=()):
    """A machine with a root port whose windows are open; the port."""
    machine = Machine(f"pcie-root-port,id=rp0,bus=pcie.0,addr={PORT_DEVICE},chassis=1", *arguments,
                      extra=(*NATIVE_HOTPLUG, *extra))
    return machine, open_root_port(machine)


def open_root_port(machine):
    """What firmware does; the port."""
    port = Function(machine, device=PORT_DEVICE)
    port.set_config(0x18, 0x00010100)  # primary bus 0, secondary and subordinate 1
    for register, first, last in ((0x20, REGISTER_BAR, REGISTER_BAR + 0xFFFFF), (0x24, MEMORY_BAR, MEMORY_BAR + MEMORY_SIZE - 1)):
        port.set_config(register, first >> 16 & 0xFFF0 | last & 0xFFF00000)
    port.set_config(COMMAND, 0x06, 2)
    return port

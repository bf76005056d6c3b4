# SPDX-License-Identifier: MIT
"""QEMU's command line. What differs between architectures stands in MACHINES and nowhere else."""

import dataclasses
import difflib
import shlex

from .errors import UsageError


@dataclasses.dataclass(frozen=True)
class Machine:
    """One architecture's machine, and the IOMMU that remaps interrupts in it."""

    qemu: str  # the binary's usual name
    arguments: tuple[str, ...]
    iommu: str  # a -device
    iommu_width: str  # its property that says how many bits of bus addresses it translates
    firmware: tuple[str, ...]
    kernel_arguments: str
    iommu_kernel_arguments: str
    ports: tuple[str, ...]  # guest's names of its serial ports, in the order of serial_devices
    serial_devices: tuple[str, ...]  # as -device, chardev appended
    cpu_flags: frozenset[str]  # any of these in /proc/cpuinfo: the processor can run guests itself
    root_bus: str
    root_bus_prefix: str  # sysfs's name of a root bus slot, without the slot

    @property
    def console(self):
        """The first port, as the kernel's command line names it."""
        return self.ports[0].removeprefix("/dev/")


MACHINES = {
    "x86_64": Machine(
        qemu="qemu-system-x86_64",
        # split: the IOMMU remaps interrupts only where QEMU, not KVM, holds the I/O APIC.
        # max: all that TCG has. What loses a boot now and then is not one of its features (docs/design/0009).
        arguments=("-M", "q35,kernel-irqchip=split", "-cpu", "max"),
        # caching-mode: vfio-pci in the guest's own guests needs it, and it makes unmapping exact.
        iommu="intel-iommu,intremap=on,caching-mode=on,device-iotlb=on",
        iommu_width="aw-bits",
        firmware=("/usr/share/seabios", "/usr/share/qemu"),
        kernel_arguments="no_timer_check tsc=reliable",
        iommu_kernel_arguments="intel_iommu=on",
        ports=("/dev/ttyS0", "/dev/ttyS1", "/dev/ttyS2", "/dev/ttyS3"),
        # The two ports beyond COM2 get interrupts of their own: QEMU's ISA lines cannot be shared.
        serial_devices=("isa-serial,index=0", "isa-serial,index=1",
                        "isa-serial,index=2,irq=6", "isa-serial,index=3,irq=7"),
        cpu_flags=frozenset({"vmx", "svm"}),
        root_bus="pcie.0",
        root_bus_prefix="0000:00:",
    ),
}

# mitigations, audit, cryptomgr, nowatchdog: seconds of a boot under TCG. devkmsg=on: markers in the kernel log may
# not be dropped. panic=-1 with -no-reboot: a panic ends QEMU at once instead of leaving it hanging.
COMMON_KERNEL_ARGUMENTS = (
    "quiet loglevel=3 panic=-1 oops=panic panic_on_warn=0 printk.devkmsg=on mitigations=off audit=0 apparmor=0 "
    "cryptomgr.notests random.trust_cpu=on nokaslr rcupdate.rcu_expedited=1 nowatchdog hugepages=64"
)

# The slots of the root bus that --device fills; QEMU's own devices sit below and above.
FIRST_SLOT = 0x10
LAST_SLOT = 0x1D


def machine_for(arch):
    try:
        return MACHINES[arch]
    except KeyError:
        raise UsageError(f"--arch {arch} is not supported yet: this runner knows {', '.join(MACHINES)}") from None


@dataclasses.dataclass(frozen=True)
class Placement:
    """A device as QEMU is given it, and the root-bus slot in or behind which the guest finds it. The first device is
    QEMU's dev0, behind the root port port0, and so on."""

    arguments: tuple[str, ...]
    slot: str


def place_devices(specs, machine, device_types):
    """Gives each device of --device a place of its own, so that each is alone in its IOMMU group and the guest can
    tell which is which: a PCI Express device behind its own root port, a conventional one on the root bus."""
    if len(specs) > LAST_SLOT - FIRST_SLOT + 1:
        room = LAST_SLOT - FIRST_SLOT + 1
        raise UsageError(f"{len(specs)} devices are more than the {room} that the guest has room for")
    placements = []
    for index, spec in enumerate(specs):
        name, *properties = spec.split(",")
        for taken in ("bus", "addr"):
            if any(item.split("=")[0] == taken for item in properties):
                raise UsageError(f"--device {spec}: {taken}= is the runner's to choose; "
                                 "to place a device yourself use --qemu=-device --qemu=SPEC and bind it in the guest")
        express = device_types.express(name)
        if express is None:
            close = difflib.get_close_matches(name, device_types.names, n=3) or sorted(
                n for n in device_types.names if n.startswith("pcienic"))
            raise UsageError(f"--device {spec}: {device_types.binary} has no PCI device '{name}'"
                             + (f"; did you mean {', '.join(close)}?" if close else ""))
        slot = FIRST_SLOT + index
        identity = [] if any(item.startswith("id=") for item in properties) else [f"id=dev{index}"]
        if express:
            port = ["pcie-root-port", f"id=port{index}", f"bus={machine.root_bus}", f"addr={slot:#x}",
                    f"chassis={index + 1}", f"slot={index + 1}"]
            device = [name, *identity, f"bus=port{index}", *properties]
            arguments = ("-device", ",".join(port), "-device", ",".join(device))
        else:
            where = [f"bus={machine.root_bus}", f"addr={slot:#x}"]
            arguments = ("-device", ",".join([name, *identity, *where, *properties]))
        placements.append(Placement(arguments, f"{machine.root_bus_prefix}{slot:02x}.0"))
    return placements


def escape(path):
    """A file name inside a QEMU option: a comma would end it."""
    return str(path).replace(",", ",,")


@dataclasses.dataclass
class CommandLine:
    """Everything that QEMU is started with. `interactive` puts the console on our own standard input and output."""

    machine: Machine
    binary: str
    accelerator: str
    kernel: str
    initrd: str
    log_dir: str
    qmp_socket: str
    placements: list
    extra: list
    trace: list
    interactive: bool = False
    iommu: bool = True
    iommu_width: int | None = None
    append: list = dataclasses.field(default_factory=list)
    mistakes: str = "guest_errors"  # the kinds of them that QEMU logs: see qemu.guest_mistakes()

    def words(self):
        machine = self.machine
        words = [self.binary]
        for directory in machine.firmware:
            words += ["-L", directory]
        words += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "1G", "-smp", "2"]
        # The kernel is not loaded by firmware, so no device needs its boot ROM, nor the package that has it.
        words += ["-global", "pci-device.romfile="]
        words += ["-accel", "tcg,thread=multi" if self.accelerator == "tcg" else self.accelerator]
        words += machine.arguments
        kernel_arguments = [f"console={machine.console}", COMMON_KERNEL_ARGUMENTS, machine.kernel_arguments]
        if self.iommu:
            width = f",{machine.iommu_width}={self.iommu_width}" if self.iommu_width else ""
            words += ["-device", machine.iommu + width]
            kernel_arguments.append(machine.iommu_kernel_arguments)
        kernel_arguments += self.append
        words += ["-kernel", self.kernel, "-initrd", self.initrd, "-append", " ".join(kernel_arguments)]
        for name, device in zip(("console", "results", "stdout", "stderr"), machine.serial_devices):
            log = escape(f"{self.log_dir}/{LOG_NAMES[name]}")
            if name == "console" and self.interactive:
                backend = f"stdio,id={name},signal=off,logfile={log},logappend=off"
            else:
                backend = f"file,id={name},path={log}"
            words += ["-chardev", backend, "-device", f"{device},chardev={name}"]
        words += ["-qmp", f"unix:{escape(self.qmp_socket)},server=on,wait=off"]
        words += ["-d", self.mistakes, "-D", f"{self.log_dir}/{LOG_NAMES['qemu']}"]
        for pattern in self.trace:
            words += ["--trace", pattern]
        for placement in self.placements:
            words += placement.arguments
        return words + list(self.extra)

    def __str__(self):
        return shlex.join(self.words())


LOG_NAMES = {
    "console": "console.log",
    "results": "results.jsonl",
    "stdout": "stdout.log",
    "stderr": "stderr.log",
    "qemu": "qemu.log",
    "qemu_stderr": "qemu.stderr",
    "command": "cmdline.txt",
    "initrd": "initrd.cpio",
    "outcome": "outcome.json",
}

# SPDX-License-Identifier: MIT
"""The command line of vmrun."""

import argparse
import contextlib
import errno
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import termios
import time

from . import acceleration, errors, image, initramfs, machine, products, qemu, suite, verdicts, vm, watchdogs

DEFAULT_DEVICE = "pcienic"
NO_DEVICE = "none"
VFIO = "vfio-pci"
NO_DRIVER = "none"
GUEST_MODULES = {VFIO: "vfio-pci vfio_iommu_type1", "uio_pci_generic": "uio_pci_generic", NO_DRIVER: "vfio-pci vfio_iommu_type1"}
UNIX_PATH_MAX = 107


def say(message):
    for line in str(message).splitlines():
        print(f"vmrun: {line}", file=sys.stderr, flush=True)


class Once(argparse.Action):
    """argparse keeps the last value of an option that is given twice, without a word; here that is refused."""

    def __init__(self, option_strings, dest, nargs=None, const=None, **options):
        super().__init__(option_strings, dest, nargs=0 if const is not None else nargs, const=const, **options)

    def __call__(self, parser, namespace, values, option_string=None):
        earlier = vars(namespace).setdefault("given", {})
        if self.dest in earlier:
            parser.error(f"argument {option_string}: {earlier[self.dest]} was given already: leave out one")
        earlier[self.dest] = option_string
        setattr(namespace, self.dest, self.const if self.nargs == 0 else values)


class Parser(argparse.ArgumentParser):
    def __init__(self, **options):
        super().__init__(allow_abbrev=False, **options)
        for action in (None, "store", "store_const"):
            self.register("action", action, Once)


def parser():
    top = Parser(
        prog="vmrun",
        description="Boots a Linux guest with an IOMMU and PCI devices of QEMU's, and runs something in it.",
        epilog="Environment: PCIENIC_QEMU the QEMU binary; PCIENIC_GUEST the guest image's directory "
               "(else guest-image/build.sh builds it); PCIENIC_BUILD the build folder; PCIENIC_ACCEL kvm, tcg or auto; "
               "PCIENIC_CACHE the cache.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    guest = Parser(add_help=False)
    guest.add_argument("--device", action="append", metavar="D",
                       help="a PCI device as QEMU names it, NAME[,PROPERTY=VALUE...]; repeatable; "
                            f"'{NO_DEVICE}' for none (default: {DEFAULT_DEVICE})")
    guest.add_argument("--qemu", action="append", default=[], metavar="ARG",
                       help="one more argument for QEMU; repeatable")
    guest.add_argument("--put", action="append", default=[], metavar="FILE[:DEST]",
                       help="copy a file or a folder into the guest; repeatable "
                            "(default DEST: /root/, where the command starts)")
    guest.add_argument("--kernel", metavar="K", help="the guest's kernel: cloud (default), amd64, 6.12, or iommufd, which is built for it")
    guest.add_argument("--arch", default="x86_64", metavar="A", help="the guest's architecture (x86_64)")
    guest.add_argument("--driver", choices=sorted(GUEST_MODULES), metavar="DRIVER",
                       help=f"the kernel driver that gets the devices: {VFIO} (default), uio_pci_generic, or {NO_DRIVER}: "
                            "leave them as the kernel has them")
    guest.add_argument("--no-bind", action="store_const", dest="driver", const=NO_DRIVER, help=f"--driver {NO_DRIVER}")
    guest.add_argument("--user", action="store_true",
                       help="run the command as an ordinary user, who owns the device's nodes and may lock 8 MiB of memory")
    guest.add_argument("--no-iommu", action="store_true",
                       help=f"a machine without an IOMMU; the driver is then {NO_DRIVER} by default, since {VFIO} takes no "
                            "device there, except in no-IOMMU mode (--kernel iommufd "
                            "--append vfio.enable_unsafe_noiommu_mode=1)")
    guest.add_argument("--iommu-width", type=int, choices=(39, 48), metavar="BITS",
                       help="how many bits of bus addresses the IOMMU translates: 39 or 48")
    guest.add_argument("--append", action="append", default=[], metavar="WORD",
                       help="one more word for the kernel's command line; repeatable")
    guest.add_argument("--env", action="append", default=[], metavar="NAME=VALUE",
                       help="an environment variable; repeatable")
    guest.add_argument("--trace", action="append", default=[], metavar="PATTERN",
                       help="QEMU trace events to log in qemu.log")
    guest.add_argument("--build", default=products.default_folder(), metavar="DIR",
                       help="the build folder: its tools/pcienic-* go to /usr/bin, its guest-tests/* to "
                            f"{products.TESTS_DIRECTORY} (default: $PCIENIC_BUILD, else build/ in the checkout)")
    guest.add_argument("--qemu-binary", metavar="FILE", help="the QEMU to use")
    guest.add_argument("--print-cmd", action="store_true",
                       help="print QEMU's command line, for a shell, and boot nothing; its files are in the log folder, "
                            "which is kept")
    guest.add_argument("--timeout", type=float, metavar="S", help="end the guest after S seconds")

    run = verbs.add_parser("run", parents=[guest], help="run a command in the guest, as root; exits with its status",
                           description="Runs CMD in the guest and exits with its status; "
                                       "125 when the guest itself died.")
    run.add_argument("--log-dir", metavar="DIR", help="keep the logs there")
    run.add_argument("--allow-qmp", action="store_true",
                     help="let the command ask QEMU for hot-plug and a reset over the results channel, as test suites may")
    run.usage = "vmrun run [OPTION]... -- CMD [ARG]..."

    shell = verbs.add_parser("shell", parents=[guest], help="the same guest, interactive")
    shell.add_argument("--log-dir", metavar="DIR", help="keep the logs there")

    suites = verbs.add_parser("suite", parents=[guest],
                              help="run GoogleTest programs in one boot and keep their results")
    suites.add_argument("--name", required=True)
    suites.add_argument("--program", action="append", required=True, metavar="FILE")
    suites.add_argument("--filter", help="a GoogleTest filter; $PCIENIC_GTEST_FILTER replaces it")
    suites.add_argument("--log-dir", required=True, metavar="DIR")

    report = verbs.add_parser("report",
                              help="what a suite's logs say about one case: exit 0 passed, 1 failed, 77 skipped")
    report.add_argument("--log-dir", required=True, metavar="DIR")
    report.add_argument("--case", required=True, metavar="SUITE.CASE")
    report.add_argument("--expect-failed", action="store_true",
                        help="exit 0 if the case ran and failed, which proves that it can, and 1 otherwise")

    health = verbs.add_parser("health", help="what a suite's logs say about the machine: exit 0 healthy, 1 not")
    health.add_argument("--log-dir", required=True, metavar="DIR")

    cases = verbs.add_parser("cases", help="list the cases of GoogleTest programs (for cmake/GuestSuite.cmake)")
    cases.add_argument("--program", action="append", required=True, metavar="FILE")
    cases.add_argument("--filter", help="a GoogleTest filter")
    cases.add_argument("--must-exist", action="append", default=[], metavar="CASE",
                       help="fail if there is no such case")
    cases.add_argument("--output", required=True, metavar="FILE")
    return top


class Boot:
    """From the options to a running guest."""

    def __init__(self, options, log_dir, interactive=False):
        self._options = options
        self._interactive = interactive
        self.log_dir = pathlib.Path(log_dir).resolve()
        self._machine = machine.machine_for(options.arch)
        self._binary = qemu.find_binary(options.qemu_binary)
        self._image = image.find_image(options.kernel)
        self._leavings = []

    def command_line(self, command, overlay):
        options = self._options
        wanted = [d for d in options.device or [DEFAULT_DEVICE] if d != NO_DEVICE]
        placements = machine.place_devices(wanted, self._machine, qemu.DeviceTypes(self._binary)) if wanted else []
        kernel = str(self._image / "vmlinuz")
        accelerator = acceleration.choose(self._machine, self._binary, kernel, say)
        self.factor = acceleration.SLOWNESS[accelerator]

        ports = dict(zip(("CONSOLE", "RESULTS", "STDOUT", "STDERR"), self._machine.ports))
        driver = options.driver or (NO_DRIVER if options.no_iommu else VFIO)
        settings = {**ports, "MODE": "shell" if self._interactive else "run", "MODULES": GUEST_MODULES[driver],
                    "SLOTS": " ".join(p.slot for p in placements), "DRIVER": "" if driver == NO_DRIVER else driver,
                    "USER": "user" if options.user else ""}
        environment = {}
        for item in options.env:
            name, separator, value = item.partition("=")
            if not separator or not name.isidentifier():
                raise errors.UsageError(f"--env {item}: NAME=VALUE expected")
            environment[name] = value
        for request in options.put:
            overlay.put(request)
        overlay.add_bytes("/etc/pcienic/run", initramfs.run_script(settings, environment, command))
        overlay.add_shared_libraries()
        initrd = self.log_dir / machine.LOG_NAMES["initrd"]
        initrd.unlink(missing_ok=True)  # it is not written through a link
        initramfs.write_initrd(initrd, self._image / "base.cpio.gz", overlay)

        logs = self._logs_for_qemu()
        line = machine.CommandLine(self._machine, self._binary, accelerator, kernel, str(initrd), str(logs),
                                   str(logs / "qmp.sock"), placements, options.qemu, options.trace, self._interactive,
                                   iommu=not options.no_iommu, iommu_width=options.iommu_width, append=options.append,
                                   mistakes=qemu.guest_mistakes(self._binary))
        return line

    def _logs_for_qemu(self):
        """The log folder by a path that QEMU takes: a socket's must be short, and a log's have no % in it."""
        if len(os.fsencode(self.log_dir / "qmp.sock")) <= UNIX_PATH_MAX and "%" not in str(self.log_dir):
            return self.log_dir
        short = tempfile.gettempdir()
        folder = tempfile.mkdtemp(prefix="pcienic-qmp-", dir=short if len(os.fsencode(short)) < 60 and "%" not in short else "/tmp")
        link = pathlib.Path(folder) / "logs"
        link.symlink_to(self.log_dir)
        if not self._options.print_cmd:
            self._leavings.append(link)
        return link

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for link in self._leavings:
            link.unlink()
            link.parent.rmdir()


def forward(descriptor):
    def sink(data):
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view):]
    return sink


class LogDirectory:
    """Where a run's logs go: the given folder, or a temporary one that stays where somebody will want to read it."""

    def __init__(self, given, keep):
        self._temporary = given is None
        self._keep = keep
        if given is None:
            self.path = tempfile.mkdtemp(prefix="pcienic-run-")
        else:
            self.path = given
            self._take(pathlib.Path(given))

    @staticmethod
    def _take(folder):
        """Files of our names are replaced, in a folder of ours: the first that a run leaves is its command line."""
        folder.mkdir(parents=True, exist_ok=True)
        mark = folder / machine.LOG_NAMES["command"]
        theirs = [name for name in machine.LOG_NAMES.values() if os.path.lexists(folder / name)]
        if theirs and mark.name not in theirs:
            raise errors.UsageError(f"--log-dir {folder}: {', '.join(theirs)} there is no earlier run's, and would be "
                                    "replaced: name another folder")
        mark.unlink(missing_ok=True)
        mark.touch()

    def __enter__(self):
        return self.path

    def __exit__(self, kind, *_):
        if self._temporary and not self._keep and not (kind and issubclass(kind, errors.GuestDied)):
            shutil.rmtree(self.path, ignore_errors=True)


def run(options):
    limits = watchdogs.Limits()
    with contextlib.ExitStack() as stack:
        log_dir = stack.enter_context(LogDirectory(options.log_dir, options.print_cmd))
        overlay = initramfs.Overlay()
        products.add_tools(overlay, options.build)
        products.add_tests(overlay, options.build)
        boot = stack.enter_context(Boot(options, log_dir))
        line = boot.command_line(options.command, overlay)
        if options.print_cmd:
            return print_command(line)
        limits = limits.scaled(boot.factor)
        limits.total = options.timeout
        with vm.VirtualMachine(line, watchdogs.Watchdogs(limits), forward(1), forward(2), options.allow_qmp) as guest:
            outcome = guest.follow()
        for error in outcome.monitor_errors:
            say(f"QEMU refused what the guest asked for: {error}")
        if failed := outcome.of_type("error"):
            raise errors.GuestDied(f"logs in {log_dir}\nthe guest could not be prepared: {failed[0].get('message')}")
        if outcome.lost:
            raise vm.describe_loss(outcome, log_dir)
        return outcome.status


def print_command(line):
    text = os.fsencode(f"{line}\n")
    (pathlib.Path(line.log_dir) / machine.LOG_NAMES["command"]).write_bytes(text)
    sys.stdout.buffer.write(text)
    sys.stdout.flush()
    return 0


def shell(options):
    if not sys.stdin.isatty() and not options.print_cmd:
        raise errors.UsageError("shell needs a terminal on its standard input; run -- CMD is for scripts")
    saved = None if options.print_cmd else termios.tcgetattr(0)
    size = shutil.get_terminal_size()
    with contextlib.ExitStack() as stack:
        log_dir = stack.enter_context(LogDirectory(options.log_dir, options.print_cmd))
        overlay = initramfs.Overlay()
        products.add_tools(overlay, options.build)
        products.add_tests(overlay, options.build)
        boot = stack.enter_context(Boot(options, log_dir, interactive=True))
        options.env.insert(0, f"TERM={os.environ.get('TERM', 'vt100')}")
        login = f"stty sane rows {size.lines} cols {size.columns}; exec sh -l"
        line = boot.command_line(["sh", "-c", login], overlay)
        if options.print_cmd:
            return print_command(line)
        say("starting the guest; leave it with `exit`")
        try:
            limits = watchdogs.Limits(boot=None, total=options.timeout)
            with vm.VirtualMachine(line, watchdogs.Watchdogs(limits)) as guest:
                outcome = guest.follow()
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
        if failed := outcome.of_type("error"):
            raise errors.GuestDied(f"the guest could not be prepared: {failed[0].get('message')}")
        if outcome.lost:
            raise vm.describe_loss(outcome, log_dir)
        return outcome.status


def run_suite(options):
    case_filter = os.environ.get("PCIENIC_GTEST_FILTER") or options.filter
    for program in options.program:
        if not os.access(program, os.X_OK):
            raise errors.UsageError(f"--program {program}: there is no such program; build it first")
    with contextlib.ExitStack() as stack:
        log_dir = stack.enter_context(LogDirectory(options.log_dir, True))
        overlay = initramfs.Overlay()
        products.add_tools(overlay, options.build)
        for program in options.program:
            products.add_test(overlay, program, options.build)
        boot = stack.enter_context(Boot(options, log_dir))
        line = boot.command_line(suite.guest_command(options.program, case_filter), overlay)
        if options.print_cmd:
            return print_command(line)
        limits = watchdogs.SUITE_LIMITS.scaled(boot.factor)
        if options.timeout:
            limits.total = options.timeout
        began = time.monotonic()
        with vm.VirtualMachine(line, watchdogs.Watchdogs(limits), forward(1), forward(2), allow_qmp=True) as guest:
            outcome = guest.follow()
        suite.save_outcome(log_dir, outcome, case_filter, options.program, options.trace)
        took = time.monotonic() - began
        say(f"suite {options.name}: {len(outcome.of_type('end'))} cases in {took:.1f} s; logs in {log_dir}")
        if not outcome.of_type("start"):
            if failed := outcome.of_type("error"):
                raise errors.GuestDied(f"the guest could not be prepared: {failed[0].get('message')}")
            if outcome.lost:
                raise vm.describe_loss(outcome, log_dir)
            if not case_filter:
                raise errors.GuestDied(f"no test case started; logs in {log_dir}")
        elif outcome.lost:
            say(vm.describe_loss(outcome, log_dir))
        return 0


def report(options):
    log = verdicts.SuiteLog(options.log_dir)
    status, sentence = verdicts.case_verdict(log, options.case)
    if options.expect_failed and (status != verdicts.EXIT_SKIPPED or options.case in log.cases):
        as_expected = verdicts.failed_by_itself(log, options.case)
        status = verdicts.EXIT_PASSED if as_expected else verdicts.EXIT_FAILED
        sentence += ", as it must with this device" if as_expected else ", but it must run and fail with this device"
    for line in log.case_output(options.case):
        print(line)
    print(f"{options.case}: {sentence}")
    if status == verdicts.EXIT_FAILED:
        print(f"logs in {options.log_dir}")
    return status


def health(options):
    found = verdicts.complaints(verdicts.SuiteLog(options.log_dir))
    for complaint in found:
        print(complaint)
    print(f"logs in {options.log_dir}" if found else "healthy")
    return verdicts.EXIT_FAILED if found else verdicts.EXIT_PASSED


def list_cases(options):
    names = suite.unique_cases(options.program, options.filter)
    if missing := [name for name in options.must_exist if name not in names]:
        raise errors.UsageError(f"no program has the case {', '.join(missing)}, or the filter leaves it out")
    pathlib.Path(options.output).write_bytes(os.fsencode("".join(f"{name}\n" for name in names)))
    return 0


VERBS = {"run": run, "shell": shell, "suite": run_suite, "report": report, "health": health, "cases": list_cases}


def interrupt(signum, _frame):
    raise errors.Interrupted(signum)


def parse(arguments):
    """argparse, helped over two things: what follows -- is a command and none of its business, and the value of an
    option may begin with a dash (--qemu -device)."""
    words, command = list(arguments), None
    if "--" in words:
        cut = words.index("--")
        words, command = words[:cut], words[cut + 1:]
    top = parser()
    if any(re.fullmatch("(--[^=]*=)?", word) for word in words):
        top.error("an empty word means nothing here: is a variable not set?")
    for index, word in enumerate(words[:-1]):
        if word in ("--qemu", "--append"):
            words[index:index + 2] = [f"{word}={words[index + 1]}", None]
    options = top.parse_args([word for word in words if word is not None])
    if options.verb == "run" and (not command or not command[0]):
        top.error("run needs a command after --")
    if options.verb != "run" and command is not None:
        top.error(f"{options.verb} takes no command")
    options.command = command
    return options


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    # For ./pcienic, which has minutes of set-up to do before this.
    if arguments[:1] == ["--parse-only"]:
        parse(arguments[1:])
        return 0
    options = parse(arguments)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, interrupt)
    try:
        return VERBS[options.verb](options)
    except errors.Failure as failure:
        say(failure)
        return failure.status
    except errors.Interrupted as interrupted:
        return interrupted.status
    except BrokenPipeError:
        return errors.EXIT_SIGNAL + signal.SIGPIPE
    except OSError as error:
        full = error.errno == errno.ENOSPC
        remedy = "; make room, or point TMPDIR and PCIENIC_CACHE to a larger disk" if full else ""
        say(f"{error.filename or 'the host'}: {error.strerror}{remedy}")
        return errors.EXIT_GUEST_DIED

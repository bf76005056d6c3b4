# SPDX-License-Identifier: MIT
"""The runner's parts, one by one."""

import contextlib
import errno
import io
import os
import pathlib
import subprocess
import sys
import unittest
import unittest.mock

from support import FAKE_QEMU, TemporaryDirectory

from vmrunner import acceleration, channels, cli, errors, initramfs, machine, products, suite, vm, watchdogs

X86 = machine.MACHINES["x86_64"]


class WatchdogLimits(unittest.TestCase):
    def setUp(self):
        self.now = 0.0
        limits = watchdogs.Limits(boot=10, silence=20, case=30, total=100)
        self.dogs = watchdogs.Watchdogs(limits, clock=lambda: self.now)

    def at(self, now, *records):
        self.now = now
        for record in records:
            self.dogs.heard()
            self.dogs.record(record)

    def test_a_guest_that_does_not_come_up(self):
        self.at(10)
        self.assertIsNone(self.dogs.expired())
        self.at(10.1)
        self.assertIn("did not come up in 10 seconds", self.dogs.expired())

    def test_silence_counts_only_once_it_is_up(self):
        self.at(5, {"type": "boot"})
        self.at(25)
        self.assertIsNone(self.dogs.expired())
        self.at(25.1)
        self.assertIn("nothing was heard", self.dogs.expired())

    def test_a_sign_of_life_ends_the_silence(self):
        self.at(5, {"type": "boot"})
        self.now = 20
        self.dogs.heard()
        self.now = 39
        self.assertIsNone(self.dogs.expired())

    def test_a_case_that_hangs_noisily_is_named(self):
        self.at(5, {"type": "boot"}, {"type": "start", "name": "Suite.Case"})
        self.now = 36
        self.dogs.heard()
        self.assertIn("Suite.Case", self.dogs.expired())

    def test_a_case_that_ended_does_not_hang(self):
        self.at(5, {"type": "boot"}, {"type": "start", "name": "A.B"}, {"type": "end", "name": "A.B"})
        self.now = 36
        self.dogs.heard()
        self.assertIsNone(self.dogs.expired())

    def test_a_program_that_crashed_takes_its_case_along(self):
        self.at(5, {"type": "boot"}, {"type": "start", "name": "A.B"}, {"type": "program_end", "name": "p", "status": 139})
        self.now = 36
        self.dogs.heard()
        self.assertIsNone(self.dogs.expired())

    def test_the_whole(self):
        self.at(5, {"type": "boot"})
        self.now = 100.1
        self.dogs.heard()
        self.assertIn("still running after 100 seconds", self.dogs.expired())

    def test_none_means_no_limit(self):
        dogs = watchdogs.Watchdogs(watchdogs.Limits(None, None, None, None), clock=lambda: self.now)
        self.now = 1e9
        self.assertIsNone(dogs.expired())
        dogs.record({"type": "boot"})
        self.assertIsNone(dogs.expired())

    def test_scaling_leaves_no_limit_unlimited(self):
        self.assertEqual(watchdogs.Limits(1, None, 2, None).scaled(10), watchdogs.Limits(10, None, 20, None))


class Records(unittest.TestCase):
    def test_may_come_in_pieces(self):
        parser = channels.RecordParser()
        self.assertEqual(list(parser.feed(b'{"type":"st')), [])
        self.assertEqual(list(parser.feed(b'art"}\n{"type":"end"}\n{"ty')), [{"type": "start"}, {"type": "end"}])
        self.assertEqual(parser.truncated(), '{"ty')

    def test_are_told_from_garbage(self):
        parser = channels.RecordParser()
        self.assertEqual(list(parser.feed(b'\xff\xfe\n[1]\n"type"\n{"a":1}\n\r\n{"type":"end"}\r\n')), [{"type": "end"}])
        self.assertEqual(len(parser.garbage), 4)


class Followers(TemporaryDirectory):
    def test_read_what_was_added_once(self):
        path = self.directory / "file"
        follower = channels.Follower(path)
        self.addCleanup(follower.close)
        self.assertEqual(follower.read(), b"")
        with open(path, "wb", buffering=0) as file:
            for part in (b"one", b"", b"two" * 100000):
                file.write(part)
                self.assertEqual(follower.read(), part)


class FakeTypes:
    binary = "qemu"
    names = {"express": True, "conventional": False}

    def express(self, name):
        return self.names.get(name)


class Placement(unittest.TestCase):
    def place(self, *specs):
        return machine.place_devices(specs, X86, FakeTypes())

    def test_an_express_device_gets_a_root_port(self):
        (placed,) = self.place("express,vectors=4")
        self.assertEqual(placed.arguments[1], "pcie-root-port,id=port0,bus=pcie.0,addr=0x10,chassis=1,slot=1")
        self.assertEqual(placed.arguments[3], "express,id=dev0,bus=port0,vectors=4")
        self.assertEqual(placed.slot, "0000:00:10.0")

    def test_a_conventional_device_goes_on_the_root_bus(self):
        (placed,) = self.place("conventional")
        self.assertEqual(placed.arguments, ("-device", "conventional,id=dev0,bus=pcie.0,addr=0x10"))

    def test_each_has_a_slot_of_its_own_in_the_order_given(self):
        placed = self.place("express", "conventional", "express,id=mine")
        self.assertEqual([p.slot for p in placed], ["0000:00:10.0", "0000:00:11.0", "0000:00:12.0"])
        self.assertIn("express,bus=port2,id=mine", placed[2].arguments)
        ports = [p.arguments[1] for p in placed if len(p.arguments) == 4]
        self.assertEqual(len({port.split("chassis=")[1] for port in ports}), len(ports))

    def test_refuses_what_it_cannot_place(self):
        for spec in ("unknown", "express,bus=pcie.0", "conventional,addr=3"):
            with self.assertRaises(errors.UsageError):
                self.place(spec)


class CommandLine(unittest.TestCase):
    def line(self, **changes):
        values = {"machine": X86, "binary": "/q emu", "accelerator": "tcg", "kernel": "/k", "initrd": "/i", "log_dir": "/l,x",
                  "qmp_socket": "/l,x/qmp.sock", "placements": [], "extra": [], "trace": []}
        return machine.CommandLine(**{**values, **changes})

    def test_can_be_pasted_into_a_shell(self):
        import shlex
        line = self.line()
        self.assertEqual(shlex.split(str(line)), line.words())

    def test_asks_for_no_boot_rom_that_a_device_does_not_name(self):
        words = self.line().words()
        self.assertEqual(words[words.index("pci-device.romfile=") - 1], "-global")

    def test_escapes_commas_in_file_names(self):
        text = " ".join(self.line().words())
        self.assertIn("path=/l,,x/console.log", text)
        self.assertIn("unix:/l,,x/qmp.sock,server=on", text)
        self.assertIn("-D /l,x/qemu.log", text)

    def test_puts_the_console_on_the_terminal_for_a_shell(self):
        self.assertIn("stdio,id=console,signal=off,logfile=/l,,x/console.log", " ".join(self.line(interactive=True).words()))

    def test_has_an_iommu_that_remaps_interrupts(self):
        words = self.line().words()
        self.assertIn("q35,kernel-irqchip=split", words)
        self.assertTrue(any(word.startswith("intel-iommu,intremap=on") for word in words))
        self.assertIn("intel_iommu=on", words[words.index("-append") + 1].split())

    def test_has_none_when_asked_for_none(self):
        self.assertNotIn("iommu", str(self.line(iommu=False)))

    def test_iommu_translates_as_many_bits_as_asked_for(self):
        self.assertIn("aw-bits=48", str(self.line(iommu_width=48)))
        self.assertNotIn("aw-bits", str(self.line()))

    def test_kernel_gets_the_users_words_last(self):
        words = self.line(append=["vfio.a=1", "b"]).words()
        self.assertTrue(words[words.index("-append") + 1].endswith(" vfio.a=1 b"))

    def test_ends_with_the_users_own_words(self):
        self.assertEqual(self.line(extra=["-x", "y z"]).words()[-2:], ["-x", "y z"])


class HangingGuest(TemporaryDirectory):
    """A QEMU that hangs, and a watchdog that expires once it is known to."""

    class ImpatientDogs:
        def __init__(self, socket):
            self.socket = socket
            self.case = None

        def heard(self):
            pass

        def record(self, record):
            self.case = record.get("name")

        def expired(self):
            return f"{self.case} hangs" if self.case and self.socket.exists() else None

    def test_is_ended_and_asked_for_its_state_first(self):
        socket = self.directory / "qmp.sock"
        line = machine.CommandLine(X86, str(FAKE_QEMU), "tcg", "/k", "/i", str(self.directory), str(socket), [], [], [])
        scenario = '[["write", "results", "{\\"type\\":\\"start\\",\\"name\\":\\"S.Case\\"}\\n"], ["hang"]]'
        with unittest.mock.patch.dict(os.environ, {"FAKE_QEMU_SCENARIO": scenario}), \
             vm.VirtualMachine(line, self.ImpatientDogs(socket)) as guest:
            outcome = guest.follow()
        self.assertIsNone(outcome.status)
        self.assertEqual(outcome.lost, "S.Case hangs (QEMU says it is running), so it was ended")
        self.assertFalse(socket.exists())


class RunScript(TemporaryDirectory):
    def test_gives_every_word_as_it_was(self):
        raw = bytes(range(1, 256))
        command = ["a b", "", "it's", "$HOME `id` $(id)", "new\nline\n", "*", "\\", '"', "-n", "--", os.fsdecode(raw)]
        script = self.directory / "run"
        script.write_bytes(initramfs.run_script({"SLOTS": "a b"}, {"WORDS": "it's $HOME"}, command))
        printed = subprocess.run(["sh", "-c", '. "$0"; printf "%s\\0" "$@"; printf %s "$SLOTS|"; printenv WORDS', str(script)],
                                 stdout=subprocess.PIPE, check=True).stdout
        *words, rest = printed.split(b"\0")
        self.assertEqual(words, [os.fsencode(word) for word in command])
        self.assertEqual(rest, b"a b|it's $HOME\n")


class Initramfs(TemporaryDirectory):
    def unpack(self, overlay):
        archive = io.BytesIO()
        overlay.write(archive)
        out = self.directory / "out"
        out.mkdir()
        subprocess.run(["cpio", "--extract", "--make-directories", "--quiet"], input=archive.getvalue(), cwd=out, check=True)
        return out

    def test_is_a_cpio_archive_with_the_files_and_their_modes(self):
        source = self.directory / "source"
        source.write_bytes(b"content of odd length")
        source.chmod(0o750)
        overlay = initramfs.Overlay()
        overlay.add_file("/usr/bin/tool", source)
        overlay.add_bytes("/etc/deep/er/file", b"12345")
        out = self.unpack(overlay)
        self.assertEqual((out / "usr/bin/tool").read_bytes(), b"content of odd length")
        self.assertEqual((out / "usr/bin/tool").stat().st_mode & 0o777, 0o750)
        self.assertEqual((out / "etc/deep/er/file").read_bytes(), b"12345")

    def test_never_replaces_the_links_of_a_merged_usr(self):
        overlay = initramfs.Overlay()
        for path in ("/lib/a", "/lib64/b", "/bin/c", "/sbin/d", "/usr/sbin/e", "/usr/lib/f", "/library/g"):
            overlay.add_bytes(path, b"")
        out = self.unpack(overlay)
        self.assertEqual(sorted(os.listdir(out)), ["library", "usr"])
        self.assertEqual(sorted(os.listdir(out / "usr")), ["bin", "lib", "lib64"])
        self.assertEqual(sorted(os.listdir(out / "usr/bin")), ["c", "d", "e"])

    def test_puts_files_where_they_are_asked_for(self):
        source = self.directory / "data.bin"
        source.write_bytes(b"x")
        folder = self.directory / "folder"
        (folder / "sub").mkdir(parents=True)
        (folder / "sub/file").write_bytes(b"y")
        overlay = initramfs.Overlay()
        for request in (source, f"{source}:/opt/", f"{source}:/opt/other", folder, f"{folder}:/srv/f"):
            overlay.put(str(request))
        out = self.unpack(overlay)
        for path in ("root/data.bin", "opt/data.bin", "opt/other", "root/folder/sub/file", "srv/f/sub/file"):
            self.assertTrue((out / path).is_file(), path)

    def test_brings_a_programs_libraries_and_loader(self):
        overlay = initramfs.Overlay()
        overlay.add_file("/usr/bin/env", "/usr/bin/env")
        overlay.add_shared_libraries()
        out = self.unpack(overlay)
        self.assertTrue(list(out.glob("usr/lib/*/libc.so.6")))
        self.assertTrue(list(out.glob("usr/lib64/ld-linux*")) or list(out.glob("usr/lib/*/ld-linux*")))

    def test_brings_nothing_for_a_script(self):
        script = self.directory / "script"
        script.write_text("#!/bin/sh\n")
        overlay = initramfs.Overlay()
        overlay.put(str(script))
        overlay.add_shared_libraries()
        self.assertEqual(os.listdir(self.unpack(overlay)), ["root"])

    def test_starts_where_the_kernel_looks_for_it(self):
        base = self.directory / "base"
        base.write_bytes(b"base!")
        overlay = initramfs.Overlay()
        overlay.add_bytes("/file", b"")
        initramfs.write_initrd(self.directory / "initrd", base, overlay)
        data = (self.directory / "initrd").read_bytes()
        self.assertTrue(data.startswith(b"base!\0"))
        self.assertEqual(data.index(b"070701") % 4, 0)

    def test_takes_tools_and_tests_from_the_build_folder(self):
        build = self.directory / "build"
        for path in ("tools/ctl/pcienic-ctl", "tools/pcienic-ls", "guest-tests/dma_test"):
            (build / path).parent.mkdir(parents=True, exist_ok=True)
            (build / path).write_bytes(pathlib.Path("/usr/bin/env").read_bytes())
            (build / path).chmod(0o755)
        (build / "tools/ctl/pcienic-notes.txt").write_text("no program")
        overlay = initramfs.Overlay()
        products.add_tools(overlay, build)
        products.add_tests(overlay, build)
        out = self.unpack(overlay)
        self.assertEqual(sorted(os.listdir(out / "usr/bin")), ["pcienic-ctl", "pcienic-ls"])
        self.assertEqual(os.listdir(out / "usr/libexec/pcienic-tests"), ["dma_test"])


class StrippedPrograms(TemporaryDirectory):
    def setUp(self):
        super().setUp()
        self.program = self.directory / "program"

    def write(self, content):
        self.program.write_bytes(pathlib.Path("/usr/bin/env").read_bytes() + content)
        self.program.chmod(0o755)

    def test_are_made_anew_when_the_program_was(self):
        self.write(b"")
        copy = products.without_debug_information(self.program, self.directory)
        self.assertEqual(copy, self.directory / "guest-stripped/program")
        self.assertEqual(subprocess.run([str(copy), "-i", "A=1"], stdout=subprocess.PIPE, check=True).stdout, b"A=1\n")
        self.assertEqual(copy.stat().st_mtime_ns, self.program.stat().st_mtime_ns)
        copy.write_bytes(b"old")
        os.utime(copy, ns=(1, 1))
        self.assertEqual(products.without_debug_information(self.program, self.directory).stat().st_size > 3, True)

    def test_are_not_made_of_sanitized_ones(self):
        self.write(b"__asan_init")
        self.assertEqual(products.without_debug_information(self.program, self.directory), self.program)

    def test_are_not_insisted_on(self):
        self.program.write_bytes(b"not a program")
        self.assertEqual(products.without_debug_information(self.program, self.directory), self.program)
        self.assertEqual(os.listdir(self.directory / "guest-stripped"), [])


class Listing(TemporaryDirectory):
    def program(self, name, text, status=0):
        path = self.directory / name
        path.write_text(f"#!/bin/sh\ncat <<'EOF'\n{text}\nEOF\nexit {status}\n")
        path.chmod(0o755)
        return str(path)

    def test_knows_googletests_ways(self):
        program = self.program("p", "\n".join([
            "Running main() from somewhere", "Plain.", "  One", "  DISABLED_Two", "Typed/0.  # TypeParam = int", "  Three",
            "All/Values.", "  Four/0  # GetParam() = 4", "  Four/b  # GetParam() = (1, x)", "DISABLED_Off.", "  Five"]))
        self.assertEqual(suite.list_cases(program),
                         ["Plain.One", "Typed/0.Three", "All/Values.Four/0", "All/Values.Four/b"])

    def test_refuses_a_name_that_two_programs_share(self):
        one, two = self.program("one", "S.\n  Case"), self.program("two", "S.\n  Case")
        with self.assertRaisesRegex(errors.UsageError, "S.Case is in .*one and in .*two"):
            suite.unique_cases([one, two])

    def test_refuses_to_do_without_a_case_that_must_exist(self):
        words = ["cases", "--program", self.program("p", "S.\n  Case"), "--output", str(self.directory / "list")]
        self.assertEqual(cli.main([*words, "--must-exist=S.Case"]), 0)
        self.assertEqual((self.directory / "list").read_text(), "S.Case\n")
        with unittest.mock.patch.object(sys, "stderr", io.StringIO()) as said:
            self.assertEqual(cli.main([*words, "--must-exist=S.Gone"]), 2)
        self.assertIn("no program has the case S.Gone", said.getvalue())

    def test_says_which_program_cannot_be_listed(self):
        with self.assertRaisesRegex(errors.UsageError, "broken .*status 3"):
            suite.list_cases(self.program("broken", "", 3))


class Acceleration(TemporaryDirectory):
    def setUp(self):
        super().setUp()
        self.cpuinfo = self.directory / "cpuinfo"
        self.cpuinfo.write_text("flags : fpu vmx\n")
        self.device = self.directory / "kvm"
        self.device.touch()

    def obstacle(self, scenario="[]", patience=60):
        with unittest.mock.patch.dict(os.environ, {"FAKE_QEMU_SCENARIO": scenario}), \
             unittest.mock.patch.object(acceleration, "PROBE_SECONDS", patience):
            return acceleration.kvm_obstacle(X86, str(FAKE_QEMU), "/kernel", str(self.cpuinfo), str(self.device))

    def test_needs_a_processor_that_can(self):
        self.cpuinfo.write_text("flags : fpu sse\n")
        self.assertIn("none of svm, vmx", self.obstacle())

    def test_needs_the_device(self):
        self.device.unlink()
        self.assertIn("not there", self.obstacle())

    def test_is_not_had_from_a_device_that_only_opens(self):
        self.assertIn("no progress in 1 seconds", self.obstacle('[["hang"]]', patience=1))

    def test_is_not_had_from_a_qemu_that_fails(self):
        self.assertIn("failed: no luck", self.obstacle('[["complain", "no luck"], ["exit", 1]]'))

    def test_is_had_where_a_guest_speaks(self):
        self.assertIsNone(self.obstacle('[["write", "console", "Linux"], ["hang"]]'))

    def choose(self, wanted, obstacle):
        said = []
        with unittest.mock.patch.dict(os.environ, {"PCIENIC_ACCEL": wanted, "PCIENIC_CACHE": str(self.directory / "cache")}), \
             unittest.mock.patch.object(acceleration, "kvm_obstacle", return_value=obstacle) as trial:
            return acceleration.choose(X86, "qemu", "/kernel", said.append), said, trial.call_count

    def test_falls_back_and_says_so(self):
        accelerator, (message,), _ = self.choose("auto", "the test says no")
        self.assertEqual(accelerator, "tcg")
        self.assertIn("the test says no", message)

    def test_remembers_the_trial(self):
        self.assertEqual(self.choose("auto", None), ("kvm", [], 1))
        self.assertEqual(self.choose("auto", None), ("kvm", [], 0))

    def test_does_not_pretend_when_kvm_is_demanded(self):
        with self.assertRaisesRegex(errors.UsageError, "the test says no"):
            self.choose("kvm", "the test says no")


class GivenWords(unittest.TestCase):
    """No word is dropped: it is done, or refused."""

    def refusal(self, *words):
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), self.assertRaises(SystemExit) as ended:
            cli.parse(words)
        self.assertEqual(ended.exception.code, 2)
        return errors.getvalue()

    def test_refuses_an_option_that_is_given_twice(self):
        for words in (("--kernel", "6.12", "--kernel", "cloud"), ("--driver", "none", "--no-bind"), ("--timeout", "1", "--timeout=2"),
                      ("--build", "a", "--build", "b")):
            self.assertIn("was given already", self.refusal("run", *words, "--", "true"))

    def test_refuses_words_without_a_meaning(self):
        self.assertIn("is a variable not set?", self.refusal("run", "--device", "", "--", "true"))
        self.assertIn("is a variable not set?", self.refusal("run", "--kernel=", "--", "true"))
        self.assertIn("unrecognized arguments: extra", self.refusal("run", "extra", "--", "true"))
        self.assertIn("needs a command", self.refusal("run", "--", ""))
        self.assertIn("takes no command", self.refusal("shell", "--", "true"))

    def test_takes_values_that_end_with_an_equals_sign(self):
        self.assertEqual(cli.parse(["run", "--device=e1000e,romfile=", "--", "true"]).device, ["e1000e,romfile="])

    def test_keeps_what_may_be_repeated(self):
        options = cli.parse(["run", "--device", "a", "--device", "b", "--qemu", "-x", "--user", "--", "true", "--", ""])
        self.assertEqual((options.device, options.qemu, options.user), (["a", "b"], ["-x"], True))
        self.assertEqual(options.command, ["true", "--", ""])


class FullDisk(unittest.TestCase):
    def test_comes_with_a_remedy(self):
        def full(_options):
            raise OSError(errno.ENOSPC, "No space left on device", "/tmp/initrd")
        said = io.StringIO()
        with unittest.mock.patch.dict(cli.VERBS, {"health": full}), unittest.mock.patch.object(sys, "stderr", said):
            self.assertEqual(cli.main(["health", "--log-dir", "/l"]), 125)
        self.assertIn("/tmp/initrd: No space left on device; make room", said.getvalue())


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: MIT
"""vmrun run: what comes out of it, whatever becomes of the guest."""

import os
import pathlib
import signal
import subprocess
import time
import unittest

from support import BOOTED, PATIENCE_SECONDS, RunnerTest, exited, results

RUN = ("run", "--device", "none", "--", "true")


def alive(pid):
    """Whether the process runs; one that only waits to be collected by its new parent does not."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


class ExitStatus(RunnerTest):
    def test_is_the_commands(self):
        for status in (0, 1, 7, 125, 127, 139):
            self.play(BOOTED, exited(status))
            self.assertEqual(self.vmrun(*RUN).returncode, status)

    def test_counts_although_qemu_then_fails(self):
        self.play(BOOTED, exited(7), ["exit", 1])
        self.assertEqual(self.vmrun(*RUN).returncode, 7)


class Output(RunnerTest):
    def test_passes_every_byte(self):
        every = "".join(map(chr, range(256)))
        self.play(BOOTED, ["write", "stdout", every], ["write", "stderr", every[::-1]], exited(0))
        answer = self.vmrun(*RUN)
        self.assertEqual(answer.stdout, every.encode("latin-1"))
        self.assertTrue(answer.stderr.endswith(every[::-1].encode("latin-1")))

    def test_comes_while_the_command_runs(self):
        self.play(BOOTED, ["write", "stdout", "early\n"], ["hang"])
        with self.vmrun_started(*RUN) as process:
            self.assertEqual(process.stdout.readline(), b"early\n")
            self.assertIsNone(process.poll())
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(PATIENCE_SECONDS), 128 + signal.SIGTERM)

    def test_has_nothing_of_the_console(self):
        self.play(["write", "console", "kernel says\n"], BOOTED, ["write", "stdout", "out\n"], exited(0))
        answer = self.vmrun(*RUN)
        self.assertEqual(answer.stdout, b"out\n")
        self.assertNotIn(b"kernel says", answer.stderr)

    def test_whose_reader_went_away_ends_the_guest(self):
        self.play(BOOTED, *[["write", "stdout", "line\n"], ["sleep", 0.1]] * 1000)
        with self.vmrun_started(*RUN) as process:
            process.stdout.readline()
            process.stdout.close()
            self.assertEqual(process.wait(PATIENCE_SECONDS), 128 + signal.SIGPIPE)


class GuestThatDies(RunnerTest):
    def test_of_a_panic(self):
        self.play(BOOTED, ["write", "console", "[    1.0] something before\r\n[    1.5] Kernel panic - not syncing: of the test\r\n"])
        self.assert_guest_died(self.vmrun(*RUN), "Kernel panic - not syncing: of the test", "something before", "console.log")

    def test_with_a_qemu_that_crashes(self):
        self.play(BOOTED, ["complain", "a device's word"], ["complain", "exec.c: assertion failed"], ["signal", signal.SIGABRT])
        self.assert_guest_died(self.vmrun(*RUN), "QEMU was killed by SIGABRT: exec.c: assertion failed")

    def test_with_a_qemu_that_is_killed_without_a_word(self):
        self.play(BOOTED, ["complain", "a warning of start-up"], ["signal", signal.SIGKILL])
        answer = self.vmrun(*RUN)
        self.assert_guest_died(answer, "QEMU was killed by SIGKILL")
        self.assertNotIn(b"SIGKILL: a warning", answer.stderr)

    def test_with_a_qemu_that_refuses_its_command_line(self):
        self.play(["complain", "no such thing as that"], ["exit", 1])
        self.assert_guest_died(self.vmrun(*RUN), "QEMU ended with status 1", "no such thing as that")

    def test_without_an_end_record(self):
        self.play(BOOTED, ["write", "stdout", "half of"])
        answer = self.vmrun(*RUN)
        self.assert_guest_died(answer, "ended before the guest reported")
        self.assertEqual(answer.stdout, b"half of")

    def test_with_half_an_end_record(self):
        self.play(BOOTED, ["write", "results", '{"type":"exit","sta'])
        self.assert_guest_died(self.vmrun(*RUN), "ended before the guest reported")

    def test_with_garbage_on_the_results_channel(self):
        self.play(BOOTED, results("garbage", "[1]", '{"type":5}'))
        self.assert_guest_died(self.vmrun(*RUN))

    def test_by_hanging(self):
        self.play(BOOTED, ["hang"])
        answer = self.vmrun("run", "--device", "none", "--timeout", "1", "--", "true")
        self.assert_guest_died(answer, "still running after 1 seconds")
        if (self.directory / "pid").exists():
            self.assertFalse(alive(int((self.directory / "pid").read_text())))

    def test_because_it_could_not_be_prepared(self):
        self.play(results({"type": "error", "message": "device 0000:01:00.0 could not be bound"}), exited(125))
        self.assert_guest_died(self.vmrun(*RUN), "could not be prepared", "0000:01:00.0 could not be bound")


class Logs(RunnerTest):
    def kept(self):
        return sorted(path.name for path in (self.directory / "tmp").iterdir())

    def test_of_a_good_run_are_removed(self):
        self.play(BOOTED, exited(7))
        self.vmrun(*RUN)
        self.assertEqual(self.kept(), [])

    def test_of_a_lost_guest_stay_and_are_named(self):
        self.play(BOOTED)
        answer = self.vmrun(*RUN)
        (name,) = self.kept()
        self.assertIn(name, answer.stderr.decode())
        files = {path.name for path in (self.directory / "tmp" / name).iterdir()}
        self.assertLessEqual({"console.log", "qemu.log", "results.jsonl", "cmdline.txt"}, files)

    def test_of_an_interrupted_run_are_removed(self):
        self.play(BOOTED, ["write", "stdout", "x\n"], ["hang"])
        with self.vmrun_started(*RUN) as process:
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(PATIENCE_SECONDS), 130)
        self.assertEqual(self.kept(), [])

    def test_go_where_they_are_asked_for(self):
        self.play(BOOTED, ["write", "console", "hello\n"], exited(0))
        logs = self.directory / "my, logs"
        self.vmrun("run", "--device", "none", "--log-dir", logs, "--", "true")
        self.assertEqual((logs / "console.log").read_text(), "hello\n")

    def test_of_an_earlier_run_are_not_taken_for_this_ones(self):
        logs = self.directory / "logs"
        self.play(BOOTED, exited(0))
        self.vmrun("run", "--device", "none", "--log-dir", logs, "--", "true")
        self.play(["exit", 1])
        self.assertEqual(self.vmrun("run", "--device", "none", "--log-dir", logs, "--", "true").returncode, 125)

    def test_of_a_folder_of_somebody_elses_are_left_alone(self):
        logs = self.directory / "project"
        logs.mkdir()
        self.play(BOOTED, exited(0))
        for name in ("console.log", "stdout.log", "outcome.json", "initrd.cpio", "qmp.sock"):
            (logs / name).write_text("theirs")
            answer = self.vmrun("run", "--device", "none", "--log-dir", logs, "--", "true")
            if name == "qmp.sock":  # not a log: QEMU says what is in its way
                continue
            self.assert_refused(answer, str(logs), name, "name another folder")
            self.assertEqual({path.name: path.read_text() for path in logs.iterdir()}, {name: "theirs"})
            (logs / name).unlink()

    def test_are_not_written_through_links(self):
        victim = self.directory / "victim"
        logs = self.directory / "logs"
        self.play(BOOTED, ["write", "stdout", "out\n"], exited(0))
        self.vmrun("run", "--device", "none", "--log-dir", logs, "--", "true")
        for path in [path for path in logs.iterdir() if path.is_file()]:
            path.unlink()
            path.symlink_to(victim)
        victim.write_text("precious")
        answer = self.vmrun("run", "--device", "none", "--log-dir", logs, "--", "true")
        self.assertEqual((answer.returncode, answer.stdout), (0, b"out\n"), answer.stderr)
        self.assertEqual(victim.read_text(), "precious")


class PrintedCommand(RunnerTest):
    """--print-cmd: a line for a shell, and no guest."""

    def test_boots_nothing(self):
        for verb in (("run", "--", "true"), ("shell",)):
            (self.directory / "pid").unlink(missing_ok=True)
            logs = self.directory / "l"
            answer = self.vmrun(verb[0], "--print-cmd", "--device", "fake-express", "--log-dir", logs, *verb[1:])
            self.assertEqual(answer.returncode, 0, answer.stderr)
            self.assertFalse((self.directory / "pid").exists(), "a QEMU ran")
            self.assertEqual((logs / "cmdline.txt").read_bytes(), answer.stdout)
            self.assertIn(b"fake-express", answer.stdout)
            self.assertGreater((logs / "initrd.cpio").stat().st_size, 0)
            self.assertFalse((logs / "console.log").exists())

    def test_can_be_run_by_a_shell(self):
        self.play(["write", "console", "by hand\n"])
        answer = self.vmrun("run", "--print-cmd", "--device", "none", "--log-dir", self.directory / "a 'b\" $c", "--", "true")
        ran = subprocess.run(["sh"], input=answer.stdout, env=self.environment, check=False)
        self.assertEqual(ran.returncode, 0)
        self.assertEqual((self.directory / "a 'b\" $c/console.log").read_text(), "by hand\n")

    def test_keeps_a_log_folder_of_its_own(self):
        answer = self.vmrun("run", "--print-cmd", "--device", "none", "--", "true")
        (kept,) = (self.directory / "tmp").iterdir()
        self.assertIn(str(kept).encode(), answer.stdout)


class OddPaths(RunnerTest):
    """What a file system takes, the runner takes."""

    NAMES = (b"a b", b"a|b", b"a[b]", b"50%d", b"100%", b"a,b=c", b"n\nl", b"\xff\xfe", b"x" * 120, b"$HOME", b"it's", b'"', b"a:b", b"-x")

    def each(self):
        for name in self.NAMES:
            folder = os.fsdecode(os.path.join(os.fsencode(self.directory), name))
            os.makedirs(folder)
            with self.subTest(name):
                yield pathlib.Path(folder)

    def assert_ran(self, answer, output=b"out\n"):
        self.assertEqual((answer.returncode, answer.stdout), (0, output), answer.stderr.decode(errors="replace"))

    def test_of_the_log_folder(self):
        self.play(BOOTED, ["write", "stdout", "out\n"], ["write", "console", "hello\n"], exited(0))
        for folder in self.each():
            self.assert_ran(self.vmrun("run", "--device", "none", "--log-dir", folder / "logs", "--", "true"))
            self.assertEqual((folder / "logs/console.log").read_text(), "hello\n")
            self.assertEqual(os.listdir(self.directory / "tmp"), [])

    def test_of_tmpdir(self):
        self.play(BOOTED, ["write", "stdout", "out\n"], exited(0))
        for folder in self.each():
            self.environment["TMPDIR"] = str(folder)
            self.assert_ran(self.vmrun(*RUN))
            self.assertEqual(os.listdir(folder), [])

    def test_of_files_to_put_into_the_guest(self):
        self.play(BOOTED, ["write", "stdout", "out\n"], exited(0))
        for folder in self.each():
            if ":" in folder.name:  # divides the file from its place in the guest
                continue
            (folder / "file").write_text("content")
            self.assert_ran(self.vmrun("run", "--device", "none", "--put", folder / "file", "--put", folder, "--log-dir", self.directory / "l", "--", "true"))
            self.assertIn(os.fsencode(folder.name) + b"/file", (self.directory / "l/initrd.cpio").read_bytes())

    def test_of_the_suites_folders_and_programs(self):
        self.play(BOOTED, results({"type": "program", "name": "p"}, {"type": "start", "name": "S.C"}, {"type": "end", "name": "S.C", "status": "passed"},
                                  {"type": "program_end", "name": "p", "status": 0}), exited(0))
        for folder in self.each():
            program = folder / "p"
            program.write_text("#!/bin/sh\nprintf 'S.\\n  C\\n'\n")
            program.chmod(0o755)
            answer = self.vmrun("suite", "--name", "s", "--device", "none", "--log-dir", folder / "l", "--program", program)
            self.assertEqual(answer.returncode, 0, answer.stderr)
            for verb in (("report", "--case", "S.C"), ("health",)):
                answer = self.vmrun(verb[0], "--log-dir", folder / "l", *verb[1:])
                self.assertEqual(answer.returncode, 0, answer.stdout)

    def test_make_no_name_that_another_can_foresee(self):
        """A short way to a long log folder: its name is nobody's to guess."""
        self.play(BOOTED, ["write", "stdout", "out\n"], ["hang"])
        with self.vmrun_started("run", "--device", "none", "--log-dir", self.directory / ("x" * 120), "--", "true") as process:
            self.assertEqual(process.stdout.readline(), b"out\n")
            (made,) = (self.directory / "tmp").iterdir()
            process.terminate()
            process.wait(PATIENCE_SECONDS)
        self.assertRegex(made.name, r"^pcienic-qmp-\w{8}$")
        self.assertFalse(made.exists())


class Qemu(RunnerTest):
    def wait_for_pid(self):
        deadline = time.monotonic() + PATIENCE_SECONDS
        path = self.directory / "pid"
        while time.monotonic() < deadline:
            if path.exists() and path.read_text():
                return int(path.read_text())
            time.sleep(0.01)
        return self.fail("QEMU was not started")

    def assert_gone(self, pid):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while alive(pid):
            self.assertLess(time.monotonic(), deadline, "QEMU outlived the runner")
            time.sleep(0.01)

    def test_ends_with_a_runner_that_is_interrupted(self):
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            (self.directory / "pid").unlink(missing_ok=True)
            self.play(["hang"])
            with self.vmrun_started(*RUN) as process:
                pid = self.wait_for_pid()
                process.send_signal(signum)
                self.assertEqual(process.wait(PATIENCE_SECONDS), 128 + signum)
            self.assert_gone(pid)

    def test_ends_with_a_runner_that_is_killed(self):
        self.play(["hang"])
        with self.vmrun_started(*RUN) as process:
            pid = self.wait_for_pid()
            process.kill()
        self.assert_gone(pid)


class BadRequests(RunnerTest):
    def test_no_command(self):
        self.assert_refused(self.vmrun("run", "--device", "none"), "needs a command after --")

    def test_a_command_without_its_dashes(self):
        self.assert_refused(self.vmrun("run", "lspci"), "lspci")

    def test_no_qemu(self):
        del self.environment["PCIENIC_QEMU"]
        self.assert_refused(self.vmrun(*RUN), "PCIENIC_QEMU")

    def test_a_qemu_that_is_not_there(self):
        self.environment["PCIENIC_QEMU"] = "/nowhere/qemu"
        self.assert_refused(self.vmrun(*RUN), "/nowhere/qemu", "setup")

    def test_a_qemu_that_is_none(self):
        self.environment["PCIENIC_QEMU"] = "/bin/true"
        self.assert_refused(self.vmrun("run", "--", "true"), "/bin/true does not answer")

    def test_an_unknown_device(self):
        self.assert_refused(self.vmrun("run", "--device", "fake-expres", "--", "true"), "no PCI device", "did you mean fake-express")

    def test_a_device_with_a_place(self):
        self.assert_refused(self.vmrun("run", "--device", "fake-express,addr=3", "--", "true"), "addr= is the runner's to choose")

    def test_too_many_devices(self):
        self.assert_refused(self.vmrun("run", *["--device=fake-express"] * 15, "--", "true"), "room for")

    def test_an_unknown_architecture(self):
        self.assert_refused(self.vmrun("run", "--arch", "arm64", "--", "true"), "arm64", "x86_64")

    def test_an_unknown_kernel(self):
        self.assert_refused(self.vmrun("run", "--kernel", "plan9", "--device", "none", "--", "true"), "plan9", "cloud")

    def test_an_image_that_is_none(self):
        self.environment["PCIENIC_GUEST"] = str(self.directory)
        self.assert_refused(self.vmrun(*RUN), "no guest image", "vmlinuz")

    def test_a_file_that_is_not_there(self):
        self.assert_refused(self.vmrun("run", "--device", "none", "--put", "/nowhere/file", "--", "true"), "/nowhere/file")

    def test_an_environment_that_is_none(self):
        self.assert_refused(self.vmrun("run", "--device", "none", "--env", "1=2", "--", "true"), "NAME=VALUE")

    def test_an_acceleration_that_is_none(self):
        self.environment["PCIENIC_ACCEL"] = "steam"
        self.assert_refused(self.vmrun(*RUN), "steam", "kvm, tcg or auto")

    def test_a_shell_without_a_terminal(self):
        self.assert_refused(self.vmrun("shell"), "terminal")

    def test_leave_nothing_behind(self):
        self.vmrun("run", "--device", "nothing-like-it", "--", "true")
        self.assertEqual(os.listdir(self.directory / "tmp"), [])


class FullDisk(RunnerTest):
    def test_is_named_with_a_remedy(self):
        # A file size limit stands in for the full disk: the initramfs cannot be written either way.
        import resource
        big = self.directory / "big"
        big.write_bytes(bytes(1 << 20))
        answer = self.vmrun_started("run", "--device", "none", "--put", big, "--", "true",
                                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)))
        _, said = answer.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(answer.returncode, 125)
        self.assertIn("initrd.cpio", said.decode())
        self.assertNotIn("Traceback", said.decode())
        self.assertEqual(os.listdir(self.directory / "tmp"), [])


class CommandLine(RunnerTest):
    def test_gives_qemu_words_that_begin_with_a_dash(self):
        self.play(BOOTED, exited(0))
        self.vmrun("run", "--device", "none", "--qemu", "-global", "--qemu", "x.y=z", "--log-dir", self.directory / "l", "--", "true")
        self.assertTrue((self.directory / "l/cmdline.txt").read_text().endswith(" -global x.y=z\n"))

    def test_logs_each_mistake_that_this_qemu_can_log(self):
        for logs, expected in (("", "guest_errors"), ("invalid_mem nochain", "guest_errors,invalid_mem")):
            with self.subTest(logs):
                self.play(BOOTED, exited(0))
                self.environment["FAKE_QEMU_LOGS"] = logs
                answer = self.vmrun("run", "--device", "none", "--log-dir", self.directory / "l", "--", "true")
                self.assertEqual(answer.returncode, 0, answer.stderr)
                self.assertIn(f" -d {expected} -D ", (self.directory / "l/cmdline.txt").read_text())

    def test_leaves_what_follows_the_dashes_alone(self):
        from vmrunner import cli
        options = cli.parse(["run", "--device", "edu", "--", "cmd", "--", "--device", "-x", "--qemu", ""])
        self.assertEqual(options.command, ["cmd", "--", "--device", "-x", "--qemu", ""])
        self.assertEqual(options.device, ["edu"])


if __name__ == "__main__":
    unittest.main()

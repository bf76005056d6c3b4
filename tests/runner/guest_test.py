# SPDX-License-Identifier: MIT
"""vmrun run and shell with a real QEMU and a real guest: $PCIENIC_QEMU, and QEMU's own edu and NVMe devices."""

import os
import pathlib
import pty
import re
import subprocess
import tempfile
import unittest

from support import VMRUN, TemporaryDirectory

NVME = "nvme,serial=rig"


def vmrun(*arguments):
    return subprocess.run([str(VMRUN), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, check=False)


class Run(TemporaryDirectory):
    def test_exits_with_the_commands_status_and_keeps_its_outputs_apart(self):
        answer = vmrun("run", "--device", "edu", "--", "sh", "-c", "echo out; echo err >&2; cat; exit 7")
        self.assertEqual((answer.returncode, answer.stdout), (7, b"out\n"))
        self.assertTrue(answer.stderr.endswith(b"err\n"))

    def test_gives_each_word_as_it_is_and_takes_each_byte(self):
        words = ["a b", "", "it's", "$HOME", "new\nline", "*", "\\", '"', os.fsdecode(b"\xff\x81")]
        answer = vmrun("run", "--device", "none", "--", "printf", "%s|", *words)
        self.assertEqual(answer.stdout, b"".join(os.fsencode(word) + b"|" for word in words))

    def test_says_how_the_shell_would_what_a_signal_or_a_missing_program_did(self):
        self.assertEqual(vmrun("run", "--device", "none", "--", "sh", "-c", "kill -SEGV $$").returncode, 139)
        self.assertEqual(vmrun("run", "--device", "none", "--", "no-such-program").returncode, 127)
        self.assertEqual(vmrun("run", "--device", "none", "--", "/etc/passwd").returncode, 126)

    def test_tells_a_panic_from_a_failing_command(self):
        answer = vmrun("run", "--device", "none", "--log-dir", self.directory, "--", "sh", "-c", "echo c >/proc/sysrq-trigger")
        self.assertEqual(answer.returncode, 125)
        self.assertIn("Kernel panic - not syncing: sysrq triggered crash", answer.stderr.decode())

    def test_names_the_devices_in_the_order_given_and_binds_them(self):
        script = 'for b in $PCIENIC_BDFS; do cat /sys/bus/pci/devices/$b/class; basename $(readlink /sys/bus/pci/devices/$b/driver); done; ' \
                 'echo "$PCIENIC_BDF" | grep -qx "${PCIENIC_BDFS%% *}"'
        answer = vmrun("run", "--device", NVME, "--device", "edu", "--", "sh", "-c", script)
        self.assertEqual((answer.returncode, answer.stdout), (0, b"0x010802\nvfio-pci\n0x00ff00\nvfio-pci\n"), answer.stderr)

    def test_leaves_devices_alone_where_asked_to(self):
        answer = vmrun("run", "--no-bind", "--device", "edu", "--", "sh", "-c", "lspci -nn -s $PCIENIC_BDF; ls /sys/bus/pci/devices/$PCIENIC_BDF/driver")
        self.assertIn(b"[1234:11e8]", answer.stdout)
        self.assertNotEqual(answer.returncode, 0)

    def test_brings_files_with_their_libraries(self):
        script = self.directory / "script"
        script.write_text("#!/bin/sh\n/opt/tool \"CONTENT=$(cat data)\" | grep ^CONTENT=\n")
        script.chmod(0o755)
        (self.directory / "data").write_text("from the host")
        answer = vmrun("run", "--device", "none", "--put", script, "--put", self.directory / "data", "--put", "/usr/bin/env:/opt/tool",
                       "--", "./script")
        self.assertEqual((answer.returncode, answer.stdout), (0, b"CONTENT=from the host\n"), answer.stderr)

    def test_ends_although_the_command_left_something_running(self):
        answer = vmrun("run", "--device", "none", "--", "sh", "-c", "setsid sleep 100000 & echo started")
        self.assertEqual((answer.returncode, answer.stdout), (0, b"started\n"))

    def test_has_a_command_line_that_can_be_run_by_hand(self):
        answer = vmrun("run", "--print-cmd", "--device", "edu", "--log-dir", self.directory, "--", "sh", "-c", "echo by hand; exit 5")
        self.assertEqual(answer.returncode, 0)
        subprocess.run(["sh", "-c", answer.stdout], check=True, stdin=subprocess.DEVNULL)
        self.assertEqual((self.directory / "stdout.log").read_text(), "by hand\n")
        self.assertIn('"status":5', (self.directory / "results.jsonl").read_text())


class Shell(unittest.TestCase):
    def test_is_interactive_on_the_terminal_and_passes_its_status_on(self):
        with tempfile.TemporaryDirectory() as directory:
            try:
                pid, terminal = pty.fork()
            except OSError as error:
                self.skipTest(f"this machine gives no terminal ({error}): is /dev/pts mounted?")
            if pid == 0:
                os.execv(VMRUN, [str(VMRUN), "shell", "--device", "edu", "--log-dir", directory])
            seen = b""
            typed = False
            while True:
                try:
                    data = os.read(terminal, 4096)
                except OSError:  # the other side is gone
                    break
                if not data:
                    break
                seen += data
                if not typed and re.search(rb"# (\x1b\[6n)?$", seen):
                    os.write(terminal, b"test -t 0 && echo on-$PCIENIC_BDF-tty; exit 9\r")
                    typed = True
            _, status = os.waitpid(pid, 0)
            os.close(terminal)
            self.assertIn(b"on-0000:00:10.0-tty", seen)
            self.assertEqual(os.waitstatus_to_exitcode(status), 9)
            self.assertTrue((pathlib.Path(directory) / "console.log").stat().st_size)


if __name__ == "__main__":
    unittest.main()

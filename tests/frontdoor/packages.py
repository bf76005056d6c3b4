#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The packages: which are missing, what apt is asked for, and what its failures become."""

import os
import signal
import subprocess
import time
import unittest

import harness
from harness import ALL_INSTALLED, NONE_INSTALLED

AVAILABLE = 'echo "  Candidate: 1.0"'


class Packages(harness.FrontDoorCase):

    def setup_packages(self, apt_get, policy=AVAILABLE, installed=NONE_INSTALLED, **options):
        fakes = {"dpkg-query": installed, "apt-cache": policy, "apt-get": apt_get, "df": "echo 100000M",
                 # On a machine where the tests are not run as root, sudo stands for root.
                 "sudo": '[[ $1 != -v ]] || return 0; while [[ $1 != apt-get ]]; do shift; done; "$@"'}
        fakes.update(options.pop("fakes", {}))
        return self.pcienic("setup", "packages", fakes=fakes, **options)

    def test_all_installed_is_silent_and_needs_no_apt(self):
        result = self.setup_packages("echo apt must not run >&2; exit 99", installed=ALL_INSTALLED)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_an_installed_alternative_satisfies(self):
        installed = 'shift 3; for name; do [[ $name == libboost1.81-dev ]] || echo "ii  $name"; done'
        result = self.setup_packages("exit 99", installed=installed)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_removed_package_with_configuration_left_is_missing(self):
        installed = 'shift 3; for name; do if [[ $name == cpio ]]; then echo "rc  cpio"; else echo "ii  $name"; fi; done'
        result = self.shell("missing_packages", fakes={"dpkg-query": installed})
        self.assertEqual(result.stdout, "cpio\n")

    def test_first_available_alternative_is_installed(self):
        log = self.work / "apt.log"
        policy = '[[ $3 == libboost1.81-dev ]] && echo "  Candidate: (none)" || echo "  Candidate: 1.0"'
        result = self.setup_packages(f'echo "$@" >>{log}', policy=policy)
        # Nothing was really installed, which is noticed.
        self.assert_failed(result, says=["apt reported success, yet these are not installed"])
        install = log.read_text(encoding="utf-8").splitlines()[-1]
        self.assertIn("libboost1.83-dev", install.split())
        self.assertNotIn("libboost1.81-dev", install.split())

    def test_apt_asks_nothing_waits_for_the_lock_and_removes_nothing(self):
        log = self.work / "apt.log"
        self.setup_packages(f'echo "$@ $DEBIAN_FRONTEND" >>{log}')
        install = log.read_text(encoding="utf-8").splitlines()[-1]
        for option in ("-y", "--no-install-recommends", "--no-remove", "DPkg::Lock::Timeout=600"):
            self.assertIn(option, install.split())
        if os.geteuid() == 0:
            self.assertTrue(install.endswith(" noninteractive"))

    def test_no_network_is_explained(self):
        result = self.setup_packages("echo \"Err:1 Could not resolve 'mirror'\"; return 100")
        self.assert_failed(result, says=["Could not resolve 'mirror'", f"{self.cache}/logs/packages.log",
                                         "apt cannot reach its mirror", "proxy"])

    def test_package_that_no_source_has_is_named(self):
        policy = '[[ $3 == seabios ]] && echo "  Candidate: (none)" || echo "  Candidate: 1.0"'
        result = self.setup_packages(":", policy=policy)
        self.assert_failed(result, says=["Unable to locate package seabios"])

    def test_full_disk_stops_before_apt(self):
        result = self.setup_packages("echo apt must not run >&2; exit 99", fakes={"df": "echo Avail; echo 12M"})
        self.assert_failed(result, says=["needs 1500 MiB in /", "only 12 MiB are free"])
        self.assertNotIn("apt must not run", result.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody who is neither root nor in sudoers")
    def test_neither_root_nor_sudo_names_the_command(self):
        self.cache.mkdir()
        os.chown(self.cache, 65534, 65534)
        result = self.pcienic("setup", "packages", fakes={"dpkg-query": NONE_INSTALLED, "sudo": "return 1"},
                              wrapper=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
        self.assert_failed(result, says=["apt-get install --no-install-recommends build-essential", "as root"])

    @staticmethod
    def heed_signals():
        """What a shell starts in its background ignores interrupts, and so would all that it starts."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def test_interrupt_waits_for_apt(self):
        """dpkg that is stopped in the middle has to be repaired by hand."""
        began, go_on, ended = (self.work / name for name in ("began", "go-on", "ended"))
        apt = (f"[[ \" $* \" == *' install '* ]] || return 0; trap 'echo stopped >{ended}; exit 1' TERM INT; : >{began}; "
               f"while [[ ! -e {go_on} ]]; do sleep 0.1; done; echo whole >{ended}")
        fakes = {"dpkg-query": NONE_INSTALLED, "apt-cache": AVAILABLE, "apt-get": apt, "df": "echo 100000M",
                 "sudo": '[[ $1 != -v ]] || return 0; while [[ $1 != apt-get ]]; do shift; done; "$@"'}
        for signum, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(signum), subprocess.Popen([str(self.checkout / "pcienic"), "setup", "packages"], text=True,
                                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                                        env=self.environment(fakes), preexec_fn=self.heed_signals) as setup:
                while not began.exists():
                    self.assertIsNone(setup.poll(), "it ended before apt began")
                    time.sleep(0.05)
                setup.send_signal(signum)
                said = ""
                while "waiting for apt" not in said:
                    line = setup.stderr.readline()
                    self.assertTrue(line, said)
                    said += line
                setup.send_signal(signum)  # impatience changes nothing
                self.assertIsNone(setup.poll())
                self.assertFalse(ended.exists())
                go_on.touch()
                self.assertEqual(setup.wait(), status)
            self.assertEqual(ended.read_text(encoding="utf-8"), "whole\n")
            for path in (began, go_on, ended):
                path.unlink()

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody who needs sudo")
    def test_sudo_never_asks_in_the_step(self):
        self.cache.mkdir()
        os.chown(self.cache, 65534, 65534)
        sudo = ('[[ $1 != -v ]] || return 0; [[ $1 == -n ]] && echo "sudo: a password is required" >&2 || echo "it asked" >&2; return 1')
        result = self.pcienic("setup", "packages", wrapper=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
                              fakes={"dpkg-query": NONE_INSTALLED, "apt-cache": AVAILABLE, "df": "echo 100000M", "sudo": sudo})
        self.assert_failed(result, says=["sudo: a password is required", "./pcienic setup packages' as root"])
        self.assertNotIn("it asked", result.stderr)

    def test_packages_are_for_everybody_and_hold_no_lock(self):
        log = self.work / "apt.log"
        self.setup_packages(f"{{ umask; ls -l /proc/$BASHPID/fd; }} >>{log}")
        said = log.read_text(encoding="utf-8")
        self.assertIn("0022", said)
        self.assertNotIn("CACHEDIR.TAG", said)

    def test_list_is_well_formed(self):
        lines = self.shell("wanted_packages").stdout.splitlines()
        self.assertGreater(len(lines), 20)
        self.assertEqual(len(lines), len(set(lines)))
        for line in lines:
            self.assertRegex(line, r"^[a-z0-9][a-z0-9+.-]+( +[a-z0-9][a-z0-9+.-]+)* *$")


if __name__ == "__main__":
    harness.main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How QEMU's source is found and its build is kept, with a small tree in place of QEMU's own."""

import os
import pathlib
import signal
import subprocess
import time

import harness
from harness import ALL_INSTALLED


class Build(harness.FrontDoorCase):
    """`./pcienic setup qemu` with PCIENIC_QEMU_SRC."""

    def setUp(self):
        super().setUp()
        self.tree = self.work / "qemu"
        harness.make_qemu_tree(self.tree)

    def setup_qemu(self, **options):
        fakes = {"dpkg-query": ALL_INSTALLED, **options.pop("fakes", {})}
        return self.pcienic("setup", "qemu", fakes=fakes, PCIENIC_QEMU_SRC=str(self.tree), **options)

    def program(self, result):
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return pathlib.Path(result.stdout.removeprefix("QEMU:  ").strip())

    def times(self, what):
        """How often the tree was 'configured' or 'compiled'."""
        logs = list(self.cache.glob(f"qemu-src-*/{what}.log")) + list(self.cache.glob(f"{what}.log"))
        return sum(len(log.read_text(encoding="utf-8").splitlines()) for log in logs)

    def kept_tree(self):
        return next(self.cache.glob("qemu-src-*"))

    def test_builds_a_program_and_then_finds_it(self):
        first = self.program(self.setup_qemu())
        self.assertTrue(first.is_file())
        compiled = self.times("compiled")
        result = self.setup_qemu()
        self.assertEqual(self.program(result), first)
        self.assertEqual(result.stderr, "")
        self.assertEqual(self.times("compiled"), compiled)

    def test_users_tree_is_never_written_to(self):
        before = harness.snapshot(self.tree)
        self.program(self.setup_qemu())
        self.assertEqual(harness.snapshot(self.tree), before)

    def test_edit_of_a_device_compiles_without_configuring(self):
        first = self.program(self.setup_qemu())
        configured = self.times("configured")
        source = next((self.checkout / "qemu-device/core").glob("*.c"))
        source.write_text(source.read_text(encoding="utf-8") + "/* edited */\n", encoding="utf-8")
        second = self.program(self.setup_qemu())
        self.assertNotEqual(first, second)
        self.assertIn(b"/* edited */", second.read_bytes())
        self.assertEqual(self.times("configured"), configured)

    def test_tree_may_be_named_as_an_option_is(self):
        self.tree.rename(self.work / "-tree")
        result = self.shell('cd "$1"; exec "$checkout/pcienic" setup qemu', self.work, fakes={"dpkg-query": ALL_INSTALLED}, PCIENIC_QEMU_SRC="-tree")
        self.assertTrue(self.program(result).is_file())

    def test_two_clones_with_one_content_share_one_program(self):
        first = self.program(self.setup_qemu())
        self.checkout.rename(self.work / "elsewhere")
        self.checkout = self.work / "elsewhere"
        self.assertEqual(self.program(self.setup_qemu()), first)

    def test_changed_tree_is_another_qemu(self):
        first = self.program(self.setup_qemu())
        (self.tree / "VERSION").write_text("9.9.9\n", encoding="utf-8")
        second = self.program(self.setup_qemu())
        self.assertNotEqual(first, second)
        self.assertIn("QEMU 9.9.9", (second.parent / "about").read_text(encoding="utf-8"))

    def test_device_list_and_options_reach_configure(self):
        self.program(self.setup_qemu())
        arguments = (self.kept_tree() / "build/arguments").read_text(encoding="utf-8").splitlines()
        self.assertIn("--target-list=x86_64-softmmu", arguments)
        self.assertIn("--with-devices-x86_64=pcienic", arguments)
        # This tree's configure knows --meson= and does not know --disable-download.
        self.assertIn("--meson=/usr/bin/meson", arguments)
        self.assertNotIn("--disable-download", arguments)
        devices = self.kept_tree() / "source/configs/devices/x86_64-softmmu/pcienic.mak"
        self.assertIn("CONFIG_PCIENIC=y", devices.read_text(encoding="utf-8"))

    def test_options_of_the_user_may_have_line_breaks(self):
        self.program(self.setup_qemu(PCIENIC_QEMU_OPTIONS="--one --two\n--three\n"))
        arguments = (self.kept_tree() / "build/arguments").read_text(encoding="utf-8").splitlines()
        self.assertLessEqual({"--one", "--two", "--three"}, set(arguments))

    def test_device_that_not_every_qemu_lists_is_asked_for_where_it_is_listed(self):
        for modern, asked in ((False, False), (True, True)):
            with self.subTest(modern=modern):
                subprocess.run(["rm", "-rf", str(self.tree), str(self.cache)], check=True)
                harness.make_qemu_tree(self.tree, modern=modern)
                self.program(self.setup_qemu())
                devices = (self.kept_tree() / "source/configs/devices/x86_64-softmmu/pcienic.mak").read_text(encoding="utf-8")
                # 7.2 ends with "undefined symbol" where it does not know one.
                self.assertEqual("\nCONFIG_PCIE_PCI_BRIDGE=y" in devices, asked, devices)
                self.assertIn("\nCONFIG_IOH3420=y\n", devices)

    def test_compiler_error_is_shown_and_the_next_run_recovers(self):
        source = next((self.checkout / "qemu-device/core").glob("*.c"))
        good = source.read_text(encoding="utf-8")
        source.write_text(good + "BROKEN\n", encoding="utf-8")
        result = self.setup_qemu()
        self.assert_failed(result, says=["core.c:1: error: BROKEN", "logs/qemu-compile.log"])
        self.assertFalse([p for p in self.cache.glob("qemu-*") if len(p.name) == 21])
        source.write_text(good, encoding="utf-8")
        self.program(self.setup_qemu())

    def test_failed_configure_is_run_again(self):
        (self.tree / "refuse").write_text("", encoding="utf-8")
        self.assert_failed(self.setup_qemu(), says=["glib is missing", "logs/qemu-configure.log"])
        (self.kept_tree() / "source/refuse").unlink()
        (self.tree / "refuse").unlink()
        self.program(self.setup_qemu())

    def test_killed_set_up_is_recovered(self):
        hold = self.cache / "hold"
        self.mark_cache()
        hold.write_text("", encoding="utf-8")
        environment = self.environment({"dpkg-query": ALL_INSTALLED}, PCIENIC_QEMU_SRC=str(self.tree))
        with subprocess.Popen([str(self.checkout / "pcienic"), "setup", "qemu"], env=environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
            while not (self.cache / "held").exists():
                self.assertIsNone(killed.poll(), "the set-up ended before it compiled")
                time.sleep(0.05)
            killed.send_signal(signal.SIGTERM)
            self.assertEqual(killed.wait(), 143)
        hold.unlink()
        # What a run that was killed outright, in the middle of a copy, leaves behind, by the name that mktemp gives.
        stale = self.cache / "tmp/qemu-src.st4le5/source"
        stale.mkdir(parents=True)
        program = self.program(self.setup_qemu())
        self.assertNotIn(b"half", program.read_bytes()[:5])
        self.assertFalse(stale.exists())
        self.assertEqual(self.times("configured"), 1)

    def test_two_at_once_build_once(self):
        environment = self.environment({"dpkg-query": ALL_INSTALLED}, PCIENIC_QEMU_SRC=str(self.tree))
        runs = [subprocess.Popen([str(self.checkout / "pcienic"), "setup", "qemu"], env=environment, text=True,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                for _ in range(2)]
        outputs = [run.communicate() for run in runs]
        self.assertEqual([run.returncode for run in runs], [0, 0], outputs)
        self.assertEqual(len({out for out, _ in outputs}), 1, outputs)
        self.assertEqual(self.times("configured"), 1)

    def test_full_disk_is_noticed_before_anything_is_copied(self):
        result = self.setup_qemu(fakes={"df": "echo Avail; echo 100M"})
        self.assert_failed(result, says=["needs 1200 MiB", str(self.cache), "only 100 MiB", "PCIENIC_CACHE"])
        self.assert_nothing_half_done()

    def test_directory_that_is_no_tree_is_refused(self):
        result = self.pcienic("setup", "qemu", fakes={"dpkg-query": ALL_INSTALLED}, PCIENIC_QEMU_SRC=str(self.work))
        self.assert_failed(result, says=[f"PCIENIC_QEMU_SRC={self.work}", "not a QEMU source tree"])
        self.assert_nothing_half_done()


class Given(harness.FrontDoorCase):
    """PCIENIC_QEMU: the user's own program."""

    def given(self, text, mode=0o755, name="my qemu", **variables):
        program = self.work / name
        program.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        program.chmod(mode)
        return self.pcienic("setup", "qemu", fakes={"dpkg-query": ALL_INSTALLED}, PCIENIC_QEMU=str(program), **variables)

    def test_is_used_and_none_is_built(self):
        result = self.given("echo 'QEMU emulator version 9.2.4'")
        self.assertEqual((result.returncode, result.stdout), (0, f"QEMU:  {self.work}/my qemu\n"), result.stderr)
        self.assertFalse(list(self.cache.glob("qemu-*")))

    def test_may_be_a_name_in_path(self):
        self.given("echo 'QEMU emulator version 9.2.4'")
        result = self.pcienic("setup", "qemu", fakes={"dpkg-query": ALL_INSTALLED}, PCIENIC_QEMU="my qemu", PATH=f"{self.work}:/usr/bin:/bin")
        self.assertEqual((result.returncode, result.stdout), (0, f"QEMU:  {self.work}/my qemu\n"), result.stderr)

    def test_may_end_in_a_line_break(self):
        result = self.given("echo 'QEMU emulator version 9.2.4'", name="qemu\n")
        self.assertEqual((result.returncode, result.stdout), (0, f"QEMU:  {self.work}/qemu\n\n"), result.stderr)

    def test_that_is_none_is_refused(self):
        self.assert_failed(self.given("echo 'qemu-img version 7.2.22'"), says=["my qemu is no qemu-system program", "qemu-img version 7.2.22"])
        self.assert_failed(self.given("exit 1"), says=["my qemu is no qemu-system program"])
        self.assert_failed(self.given("", mode=0o644), says=["is not there, or not executable"])
        self.assert_failed(self.pcienic("setup", "qemu", fakes={"dpkg-query": ALL_INSTALLED}, PCIENIC_QEMU="/nowhere/qemu"),
                           says=["PCIENIC_QEMU=/nowhere/qemu is not there"])

    def test_and_a_source_tree_are_one_too_many(self):
        self.assert_failed(self.given("", PCIENIC_QEMU_SRC="/src"), status=2, says=["unset one of them"])
        self.assertFalse(self.cache.exists())


class OddPaths(harness.FrontDoorCase):

    def test_of_the_checkout_and_the_cache(self):
        tree = self.work / "qemu"
        harness.make_qemu_tree(tree)
        keys = set()
        for name in (b"a b", b"a]b&", b"50%d", b"it's ~", b"a:b", b"\xff\xfe"):
            folder = pathlib.Path(os.fsdecode(os.path.join(os.fsencode(self.work), name)))
            folder.mkdir()
            with self.subTest(name):
                self.checkout = self.checkout.rename(folder / "checkout")
                if set(name) & set(b" :"):  # QEMU's own configure refuses these
                    result = self.pcienic("setup", "qemu", fakes={"dpkg-query": ALL_INSTALLED}, PCIENIC_QEMU_SRC=str(tree), PCIENIC_CACHE=str(folder / "cache"))
                    self.assert_failed(result, says=["has a blank or a colon in it", "set PCIENIC_CACHE"])
                else:
                    self.cache = folder / "cache"
                result = self.pcienic("setup", "qemu", fakes={"dpkg-query": ALL_INSTALLED}, PCIENIC_QEMU_SRC=str(tree))
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
                keys |= {path.name for path in self.cache.glob("qemu-????????????????")}
        self.assertEqual(len(keys), 1, "the checkout's path is not part of what QEMU is made from")


class SourcePackage(harness.FrontDoorCase):
    """Where the source package comes from: apt's own configuration."""

    def converted(self, list_text="", sources_text=""):
        etc = self.work / "etc"
        (etc / "parts").mkdir(parents=True)
        (etc / "sources.list").write_text(list_text, encoding="utf-8")
        (etc / "parts/debian.sources").write_text(sources_text, encoding="utf-8")
        fake = f"echo \"list='{etc}/sources.list'\"; echo \"parts='{etc}/parts/'\""
        result = self.shell('private_apt "$cache/apt"; cat "$cache"/apt/sources/*', fakes={"apt-config": fake})
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def test_one_line_sources_keep_their_options(self):
        text = self.converted(list_text="# deb http://commented.example x main\n"
                              "deb [signed-by=/usr/share/keyrings/k.gpg arch=amd64] http://mirror.example/debian trixie main\n"
                              "deb-src http://mirror.example/debian trixie main\n")
        self.assertEqual(text, "deb-src [signed-by=/usr/share/keyrings/k.gpg arch=amd64] "
                         "http://mirror.example/debian trixie main\n")

    def test_deb822_sources_keep_everything_but_their_type(self):
        stanza = ("Enabled: yes\nTypes: {}\nURIs: http://mirror.example/debian\nSuites: trixie trixie-updates\n"
                  "Components: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n key\n")
        for types in ("deb", "deb deb-src"):
            with self.subTest(types=types):
                self.assertEqual(self.converted(sources_text=stanza.format(types)), stanza.format("deb-src"))
                subprocess.run(["rm", "-r", str(self.work / "etc"), str(self.cache)], check=True)

    def newest(self, *indexes):
        """What newest_qemu_version makes of INDEXES: (origin, codename, versions of qemu)."""
        rows = []
        for number, (origin, codename, versions) in enumerate(indexes):
            path = self.work / f"Sources{number}"
            path.write_text("Package: qemu-web-desktop\nVersion: 99\n\n" + "".join(
                f"Package: qemu\nBinary: qemu\nVersion: {version}\n\n" for version in versions), encoding="utf-8")
            rows.append(f"echo '{origin}|{codename}|{path}'")
        result = self.shell("distribution=Debian suite=bookworm; newest_qemu_version /dev/null",
                            fakes={"apt-get": "; ".join(rows)})
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.strip()

    def test_security_and_updates_count(self):
        self.assertEqual(self.newest(("Debian", "bookworm", ["1:7.2+dfsg-7+deb12u16"]),
                                     ("Debian", "bookworm-security", ["1:7.2+dfsg-7+deb12u9", "1:7.2+dfsg-7+deb12u18"]),
                                     ("Debian", "bookworm-updates", [])), "1:7.2+dfsg-7+deb12u18")

    def test_backports_and_third_parties_do_not(self):
        self.assertEqual(self.newest(("Debian", "bookworm", ["1:7.2+dfsg-7"]),
                                     ("Debian Backports", "bookworm-backports", ["1:10.0+ds-1"]),
                                     ("Debian", "sid", ["1:11.0+ds-1"]),
                                     ("Vendor", "bookworm", ["1:99.0"])), "1:7.2+dfsg-7")

    def test_no_source_package_is_explained_and_leaves_nothing(self):
        result = self.pcienic("setup", "qemu", fakes={"dpkg-query": ALL_INSTALLED, "apt-get": "return 0"})
        self.assert_failed(result, says=["no source package qemu in apt's sources", "logs/qemu-source.log"])
        self.assertFalse([p for p in self.cache.glob("qemu-*")])

    def test_no_network_is_explained(self):
        result = self.pcienic("setup", "qemu", fakes={
            "dpkg-query": ALL_INSTALLED, "apt-get": "[[ $3 != update ]] || echo \"Err:1 Could not resolve 'mirror'\""})
        self.assert_failed(result, says=["Could not resolve 'mirror'", "check the network"])


if __name__ == "__main__":
    harness.main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The cache: nothing is touched that set-up did not make, nothing is taken from under another, nobody else gets in."""

import fcntl
import os
import pathlib
import re
import shutil
import stat
import subprocess
import time
import unittest

import harness
from harness import ALL_INSTALLED

NOBODY = 65534
# Names that look like ours, and one of each kind that the cache has.
FOREIGN = ("tmp/thesis", "logs/diary", "qemu-images/disk.qcow2", "guest-photos/1.jpg", "kernel-sources/Makefile", "tidy/room",
           "qemu.lock.txt", "qemu-0123456789ABCDEF/x", "qemu-src-mine/x", "qemu-src-1.0/x", "boost-build/x", "boost-1.83.txt",
           "boost-1.83/thesis", "tmp/guest.images/1.jpg", "tmp/qemu.backup/qemu-system-x86_64", "tmp/boost.Photos/x", "tmp/qemu-src.4ever1/diary",
           "tmp/guest.Photo1", "logs/guest-photos.log", "logs/packages.log/x", "guest-building.photos/image", "kernel-building.a1B2c3/x",
           "CACHEDIR.TAG.backup", "build-7.lock", "tidy/" + "a1" * 32 + "/x")


def state(tree):
    """All that can be seen of TREE: its entries with their kinds, modes, contents and links."""
    def one(path):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        return stat.filemode(status.st_mode), status.st_mtime_ns, content
    return {str(path.relative_to(tree)): one(path) for path in tree.rglob("*")}


def wait_for(condition):
    """The bound is a watchdog: all that is waited for does happen, or there is a fault."""
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


class CacheCase(harness.FrontDoorCase):

    def setUp(self):
        super().setUp()
        self.tree = self.work / "qemu"
        harness.make_qemu_tree(self.tree)

    def put(self, *names, under=None, text="precious"):
        for name in names:
            path = (under or self.cache) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def verb(self, *arguments, **variables):
        return self.pcienic(*arguments, fakes={"dpkg-query": ALL_INSTALLED}, PCIENIC_QEMU_SRC=str(self.tree), **variables)

    def started(self, *arguments, **variables):
        process = subprocess.Popen([str(self.checkout / "pcienic"), *arguments], text=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=self.environment({"dpkg-query": ALL_INSTALLED}, PCIENIC_QEMU_SRC=str(self.tree), **variables))
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def package_script(self, name, *arguments):
        """One of tests/package, for which apt has a Boost at once."""
        fakes = {"apt-get": 'case "$*" in *indextargets*) echo http://mirror.test ;; *" download "*) : >libboost1.83-dev_1_all.deb ;; esac',
                 "dpkg-deb": 'mkdir -p "$3/usr/include/boost"; echo "#define BOOST_LIB_VERSION \\"1_83\\"" >"$3/usr/include/boost/version.hpp"'}
        return subprocess.run([str(harness.CHECKOUT / "tests/package" / name), *arguments], text=True, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, env=self.environment(fakes))

    def setup_qemu(self, **variables):
        self.ok(self.verb("setup", "qemu", **variables))
        # The small tree's own notes, which QEMU does not make.
        for path in pathlib.Path(variables.get("PCIENIC_CACHE", self.cache)).glob("*.log"):
            path.unlink()

    def put_build(self, home=None):
        """A build folder as CMake makes it."""
        self.put("build/CMakeCache.txt", under=self.checkout,
                 text=f"# a cache\nCMAKE_PROJECT_NAME:STATIC=pcienic\nCMAKE_HOME_DIRECTORY:INTERNAL={self.checkout if home is None else home}\n")

    def ok(self, result):
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result


class ForeignDirectory(CacheCase):
    """A directory that somebody has for other things, as PCIENIC_CACHE."""

    def test_is_refused_by_every_way_into_the_cache_and_stays_as_it_is(self):
        self.put(*FOREIGN)
        before = state(self.cache)
        for verb in (("setup",), ("setup", "packages"), ("demo",), ("test",), ("clean",)):
            self.assert_failed(self.verb(*verb), says=[f"{self.cache} is not a cache of pcienic's", f"{self.cache}/pcienic"])
        for program in ("setup/cache.sh", "guest-image/build.sh", "guest-image/build-kernel.sh"):
            result = subprocess.run([str(harness.CHECKOUT / program), str(self.cache)], check=False, text=True,
                                    stdin=subprocess.DEVNULL, capture_output=True)
            self.assertEqual((result.returncode, result.stdout), (1, ""), program)
            self.assertIn(f"{self.cache}/pcienic", result.stderr)
        for program in ("fetch_boost.sh", "compilers.sh"):
            result = self.package_script(program, *(("trixie", "1.83") if program.startswith("fetch") else ("--list",)))
            self.assertEqual((result.returncode, result.stdout), (1, ""), program)
            self.assertIn(f"{self.cache}/pcienic", result.stderr)
        self.assertEqual(state(self.cache), before)

    def test_has_room_for_a_cache_as_the_message_says(self):
        self.put(*FOREIGN)
        before = state(self.cache)
        own = str(self.cache / "pcienic")
        self.setup_qemu(PCIENIC_CACHE=own)
        self.ok(self.verb("clean", PCIENIC_CACHE=own))
        self.assertEqual(state(self.cache), before)

    def test_that_holds_anything_at_all_is_refused(self):
        for name in ("file", ".hidden", "lost+found/x", "logs/packages.log", "CACHEDIR.TAG"):
            with self.subTest(name):
                self.put(name)
                self.assert_failed(self.verb("setup", "packages"), says=[name.split("/")[0]])
                self.assert_failed(self.verb("clean"), says=["nothing was removed"])
                shutil.rmtree(self.cache)

    def test_that_is_empty_becomes_a_cache(self):
        self.cache.mkdir()
        self.ok(self.verb("setup", "packages"))
        tag = (self.cache / "CACHEDIR.TAG").read_text(encoding="utf-8")
        # What backup programs look for.
        self.assertTrue(tag.startswith("Signature: 8a477f597d28d172789f06886806bc55\n"), tag)

    def test_that_is_empty_is_left_by_clean(self):
        self.cache.mkdir()
        self.ok(self.verb("clean"))
        self.assertEqual(list(self.cache.iterdir()), [])


class EarlierVersion(CacheCase):
    """Its cache has no mark."""

    PROOFS = {"qemu-0123456789abcdef/about": "QEMU 7.2\n--enable-kvm\n",
              "guest-0123456789abcdef/manifest.json": '{\n  "schema": "pcienic.guest-image/1",\n'}
    LOCKS = ("qemu.lock", "build-3521712.lock")
    NAMES = ("qemu-0123456789abcdef/qemu-system-x86_64", "qemu-src-7.2+dfsg-7+deb12u18/source/VERSION", "qemu-src-7.2+dfsg-7+deb12u18/version",
             "guest-0123456789abcdef/vmlinuz", "guest-resolved-0123456789abcdef", "guest-kvm-0123456789abcdef", "tidy/" + "a1" * 32,
             "kernel-0123456789abcdef/vmlinuz", "kernel-0123456789abcdef/version", "kernel-0123456789abcdef/lib/modules/6.12/x", "logs/packages.log", "logs/guest-6.12.log", "logs/compile-3521712.log",
             "tmp/qemu.AbC123/about", "tmp/qemu-src.st4le5/source/VERSION", "guest-building.QwE123/debs/x", "kernel-building.QwE123/usr/x", "boost-1.83/usr/include/boost/version.hpp")

    def setUp(self):
        super().setUp()
        self.cache = self.work / "pcienic"
        self.put(*self.NAMES)
        self.put(*self.LOCKS, "tmp/guest.AbC123", "CACHEDIR.TAG.st4le5", text="")
        for name, text in self.PROOFS.items():
            self.put(name, text=text)
        (self.cache / "qemu-source-bookworm").symlink_to("qemu-src-7.2+dfsg-7+deb12u18")

    def test_is_taken_over(self):
        self.ok(self.verb("setup", "packages"))
        self.assertTrue((self.cache / "CACHEDIR.TAG").exists())
        self.assertTrue((self.cache / self.NAMES[0]).exists())

    def test_is_cleaned(self):
        self.ok(self.verb("clean"))
        self.assertFalse(self.cache.exists())

    def test_is_not_seen_where_anything_else_is(self):
        for name in (*FOREIGN, "notes"):
            if (self.cache / name).exists() or any(parent.is_file() or f"{name}/".startswith("boost-1.83/") for parent in (self.cache / name).parents):
                continue  # ours has that name here
            with self.subTest(name):
                self.put(name)
                before = state(self.cache)
                for verb in (("setup", "packages"), ("clean",)):
                    self.assert_failed(self.verb(*verb), says=["no mark of ours"])
                self.assertEqual(state(self.cache), before)
                (self.cache / name).unlink()
                if not os.listdir((self.cache / name).parent):
                    (self.cache / name).parent.rmdir()

    def test_is_not_seen_by_names_alone(self):
        shutil.rmtree(self.cache)
        everything = ("boost-1.83/thesis", "tmp/guest.images/x", "logs/packages.log", "guest-0123456789abcdef/1.jpg", "qemu-0123456789abcdef/disk.img",
                      "kernel-0123456789abcdef/version", "qemu-src-1.0/x", "qemu-0123456789abcdef/about", "guest-0123456789abcdef/manifest.json",
                      "guest-resolved-0123456789abcdef", "tidy/" + "a1" * 32)
        for names in (everything, *((name,) for name in everything), ("logs/packages.log", "tidy/" + "a1" * 32)):
            with self.subTest(names):
                self.put(*names)
                before = state(self.cache)
                for verb in (("clean",), ("setup", "packages")):
                    self.assert_failed(self.verb(*verb), says=["no mark of ours"])
                self.assertEqual(state(self.cache), before)
                shutil.rmtree(self.cache)

    def test_leavings_are_removed(self):
        (self.cache / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n# The cache of pcienic. Its ./pcienic clean removes what it put here.\n",
                                                 encoding="utf-8")
        self.test_is_cleaned()

    def test_is_not_seen_in_a_directory_of_another_name(self):
        self.cache = self.cache.rename(self.work / "big")
        self.assert_failed(self.verb("clean"), says=["no mark of ours"])
        self.assertTrue((self.cache / self.NAMES[0]).exists())


class Clean(CacheCase):

    def test_removes_all_that_set_up_made(self):
        self.setup_qemu()
        self.put_build()
        result = self.ok(self.verb("clean"))
        self.assertFalse(self.cache.exists(), result.stderr)
        self.assertFalse((self.checkout / "build").exists())
        self.assertIn(f"removed {self.checkout}/build", result.stdout)
        self.assertRegex(result.stdout, r"freed \d+ MiB")

    def test_removes_the_boost_that_a_test_has_fetched(self):
        self.ok(self.package_script("fetch_boost.sh", "trixie", "1.83"))
        self.assertEqual(list((self.cache / "tmp").iterdir()), [])
        self.assertIn("Boost 1.83", self.package_script("compilers.sh", "--list").stdout)
        self.ok(self.verb("setup", "packages"))
        self.ok(self.verb("clean"))
        self.assertFalse(self.cache.exists())

    def test_of_nothing_succeeds(self):
        self.assertIn("freed 0 MiB", self.ok(self.verb("clean")).stdout)

    def test_leaves_what_others_put_into_a_cache(self):
        self.setup_qemu()
        self.put(*FOREIGN)
        (self.cache / "etc").symlink_to("/etc")
        result = self.ok(self.verb("clean"))
        left = {str(path.relative_to(self.cache)) for path in self.cache.rglob("*") if path.is_symlink() or not path.is_dir()}
        self.assertEqual(left, {*FOREIGN, "etc"})
        self.assertIn(f"{self.cache} stays", result.stderr)

    def test_follows_no_link(self):
        self.ok(self.verb("setup", "qemu"))
        outside = self.work / "outside"
        self.put("precious", under=outside)
        for name in ("guest-0123456789abcdef", "tidy"):
            (self.cache / name).symlink_to(outside)
        self.assert_failed(self.verb("clean"), says=["is a link", "remove the link", "nothing was removed"])
        for name in ("guest-0123456789abcdef", "tidy"):
            (self.cache / name).unlink()
        self.ok(self.verb("clean"))
        self.assertTrue((outside / "precious").exists())

    def test_leaves_a_build_folder_that_no_cmake_made(self):
        self.put("build/thesis", under=self.checkout)
        self.assertIn("stays", self.ok(self.verb("clean")).stderr)
        self.assertTrue((self.checkout / "build/thesis").exists())
        shutil.rmtree(self.checkout / "build")
        self.put("disk/CMakeCache.txt", under=self.work)
        (self.checkout / "build").symlink_to(self.work / "disk")
        self.assertIn("stays", self.ok(self.verb("clean")).stderr)
        self.assertTrue((self.work / "disk/CMakeCache.txt").exists())


    def test_leaves_a_build_folder_of_another_project(self):
        other = self.work / "other"
        other.mkdir()
        for home in (other, self.work / "gone", "", f"{self.checkout}x"):
            self.put_build(home)
            self.assertIn("and not of this checkout", self.ok(self.verb("clean")).stderr)
            self.assertTrue((self.checkout / "build/CMakeCache.txt").exists())
        self.put("build/CMakeCache.txt", under=self.checkout, text="CMAKE_GENERATOR:INTERNAL=Ninja\n")
        self.assertIn("stays", self.ok(self.verb("clean")).stderr)
        self.put_build(other)
        for verb in (("setup",), ("setup", "build"), ("demo",), ("test",), ("bench",)):
            self.assert_failed(self.verb(*verb), says=[f"the build folder of '{other}'", "move it away"])
        (self.checkout / "build/CMakeCache.txt").rename(self.checkout / "build/thesis")
        self.assert_failed(self.verb("setup"), says=["no build folder of cmake's", "move it away"])
        self.assertFalse(list(self.cache.glob("qemu*")), "QEMU was built first")

    def test_removes_a_build_folder_that_is_reached_through_a_link(self):
        (self.work / "link").symlink_to(self.checkout)
        self.put_build(self.work / "link")
        self.ok(self.verb("clean"))
        self.assertFalse((self.checkout / "build").exists())

    def test_removes_a_build_folder_whose_configuration_was_stopped(self):
        self.put("build/CMakeFiles/x", "build/.pcienic.lock", under=self.checkout, text="")
        self.ok(self.verb("clean"))
        self.assertFalse((self.checkout / "build").exists())
        self.put("build/CMakeFiles/x", under=self.checkout)
        self.assertIn("stays", self.ok(self.verb("clean")).stderr)

    def test_refuses_a_cache_in_the_build_folder(self):
        self.put_build()
        (self.work / "link").symlink_to(self.checkout / "build")
        for place in (self.checkout / "build", self.checkout / "build/cache", self.work / "link/cache"):
            for verb in (("setup", "packages"), ("clean",)):
                if verb == ("clean",):
                    place.mkdir(exist_ok=True)
                    self.put("precious", under=place)
                self.assert_failed(self.verb(*verb, PCIENIC_CACHE=str(place)), says=["would lie in the build folder", "set PCIENIC_CACHE"])
            self.assertTrue((place / "precious").exists())
            (place / "precious").unlink()
            if place.name == "cache":
                place.rmdir()
        beside = self.checkout / "build-cache"
        self.ok(self.verb("setup", "packages", PCIENIC_CACHE=str(beside)))

    def test_says_what_cannot_be_removed(self):
        self.mark_cache()
        self.put("guest-0123456789abcdef/vmlinuz")
        result = self.pcienic("clean", fakes={"rm": "echo 'rm: cannot remove' >&2; return 1"})
        self.assert_failed(result, says=["rm: cannot remove", f"not all of {self.cache}/guest-0123456789abcdef could be removed", "run this again"])
        result = self.pcienic("clean", fakes={"du": "echo 'du: cannot read' >&2; return 1"})
        self.assertNotIn("du:", self.ok(result).stderr)
        self.assertFalse(self.cache.exists())


class Beside(CacheCase):
    """Two at once."""

    def held_build(self):
        """A set-up in the middle of compiling QEMU."""
        self.mark_cache()
        (self.cache / "hold").write_text("", encoding="utf-8")
        process = self.started("setup", "qemu")
        wait_for(lambda: (self.cache / "held").exists() or process.poll() is not None)
        self.assertIsNone(process.poll(), "the set-up ended before it compiled")
        return process

    def test_clean_takes_nothing_from_a_build(self):
        build = self.held_build()
        self.put(*FOREIGN)
        before = state(self.cache)
        self.assert_failed(self.verb("clean"), says=["another pcienic is at work in", "nothing was removed"])
        self.assertEqual(state(self.cache), before)
        build.terminate()
        build.communicate()
        (self.cache / "hold").unlink()
        self.ok(self.verb("clean"))
        self.assertEqual({name for name in FOREIGN if not (self.cache / name).exists()}, set())

    def test_clean_takes_nothing_from_a_guest_or_a_test_that_runs(self):
        self.put("guest-image/build.sh", under=self.checkout, text='#!/bin/bash\nmkdir -p "$1/guest-0123456789abcdef"; echo "$1/guest-0123456789abcdef"\n')
        self.put("guest-image/runner/vmrun", under=self.checkout, text=f"import sys, time\nif sys.argv[1] == '--parse-only': sys.exit()\nopen('{self.work}/runs', 'w'); time.sleep(1000)\n")
        self.put("CMakeLists.txt", under=self.checkout,
                 text="cmake_minimum_required(VERSION 3.25)\nproject(small NONE)\nadd_subdirectory(tools)\n")
        self.put("tools/CMakeLists.txt", under=self.checkout, text="add_custom_target(tool ALL)\n")
        (self.checkout / "guest-image/build.sh").chmod(0o755)
        runs = self.started("run", "--", "true")
        wait_for(lambda: (self.work / "runs").exists() or runs.poll() is not None)
        self.assertIsNone(runs.poll(), runs.stderr.read() if runs.poll() is not None else "")
        self.assert_failed(self.verb("clean"), says=["another pcienic is at work in"])
        self.assertTrue((self.cache / "guest-0123456789abcdef").exists())

    def running_test(self):
        """A test run in the middle of a case."""
        self.put("guest-image/build.sh", under=self.checkout, text='#!/bin/bash\nmkdir -p "$1/guest-0123456789abcdef"; echo "$1/guest-0123456789abcdef"\n')
        (self.checkout / "guest-image/build.sh").chmod(0o755)
        self.put("CMakeLists.txt", under=self.checkout,
                 text="cmake_minimum_required(VERSION 3.25)\nproject(small NONE)\nenable_testing()\nadd_subdirectory(tools)\n"
                 f"add_test(NAME long COMMAND sh -c \"touch {self.work}/runs; until test -e {self.work}/end; do sleep 0.1; done\")\n")
        self.put("tools/CMakeLists.txt", under=self.checkout, text="add_custom_target(tool ALL)\n")
        runs = self.started("test")
        wait_for(lambda: (self.work / "runs").exists() or runs.poll() is not None)
        self.assertIsNone(runs.poll(), runs.stderr.read() if runs.poll() is not None else "")
        return runs

    def test_clean_with_another_cache_leaves_the_build_folder_of_a_test_that_runs(self):
        runs = self.running_test()
        other = str(self.work / "another")
        self.assert_failed(self.verb("clean", PCIENIC_CACHE=other), says=[f"another pcienic is at work in {self.checkout}/build", "nothing was removed"])
        self.assertTrue((self.checkout / "build/CMakeCache.txt").exists())
        # What another builds need not wait for the test.
        self.ok(self.verb("setup", "build"))
        self.put("end", under=self.work)
        self.assertEqual(runs.wait(), 0)
        self.ok(self.verb("clean", PCIENIC_CACHE=other))
        self.assertFalse((self.checkout / "build").exists())

    def test_termination_is_heard_while_it_waits_for_another(self):
        self.mark_cache()
        with open(self.cache / "qemu.lock", "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            waiter = self.started("setup", "qemu")
            self.assertIn("waiting for another pcienic", waiter.stderr.readline())
            waiter.terminate()
            self.assertEqual(waiter.wait(), 143)
            # Nothing of it waits on.
            fcntl.flock(file, fcntl.LOCK_UN)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_clean_takes_nothing_from_an_earlier_version(self):
        for name in ("qemu.lock", "guest.lock", "kernel.lock", "build-17.lock"):
            with self.subTest(name):
                self.mark_cache()
                with open(self.cache / name, "w", encoding="utf-8") as file:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    self.assert_failed(self.verb("clean"), says=["another pcienic is at work in"])
                (self.cache / name).unlink()

    def test_lock_that_was_removed_meanwhile_is_no_lock(self):
        path = self.work / "the.lock"
        with open(path, "w", encoding="utf-8") as removed:
            fcntl.flock(removed, fcntl.LOCK_EX)
            waiter = subprocess.Popen(["bash", "-c", f'. "{self.checkout}/setup/cache.sh"; take_lock "{path}"; echo taken; read -r'],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.addCleanup(waiter.communicate)
            wait_for(lambda: any(os.path.realpath(link) == str(path) for link in pathlib.Path(f"/proc/{waiter.pid}/fd").iterdir()))
            path.unlink()
        self.assertEqual(waiter.stdout.readline(), "taken\n")
        with open(path, "r", encoding="utf-8") as current:  # which the waiter holds
            with self.assertRaises(BlockingIOError):
                fcntl.flock(current, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_mark_that_another_process_puts_meanwhile_is_seen(self):
        self.mark_cache()
        (self.cache / "logs").mkdir(exist_ok=True)
        self.assertEqual(subprocess.run(["bash", "-c", '. "$0"/setup/cache.sh; cache_may_be_marked "$1"', self.checkout, self.cache]).returncode, 0)

    def test_first_two_make_one_cache(self):
        runs = [self.started("setup", "packages") for _ in range(6)]
        for run in runs:
            out, said = run.communicate()
            self.assertEqual(run.returncode, 0, out + said)
        self.assertEqual(sorted(path.name for path in self.cache.iterdir()), ["CACHEDIR.TAG", "logs", "tmp"])


class Private(CacheCase):

    def test_what_is_made_is_for_its_owner(self):
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.ok(self.verb("setup", "qemu"))
        for path in (self.cache, self.cache / "logs", self.cache / "tmp", *self.cache.glob("logs/*"), *self.cache.glob("qemu-*")):
            self.assertEqual(path.stat().st_mode & 0o077, 0, path) if not path.is_symlink() else None
        loose = [path for path in self.cache.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022]
        self.assertFalse([path for path in loose if "/source/" not in str(path)])
        self.ok(self.verb("setup", "qemu"))

    def test_what_others_can_write_to_is_refused_until_the_remedy(self):
        self.ok(self.verb("setup", "qemu"))
        for path in (self.cache, self.cache / "logs", next(self.cache.glob("qemu-????????????????/qemu-system-x86_64"))):
            for bit in (0o020, 0o002):
                with self.subTest(path, bit=oct(bit)):
                    path.chmod(path.stat().st_mode | bit)
                    result = self.verb("setup", "qemu")
                    self.assert_failed(result, says=["not only its owner may write to", str(path), "chmod -R go-w"])
                    subprocess.run(["bash", "-c", result.stderr[result.stderr.index("chmod -R go-w"):]], check=True)
                    self.ok(self.verb("setup", "qemu"))

    @unittest.skipUnless(os.geteuid() == 0, "only root can give files away")
    def test_what_belongs_to_somebody_else_is_refused(self):
        self.ok(self.verb("setup", "qemu"))
        program = next(self.cache.glob("qemu-????????????????/qemu-system-x86_64"))
        for path in (self.cache, self.cache / "logs", self.cache / "tmp", program.parent, program, next(self.cache.glob("qemu-src-*"))):
            with self.subTest(path):
                os.chown(path, NOBODY, NOBODY)
                for verb in (("setup", "qemu"), ("clean",)):
                    self.assert_failed(self.verb(*verb), says=[f"{path} belongs to nobody", "set PCIENIC_CACHE"])
                os.chown(path, 0, 0)
        self.assertTrue(program.exists())

    def as_other(self, *arguments, **variables):
        return self.pcienic(*arguments, fakes={"dpkg-query": ALL_INSTALLED}, wrapper=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
                            **variables)

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_what_cannot_be_listed_is_not_taken_for_empty(self):
        self.put("precious")
        os.chown(self.cache, NOBODY, NOBODY)
        self.cache.chmod(0o300)
        for verb in (("setup", "packages"), ("clean",)):
            self.assert_failed(self.as_other(*verb), says=[f"{self.cache} cannot be read", "chmod u+rwx"])
        self.assertEqual(os.listdir(self.cache), ["precious"])
        (self.cache / "precious").unlink()
        self.cache.chmod(0o700)
        self.ok(self.as_other("setup", "packages"))
        (self.cache / "logs").chmod(0o300)
        for verb in (("setup", "packages"), ("clean",)):
            result = self.as_other(*verb)
            self.assert_failed(result, says=[f"{self.cache}/logs cannot be read", "chmod u+rwx"])
        subprocess.run(["bash", "-c", re.search(r"chmod[^;]*", result.stderr)[0]], check=True)
        self.ok(self.as_other("setup", "packages"))
        foreign = self.cache / "lost+found"
        foreign.mkdir(mode=0o700)
        self.ok(self.as_other("setup", "packages"))

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_no_right_to_write_is_no_other_pcienic(self):
        self.mark_cache()
        for path in (self.cache, self.cache / "logs", self.cache / "tmp"):
            path.chmod(0o700)
        self.cache.chmod(0o755)
        self.assert_failed(self.as_other("clean"), says=["CACHEDIR.TAG cannot be read", "become the user that it belongs to"])
        (self.cache / "CACHEDIR.TAG").chmod(0o644)
        self.assert_failed(self.as_other("clean"), says=["cannot be read", "become the user that it belongs to"])
        (self.cache / "logs").chmod(0o755)
        (self.cache / "tmp").chmod(0o755)
        result = self.as_other("clean")
        self.assert_failed(result, says=[f"cannot lock {self.cache}/CACHEDIR.TAG: Permission denied", "nothing was removed", "become the user"])
        self.assertNotIn("another pcienic", result.stderr)
        self.put_build()
        (self.checkout / "build").chmod(0o755)
        result = self.as_other("clean", PCIENIC_CACHE=str(self.work / "none"))
        self.assert_failed(result, says=[f"{self.checkout}/build cannot be removed", "Permission denied", "nothing was removed"])
        self.assertNotIn("another pcienic", result.stderr)
        self.assertTrue((self.checkout / "build/CMakeCache.txt").exists())

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_user_without_a_name_is_not_complained_of(self):
        self.cache.mkdir()
        os.chown(self.cache, 54321, 54321)
        result = self.pcienic("setup", "packages", fakes={"dpkg-query": ALL_INSTALLED}, wrapper=["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"])
        self.assertEqual(self.ok(result).stderr, "")
        os.chown(self.cache / "logs", NOBODY, NOBODY)
        (self.cache / "logs").chmod(0o755)
        result = self.pcienic("setup", "packages", fakes={"dpkg-query": ALL_INSTALLED}, wrapper=["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"])
        self.assert_failed(result, says=["belongs to nobody, and user 54321 would run", f"chown -R 54321 '{self.cache}'"])

    @unittest.skipUnless(os.geteuid() == 0, "only root can give files away")
    def test_source_tree_of_another_user_is_taken_as_ones_own(self):
        for path in (self.tree, *self.tree.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
            path.chmod(path.stat().st_mode | 0o020)
        for verb in (("setup", "qemu"), ("setup", "qemu"), ("clean",)):
            for path in self.cache.glob("*.log"):  # the small tree's own notes
                path.unlink()
            self.ok(self.verb(*verb))
        self.assertFalse(self.cache.exists())

    @unittest.skipUnless(os.geteuid() == 0, "only root can give files away")
    def test_remedy_for_what_is_somebody_elses_works(self):
        self.ok(self.verb("setup", "qemu"))
        os.chown(next(self.cache.glob("qemu-src-*/source")), NOBODY, NOBODY)
        result = self.verb("clean")
        self.assert_failed(result, says=["belongs to nobody", "chown -R 0 "])
        subprocess.run(["bash", "-c", result.stderr[result.stderr.index("chown -R"):]], check=True)
        self.ok(self.verb("clean"))

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_what_is_roots_serves_others_who_may_write_there(self):
        self.mark_cache()
        for path in (self.cache, *self.cache.iterdir()):
            os.chown(path, NOBODY, NOBODY)
        (self.cache / "qemu-0123456789abcdef").mkdir()
        result = self.pcienic("setup", "packages", fakes={"dpkg-query": ALL_INSTALLED}, wrapper=["setpriv", "--reuid=65534", "--clear-groups"])
        self.ok(result)

    def test_links_are_not_written_through(self):
        victim = self.work / "victim"
        victim.mkdir()
        (victim / "file").write_text("precious", encoding="utf-8")
        self.mark_cache()
        for name, target in (("logs", victim), ("tmp", victim), ("tidy", victim), ("qemu.lock", victim / "file"), ("guest.lock", victim / "file"),
                             ("logs/qemu-overlay.log", victim / "file"), ("logs/packages.log", victim / "none"), ("qemu-source-x", victim)):
            with self.subTest(name):
                path = self.cache / name
                path.parent.mkdir(exist_ok=True)
                if path.is_dir():
                    path.rmdir()
                path.symlink_to(target)
                self.assert_failed(self.verb("setup", "qemu"), says=[f"{path} is a link", "remove the link"])
                path.unlink()
                self.assertEqual({each.name: each.read_text(encoding="utf-8") for each in victim.iterdir()}, {"file": "precious"})
        self.ok(self.verb("setup", "qemu"))

    def test_link_to_a_cache_is_the_users_own(self):
        (self.work / "real").mkdir()
        self.cache.symlink_to(self.work / "real")
        self.ok(self.verb("setup", "packages"))
        self.assertTrue((self.work / "real/CACHEDIR.TAG").exists())


class Messages(CacheCase):

    def test_file_in_the_place_of_a_folder_is_named(self):
        for name in ("logs", "tmp"):
            self.mark_cache()
            self.put("x", under=self.cache / "logs")
            shutil.rmtree(self.cache / name)
            self.put(name)
            self.assert_failed(self.verb("setup", "packages"), says=[f"{self.cache}/{name} is no folder", "move it away"])
            (self.cache / name).unlink()
        self.ok(self.verb("setup", "packages"))

    def test_folder_in_the_place_of_a_log_is_named(self):
        self.mark_cache()
        self.put("logs/qemu-source.log/x")
        self.assert_failed(self.verb("setup", "qemu"), says=[f"{self.cache}/logs/qemu-source.log is no file", "move it away"])
        shutil.rmtree(self.cache / "logs/qemu-source.log")
        self.ok(self.verb("setup", "qemu"))

    def test_remedy_is_a_directory_that_can_be(self):
        result = self.verb("setup", "packages", PCIENIC_CACHE=str(self.checkout))
        self.assert_failed(result, says=[f"such as {self.checkout}/pcienic-cache"])
        self.ok(self.verb("setup", "packages", PCIENIC_CACHE=str(self.checkout / "pcienic-cache")))

    def test_name_that_looks_like_an_option_is_one(self):
        for _ in range(2):
            result = self.shell('cd "$1"; exec "$checkout/pcienic" setup packages', self.work, fakes={"dpkg-query": ALL_INSTALLED}, PCIENIC_CACHE="-foo")
            self.assertEqual(self.ok(result).stderr, "")
        self.assertTrue((self.work / "-foo/CACHEDIR.TAG").exists())
        self.ok(self.shell('cd "$1"; exec "$checkout/pcienic" clean', self.work, PCIENIC_CACHE="-foo"))
        self.assertFalse((self.work / "-foo").exists())

    def test_path_that_apt_cannot_have_is_refused(self):
        for letter in '"\\':
            self.assert_failed(self.verb("setup", "packages", PCIENIC_CACHE=f"{self.work}/a{letter}b"), says=["apt cannot be used there", "whose path has neither"])

    def test_line_break_at_the_end_is_not_taken_off(self):
        self.mark_cache()
        self.put("tidy/" + "a1" * 32)
        self.assert_failed(self.verb("setup", "packages", PCIENIC_CACHE=f"{self.cache}\n"), says=["has a blank or a colon in it"])
        self.ok(self.verb("clean", PCIENIC_CACHE=f"{self.cache}\n"))
        self.assertTrue((self.cache / "tidy").exists())
        # A checkout beside another whose name is the same but for that.
        beside = self.work / "checkout\n"
        shutil.copytree(self.checkout, beside)
        self.put_build()
        subprocess.run([str(beside / "pcienic"), "clean"], check=False, capture_output=True, env=self.environment(PCIENIC_CACHE=str(self.work / "none")))
        self.assertTrue((self.checkout / "build/CMakeCache.txt").exists())


class Prune(CacheCase):
    """Old QEMUs go, by when they were used last."""

    def old(self, number, age):
        folder = self.cache / f"qemu-{number:016x}"
        self.put("about", "qemu-system-x86_64", under=folder)
        os.utime(folder, (time.time() - age, time.time() - age))
        return folder

    def test_spares_what_is_used_and_what_is_not_ours(self):
        self.mark_cache()
        foreign = self.cache / "qemu-0123456789abcdeX"
        foreign.mkdir()
        os.utime(foreign, (0, 0))
        made = [self.old(number, 1000 * (20 - number)) for number in range(14)]  # the first are the oldest
        with open(made[0] / "about", encoding="utf-8") as used:
            fcntl.flock(used, fcntl.LOCK_SH)
            self.ok(self.verb("setup", "qemu"))
        left = {path for path in made if path.exists()}
        self.assertEqual(left, {made[0], *made[5:]}, "the ten used last, with the new one, and one that is in use")
        self.assertTrue(foreign.exists())

    def test_counts_from_the_last_use(self):
        first = pathlib.Path(self.ok(self.verb("setup", "qemu")).stdout.removeprefix("QEMU:  ").strip()).parent
        os.utime(first, (0, 0))
        self.ok(self.verb("setup", "qemu"))
        self.assertGreater(first.stat().st_mtime, 0)

    def test_a_run_holds_its_qemu(self):
        held = self.work / "held"
        script = (f'qemu_directory={self.cache}/qemu-0123456789abcdef; make_cache; mkdir "$qemu_directory"; : >"$qemu_directory/about"; '
                  f'use_qemu; flock --exclusive --nonblock "$qemu_directory/about" true || echo held >{held}')
        self.ok(self.shell(script))
        self.assertTrue(held.exists())


if __name__ == "__main__":
    harness.main()

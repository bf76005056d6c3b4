# SPDX-License-Identifier: MIT
"""guest-image/build.sh where it cannot build: each obstacle is named with its remedy, and nothing half-made stays."""

import os
import subprocess
import unittest

from support import PROJECT, TemporaryDirectory

BUILDER = PROJECT / "guest-image/build.sh"
NO_NETWORK = 'Acquire::http::Proxy "http://127.0.0.1:1"; Acquire::https::Proxy "http://127.0.0.1:1"; Acquire::Retries "0";'


class Image(TemporaryDirectory):
    def build(self, *arguments, apt="", df=""):
        """df: what a df says instead of the system's."""
        programs = self.directory / "programs"
        programs.mkdir(exist_ok=True)
        if df:
            (programs / "df").write_text(f"#!/bin/sh\n{df}\n")
            (programs / "df").chmod(0o755)
        configuration = self.directory / "apt.conf"
        # The machine's own configuration would be read after this one, and win.
        configuration.write_text('Dir::Etc::main "/dev/null"; Dir::Etc::parts "/nowhere";' + apt)
        return subprocess.run([str(BUILDER), *map(str, arguments)], capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, env={**os.environ, "APT_CONFIG": str(configuration), "PATH": f"{programs}:{os.environ['PATH']}"})

    def assert_fails(self, answer, status, *texts):
        self.assertEqual((answer.returncode, answer.stdout), (status, ""), answer.stderr)
        for text in texts:
            self.assertIn(text, answer.stderr)

    def assert_nothing_left(self, cache):
        self.assertLessEqual(set(os.listdir(cache)), {"guest.lock", "kernel.lock", "CACHEDIR.TAG", "logs", "tmp"})

    def test_needs_a_cache(self):
        self.assert_fails(self.build(), 2, "no cache directory", "usage:")

    def test_knows_its_kernels(self):
        self.assert_fails(self.build(self.directory, "--kernel", "plan9"), 2, "plan9", "cloud", "amd64", "6.12", "iommufd")

    def test_own_kernel_without_apts_lists(self):
        lists = self.directory / "lists"
        (lists / "partial").mkdir(parents=True)
        cache = self.directory / "cache"
        apt = f'Dir::State::Lists "{lists}"; Dir::Cache "{self.directory}"; Dir::State::Status "/dev/null";'
        self.assert_fails(self.build(cache, "--kernel", "iommufd", apt=apt), 1, "linux-source-6.12", "apt-get update")
        self.assert_nothing_left(cache)
        self.assert_fails(self.build(cache, "--kernel", "6.12", apt=apt), 1, "linux-image-6", "apt-get update")
        self.assert_nothing_left(cache)

    def test_own_kernel_without_a_network(self):
        cache = self.directory / "cache"
        answer = self.build(cache, "--kernel", "iommufd", apt=NO_NETWORK)
        self.assert_fails(answer, 1, "linux-source-6.12", "could not be downloaded", "check the network")
        self.assert_nothing_left(cache)

    def test_own_kernel_without_room(self):
        cache = self.directory / "cache"
        answer = self.build(cache, "--kernel", "iommufd", df="echo Avail; echo 12M")
        self.assert_fails(answer, 1, str(cache), "only 12 MiB", "make room", "PCIENIC_CACHE")
        self.assert_nothing_left(cache)

    def test_refuses_unknown_options(self):
        self.assert_fails(self.build(self.directory, "--colonel", "x"), 2, "--colonel")

    def test_without_apts_lists(self):
        lists = self.directory / "lists"
        (lists / "partial").mkdir(parents=True)
        cache = self.directory / "cache"
        apt = f'Dir::State::Lists "{lists}"; Dir::Cache "{self.directory}"; Dir::State::Status "/dev/null";'
        self.assert_fails(self.build(cache, apt=apt), 1, "linux-image-cloud-amd64", "apt-get update")
        self.assert_nothing_left(cache)

    def test_without_a_network(self):
        cache = self.directory / "cache"
        self.assert_fails(self.build(cache, apt=NO_NETWORK), 1, "could not be downloaded", "check the network")
        self.assert_nothing_left(cache)

    def test_without_room(self):
        cache = self.directory / "cache"
        answer = self.build(cache, df="echo Avail; echo 12M")
        self.assert_fails(answer, 1, str(cache), "only 12 MiB", "make room", "PCIENIC_CACHE")
        self.assertNotIn("full", answer.stderr)
        self.assert_nothing_left(cache)

    def test_a_disk_that_fills_up_on_the_way(self):
        cache = self.directory / "cache"
        said = self.directory / "said"
        df = f"echo Avail; if [ -e '{said}' ]; then echo 0M; else touch '{said}'; echo 100000M; fi"
        self.assert_fails(self.build(cache, apt=NO_NETWORK, df=df), 1, str(cache), "is full", "make room", "PCIENIC_CACHE")
        self.assert_nothing_left(cache)


if __name__ == "__main__":
    unittest.main()

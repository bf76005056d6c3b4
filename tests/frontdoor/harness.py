# SPDX-License-Identifier: MIT
"""What the front door's tests share: a copy of the checkout to run in, commands replaced by fakes, a small QEMU tree."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

# Every package of setup/packages.txt counts as installed.
ALL_INSTALLED = 'shift 3; for name; do echo "ii  $name"; done'
NONE_INSTALLED = "return 1"


class FrontDoorCase(unittest.TestCase):
    """Runs ./pcienic from a copy of the checkout, with a cache of its own.

    The copy has only what the front door itself needs, and may be edited by a test.
    """

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="pcienic-frontdoor.")
        self.addCleanup(directory.cleanup)
        self.work = pathlib.Path(directory.name)
        self.work.chmod(0o755)
        self.checkout = self.work / "checkout"
        self.cache = self.work / "cache"
        for name in ("pcienic", "setup", "qemu-device", "CMakePresets.json"):
            source = CHECKOUT / name
            target = self.checkout / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target)

    def environment(self, fakes=None, **variables):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PCIENIC_")}
        environment["PCIENIC_CACHE"] = str(self.cache)
        environment.update(variables)
        # The front door puts the system's directories first in PATH, so a fake command is an exported shell function:
        # bash prefers those to files.
        for command, body in (fakes or {}).items():
            environment[f"BASH_FUNC_{command}%%"] = f"() {{ {body}\n}}"
        return environment

    def pcienic(self, *arguments, fakes=None, wrapper=(), **variables):
        """Runs ./pcienic; its result has returncode, stdout and stderr."""
        return subprocess.run([*wrapper, str(self.checkout / "pcienic"), *arguments], text=True, check=False, errors="surrogateescape",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=self.environment(fakes, **variables))

    def shell(self, script, *arguments, fakes=None, **variables):
        """Runs SCRIPT in a bash that has sourced the set-up, as ./pcienic does."""
        prologue = (f'set -euo pipefail; checkout={self.checkout}; build=$checkout/build; checkout_id=1; '
                    f'cache={self.cache}; mkdir -p "$cache"; '
                    'for part in lib packages qemu build; do . "$checkout/setup/$part.sh"; done; use_plain_environment; ')
        return subprocess.run(["bash", "-c", prologue + script, "bash", *map(str, arguments)], text=True, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=self.environment(fakes, **variables))

    def mark_cache(self):
        """Makes the cache one, for a test that puts something into it beforehand."""
        subprocess.run([str(self.checkout / "setup/cache.sh"), str(self.cache)], check=True, stdout=subprocess.DEVNULL)

    def assert_failed(self, result, *, status=1, says=()):
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        for text in says:
            self.assertIn(text, result.stderr)

    def assert_nothing_half_done(self):
        """Only logs, locks and an empty tmp may be left in the cache after a failure."""
        left = {str(p.relative_to(self.cache)) for p in self.cache.rglob("*")} if self.cache.exists() else set()
        self.assertFalse({name for name in left if not name.startswith("logs") and name not in ("tmp", "qemu.lock", "CACHEDIR.TAG")}, left)


# configure and the build of the small QEMU tree. The build concatenates our sources into the "program", fails on a file
# that holds BROKEN, and waits where a file named `hold` says so, for the tests that interrupt it.
CONFIGURE = """#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
for argument; do
    case $argument in
        --meson=*) ;;
    esac
done
[[ ! -e ../source/refuse ]] || { echo "ERROR: glib is missing"; exit 1; }
printf '%s\\n' "$@" >arguments
echo configured >>../../configured.log
cat >build.ninja <<'EOF'
rule program
  command = ../source/compile $out
build qemu-system-x86_64: program | ../source/compile always
build always: phony
EOF
"""
COMPILE = """#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
set -e
cd "$(dirname "$0")"
echo compiled >>../../compiled.log
grep -rl BROKEN hw/pcienic/core && { echo "core.c:1: error: BROKEN"; exit 1; }
if [[ -e ../../hold ]]; then
    echo half >"../build/$1"
    touch ../../held
    sleep 300
fi
cat hw/pcienic/core/* >"../build/$1.new"
chmod +x "../build/$1.new"
mv "../build/$1.new" "../build/$1"
"""


def before_patch(patch):
    """What a backport expects of the file that it changes: the lines that it keeps and those that it takes away."""
    text = (CHECKOUT / "qemu-device/overlay/backports" / patch).read_text(encoding="utf-8")
    hunks = text.partition("\n@@")[2].splitlines(keepends=True)[1:]
    # An empty line of the file has lost its mark: no line here ends in a blank.
    return "".join(line[1:] or line for line in hunks if line[0] in " -\n")


def make_qemu_tree(tree, *, modern=False):
    """A tree with just those lines that the overlay looks for: of 7.2, or of 10.0 when MODERN."""
    def put(name, text, mode=0o644):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)

    put("VERSION", "10.0.13\n" if modern else "7.2.22\n")
    put("hw/Kconfig", "# devices Kconfig\nsource net/Kconfig\nsource pci/Kconfig\nsource rtc/Kconfig\n")
    put("hw/pci-bridge/Kconfig", "config PCIE_PORT\n    bool\n" + ("\nconfig PCIE_PCI_BRIDGE\n    bool\n" if modern else ""))
    put("hw/pci/Kconfig", "config PCI\n    bool\n" + ("config PCIE_DEVICES\n    bool\n" if modern else ""))
    put("hw/meson.build", "subdir('pci')\nsubdir('pci-bridge')\nsubdir('pci-host')\nsubdir('rtc')\n")
    source_set = "system_ss" if modern else "softmmu_ss"
    put("meson.build", f"{source_set} = ss.source_set()\ntrace_events_subdirs += [\n    'hw/nvme',\n    'hw/pci',\n"
        "    'hw/rtc',\n]\n" + ("c_args = ['-DCOMPILE_SYSTEM_VS_USER']\n" if modern else ""))
    if modern:
        put("system/physmem.c", "static void tcg_commit_cpu(CPUState *cpu, run_on_cpu_data data)\n{\n}\n\n"
            "static void tcg_commit(MemoryListener *listener)\n{\n}\n")
    else:
        put("softmmu/physmem.c", before_patch("tcg-commit.patch"))
    put("configs/devices/x86_64-softmmu/default.mak", "CONFIG_Q35=y\n")
    put("configure", CONFIGURE, 0o755)
    put("compile", COMPILE, 0o755)


def snapshot(tree):
    """Content and time of every file below TREE."""
    return {str(p.relative_to(tree)): (p.read_bytes(), p.stat().st_mtime_ns) for p in tree.rglob("*") if p.is_file()}


def main():
    """Lists the tests with --list, else runs those named; exits with 77 when all that ran were skipped."""
    loader = unittest.defaultTestLoader
    module = sys.modules["__main__"]
    if sys.argv[1:] == ["--list"]:
        for suite in loader.loadTestsFromModule(module):
            for case in suite:
                print(case.id().removeprefix("__main__."))
        return
    suite = loader.loadTestsFromNames(sys.argv[1:], module) if sys.argv[1:] else loader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.testsRun and len(result.skipped) == result.testsRun else 0)

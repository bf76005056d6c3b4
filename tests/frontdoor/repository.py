#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What must hold for every file of the repository, tracked or about to be."""

import os
import pathlib
import re
import shutil
import subprocess
import unittest

import harness

CHECKOUT = harness.CHECKOUT
C_FAMILY = (".c", ".h", ".cpp", ".hpp")
# Files that have no place for a comment, or whose bytes are the test.
WITHOUT_LICENCE_LINE = re.compile(r"^LICENSES/|\.(md|json|golden|expected|cfg)$|(^|/)(data|golden|(\w+_)?corpus)/|^\.git")


def tracked():
    """The repository's files; a file that was just written counts, one that git ignores does not."""
    # The owner of the checkout need not be who runs the tests.
    result = subprocess.run(["git", "-c", f"safe.directory={CHECKOUT}", "-C", str(CHECKOUT), "ls-files", "-z",
                             "--cached", "--others", "--exclude-standard"], check=False, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
    if result.returncode != 0:
        raise unittest.SkipTest("not a git checkout")
    names = sorted(set(result.stdout.decode().split("\0")) - {""})
    # A file that was deleted and not committed is still listed.
    return [name for name in names if (CHECKOUT / name).is_file()]


def text_of(name):
    """The file's text, or None for a binary file (a fuzzer's corpus)."""
    data = (CHECKOUT / name).read_bytes()
    try:
        return None if b"\0" in data else data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def is_shell(name):
    return re.match(r"#!.*\b(ba)?sh\b", text_of(name) or "") is not None


def needs(program):
    if not shutil.which(program):
        raise unittest.SkipTest(f"{program} is not installed (./pcienic setup packages installs it)")


class Repository(unittest.TestCase):

    def test_every_source_names_its_licence(self):
        missing = [name for name in tracked() if not WITHOUT_LICENCE_LINE.search(name) and text_of(name)
                   and "SPDX-License-Identifier:" not in "\n".join(text_of(name).splitlines()[:10])]
        self.assertFalse(missing, "add `SPDX-License-Identifier: MIT`, or GPL-2.0-or-later where QEMU's headers or "
                         "libpci are used, within the first lines")

    def test_licences_named_are_those_shipped(self):
        shipped = {path.stem for path in (CHECKOUT / "LICENSES").glob("*.txt")}
        for name in tracked():
            for licence in re.findall(r"^\W*SPDX-License-Identifier: (\S+)", text_of(name) or "", re.M):
                self.assertIn(licence, shipped, name)

    def test_device_and_licence_agree(self):
        """What includes QEMU's headers or libpci's is GPL; what both sides share is MIT."""
        for name in tracked():
            if not name.endswith(C_FAMILY):
                continue
            text = text_of(name)
            gpl = "SPDX-License-Identifier: GPL-2.0-or-later" in text
            if re.search(r'#\s*include\s*["<](qemu/osdep\.h|hw/|pci/pci\.h)', text):
                self.assertTrue(gpl, f"{name} includes QEMU's or libpci's headers and is not GPL-2.0-or-later")
            if re.match(r"qemu-device/core/|uio-vfio-lib/(include|src)/", name):
                self.assertFalse(gpl, f"{name} is used on both sides, and must be MIT")

    def test_no_host_and_no_machine_is_named(self):
        """Mirrors are derived from apt's configuration; paths from where the checkout is."""
        # Written so that this file does not match itself.
        hosts = re.compile(r"(deb|security|ftp|snapshot)[.]debian[.]org|archive[.]ubuntu[.]com|(files[.])?pypi(thonhosted)?"
                           r"[.]org|registry[.]npmjs|crates[.]io|proxy[.]golang|docker[.]io|ghcr[.]io|quay[.]io")
        # The guest has a /root of its own; a name below it is somebody's machine.
        paths = re.compile(r"(?<![\w.$}~/-])/(work|home/\w+|root(?=/[.\w]))/")
        found = []
        for name in tracked():
            for number, line in enumerate((text_of(name) or "").splitlines(), 1):
                if hosts.search(line) or paths.search(line):
                    found.append(f"{name}:{number}: {line.strip()}")
        self.assertFalse(found, "\n".join(found))

    def test_files_end_with_one_newline_and_lines_with_none_but_text(self):
        for name in tracked():
            text = text_of(name)
            if text is None or re.search(r"(^|/)(data|golden|(\w+_)?corpus)/|^LICENSES/", name) or not text:
                continue
            self.assertTrue(text.endswith("\n") and not text.endswith("\n\n"), f"{name}: one newline at the end")
            self.assertNotIn("\r", text, name)
            if not name.endswith(".md"):
                stray = [n for n, line in enumerate(text.splitlines(), 1) if line != line.rstrip()]
                self.assertFalse(stray, f"{name}: blanks at the end of lines {stray}")

    def test_c_and_cpp_are_formatted(self):
        needs("clang-format-19")
        names = [name for name in tracked() if name.endswith(C_FAMILY)]
        result = subprocess.run(["clang-format-19", "--dry-run", "--Werror", *names], cwd=CHECKOUT, check=False,
                                text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wrong = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", result.stdout, re.M)))
        self.assertEqual(result.returncode, 0, f"run: clang-format-19 -i {' '.join(wrong)}\n{result.stdout[:3000]}")

    def test_device_passes_qemus_checkpatch(self):
        checkpatch = pathlib.Path(os.environ.get("PCIENIC_QEMU_TREE", ""), "scripts/checkpatch.pl")
        if "PCIENIC_QEMU_TREE" not in os.environ or not checkpatch.exists():
            raise unittest.SkipTest("PCIENIC_QEMU_TREE names no QEMU source tree; ./pcienic test sets it")
        found = []
        for name in tracked():
            if not re.match(r"qemu-device/(core|qemu|steps)/.*[.][ch]$", name):
                continue
            result = subprocess.run(["perl", str(checkpatch), "--no-tree", "--terse", "--no-summary", "-f", name],
                                    cwd=CHECKOUT, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for line in result.stdout.splitlines():
                # compat.h is where QEMU's versions, which look like architectures here, are told apart; __cplusplus is
                # another such name. The end of a property list is a macro that no parentheses fit.
                if "architecture specific defines" in line or ("compat.h" in line and "complex values" in line):
                    continue
                found.append(line)
        self.assertFalse(found, "\n".join(found))

    def test_shell_scripts_pass_shellcheck(self):
        needs("shellcheck")
        # What is only sourced is checked through the script that sources it, which sets its variables.
        names = [name for name in tracked() if is_shell(name)]
        result = subprocess.run(["shellcheck", "--external-sources", "--check-sourced", *names], cwd=CHECKOUT,
                                check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_python_compiles_and_names_its_interpreter(self):
        for name in tracked():
            text = text_of(name) or ""
            if name.endswith(".py") or re.match(r"#!.*python", text):
                compile(text, name, "exec")
                first = text.split("\n", 1)[0]
                if first.startswith("#!"):
                    # Another python earlier in PATH lacks Debian's modules.
                    self.assertEqual(first, "#!/usr/bin/python3", name)

    def test_what_fork_gives_is_looked_at(self):
        """kill() takes a failed call's -1 for every process, and a 0 for its own group."""
        unchecked = []
        for name in tracked():
            if not name.endswith(C_FAMILY):
                continue
            lines = text_of(name).splitlines()
            for number, line in enumerate(lines):
                if re.search(r"\b(fork|forkpty)\((?!\))|\bfork\(\);", line) and not re.match(r"\s*(//|\*)", line):
                    following = "\n".join(lines[number:number + 4])
                    if not re.search(r"< 0|ASSERT_G[ET]\(|must\(", following):
                        unchecked.append(f"{name}:{number + 1}: {line.strip()}")
        self.assertFalse(unchecked, "\n".join(unchecked))

    def test_nothing_in_the_build_folder_calls_ctest_there(self):
        """It empties the log of the run that it is part of: `subdirs` in a folder beside shows it the same tests."""
        for name in tracked():
            if name.startswith("tests/") and name.endswith((".py", ".sh", "CMakeLists.txt")) and name != "tests/frontdoor/repository.py":
                for line in (text_of(name) or "").splitlines():
                    self.assertNotRegex(line, r"ctest.*--test-dir.*(PROJECT_BINARY_DIR|CMAKE_BINARY_DIR|, build\b)", name)

    def test_scripts_are_executable(self):
        wrong = [name for name in tracked() if (text_of(name) or "").startswith("#!")
                 and not (CHECKOUT / name).stat().st_mode & 0o100]
        self.assertFalse(wrong, "these start with #! and are not executable")

    def test_json_files_parse(self):
        import json  # only this test needs it
        for name in tracked():
            if name.endswith(".json"):
                with self.subTest(name):
                    json.loads(text_of(name))

    def test_links_between_documents_lead_somewhere(self):
        broken = []
        for name in tracked():
            if not name.endswith(".md"):
                continue
            # A link inside a code block is an example.
            text = re.sub(r"^```.*?^```", "", text_of(name), flags=re.M | re.S)
            for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
                path = pathlib.Path(CHECKOUT, name).parent / target
                if "://" not in target and not target.startswith("mailto:") and not path.exists():
                    broken.append(f"{name}: {target}")
        self.assertFalse(broken, "\n".join(broken))


if __name__ == "__main__":
    harness.main()

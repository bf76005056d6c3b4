#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The verbs that hand over to the guest's runner or to ctest, with small stand-ins for what they hand over to."""

import json
import os
import pathlib
import re
import time
import xml.etree.ElementTree

import harness
from harness import ALL_INSTALLED

# Builds nothing, and answers as the real one does: talk first, the image's directory last.
BUILD_SH = """#!/bin/bash
# SPDX-License-Identifier: MIT
if [[ $1 == --help ]]; then echo "usage: build.sh CACHE_DIR [--kernel 6.12|a|b|iommufd]"; exit; fi
echo "built${2:+ $*}" >>"$1/guest-built.log"
[[ ! -e $1/refuse ]] || { echo "guest image: no kernel" >&2; exit 1; }
mkdir -p "$1/guest-1"
echo "some talk"
echo "$1/guest-1"
"""
VMRUN = """#!/usr/bin/python3
# SPDX-License-Identifier: MIT
import json, os, sys
if sys.argv[1] == "--parse-only":
    sys.exit(0)
if "broken" in sys.argv:
    sys.exit(125)
print(json.dumps({"arguments": sys.argv[1:], "qemu": os.environ["PCIENIC_QEMU"], "guest": os.environ["PCIENIC_GUEST"],
                  "build": os.environ["PCIENIC_BUILD"]}))
sys.exit(7 if "fail" in sys.argv else 0)
"""
EARLIER = '{\n "schema": "pcienic.bench/1",\n "runs": []\n}\n'
CMAKE = """# SPDX-License-Identifier: MIT
cmake_minimum_required(VERSION 3.25)
project(small NONE)
enable_testing()
add_custom_target(everything ALL COMMAND ${CMAKE_COMMAND} -E touch ${CMAKE_BINARY_DIR}/all-was-built)
add_subdirectory(tools)
add_test(NAME unit.good COMMAND ${CMAKE_COMMAND} -E true)
add_test(NAME guest.bad COMMAND ${CMAKE_COMMAND} -E false)
"""
TOOLS = """# SPDX-License-Identifier: MIT
add_custom_target(tool ALL COMMAND ${CMAKE_COMMAND} -E touch ${CMAKE_BINARY_DIR}/tools-were-built)
# Says what it was asked, and shows the results that it was given.
file(WRITE ${CMAKE_BINARY_DIR}/tools/pcienic-bench "#!/bin/sh
echo \"$@\"
case $2 in *wrong*) exit 1 ;; esac
case $* in *--svg*wrong*) exit 1 ;; esac
cat $(dirname \"$2\")/*.json\n")
file(CHMOD ${CMAKE_BINARY_DIR}/tools/pcienic-bench PERMISSIONS OWNER_READ OWNER_EXECUTE)
add_custom_target(pcienic-bench)
"""


class HandOver(harness.FrontDoorCase):

    def setUp(self):
        super().setUp()
        self.tree = self.work / "qemu"
        harness.make_qemu_tree(self.tree)
        self.put("guest-image/build.sh", BUILD_SH, 0o755)
        self.put("guest-image/runner/vmrun", VMRUN, 0o755)
        self.put("CMakeLists.txt", CMAKE)
        self.put("tools/CMakeLists.txt", TOOLS)

    def put(self, name, text, mode=0o644):
        path = self.checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)

    def verb(self, *arguments, **variables):
        return self.pcienic(*arguments, fakes={"dpkg-query": ALL_INSTALLED}, PCIENIC_QEMU_SRC=str(self.tree), **variables)

    def handed_over(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def test_run_passes_its_arguments_word_for_word(self):
        arguments = ["--device", "edu", "--qemu", "-m 1G", "--put", "a b:/c d", "--no-bind", "--", "sh", "-c", "echo $HOME '*'"]
        self.assertEqual(self.handed_over(self.verb("run", *arguments))["arguments"], ["run", *arguments])

    def test_run_exits_with_the_runners_status(self):
        self.assertEqual(self.verb("run", "--", "fail").returncode, 7)

    def test_runner_finds_qemu_and_the_guest(self):
        told = self.handed_over(self.verb("run", "--", "true"))
        self.assertTrue(told["qemu"].startswith(str(self.cache)) and told["qemu"].endswith("/qemu-system-x86_64"), told)
        self.assertEqual(told["guest"], str(self.cache / "guest-1"))

    def test_guest_and_build_folder_of_the_users_own_are_used(self):
        guest, build = self.work / "my guest", self.work / "my build"
        self.assert_failed(self.verb("run", "--", "true", PCIENIC_GUEST=str(guest)), says=[f"PCIENIC_GUEST={guest} is no guest image: it has no vmlinuz"])
        self.assert_failed(self.verb("run", "--", "true", PCIENIC_BUILD=str(build)), says=[f"PCIENIC_BUILD={build} is no finished build folder"])
        self.assertFalse(self.cache.exists())
        (build / "tools").mkdir(parents=True)
        guest.mkdir()
        for name in ("vmlinuz", "base.cpio.gz"):
            (guest / name).write_text("", encoding="utf-8")
        told = self.handed_over(self.verb("run", "--", "true", PCIENIC_GUEST=str(guest), PCIENIC_BUILD=str(build)))
        self.assertEqual((told["guest"], told["build"]), (str(guest), str(build)))
        self.assertFalse((self.cache / "guest-built.log").exists())
        self.assertFalse((self.checkout / "build").exists())
        for verb in ("test", "bench", "setup"):
            self.assert_failed(self.verb(verb, PCIENIC_BUILD=str(build)), status=2, says=["is for demo, run and shell", "unset it"])
        # As the tests of `test` find it.
        told = self.handed_over(self.verb("run", "--", "true", PCIENIC_BUILD=f"{self.checkout}/./build"))
        self.assertEqual((told["guest"], told["build"]), (str(self.cache / "guest-1"), f"{self.checkout}/build"))

    def test_guests_verbs_compile_the_tools_and_not_the_tests(self):
        self.handed_over(self.verb("run", "--", "true"))
        self.assertTrue((self.checkout / "build/tools-were-built").exists())
        self.assertFalse((self.checkout / "build/all-was-built").exists())

    def test_demo_runs_the_demo(self):
        self.assertEqual(self.handed_over(self.verb("demo"))["arguments"], ["run", "--", "pcienic-demo"])

    def test_shell_is_the_runners(self):
        self.assertEqual(self.handed_over(self.verb("shell", "--no-bind"))["arguments"], ["shell", "--no-bind"])

    def test_bench_measures_once_for_each_kernel_and_shows_the_results_together(self):
        output = self.work / "figures"
        result = self.verb("bench", "--quick", "--only", "dma", "--kernel", "a", "--kernel", "b", "--output", str(output))
        self.assertEqual(result.returncode, 0, result.stderr)
        shown, *runs = result.stdout.splitlines()
        folder = f"{output}/pcienic-run[.][^/]*"
        self.assertRegex(shown, f"^show {folder}/0.json {folder}/1.json --json {output}/bench.json --svg {output}$")
        self.assertEqual(len(runs), 2)
        for kernel, run in zip("ab", runs):
            words = json.loads(run)["arguments"]
            self.assertEqual(words[:5], ["run", "--device", "pcienic", "--device", "pcienic"])
            self.assertTrue([word for word in words if word.startswith("--env=PCIENIC_BENCH_HOST=")], words)
            self.assertEqual(words[-9:], ["--kernel", kernel, "--", "pcienic-bench", "run", "--json", "--quick", "--only", "dma"])
        self.assertEqual(list(output.iterdir()), [], "what is in between is removed")

    def test_bench_leaves_its_results_in_the_build_folder_and_compares(self):
        earlier = self.work / "earlier.json"
        earlier.write_text(EARLIER, encoding="utf-8")
        result = self.verb("bench", "--compare", str(earlier))
        self.assertEqual(result.returncode, 0, result.stderr)
        output = f"{self.checkout}/build/bench"
        self.assertRegex(result.stdout.splitlines()[0],
                         f"^show {output}/pcienic-run[.][^/]*/0.json --json {output}/bench.json --svg {output} --compare {earlier}$")

    def test_bench_measures_nothing_for_a_wrong_file_or_kernel(self):
        wrong = self.work / "wrong.json"
        wrong.write_text(EARLIER, encoding="utf-8")
        result = self.verb("bench", "--compare", str(wrong))
        self.assert_failed(result, says=[f"{wrong}: it is no bench.json of an earlier run"])
        self.assertFalse((self.checkout / "build/bench").exists(), "it was measured first")
        self.assert_failed(self.verb("bench", "--kernel", "a", "--kernel", "c"), status=2, says=["--kernel c: 6.12, a, b, iommufd"])

    def test_bench_keeps_what_it_measured_when_it_fails(self):
        kept = {}
        for arguments, status in ((("--kernel", "a", "--kernel", "b"), 125), (("--output", str(self.work / "wrong")), 1)):
            if status == 125:
                self.put("guest-image/runner/vmrun", VMRUN.replace('"broken" in', '"b" in'), 0o755)
            else:
                self.put("guest-image/runner/vmrun", VMRUN, 0o755)
            result = self.verb("bench", *arguments)
            self.assertEqual(result.returncode, status, result.stderr)
            kept = re.search(r"what was measured before is kept: .*/pcienic-bench show '(.*)'\n", result.stderr)
            self.assertIn("pcienic-bench", pathlib.Path(kept[1]).read_text(encoding="utf-8"))
        self.put("guest-image/runner/vmrun", VMRUN.replace('"broken" in', '"a" in'), 0o755)
        output = self.work / "none"
        result = self.verb("bench", "--kernel", "a", "--output", str(output))
        self.assertNotIn("kept", result.stderr)
        self.assertEqual(list(output.iterdir()), [])

    def test_bench_leaves_what_others_have_in_its_folder(self):
        output = self.work / "figures"
        output.mkdir()
        (output / ".run-0.json").write_text("precious", encoding="utf-8")
        self.assertEqual(self.verb("bench", "--output", str(output)).returncode, 0)
        self.assertEqual((output / ".run-0.json").read_text(encoding="utf-8"), "precious")

    def test_bench_exits_with_the_runners_status(self):
        self.put("guest-image/runner/vmrun", VMRUN.replace('7 if "fail" in sys.argv else 0', "125"), 0o755)
        result = self.verb("bench")
        self.assertEqual((result.returncode, result.stdout), (125, ""), result.stderr)

    def test_second_run_configures_nothing_and_builds_no_qemu(self):
        self.verb("run", "--", "true")
        made = {path: path.stat().st_mtime_ns for path in (self.checkout / "build/build.ninja", *self.cache.glob("logs/qemu-*"))}
        self.handed_over(self.verb("run", "--", "true"))
        self.assertEqual({path: path.stat().st_mtime_ns for path in made}, made)

    def test_presets_that_changed_are_taken_over_once(self):
        self.verb("run", "--", "true")
        presets = self.checkout / "CMakePresets.json"
        presets.write_text(presets.read_text(encoding="utf-8").replace("optimised, with", "optimised and with"), encoding="utf-8")
        made = []
        for _ in range(3):
            made.append((self.checkout / "build/build.ninja").stat().st_mtime_ns)
            self.handed_over(self.verb("run", "--", "true"))
        self.assertEqual([earlier == later for earlier, later in zip(made, made[1:])], [False, True])

    def test_test_ends_with_ctests_summary_and_status(self):
        result = self.verb("test")
        self.assertEqual(result.returncode, 8, result.stderr)
        self.assertIn("50% tests passed, 1 tests failed out of 2", result.stdout)
        self.assertTrue((self.checkout / "build/all-was-built").exists())
        cases = xml.etree.ElementTree.parse(self.checkout / "build/junit.xml").getroot().findall("testcase")
        self.assertEqual({case.get("name"): case.get("status") for case in cases},
                         {"unit.good": "run", "guest.bad": "fail"})

    def test_test_prepares_the_kernels_that_suites_boot_and_run_does_not(self):
        self.verb("run", "--", "true")
        self.assertNotIn("--kernel", (self.cache / "guest-built.log").read_text(encoding="utf-8"))
        self.verb("test")
        built = (self.cache / "guest-built.log").read_text(encoding="utf-8")
        asked = {line.split()[-1] for line in built.splitlines() if "--kernel" in line}
        used = set()
        for file in (harness.CHECKOUT / "tests/guest").rglob("CMakeLists.txt"):
            used |= set(re.findall(r"\bKERNEL ([a-z0-9.]+)", file.read_text(encoding="utf-8")))
        self.assertEqual({"6.12", "iommufd"}, asked)
        self.assertLessEqual(used - {"cloud"}, asked)

    def test_test_passes_its_arguments_to_ctest(self):
        result = self.verb("test", "-R", "^unit[.]")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("100% tests passed, 0 tests failed out of 1", result.stdout)

    def test_options_of_ours_may_stand_anywhere(self):
        result = self.verb("test", "-R", "bad", "--until-fail", "2")
        self.assertEqual(result.returncode, 8, result.stdout)
        result = self.verb("test", "-R", "bad", "--look-again")
        self.assertIn("broken: guest.bad", result.stdout)
        result = self.verb("test", "-R", "good", "--until-fail=3", "-V")
        self.assertEqual((result.returncode, result.stdout.count("Test command:")), (0, 3), result.stdout)

    def test_filter_that_matches_nothing_is_red(self):
        for arguments in (("-R", "typo"), ("-L", "unti"), ("-R", "typo", "--until-fail", "2"), ("-R", "[")):
            result = self.verb("test", *arguments)
            self.assertEqual(result.returncode, 8, result.stdout)
            self.assertIn("No tests were found", result.stdout + result.stderr)
        result = self.verb("test", "-R", "typo", "--look-again")
        self.assertEqual(result.returncode, 8, result.stdout)
        self.assertIn("no test has that name or label: ./pcienic test -N", result.stdout)

    def test_log_and_report_of_the_first_run_stay_when_it_is_looked_at_again(self):
        self.put("CMakeLists.txt", CMAKE.replace("-E false", "-E touch ${CMAKE_BINARY_DIR}/once").replace(
            "guest.bad COMMAND ${CMAKE_COMMAND}", 'unit.odd COMMAND sh -c "test -e ${CMAKE_BINARY_DIR}/once && exit 0; touch ${CMAKE_BINARY_DIR}/once; exit 1" --'))
        result = self.verb("test", "--look-again")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(result.stdout.splitlines()[-1], "unstable: unit.odd")
        log = (self.checkout / "build/Testing/Temporary/LastTest.log").read_text(encoding="utf-8")
        self.assertIn("unit.good", log)
        self.assertIn("./pcienic test --until-fail", (self.checkout / "build/unstable/unit.odd/repeat").read_text(encoding="utf-8"))
        self.assertEqual(self.verb("test", "--look-again").returncode, 0)
        self.assertFalse((self.checkout / "build/unstable").exists(), "that was the last run's")

    def test_stress_finds_what_fails_now_and_then(self):
        count = "${CMAKE_BINARY_DIR}/count"
        self.put("CMakeLists.txt", CMAKE.replace("guest.bad COMMAND ${CMAKE_COMMAND} -E false",
                 f'unit.odd COMMAND sh -c "echo x >>{count}; test $(wc -l <{count}) -lt 5"'))
        self.assertEqual(self.verb("test", "--until-fail", "4").returncode, 0)
        result = self.verb("test", "--until-fail=4", "-R", "odd")
        self.assertEqual(result.returncode, 8, result.stdout)
        self.assertIn("unit.odd", result.stdout)
        for wrong in (("--until-fail",), ("--until-fail", "-R"), ("--until-fail=0",)):
            self.assert_failed(self.verb("test", *wrong), status=2, says=["--until-fail"])

    def test_stress_keeps_the_processors_busy_only_as_long_as_it_runs(self):
        script = 'keep_processors_busy() { :; }; . <(sed -n "/^keep_processors_busy()/,/^}/p" "$checkout/pcienic"); keep_processors_busy; jobs -p; exec sleep 2'
        said = self.shell(script).stdout.split()
        self.assertEqual(len(said), os.cpu_count() if not hasattr(os, "sched_getaffinity") else len(os.sched_getaffinity(0)))
        for _ in range(600):  # a watchdog
            if not any(pathlib.Path(f"/proc/{pid}").exists() for pid in said):
                return
            time.sleep(0.1)
        self.fail("the load outlives the tests")

    def test_ci_is_test_without_a_terminal(self):
        self.put(".ci/run", (harness.CHECKOUT / ".ci/run").read_text(encoding="utf-8"), 0o755)
        script = f'cd / && exec "{self.checkout}/.ci/run" -N'
        result = self.shell(script, fakes={"dpkg-query": ALL_INSTALLED}, PCIENIC_QEMU_SRC=str(self.tree), CI="true")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("Total Tests: 2", result.stdout)

    def test_guest_that_cannot_be_built_is_explained(self):
        self.mark_cache()
        (self.cache / "refuse").write_text("", encoding="utf-8")
        self.assert_failed(self.verb("run", "--", "true"), says=["guest image: no kernel", "logs/guest.log"])
        (self.cache / "refuse").unlink()
        self.handed_over(self.verb("run", "--", "true"))

    def test_setup_does_everything_and_names_it(self):
        result = self.verb("setup")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"(?s)QEMU: .*guest: .*build: ")
        self.assertTrue((self.checkout / "build/all-was-built").exists())


if __name__ == "__main__":
    harness.main()

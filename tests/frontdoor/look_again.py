#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What becomes of a red run: setup/look_again.py, on small build folders with the real ctest."""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest

import harness
from harness import CHECKOUT

LOOK_AGAIN = CHECKOUT / "setup/look_again.py"


class LookAgain(unittest.TestCase):

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="pcienic-look-again.")
        self.addCleanup(directory.cleanup)
        self.build = pathlib.Path(directory.name) / "a build [with|%d] odd letters"
        self.build.mkdir()
        (self.build / "guest-logs").mkdir()

    def case(self, name, *turns, properties="", passing="exit 0"):
        """A case whose first runs are what TURNS say, in sh, and that passes from then on."""
        file = re.sub(r"\W", "_", name)
        script = self.build / f"{file}.sh"
        branches = "".join(f"{number}) {turn};;\n" for number, turn in enumerate(turns, 1))
        script.write_text(f"cd '{self.build}'\nn=$(cat {file}.n 2>/dev/null || echo 0)\nn=$((n + 1))\necho $n >{file}.n\n"
                          f"case $n in\n{branches}*) {passing};;\nesac\n", encoding="utf-8")
        with open(self.build / "CTestTestfile.cmake", "a", encoding="utf-8") as file:
            file.write(f'add_test([==[{name}]==] "/bin/sh" [==[{script}]==])\n'
                       f"set_tests_properties([==[{name}]==] PROPERTIES SKIP_RETURN_CODE 77 {properties})\n")

    def suite(self, name, *, boot=(), health=(), cases, outcome=None):
        """A guest's suite, as cmake/GuestSuite.cmake makes them. The first boot leaves OUTCOME, and a log."""
        logs = f"guest-logs/{name}"
        leave = f"mkdir -p {logs}; echo first >{logs}/console.log; echo '{json.dumps(outcome or {'lost': None})}' >{logs}/outcome.json; "
        good = f"echo '{json.dumps({'lost': None})}' >{logs}/outcome.json"
        self.case(f"guest.{name}.BOOT", leave + (boot[0] if boot else "exit 0"), *boot[1:], passing=good,
                  properties=f"FIXTURES_SETUP guest.{name}")
        self.case(f"guest.{name}.HEALTH", *health, properties=f"FIXTURES_REQUIRED guest.{name}")
        for case, turns in cases.items():
            self.case(f"guest.{name}.{case}", *turns, properties=f"FIXTURES_REQUIRED guest.{name}")

    def runs(self, name):
        return int((self.build / (re.sub(r"\W", "_", name) + ".n")).read_text(encoding="utf-8"))

    def look(self):
        """As `./pcienic test --look-again` does."""
        first = subprocess.run(["ctest", "--test-dir", str(self.build), "--output-junit", str(self.build / "junit.xml"),
                                "--test-output-size-failed", "1000000000"], check=False, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
        self.assertEqual(first.returncode, 8, first.stdout)
        self.log = (self.build / "Testing/Temporary/LastTest.log").read_bytes()
        return subprocess.run([str(LOOK_AGAIN), str(self.build)], check=False, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def assert_green(self, *unstable):
        answer = self.look()
        self.assertEqual(answer.returncode, 0, answer.stdout)
        self.assertEqual(answer.stdout.splitlines()[-len(unstable):], [f"unstable: {name}" for name in unstable])
        return answer

    def assert_red(self, *says):
        answer = self.look()
        self.assertEqual(answer.returncode, 8, answer.stdout)
        self.assertNotIn("unstable: ", answer.stdout)
        for text in says:
            self.assertIn(text, answer.stdout)
        return answer

    def test_case_that_passes_twice_is_unstable(self):
        self.case("unit.Good.Case")
        self.case("unit.Odd/0.Name/x[1]", "echo the reason; exit 1")
        self.case("unit.Odd/0.Name/x[1]More", "exit 0")
        self.assert_green("unit.Odd/0.Name/x[1]")
        self.assertEqual(self.runs("unit.Odd/0.Name/x[1]"), 3)
        self.assertEqual(self.runs("unit.Good.Case"), 1)
        self.assertEqual(self.runs("unit.Odd/0.Name/x[1]More"), 1)
        kept = self.build / "unstable/unit.Odd_0.Name_x_1_"
        self.assertEqual((kept / "unit.Odd_0.Name_x_1_.log").read_text(encoding="utf-8"), "the reason\n")
        self.assertEqual((self.build / "Testing/Temporary/LastTest.log").read_bytes(), self.log, "the first run's log is kept")
        repeat = (kept / "repeat").read_text(encoding="utf-8")
        self.assertTrue(repeat.startswith("./pcienic test --until-fail"), repeat)
        chosen = subprocess.run(["bash", "-c", repeat.replace("./pcienic test --until-fail 100", 'ctest --test-dir "$0" -N'), str(self.build)],
                                check=True, text=True, stdout=subprocess.PIPE).stdout
        self.assertIn("Total Tests: 1", chosen)

    def test_case_that_fails_once_more_is_broken(self):
        for turns in (("exit 1", "exit 1"), ("exit 1", "exit 0", "exit 1"), ("exit 1", "exit 77"), ("kill -SEGV $$", "kill -SEGV $$")):
            with self.subTest(turns):
                self.tearDownBuild()
                self.case("unit.Case", *turns)
                self.assert_red("broken: unit.Case")

    def tearDownBuild(self):
        subprocess.run(["rm", "-rf", str(self.build)], check=True)
        self.build.mkdir()
        (self.build / "guest-logs").mkdir()

    def test_what_a_sanitizer_reported_is_never_forgiven(self):
        for line in ("==1==ERROR: AddressSanitizer: heap-use-after-free", "==1==ERROR: LeakSanitizer: detected memory leaks",
                     "WARNING: ThreadSanitizer: data race (pid=1)", "f.cpp:3:4: runtime error: signed integer overflow",
                     "SUMMARY: UndefinedBehaviorSanitizer: undefined-behavior", "double free or corruption (out)",
                     "free(): invalid pointer", "malloc(): corrupted top size", "*** stack smashing detected ***: terminated"):
            with self.subTest(line):
                self.tearDownBuild()
                self.case("unit.Good", "exit 1")
                self.case("asan.Case", f"echo 'before'; echo '{line}'; exit 1")
                self.assert_red(f"never forgiven: asan.Case: asan.Case reported: {line}")
                self.assertEqual(self.runs("asan.Case"), 1, "it is not even run again")

    def test_sanitizer_that_reports_after_much_output_is_seen(self):
        self.case("tsan.Case", "head -c 400000 /dev/zero | tr '\\0' x; echo; echo 'WARNING: ThreadSanitizer: data race'; exit 1")
        self.assert_red("never forgiven: tsan.Case")

    def test_three_cases_are_forgiven_and_four_are_not(self):
        for number in range(3):
            self.case(f"unit.Case{number}", "exit 1")
        self.assert_green("unit.Case0", "unit.Case1", "unit.Case2")
        self.tearDownBuild()
        for number in range(4):
            self.case(f"unit.Case{number}", "exit 1")
        self.assert_red("4 cases failed: more than 3")

    def test_one_that_is_broken_spoils_the_others(self):
        self.case("unit.Odd", "exit 1")
        self.case("unit.Bad", "exit 1", "exit 1")
        answer = self.look()
        self.assertEqual(answer.returncode, 8)
        self.assertIn("broken: unit.Bad", answer.stdout)

    def test_program_that_is_not_there_is_never_forgiven(self):
        self.case("unit.Good")
        with open(self.build / "CTestTestfile.cmake", "a", encoding="utf-8") as file:
            file.write('add_test(unit_NOT_BUILT "/nowhere/unit_NOT_BUILT")\n')
        self.assert_red("never forgiven: unit_NOT_BUILT: unit_NOT_BUILT: Unable to find executable")

    def test_skipped_case_is_no_failure(self):
        self.case("unit.Skips", passing="exit 77")
        self.case("unit.Odd", "exit 1")
        self.assert_green("unit.Odd")

    def test_guests_case_is_run_again_in_a_whole_boot(self):
        self.suite("vfio", cases={"S.Odd": ("echo failed; exit 1",), "S.Good": ()})
        self.assert_green("guest.vfio.S.Odd")
        self.assertEqual(self.runs("guest.vfio.S.Good"), 3)
        self.assertEqual(self.runs("guest.vfio.HEALTH"), 3)
        self.assertEqual((self.build / "unstable/guest.vfio/guest-logs/console.log").read_text(encoding="utf-8"), "first\n")

    def test_guests_case_that_breaks_the_machine_the_second_time_is_broken(self):
        self.suite("vfio", health=("exit 0", "echo 'kernel, during S.Odd: BUG: x'; exit 1"), cases={"S.Odd": ("exit 1",)})
        self.assert_red("broken: guest.vfio.S.Odd")

    def test_health_is_never_forgiven(self):
        for line in ("sanitizer: ==1==ERROR: AddressSanitizer: x", "kernel, outside any case: Oops: 0002", "DMAR fault, announced by no test, x",
                     "S.A left file descriptors open: 7"):
            with self.subTest(line):
                self.tearDownBuild()
                self.suite("vfio", health=(f"echo '{line}'; exit 1",), cases={"S.A": ()})
                self.assert_red("never forgiven: guest.vfio.HEALTH")

    def test_boot_that_died_before_init_counts_as_one(self):
        lost = {"lost": "Kernel panic - not syncing: early", "died": "guest", "init_ran": False}
        self.suite("new", boot=("echo 'the guest died before its init ran: Kernel panic'; exit 125",), outcome=lost,
                   cases={f"S.C{number}": () for number in range(6)})
        self.assert_green("guest.new (the machine was lost)")

    def test_boot_that_dies_again_is_broken(self):
        lost = {"lost": "Kernel panic - not syncing: early", "died": "guest", "init_ran": False}
        self.suite("new", boot=("exit 125", "exit 0", "exit 125"), outcome=lost, cases={"S.A": ()})
        self.assert_red("broken: guest.new (the machine was lost)")

    def test_machine_that_hung_is_looked_at_again(self):
        lost = {"lost": "nothing was heard from it for 60 seconds", "died": "hang", "init_ran": True}
        self.suite("slow", health=("echo 'the virtual machine was lost: nothing was heard'; exit 1",), outcome=lost,
                   cases={"S.A": ("echo 'LOST: the virtual machine was lost in the middle of it'; exit 1",), "S.B": ("echo NOT RUN; exit 1",),
                          "S.C": ("echo NOT RUN; exit 1",), "S.D": ("echo NOT RUN; exit 1",)})
        self.assert_green("guest.slow (the machine was lost)")

    def test_kernel_or_qemu_that_died_is_never_forgiven(self):
        for died, init_ran in (("guest", True), ("qemu", True), ("qemu", False)):
            with self.subTest(died=died, init_ran=init_ran):
                self.tearDownBuild()
                self.suite("vfio", health=("echo lost; exit 1",), outcome={"lost": "of the test", "died": died, "init_ran": init_ran},
                           cases={"S.A": ("echo LOST; exit 1",)})
                self.assert_red("never forgiven: guest.vfio (the machine was lost)", "of the test")

    def test_run_that_left_no_report_is_said(self):
        self.case("unit.Case")
        answer = subprocess.run([str(LOOK_AGAIN), str(self.build)], check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(answer.returncode, 1)
        self.assertIn("no JUnit file", answer.stdout)
        self.assertNotIn("Traceback", answer.stdout)

    def test_counting_the_tests_leaves_the_log_of_the_run_alone(self):
        for number in range(150):
            self.case(f"unit.Case{number}")
        subprocess.run(["ctest", "--test-dir", str(self.build), "-R", "Case1$"], check=True, stdout=subprocess.DEVNULL)
        log = self.build / "Testing/Temporary/LastTest.log"
        before = log.read_bytes()
        counted = subprocess.run([str(CHECKOUT / "tests/frontdoor/count.py"), str(self.build)], check=False, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertIn("150 tests in all", counted.stdout)
        self.assertEqual(log.read_bytes(), before)

    def test_knows_all_that_the_runner_takes_for_a_sanitizers_report(self):
        text = (CHECKOUT / "tests/runner/suite_test.py").read_text(encoding="utf-8")
        block = text[text.index("def test_sees_sanitizer_reports"):]
        lines = re.findall(r'"([^"]*(?:Sanitizer|runtime error)[^"]*)"', block[:block.index("def ", 10)])
        self.assertGreater(len(lines), 3)
        source = LOOK_AGAIN.read_text(encoding="utf-8")
        names = {}
        exec(compile(source[source.index("NEVER = "):source.index("class Case")], "look_again", "exec"), {"re": re}, names)
        for line in lines:
            self.assertRegex(line, names["NEVER"])


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""vmrun suite, report and health: what is said about the cases and the machine of one boot."""

import json
import unittest

from support import BOOTED, RunnerTest, end, exited, results, start

ALPHA = {"type": "program", "name": "alpha"}
BETA = {"type": "program", "name": "beta"}


def ended(program, status=0):
    return {"type": "program_end", "name": program, "status": status}


class SuiteTest(RunnerTest):
    programs = ("alpha",)

    def setUp(self):
        super().setUp()
        self.logs = self.directory / "logs"
        for name in self.programs:
            path = self.directory / name
            path.write_text("#!/bin/sh\n")
            path.chmod(0o755)

    def boot(self, *options):
        programs = [f"--program={self.directory / name}" for name in self.programs]
        return self.vmrun("suite", "--name", "s", "--device", "none", "--log-dir", self.logs, *programs, *options)

    def boot_ok(self, *steps, options=()):
        self.play(BOOTED, *steps)
        answer = self.boot(*options)
        self.assertEqual(answer.returncode, 0, answer.stderr.decode())

    def report(self, case, *options):
        answer = self.vmrun("report", "--log-dir", self.logs, "--case", case, *options)
        return answer.returncode, answer.stdout.decode()

    def health(self):
        answer = self.vmrun("health", "--log-dir", self.logs)
        return answer.returncode, answer.stdout.decode()

    def assert_reported(self, case, status, *texts):
        got, said = self.report(case)
        self.assertEqual(got, status, said)
        for text in texts:
            self.assertIn(text, said)

    def assert_healthy(self):
        self.assertEqual(self.health(), (0, "healthy\n"))

    def assert_unhealthy(self, *texts):
        status, said = self.health()
        self.assertEqual(status, 1, said)
        for text in texts:
            self.assertIn(text, said)


def order(command, **arguments):
    return {"type": "qmp", "execute": command, "arguments": arguments}


class Orders(SuiteTest):
    """What a test asks of QEMU over the results channel."""

    def test_are_carried_out_one_after_the_other(self):
        log = self.directory / "orders"
        self.environment["FAKE_QEMU_ORDERS"] = str(log)
        orders = [order("device_del", id="dev0"), order("device_add", driver="edu", id="dev0"), order("query-status")]
        self.boot_ok(results(ALPHA, start("S.Case"), *orders), ["orders", 3], results(end("S.Case"), ended("alpha")), exited(0))
        got = [json.loads(line) for line in log.read_text().splitlines()]
        self.assertEqual([request["execute"] for request in got],
                         ["qmp_capabilities", "device_del", "device_add", "query-status"])
        self.assertEqual(got[2]["arguments"], {"driver": "edu", "id": "dev0"})
        self.assert_healthy()

    def test_that_qemu_refuses_are_told(self):
        self.boot_ok(results(ALPHA, start("S.Case"), order("device_add", driver="refuse", id="dev0")), ["orders", 1], ["sleep", 0.2],
                     results(end("S.Case"), ended("alpha")), exited(0))
        self.assert_unhealthy("QEMU refused", "refuse", "dev0", "not today")

    def test_that_reach_the_host_are_not_carried_out(self):
        log = self.directory / "orders"
        self.environment["FAKE_QEMU_ORDERS"] = str(log)
        for request in (order("migrate", uri="exec:touch /tmp/x"), order("human-monitor-command", **{"command-line": "migrate exec:x"}), order("quit"),
                        order("screendump", filename="/etc/x"), order("device_add", driver="vfio-pci", host="0000:00:02.0"),
                        order("device_add", driver="e1000e", romfile="/etc/shadow"), order("device_add", driver="loader", file="/etc/shadow")):
            with self.subTest(request):
                log.unlink(missing_ok=True)
                self.boot_ok(results(ALPHA, start("S.Case"), request, order("query-status")), ["orders", 1], results(end("S.Case"), ended("alpha")), exited(0))
                self.assert_unhealthy(request["execute"], "a guest may")
                self.assertEqual([json.loads(line)["execute"] for line in log.read_text().splitlines()], ["qmp_capabilities", "query-status"])

    def test_that_make_no_sense_are_told(self):
        self.boot_ok(results(ALPHA, start("S.Case"), {"type": "qmp", "execute": 7}, end("S.Case"), ended("alpha")), exited(0))
        self.assert_unhealthy("no QMP request", "7")

    def test_are_not_taken_from_a_run_unless_it_may(self):
        log = self.directory / "orders"
        self.environment["FAKE_QEMU_ORDERS"] = str(log)
        self.play(BOOTED, results(order("query-status")), ["sleep", 0.2], exited(0))
        answer = self.vmrun("run", "--device", "none", "--", "true")
        self.assertEqual(answer.returncode, 0)
        self.assertIn("--allow-qmp was not given", answer.stderr.decode())
        self.assertFalse(log.exists())
        self.play(BOOTED, results(order("query-status")), ["orders", 1], exited(0))
        answer = self.vmrun("run", "--allow-qmp", "--device", "none", "--", "true")
        self.assertEqual((answer.returncode, answer.stderr.decode()), (0, ""))
        self.assertTrue(log.exists())


class Reports(SuiteTest):
    def test_tell_passed_failed_and_skipped(self):
        self.boot_ok(
            results(ALPHA, start("S.Good"), end("S.Good"), start("S.Bad"), {"type": "failure", "file": "f.cpp", "line": 3, "message": "m"},
                    end("S.Bad", "failed"), start("S.Later"), end("S.Later", "skipped"), ended("alpha", 1)), exited(0))
        self.assert_reported("S.Good", 0, "passed")
        self.assert_reported("S.Bad", 1, "failed")
        self.assert_reported("S.Later", 77, "skipped")
        self.assert_healthy()  # a failed case is not the machine's fault

    def test_show_the_cases_own_output(self):
        self.boot_ok(
            ["write", "stdout", "[ RUN      ] S.One\nfirst\n[       OK ] S.One (1 ms)\n[ RUN      ] S.OneMore\nsecond\n"
                                "[       OK ] S.OneMore (0 ms)\n"],
            ["write", "console", "[ 1.0] pcienic-case start S.One\n[ 1.1] a driver speaks\n[ 1.2] pcienic-case end S.One\n[ 1.3] later\n"],
            results(ALPHA, start("S.One"), end("S.One"), start("S.OneMore"), end("S.OneMore"), ended("alpha")), exited(0))
        _, said = self.report("S.One")
        self.assertIn("first", said)
        self.assertIn("a driver speaks", said)
        self.assertNotIn("second", said)
        self.assertNotIn("later", said)

    def test_need_a_boot(self):
        answer = self.vmrun("report", "--log-dir", self.logs, "--case", "S.C")
        self.assert_refused(answer, "no finished run")

    def test_of_a_case_that_must_fail(self):
        self.boot_ok(results(ALPHA, start("S.Bad"), end("S.Bad", "failed"), start("S.Good"), end("S.Good"), start("S.Dies"),
                             ended("alpha", 139)), exited(0))
        self.assertEqual(self.report("S.Bad", "--expect-failed")[0], 0)
        for case in ("S.Good", "S.Dies", "S.Missing"):
            status, said = self.report(case, "--expect-failed")
            self.assertEqual(status, 1)
            self.assertIn("must run and fail", said)

    def test_of_what_the_filter_left_out(self):
        self.boot_ok(results(ALPHA, start("S.In"), end("S.In"), ended("alpha")), exited(0), options=("--filter", "S.In"))
        self.assert_reported("S.In", 0)
        self.assert_reported("S.Out", 77, "not selected by the filter S.In")

    def test_of_what_the_environments_filter_left_out(self):
        self.environment["PCIENIC_GTEST_FILTER"] = "S.In"
        self.boot_ok(results(ALPHA, start("S.In"), end("S.In"), ended("alpha")), exited(0), options=("--filter", "S.*"))
        self.assert_reported("S.Out", 77, "not selected by the filter S.In")
        self.assertEqual(self.report("S.Out", "--expect-failed")[0], 77)

    def test_of_a_filter_that_selects_nothing_here(self):
        self.boot_ok(results(ALPHA, ended("alpha")), exited(0), options=("--filter", "Other.*"))
        self.assert_reported("S.Out", 77, "not selected")


class Crashes(SuiteTest):
    programs = ("alpha", "beta")

    def test_do_not_hide_the_next_program(self):
        self.boot_ok(results(ALPHA, start("A.One"), end("A.One"), start("A.Dies"), ended("alpha", 139), BETA, start("B.One"),
                             end("B.One"), ended("beta")), exited(0))
        self.assert_reported("A.One", 0)
        self.assert_reported("A.Dies", 1, "CRASHED", "status 139")
        self.assert_reported("A.Never", 1, "NOT RUN", "alpha ended in the middle of A.Dies")
        self.assert_reported("B.One", 0)
        self.assert_healthy()  # the crashed case carries it

    def test_of_the_machine_are_told_from_failures(self):
        self.boot_ok(["write", "console", "Kernel panic - not syncing: gone\n"],
                     results(ALPHA, start("A.One"), end("A.One"), start("A.Kills")))
        self.assert_reported("A.One", 0)
        self.assert_reported("A.Kills", 1, "LOST", "Kernel panic - not syncing: gone")
        self.assert_reported("B.One", 1, "NOT RUN", "the virtual machine was lost before it")
        self.assert_unhealthy("the virtual machine was lost", "end record is missing", "Kernel panic", "alpha did not end", "beta did not end")

    def test_of_qemu_are_told_from_failures(self):
        self.boot_ok(results(ALPHA, start("A.Kills")), ["signal", 9])
        self.assert_reported("A.Kills", 1, "LOST", "QEMU was killed by SIGKILL")

    def test_before_any_case_fail_the_boot(self):
        self.play(BOOTED, ["write", "console", "Kernel panic - not syncing: early\n"])
        self.assert_guest_died(self.boot(), "early")

    def test_before_init_ran_are_told_from_all_others(self):
        self.play(["write", "console", "PANIC: double fault\nKernel panic - not syncing: early\n"])
        self.assert_guest_died(self.boot(), "the guest died before its init ran: Kernel panic - not syncing: early")
        self.assertEqual(self.outcome(), ("guest", False))
        self.play(results({"type": "init"}), ["write", "console", "Kernel panic - not syncing: later\n"])
        self.assert_guest_died(self.boot(), "the guest died: Kernel panic - not syncing: later")
        self.assertEqual(self.outcome(), ("guest", True))
        self.play(["write", "console", "BUG: something\n"], ["signal", 6])
        self.assert_guest_died(self.boot(), "the guest died: BUG: something")
        self.assertEqual(self.outcome(), ("qemu", False))
        self.play(["hang"])
        self.assert_guest_died(self.boot("--timeout=1"), "the guest died before its init ran: it was still running after 1 seconds")
        self.assertEqual(self.outcome(), ("hang", False))

    def outcome(self):
        outcome = json.loads((self.logs / "outcome.json").read_text())
        return outcome["died"], outcome["init_ran"]

    def test_of_every_program_before_its_cases_fail_the_boot(self):
        self.play(BOOTED, results(ALPHA, ended("alpha", 127), BETA, ended("beta", 127)), exited(0))
        self.assert_guest_died(self.boot(), "no test case started")

    def test_programs_that_are_not_there(self):
        (self.directory / "beta").unlink()
        self.assert_refused(self.boot(), "beta", "build it first")


class HealthTest(SuiteTest):
    def run_case(self, *steps, records=(), status=0, taint=0, leaked=(), options=()):
        """One passing case with what `steps` write while it runs."""
        self.boot_ok(["write", "console", "[ 1.0] pcienic-case start S.C\n"], *steps, ["write", "console", "[ 9.0] pcienic-case end S.C\n"],
                     results(ALPHA, start("S.C"), *records, end("S.C", leaked=leaked), ended("alpha", status)), exited(0, taint),
                     options=options)
        return self


class Health(HealthTest):
    def test_of_a_quiet_run(self):
        self.run_case(["write", "console", "<4>[ 0.5] mtrr: your CPUs had inconsistent settings\n"]).assert_healthy()

    def test_sees_what_the_kernel_complains_about(self):
        for line in ("WARNING: CPU: 0 PID: 1 at drivers/vfio/x.c:1 f+0x1/0x2 [vfio]", "BUG: kernel NULL pointer dereference",
                     "Oops: 0002 [#1] PREEMPT SMP", "general protection fault, probably for", "WARNING: possible circular locking dependency",
                     "watchdog: BUG: soft lockup - CPU#0 stuck", "INFO: task x blocked for more than", "rcu: INFO: rcu_preempt detected stalls"):
            with self.subTest(line):
                self.run_case(["write", "console", f"[ 2.0] {line}\n"]).assert_unhealthy(line, "during S.C")

    def test_sees_a_taint_although_the_text_was_lost(self):
        self.run_case(taint=512).assert_unhealthy("tainted by a warning")

    def test_sees_a_missing_end_record(self):
        self.boot_ok(results(ALPHA, start("S.C"), end("S.C"), ended("alpha")))
        self.assert_unhealthy("end record is missing")

    def test_sees_garbage_among_the_results(self):
        self.run_case(results("not a record")).assert_unhealthy("not a record")

    def test_sees_sanitizer_reports(self):
        for line in ("==1==ERROR: AddressSanitizer: heap-use-after-free", "==1==ERROR: LeakSanitizer: detected memory leaks",
                     "f.cpp:3:4: runtime error: signed integer overflow", "WARNING: ThreadSanitizer: data race"):
            with self.subTest(line):
                self.run_case(["write", "stdout", f"{line}\n"]).assert_unhealthy(line)

    def test_sees_a_status_that_no_case_explains(self):
        self.run_case(status=23).assert_unhealthy("alpha ended with status 23")

    def test_sees_left_descriptors(self):
        self.run_case(leaked=["7 -> anon_inode:[eventfd]"]).assert_unhealthy("S.C left file descriptors open: 7 -> anon_inode:[eventfd]")

    def test_sees_a_failure_outside_of_cases(self):
        self.boot_ok(results(ALPHA, start("S.C"), end("S.C"), {"type": "failure", "file": "f", "line": 1, "message": "in tear-down"},
                             ended("alpha", 1)), exited(0))
        self.assert_unhealthy("in tear-down")


class Announcements(HealthTest):
    FAULT = ("[ 2.0] DMAR: DRHD: handling fault status reg 2\n[ 2.1] DMAR: [DMA Read NO_PASID] Request device [01:00.0] "
             "fault addr 0xdead000 [fault reason 0x06] PTE Read access is not set\n")
    EXPECT_FAULT = {"type": "expect", "kind": "dmar", "pattern": "fault addr 0xdead000"}
    EXPECT_ERROR = {"type": "expect", "kind": "guest_error", "pattern": "bad (vector|doorbell) [0-9]+"}

    def test_cover_the_fault_they_name(self):
        self.run_case(["write", "console", self.FAULT],
                      ["complain", "qemu: vtd_iommu_translate: detected translation failure (dev=01:00:00, iova=0xdead000)"],
                      ["log", "Invalid read at addr 0xDEAD000, size 4, region '(null)', reason: rejected\n"],
                      records=[self.EXPECT_FAULT]).assert_healthy()

    def test_are_needed_for_a_fault(self):
        self.run_case(["write", "console", self.FAULT]).assert_unhealthy("DMAR fault, announced by no test, during S.C", "0xdead000")

    def test_are_needed_for_what_qemu_says_about_a_refused_access(self):
        self.run_case(["complain", "qemu: vtd_iommu_translate: detected translation failure"]).assert_unhealthy("vtd_iommu_translate")

    def test_do_not_cover_another_fault(self):
        expect = {**self.EXPECT_FAULT, "pattern": "fault addr 0xbeef000"}
        self.run_case(["write", "console", self.FAULT], records=[expect]).assert_unhealthy("0xdead000")

    def test_do_not_cover_a_fault_of_another_case(self):
        self.boot_ok(["write", "console", f"[ 1.0] pcienic-case start S.A\n[ 1.1] pcienic-case end S.A\n{self.FAULT}"],
                     results(ALPHA, start("S.A"), self.EXPECT_FAULT, end("S.A"), ended("alpha")), exited(0))
        self.assert_unhealthy("outside any case", "0xdead000")

    def test_cover_a_guest_error_however_often(self):
        self.run_case(["log", "pcienic: bad vector 7\npcienic: bad vector 8\n"], records=[self.EXPECT_ERROR]).assert_healthy()
        self.assert_reported("S.C", 0)

    def test_are_needed_for_a_guest_error(self):
        self.run_case(["log", "pcienic: bad vector 7\n"]).assert_unhealthy("QEMU, announced by no test: pcienic: bad vector 7")

    def test_that_never_come_true_fail_their_case(self):
        self.run_case(records=[self.EXPECT_ERROR])
        self.assert_reported("S.C", 1, "announced a guest error", "never logged")

    def test_of_a_traced_event_are_looked_for(self):
        expect = {"type": "expect", "kind": "trace", "pattern": "pcienic_mmio_read addr 0x[48] "}
        self.run_case(["log", "pcienic_mmio_read addr 0x8 size 4\n"], records=[expect], options=("--trace", "pcienic_*")).assert_healthy()
        self.assert_reported("S.C", 0)
        self.run_case(["log", "pcienic_mmio_read addr 0x9 size 4\n"], records=[expect], options=("--trace", "pcienic_*")).assert_healthy()
        self.assert_reported("S.C", 1, "announced a traced event", "never logged")

    def test_are_not_needed_for_the_trace_that_was_asked_for(self):
        trace = "123@1700000000.123456:pcienic_mmio_read addr 0x0 size 4\npcienic_mmio_write addr 0x0\n"
        self.run_case(["log", trace], options=("--trace", "pcienic_*")).assert_healthy()
        self.run_case(["log", trace]).assert_unhealthy("pcienic_mmio_write addr 0x0")


if __name__ == "__main__":
    unittest.main()

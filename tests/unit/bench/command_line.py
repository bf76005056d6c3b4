#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""pcienic-bench as its users call it, on the simulated device: what it prints, writes and answers; no times.

Usage: command_line.py PROGRAM
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

PROGRAM = sys.argv.pop(1)
SVG = "{http://www.w3.org/2000/svg}"


def bench(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], check=False, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class CommandLine(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="pcienic-bench.")
        cls.addClassCleanup(directory.cleanup)
        cls.work = pathlib.Path(directory.name)
        cls.ran = bench("run", "--quick", "--backend", "sim", "--only", "registers", "--only", "dma", "--json")
        cls.result = cls.work / "result.json"
        cls.result.write_text(cls.ran.stdout, encoding="utf-8")

    def test_run_prints_one_document(self):
        self.assertEqual(self.ran.returncode, 0, self.ran.stderr)
        document = json.loads(self.ran.stdout)
        self.assertEqual(document["schema"], "pcienic.bench/1")
        (run,) = document["runs"]
        for key in ("library", "compiler", "kernel", "accelerator", "processor", "clock", "backend", "date"):
            self.assertTrue(run["environment"][key], key)
        self.assertEqual([group["name"] for group in run["groups"]],
                         ["registers.read", "registers.write", "dma.copy", "dma.batch"])
        for group in run["groups"]:
            names = {series["name"] for series in group["series"]}
            for series in group["series"]:
                ns = series["ns"]
                self.assertEqual(sum(bucket["count"] for bucket in ns["histogram"]), ns["count"])
                self.assertEqual(sorted((ns["min"], ns["p50"], ns["p90"], ns["p99"], ns["p99.9"], ns["max"])),
                                 [ns["min"], ns["p50"], ns["p90"], ns["p99"], ns["p99.9"], ns["max"]])
                self.assertEqual("ratio" in series, series.get("baseline") in names)
                if series.get("must_not_allocate"):
                    self.assertEqual(series["allocations"], 0, series["name"])

    def test_show_draws_writes_and_compares(self):
        pictures, together = self.work / "new/pictures", self.work / "together.json"
        shown = bench("show", self.result, "--svg", pictures, "--json", together, "--compare", self.result)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("dma.copy  The device copies host memory", shown.stdout)
        self.assertIn("x 1.000", shown.stdout)
        self.assertEqual(json.loads(together.read_text(encoding="utf-8")), json.loads(self.ran.stdout))
        drawn = sorted(path.name for path in pictures.iterdir())
        self.assertEqual(drawn, ["dma.batch.svg", "dma.copy.svg", "registers.read.svg", "registers.write.svg"])
        for name in drawn:
            root = xml.etree.ElementTree.parse(pictures / name).getroot()
            self.assertEqual(root.tag, f"{SVG}svg")
            self.assertTrue(root.findall(f"{SVG}g"), name)
            self.assertNotIn("nan", (pictures / name).read_text(encoding="utf-8"))

    def test_runs_of_several_files_are_put_together(self):
        together = self.work / "both.json"
        self.assertEqual(bench("show", self.result, self.result, "--json", together).returncode, 0)
        self.assertEqual(len(json.loads(together.read_text(encoding="utf-8"))["runs"]), 2)

    def test_an_allocation_where_none_may_be_is_the_exit_status(self):
        document = json.loads(self.ran.stdout)
        document["runs"][0]["groups"][0]["series"][0]["allocations"] = 2
        bad = self.work / "bad.json"
        bad.write_text(json.dumps(document), encoding="utf-8")
        shown = bench("show", bad)
        self.assertEqual(shown.returncode, 5)
        self.assertIn("allocates where it must not: registers.read, typed register, checked window: 2 allocations",
                      shown.stderr)

    def test_mistakes_are_explained(self):
        text = self.work / "text"
        text.write_text("hello\n", encoding="utf-8")
        for arguments, status, says in (
                ([], 2, "subcommand"),
                (["run", "--only", "nothing"], 2, "nothing"),
                (["run", "--backend", "sim", "--fast"], 2, "--fast"),
                (["run", "--backend", "other", "-s", "ff:1f.7"], 3, "ff:1f.7"),
                (["show"], 2, "FILE"),
                (["show", self.work / "absent"], 1, f"{self.work}/absent: cannot be read"),
                (["show", text], 2, f"{text}: no result of pcienic-bench"),
                (["show", self.result, "--compare", text], 2, f"{text}: no result of pcienic-bench"),
                (["show", self.result, "--json", self.work / "no/such/folder"], 1, "cannot be written"),
                (["show", self.result, "--svg", text / "x"], 1, "text/x")):
            answered = bench(*arguments)
            self.assertEqual(answered.returncode, status, f"{arguments}: {answered.stderr}")
            self.assertIn(says, answered.stderr)

    def test_help_names_the_subjects(self):
        text = bench("run", "--help").stdout
        for subject in ("registers", "config", "interrupts", "mapping", "dma", "open"):
            self.assertIn(subject, text)
        self.assertIn("Exit codes", bench("--help").stdout)


unittest.main()

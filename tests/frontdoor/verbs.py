#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What ./pcienic says and answers, verb by verb."""

import pathlib
import shutil
import subprocess
import time

import harness
from harness import ALL_INSTALLED

VERBS = ("demo", "test", "run", "shell", "bench", "setup", "clean")


class Verbs(harness.FrontDoorCase):

    def test_no_verb_prints_help(self):
        result = self.pcienic()
        self.assertEqual(result.returncode, 0)
        for word in (*VERBS, "PCIENIC_CACHE", "PCIENIC_QEMU_SRC", "PCIENIC_ACCEL", "PCIENIC_JOBS", "Exit status"):
            self.assertIn(word, result.stdout)
        self.assertFalse(self.cache.exists(), "help must not set anything up")

    def test_help_has_three_spellings(self):
        texts = {self.pcienic(word).stdout for word in ("help", "--help", "-h")}
        self.assertEqual(texts, {self.pcienic().stdout})

    def test_help_fits_a_hundred_columns(self):
        for line in self.pcienic("help").stdout.splitlines():
            self.assertLessEqual(len(line), 100, line)

    def test_unknown_verb_names_the_nearest(self):
        for wrong, right in (("tset", "test"), ("demmo", "demo"), ("setpu", "setup"), ("shel", "shell")):
            self.assert_failed(self.pcienic(wrong), status=2, says=[f"'{wrong}'", f"did you mean '{right}'"])

    def test_unknown_verb_far_from_all_has_no_suggestion(self):
        result = self.pcienic("frobnicate")
        self.assert_failed(result, status=2, says=["frobnicate", "pcienic help"])
        self.assertNotIn("did you mean", result.stderr)

    def test_superfluous_argument_is_refused_before_any_set_up(self):
        for verb in ("demo", "bench", "clean"):
            self.assert_failed(self.pcienic(verb, "everything"), status=2, says=[verb, "'everything'"])
        for help_word in ("help", "-h", "--help"):
            self.assert_failed(self.pcienic(help_word, "run"), status=2, says=["takes no argument", "'run'"])
        self.assert_failed(self.pcienic(""), status=2, says=["no verb ''"])
        self.assertFalse((self.cache / "qemu.lock").exists())

    def test_mistakes_with_bench_are_refused_before_any_set_up(self):
        for arguments, says in ((("--fast",), "'--fast'"), (("--only", "speed"), "--only speed"), (("--only",), "needs a value"),
                                (("--kernel",), "needs a value"), (("--output", ""), "needs a value"),
                                (("--compare", str(self.work / "absent")), f"{self.work}/absent: there is no such file"),
                                (("--compare", str(self.work)), f"{self.work}: there is no such file"),
                                (("--compare", str(self.checkout / "pcienic")), "it is no bench.json of an earlier run"),
                                (("--output", str(self.checkout / "pcienic")), "that is no folder to write to"),
                                (("--output", "a", "--output", "b"), "--output a was given already"),
                                (("--compare", "/dev/null", "--compare", "/dev/zero"), "was given already")):
            self.assert_failed(self.pcienic("bench", *arguments), status=2, says=[says, "pcienic help"])
        self.assertFalse((self.cache / "qemu.lock").exists())

    def test_words_that_ctest_would_drop_are_refused_before_any_set_up(self):
        for arguments, says in ((("unit",), "-L 'unit' (a label) or -R 'unit' (a name)"), (("--lable", "unit"), "did you mean '--label"),
                                (("--until-fial", "3"), "did you mean '--until-fail'"), (("-L",), "-L needs a value"), (("-L", ""), "-L needs a value"),
                                (("-L", "--look-again"), "--look-again is another option"), (("-R", "-L", "x"), "-L is another option"),
                                (("-Lunit",), "-L unit"), (("-LEunit",), "-LE unit"), (("--label-regex=unit",), "--label-regex unit"), (("-L=unit",), "-L unit"),
                                (("-L", "unit", "guest"), "'guest' is none"), (("--", "-N"), "did not"), (("",), "'' is none"),
                                (("--test-dir", "x"), "itself"), (("--output-junit=x",), "itself"), (("--frobnicate",), "'--frobnicate'"),
                                (("--until-fail", "3", "--until-fail", "4"), "--until-fail 3 was given already"), (("--look-again", "--look-again"), "twice"),
                                (("--until-fail", "3", "--repeat", "until-pass:2"), "leave out one"), (("--repeat", "often"), "until-fail:N"),
                                (("-R", "a", "--tests-regex", "b"), "-R a was given already"), (("-L", "unit", "--until-fail"), "needs a number")):
            if arguments[0] == "--":
                says = "'--'"
            self.assert_failed(self.pcienic("test", *arguments), status=2, says=[says, "pcienic help"])
        self.assertFalse((self.cache / "qemu.lock").exists())
        self.assertFalse(list((self.cache / "logs").iterdir()), "a step of the set-up was begun")

    def test_options_that_ctest_has_are_all_known(self):
        help_text = subprocess.run(["ctest", "--help"], text=True, check=True, stdout=subprocess.PIPE).stdout
        for word in ("-L", "-R", "-E", "-LE", "-FA", "-FS", "-FC", "-I", "-C", "-j", "--timeout", "--stop-time", "--repeat", "--test-load", "-O"):
            self.assertIn(f"\n  {word}", help_text)
            self.assertEqual(self.shell('. "$checkout/setup/words.sh"; test_options "$@"; printf "%s\\n" "${ctest_words[@]}"', word,
                                        "until-fail:2" if word == "--repeat" else "2").stdout.splitlines()[0], word)
        for words in (("-N",), ("-V",), ("-j8",), ("-L", "a", "-L", "b"), ("--show-only=json-v1",), ("-R", "^a[.]b c$", "-E", "d"), ("--rerun-failed", "-VV")):
            self.assertEqual(self.shell('. "$checkout/setup/words.sh"; test_options "$@"; printf "%s\\n" "${ctest_words[@]}"', *words).stdout.splitlines(), [*words])

    def test_what_the_runner_would_refuse_is_refused_before_any_set_up(self):
        shutil.copytree(harness.CHECKOUT / "guest-image", self.checkout / "guest-image")
        for arguments in (("run", "--"), ("run", "--", ""), ("run", "a -- b"), ("run", "--devcie", "x", "--", "ls"), ("run", "--kernel", "nonsense", "--", "ls"),
                          ("run", "--kernel=", "--", "ls"), ("run", "--kernel=nonsense", "--", "ls"), ("run", "--iommu-width", "7", "--", "ls"), ("shell", "ls"),
                          ("shell", "--", "ls"), ("shell", "--kernel", "nonsense"), ("run", "--no-bind", "--driver", "none", "--", "ls"), ("run", "", "--", "ls")):
            self.assertEqual(self.pcienic(*arguments).returncode, 2, arguments)
        self.assertIn("cloud", self.pcienic("run", "--kernel", "nonsense", "--", "ls").stderr)
        result = self.pcienic("run", "--no-bind", "--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("--iommu-width", result.stdout)
        self.assertFalse(list((self.cache / "logs").iterdir()), "a step of the set-up was begun")
        # A command may say what it likes.
        self.assert_failed(self.pcienic("run", "--append", "--kernel", "--", "ls", "--kernel", "nonsense", fakes={"apt-get": "return 1", "dpkg-query": "return 1"}), says=["packages"])

    def test_help_of_a_verb_is_not_preceded_by_any_set_up(self):
        shutil.copytree(harness.CHECKOUT / "guest-image/runner", self.checkout / "guest-image/runner")
        for verb in VERBS:
            for word in ("--help", "-h"):
                result = self.pcienic(verb, word)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertRegex(result.stdout, rf"\Ausage: \S+ {verb}\b")
                self.assertGreater(len(result.stdout.splitlines()), 3)
        self.assertFalse((self.cache / "qemu.lock").exists())

    def test_unknown_part_of_the_set_up_is_refused(self):
        self.assert_failed(self.pcienic("setup", "hardware"), status=2, says=["'hardware'", "packages, qemu, guest or build"])

    def test_command_without_its_dashes_is_refused_before_any_set_up(self):
        for arguments in ((), ("pcienic-ls",), ("--bogus",)):
            self.assert_failed(self.pcienic("run", *arguments), status=2, says=["./pcienic run -- pcienic-ls"])
        self.assertFalse(list((self.cache / "logs").iterdir()), "a step of the set-up was begun")

    def test_wrong_environment_is_refused_before_any_set_up(self):
        for name, value in (("PCIENIC_JOBS", "many"), ("PCIENIC_JOBS", "0"), ("PCIENIC_ACCEL", "hvf")):
            self.assert_failed(self.pcienic("demo", **{name: value}), status=2, says=[f"{name}={value}"])
        self.assert_failed(self.pcienic("demo", PCIENIC_QEMU="qemu", PCIENIC_QEMU_OPTIONS="--x"), status=2, says=["unset one of them"])
        self.assertFalse(self.cache.exists())

    def test_checkout_in_whose_path_cmake_cannot_build_is_refused(self):
        for letter, shown in (("\n", "$'\\n'"), *((letter, f"'{letter}'") for letter in '[|;$#"\\')):
            for name in (f"a{letter}b", f"checkout{letter}"):
                with self.subTest(name):
                    (self.work / name).mkdir()
                    self.checkout = self.checkout.rename(self.work / name / "in" if name.startswith("a") else self.work / name)
                    for verb in ("demo", "test", "shell", "setup"):
                        self.assert_failed(self.pcienic(verb), says=[f"has {shown} in it", "move it to a path without that letter"])
                    self.assertFalse(self.cache.exists())

    def test_cache_may_be_relative(self):
        result = self.shell('cd "$1"; cache=here; make_cache; echo "$cache $PCIENIC_CACHE"', self.work)
        self.assertEqual(result.stdout, f"{self.work}/here {self.work}/here\n")

    def test_cache_that_cannot_be_made_is_explained(self):
        (self.work / "file").write_text("", encoding="utf-8")
        result = self.pcienic("setup", "packages", PCIENIC_CACHE=str(self.work / "file/cache"))
        self.assert_failed(result, says=[str(self.work / "file/cache"), "set PCIENIC_CACHE"])

    def test_works_from_any_directory_and_through_a_link(self):
        link = self.work / "link"
        link.symlink_to(self.checkout / "pcienic")
        result = self.shell(f'cd / && exec "{link}" setup packages', fakes={"dpkg-query": ALL_INSTALLED})
        self.assertEqual(result.returncode, 0, result.stderr)


class Steps(harness.FrontDoorCase):
    """Long steps: what they show, and what they leave when they end badly."""

    def step(self, command, **options):
        return self.shell('make_cache; step "doing it" it bash -c "$1"', command, **options)

    def test_quick_step_is_silent(self):
        # A clock that stands still: on a busy machine nothing is quick.
        result = self.shell('make_cache; unset SECONDS; SECONDS=0; step "doing it" it echo hello')
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        self.assertEqual((self.cache / "logs/it.log").read_text(encoding="utf-8"), "hello\n")

    def test_long_step_is_announced_and_timed(self):
        result = self.step("sleep 3")
        self.assertRegex(result.stderr, r"(?s)doing it \.\.\..*doing it: done in \d+ s")

    def test_failure_shows_log_and_its_end(self):
        result = self.step("seq 100; exit 7")
        self.assert_failed(result, says=[f"{self.cache}/logs/it.log", "    100\n", "    86\n"])
        self.assertNotIn("    85\n", result.stderr)

    def test_failures_that_are_known_are_explained(self):
        for output, remedy in (
                ("cc1: fatal error: error writing to x.s: No space left on device", "a disk is full"),
                ("E: Could not get lock /var/lib/dpkg/lock-frontend", "another program held apt's lock"),
                ("Err:1 Could not resolve 'mirror'", "check the network"),
                ("E: Packages need to be removed but remove is disabled.", "remove them yourself"),
                ("g++: fatal error: Killed signal terminated program cc1plus", "PCIENIC_JOBS=1")):
            self.assert_failed(self.step(f'echo "{output}"; exit 1'), says=[output, remedy])

    def test_position_is_ninjas_counter(self):
        log = self.work / "log"
        log.write_text("[1/20] Compiling a\n[2/20] Compiling b\n\n", encoding="utf-8")
        self.assertEqual(self.shell('log_position "$1"', log).stdout, "[2/20]")

    def test_termination_stops_what_the_step_started(self):
        sleeper = self.work / "sleeper"
        sleeper.symlink_to("/usr/bin/sleep")
        script = 'make_cache; (sleep 1; kill -TERM $$) & step "waiting" it bash -c "\"$1\" 300; true"'
        self.assertEqual(self.shell(script, sleeper).returncode, 143)
        # The signal was sent; dying takes a moment. The bound is a watchdog.
        for _ in range(600):
            if not self.running(sleeper):
                return
            time.sleep(0.1)
        self.fail("what the step started still runs")

    def test_termination_leaves_nothing_behind_the_prompt(self):
        sleeper = self.work / "sleeper"
        sleeper.symlink_to("/usr/bin/sleep")
        script = ('make_cache; (until [[ -e "$2" ]]; do sleep 0.1; done; kill -TERM $$) & '
                  'step "waiting" it bash -c "trap \'\' TERM; : >\'$2\'; \'$1\' 300; true"')
        self.assertEqual(self.shell(script, sleeper, self.work / "began").returncode, 143)
        self.assertFalse(self.running(sleeper))

    @staticmethod
    def running(program):
        for process in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if process.read_bytes().split(b"\0")[0] == str(program).encode():
                    return True
            except OSError:
                continue  # it ended meanwhile
        return False


class Environment(harness.FrontDoorCase):

    def test_a_developers_variables_do_not_reach_the_build(self):
        result = self.shell("env", CC="nonsense", CFLAGS="-Wrong", NINJA_STATUS="%%", PYTHONPATH="/nowhere",
                            CMAKE_GENERATOR="Nonsense", PATH="/opt/python/shims:/usr/bin:/bin")
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = result.stdout.splitlines()
        for name in ("CC", "CFLAGS", "NINJA_STATUS", "PYTHONPATH", "CMAKE_GENERATOR"):
            self.assertFalse([line for line in lines if line.startswith(name + "=")], name)
        path = next(line for line in lines if line.startswith("PATH="))
        self.assertTrue(path.startswith("PATH=/usr/bin:"), path)

    def test_cache_follows_the_documented_order(self):
        ask = "cache_directory; echo \"$cache\""
        self.assertEqual(self.shell(ask, PCIENIC_CACHE="/a").stdout, "/a\n")
        self.assertEqual(self.shell(f"unset PCIENIC_CACHE; {ask}", XDG_CACHE_HOME="/x").stdout, "/x/pcienic\n")
        self.assertEqual(self.shell(f"unset PCIENIC_CACHE XDG_CACHE_HOME; HOME=/h; {ask}").stdout, "/h/.cache/pcienic\n")
        self.assertRegex(self.shell(f"unset PCIENIC_CACHE XDG_CACHE_HOME HOME; {ask}").stdout, r"^/.*/\.cache/pcienic\n$")


if __name__ == "__main__":
    harness.main()

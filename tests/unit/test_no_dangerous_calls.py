"""What no module may do: load pickles, run text as code, start a shell, unpack archives to disk, trust a model's own code.

Read from the syntax trees of all packages. What is allowed stands here, with its reason.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("twainbot", "twainbot_assets", "resources", "checks", "training", "fuzz", "benchmarks")

PICKLES = ("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle")
# (file, what): why it is right there
ALLOWED = {
    ("resources/toxicity.py", "import pickle"): "the class of an error: weights_only=True refuses with it",
    ("resources/cell.py", "exec"): "in the sandbox: this is the program that the cell runs",
}


# What the search looks for begins with one of these words: a file without any need not be parsed (a tenth of the time).
TELLING = re.compile(
    r"pickle|dill|joblib|shelve|marshal|\beval\(|\bexec\(|__import__|os\.system|popen|getoutput|getstatus|shell|weights_only"
    r"|torch\.load|trust_remote|dangerous|unpack_archive|\.extract|yaml\.|mktemp|subprocess|os\.(?:exec|posix_spawn)|Sandbox"
)


@cache
def trees() -> dict[str, ast.Module]:
    """The syntax tree of every file in which anything of interest may be."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if TELLING.search(text):
                found[path.relative_to(ROOT).as_posix()] = ast.parse(text)
    return found


@cache
def all_faults() -> list[tuple[str, int, str]]:
    """(file, line, fault) of all packages."""
    return [(path, line, fault) for path, tree in trees().items() for line, fault in faults(tree)]


def name_of(node: ast.expr) -> str:
    """`a.b.c` of a name or an attribute chain; "" for what has no such name, `.c` where only the end has one."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return ""


def faults(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for name in names:
                if name.split(".")[0] in PICKLES:
                    yield node.lineno, f"import {name.split('.')[0]}"
        if isinstance(node, ast.Call):
            yield from ((node.lineno, fault) for fault in call_faults(node))


def call_faults(call: ast.Call) -> Iterator[str]:
    name = name_of(call.func)
    last = name.rsplit(".", 1)[-1]
    said = {word.arg: word.value for word in call.keywords}

    def is_true(word: str) -> bool:
        return isinstance(said.get(word), ast.Constant) and bool(said[word].value)

    if name in ("eval", "exec", "__import__") or name.endswith(("builtins.eval", "builtins.exec")):
        yield last
    if name in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"):
        yield name
    yield from archive_faults(call, name)
    if is_true("shell"):
        yield "shell=True"
    if "weights_only" in said and not is_true("weights_only"):
        yield "weights_only is not True"
    if name == "torch.load" and not is_true("weights_only"):
        yield "torch.load without weights_only=True"
    if is_true("allow_pickle") or is_true("trust_remote_code") or is_true("allow_dangerous_deserialization"):
        yield "a pickle or a model's own code is trusted"
    if name in ("yaml.load", "yaml.load_all") and not is_safe_loader(call):
        yield "yaml.load with another loader"
    if name in ("yaml.unsafe_load", "yaml.full_load", "tempfile.mktemp"):
        yield name


def archive_faults(call: ast.Call, name: str) -> Iterator[str]:
    """Members written to disk under the names that an archive gives them, and tables kept as pickles."""
    last = name.rsplit(".", 1)[-1]
    if last in ("read_pickle", "to_pickle", "unpack_archive"):
        yield last
    if last in ("extractall", "extract") and not isinstance(call.func, ast.Name) and "str" not in name:
        yield last


def is_safe_loader(call: ast.Call) -> bool:
    loader = next(
        (word.value for word in call.keywords if word.arg == "Loader"), call.args[1] if len(call.args) > 1 else None
    )
    return loader is not None and name_of(loader).rsplit(".", 1)[-1] in ("SafeLoader", "CSafeLoader")


def found_in(source: str) -> list[str]:
    return [fault for _, fault in faults(ast.parse(source))]


def test_no_module_does_what_none_may():
    assert [f"{path}:{line}: {fault}" for path, line, fault in all_faults() if (path, fault) not in ALLOWED] == []


def test_each_allowance_is_used():
    assert set(ALLOWED) <= {(path, fault) for path, _, fault in all_faults()}


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import pickle", "import pickle"),
        ("from joblib import load", "import joblib"),
        ("torch.load(path)", "torch.load without weights_only=True"),
        ("torch.load(path, weights_only=False)", "weights_only is not True"),
        ("Model.from_pretrained(x, weights_only=flag)", "weights_only is not True"),
        ("Model.from_pretrained(x, trust_remote_code=True)", "a pickle or a model's own code is trusted"),
        ("np.load(path, allow_pickle=True)", "a pickle or a model's own code is trusted"),
        ("yaml.load(text)", "yaml.load with another loader"),
        ("yaml.load(text, yaml.Loader)", "yaml.load with another loader"),
        ("yaml.unsafe_load(text)", "yaml.unsafe_load"),
        ("subprocess.run(line, shell=True)", "shell=True"),
        ("os.system(line)", "os.system"),
        ("eval(text)", "eval"),
        ("exec(text)", "exec"),
        ("tarfile.open(path).extractall(folder)", "extractall"),
        ("archive.extract(member)", "extract"),
        ("shutil.unpack_archive(path)", "unpack_archive"),
    ],
)
def test_the_search_finds_each_of_them(source, fault):
    assert fault in found_in(source)


@pytest.mark.parametrize(
    "source",
    ["model.eval()", "torch.load(path, weights_only=True)", "yaml.load(text, yaml.CSafeLoader)",
     "frame['a'].str.extract(pattern)", "ast.literal_eval(text)", "subprocess.run(words)",
     "Model.from_pretrained(x, trust_remote_code=False)"],
)  # fmt: skip
def test_it_lets_pass_what_only_looks_like_them(source):
    assert found_in(source) == []


def test_no_resource_is_configured_with_the_value_of_a_variable():
    """Dagster keeps resource configuration with every run; `dg.EnvVar` keeps the variable's name instead."""
    text = (ROOT / "twainbot_assets" / "definitions.py").read_text(encoding="utf-8")
    assert "environ" not in text
    assert 'dg.EnvVar("MLFLOW_TRACKING_URI")' in text


# --- doors ------------------------------------------------------------------------------------------------------------


def runners() -> list[str]:
    """Files that start the cell: they name Sandbox, or run cell.py."""
    return sorted(
        path
        for path, tree in trees().items()
        if any(
            isinstance(node, (ast.Name, ast.Attribute)) and name_of(node).endswith("Sandbox") for node in ast.walk(tree)
        )
    )


def test_code_that_a_model_wrote_has_one_way_to_be_run():
    doors = {
        "resources/sandbox.py",
        "resources/solving.py",
        "resources/proof.py",
    }  # the room, what brings code to it, its proof
    assert set(runners()) <= doors | {"twainbot_assets/evals.py"}, runners()
    text = (ROOT / "twainbot" / "evals" / "coding.py").read_text(encoding="utf-8")
    assert "subprocess" not in text
    assert "importlib" not in text
    assert "compile(" not in text.replace("re.compile(", "")


def test_programs_are_started_by_few_modules_and_these_are_them():
    starters = {
        path
        for path, tree in trees().items()
        if not path.startswith(("benchmarks/", "fuzz/"))
        and any(name_of(node.func) in ("subprocess.run", "subprocess.Popen", "subprocess.check_output", "subprocess.call",
                                       "os.execv", "os.execvp", "os.execve", "os.posix_spawn")
                for node in ast.walk(tree) if isinstance(node, ast.Call))
    }  # fmt: skip
    assert starters == STARTERS


STARTERS = {
    "resources/alerts.py",  # what sends alerts, so that a receiver that hangs hangs alone
    "resources/browser.py",  # Chromium for pages that scripts build
    "resources/bundle_store.py",  # dvc, by name or by TWAINBOT_DVC
    "resources/cell.py",  # the sandbox's inside
    "resources/commit.py",  # git, for the commit's name
    "resources/proof.py",  # what the sandbox must keep in
    "resources/sandbox.py",  # the sandbox
    "resources/tracking.py",  # git, for the run's record
    "resources/with_parent.py",  # a training that dies with its parent
    "twainbot_assets/cli.py",  # dagster dev
}

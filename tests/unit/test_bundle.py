"""A model bundle: what lies in it, what verify.py finds in whole and harmed ones, alone and with public libraries only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("peft")
import torch
from transformers import AutoModelForCausalLM

from resources import bundling, exporting
from resources.shipped import verify
from tests.unit import tiny_bundle
from tests.unit.tiny_training import base
from twainbot.errors import BadInput, BadUse
from twainbot.release import contract, listing
from twainbot_assets import bundles

# a stranger's Python: no package of this project can be imported, however it was installed
STRANGER = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"twainbot", "twainbot_assets", "resources", "checks", "training", "dagster"}:
            raise ModuleNotFoundError(f"{name} is blocked in this test")
sys.meta_path.insert(0, Blocked())
import runpy
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def copy(tmp_path):
    """A bundle that a test may harm."""
    shutil.copytree(tiny_bundle.bundle(), tmp_path / "bundle")
    return tmp_path / "bundle"


def stranger(bundle: Path, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the bundle in isolated mode, away from the clone."""
    command = [sys.executable, "-I", "-W", "ignore", "-c", STRANGER, str(bundle / script), *words]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=bundle.parent, env=quiet, capture_output=True, text=True, check=False)


def test_a_bundle_holds_what_loaders_and_servers_look_for():
    bundle = tiny_bundle.bundle()
    wanted = """
    adapter/adapter_config.json adapter/adapter_model.safetensors personas/franklin/adapter_model.safetensors
    tokenizer.json tokenizer_config.json chat_template.jinja generation_config.json system_prompts.json tools.json
    bundle.json base.json base/model.safetensors merged/model.safetensors merged/config.json merged/chat_template.jinja
    gguf/twain-lora-f32.gguf gguf/franklin-lora-f32.gguf gguf/twain-merged-f16.gguf gguf/Modelfile vllm.sh
    training/twain.yaml training/twain.json training/franklin.yaml NOTICE.md LICENSE .gitattributes
    verify.py contract.py get_base.py probe.json"""
    assert [path for path in wanted.split() if not (bundle / path).is_file()] == []
    facts = json.loads((bundle / "bundle.json").read_text())
    assert list(facts["personas"]) == ["twain", "franklin"]
    assert facts["default_persona"] == "twain"
    assert facts["base"]["kind"] == "included"  # a random base is on no Hub
    assert set(json.loads((bundle / "system_prompts.json").read_text())) == {"twain", "franklin"}


def test_a_whole_bundle_verifies_in_every_form(copy):
    said, problems = bundling.check(copy, None)
    assert problems == []
    heard = "\n".join(said)
    forms = ["twain: adapter", "franklin: adapter", "twain: merged safetensors", "twain: merged GGUF", "twain: GGUF LoRA",
             "franklin: GGUF LoRA"]  # fmt: skip
    assert all(f"{form}: says the recorded dialogue" in heard for form in forms)


def test_merged_weights_are_loaded_unrounded_by_who_names_no_dtype(tmp_path):
    copied = shutil.copytree(base(), tmp_path / "base")
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16", "torch_dtype": "bfloat16"}))
    weights = exporting.merged_weights(copied, tiny_bundle.bundle() / "adapter")
    exporting.write_merged(tmp_path / "merged", weights, copied, tiny_bundle.bundle())
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").state_dict()
    assert [name for name, tensor in weights.items() if not torch.equal(loaded[name], tensor)] == []
    assert "torch_dtype" not in json.loads((tmp_path / "merged" / "config.json").read_text())


@pytest.mark.slow
def test_a_stranger_without_this_project_verifies_it_and_makes_the_base(copy, tmp_path):
    done = stranger(copy, "verify.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("The bundle is whole.\n")
    made = stranger(copy, "get_base.py", str(tmp_path / "base"))
    assert made.returncode == 0, made.stderr
    assert verify.weights_sha256(tmp_path / "base") == verify.weights_sha256(base())
    again = stranger(copy, "get_base.py", str(tmp_path / "base"))
    assert (again.returncode, "exists" in again.stderr) == (2, True)


def changed_weights(folder: Path) -> None:
    with (folder / "adapter" / "adapter_model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")


def another_base(folder: Path) -> None:
    """Weights of the same shape, one of them another."""
    from safetensors.torch import load_file, save_file

    path = folder / "base" / "model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"] = tensors["model.norm.weight"] + 1
    save_file(tensors, path, metadata={"format": "pt"})
    tiny_bundle.seal(folder)


def another_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text() + " ")
    tiny_bundle.seal(folder)


def edited(folder: Path, name: str, **more: object) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **more}))
    tiny_bundle.seal(folder)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (changed_weights, "adapter/adapter_model.safetensors was changed: its sha256 is not the manifest's"),
        (lambda f: (f / "chat_template.jinja").unlink(), "chat_template.jinja is missing"),
        (lambda f: (f / "extra.txt").write_text("x"), "extra.txt is in the folder but not in the manifest"),
        (lambda f: (f / "link").symlink_to("README.md"), "link is a symbolic link"),
        (lambda f: (f / "merged" / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1"),
         "It is a Git LFS pointer: run `git lfs pull`"),
        (lambda f: (f / "manifest.json").write_text("{"), "manifest.json is not JSON"),
        (another_base, "Wrong base for the adapter: its weights have sha256"),
        (lambda f: edited(f, "adapter/adapter_config.json", use_dora=True), "twain: use_dora is set"),
        (lambda f: edited(f, "adapter/adapter_config.json", revision="other"), "twain: its adapter names base"),
        (another_tokenizer, "tokenizer.json is not the tokenizer that the adapter was trained with"),
    ],
)  # fmt: skip
def test_a_harmed_bundle_is_refused_with_what_is_wrong(copy, harm, says):
    harm(copy)
    with pytest.raises(BadInput) as error:
        bundles.verify(copy, None, None, lambda line: None)
    assert says in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda f: (f / "chat_template.jinja").write_text("{{ messages[-1].content }}"), "template gives other tokens"),
        (lambda f: shutil.copyfile(f / "base" / "model.safetensors", f / "merged" / "model.safetensors"),
         "merged safetensors loses 100% of what the adapter changes"),
        (lambda f: edited(f, "merged/config.json", dtype="bfloat16"),
         "twain: merged/config.json names torch.bfloat16, and the weights are torch.float16: loading would round them"),
        (lambda f: shutil.copyfile(f / "gguf" / "franklin-lora-f32.gguf", f / "gguf" / "twain-lora-f32.gguf"),
         "GGUF LoRA loses"),
        (lambda f: shutil.copytree(f / "personas" / "franklin", f / "adapter", dirs_exist_ok=True),
         "twain: adapter does not give the logits that were recorded"),
    ],
)  # fmt: skip
def test_an_export_that_says_something_else_is_found_though_its_hash_is_right(copy, harm, says):
    harm(copy)
    tiny_bundle.seal(copy)
    _, problems = bundling.check(copy, None)
    assert any(says in problem for problem in problems), problems


def test_without_the_base_merged_forms_are_held_against_the_record(copy):
    shutil.rmtree(copy / "base")
    tiny_bundle.seal(copy)
    said, problems = bundling.check(copy, None)
    assert problems == []
    assert any("not given, so adapters are not loaded" in line for line in said)
    assert any(line.startswith("twain: merged GGUF: says the recorded dialogue") for line in said)


def test_a_folder_of_another_kind_is_bad_use(copy, tmp_path):
    with pytest.raises(BadUse, match=r"holds no manifest\.json"):
        bundles.verify(tmp_path / "nothing", None, None, print)
    with pytest.raises(BadUse, match="is no folder"):
        bundles.verify(copy, tmp_path / "nothing", None, print)
    edited(copy, "bundle.json", format=99)
    with pytest.raises(BadUse, match="has format 99, this program reads 1"):
        bundles.verify(copy, None, None, print)


def test_equal_weights_in_other_files_have_one_hash(tmp_path):
    from safetensors.torch import save_file

    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}
    for folder, parts in (("one", [["a", "b"]]), ("two", [["b"], ["a"]])):
        (tmp_path / folder).mkdir()
        for number, names in enumerate(parts):
            save_file(
                {n: tensors[n] for n in names}, tmp_path / folder / f"{number}.safetensors", metadata={"x": folder}
            )
    assert verify.weights_sha256(tmp_path / "one") == verify.weights_sha256(tmp_path / "two")
    tensors["b"][0] = 2
    save_file(tensors, tmp_path / "one" / "0.safetensors")
    assert verify.weights_sha256(tmp_path / "one") != verify.weights_sha256(tmp_path / "two")


def test_the_shipped_contract_is_the_projects():
    shipped = (tiny_bundle.bundle() / "contract.py").read_text()
    assert shipped == Path(contract.__file__).read_text()
    assert "import twainbot" not in shipped
    assert "from twainbot" not in shipped


def test_the_cards_code_runs_in_the_folder_as_it_stands(monkeypatch, capsys):
    bundle = tiny_bundle.bundle()
    made = json.loads((bundle / "bundle.json").read_text())
    code = listing.usage(made).split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(bundle)
    exec(compile(code, "README.md", "exec"), {})
    recorded = json.loads((bundle / "probe.json").read_text())["personas"]["twain"]["dialogue"][0]
    assert len(capsys.readouterr().out) > 20  # another question, so other words than the recorded ones
    assert recorded["messages"][1]["content"] == bundling.ASKED


def test_the_card_lists_what_is_there_and_nothing_else():
    bundle = tiny_bundle.bundle()
    made = json.loads((bundle / "bundle.json").read_text())
    own = {path for path, _ in listing.files(made)}
    written_later = {"scorecard.html"}  # by the cut
    assert {path for path in own - written_later if not (bundle / path).exists()} == set()
    hub = {**made, "base": {**made["base"], "kind": "hub"}, "personas": {"twain": {"adapter": "adapter"}}}
    assert own - {path for path, _ in listing.files(hub)} == {"base", "personas", "merged", "gguf"}
    assert 'from_pretrained("../base"' in listing.usage(hub)


def test_a_bundle_of_adapters_alone_verifies_and_its_card_names_what_is_not_there(tmp_path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    made = bundling.write_model(bundle, [tiny_bundle.persona(tmp_path, "twain", 1)], base(), merged=False)
    tiny_bundle.seal(bundle)
    assert sorted(path.name for path in (bundle / "gguf").iterdir()) == ["twain-lora-f32.gguf"]
    assert not (bundle / "merged").exists()
    assert made["not_exported"] == [bundling.ADAPTERS_ALONE]
    listed = dict(listing.files(made))
    assert "merged" not in listed
    assert "Modelfile" not in listed["gguf"] + listing.usage(made)
    said, problems = bundling.check(bundle, None)
    assert problems == []
    assert "twain: GGUF LoRA: says the recorded dialogue" in "\n".join(said)

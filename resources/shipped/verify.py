"""Checks a model bundle, offline: hashes, adapter contract, base, and that each export says what the adapter says.

    python verify.py [--base DIR]

Needs torch, transformers, peft and safetensors; gguf to read the GGUF files, and cyllama to run them. What
cannot be run is said so. Exit code 0: all that ran is right; 1: something is wrong; 2: this is no bundle.

The base is looked for in the folder that --base names, else in `base/` of the bundle; get_base.py makes it. Without
one, merged exports are held against the logits that were recorded when the bundle was cut.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

# Share of what the adapter changes in the logits that an export may lose. Float16 loses about a hundredth; a file without
# the adapter loses all of it, one merged at half its strength about a half.
LOSS_BOUND = 0.05
# A recorded word must be the model's first choice, or this near to it: other processors round otherwise.
TIE = {"float32": 0.02, "float16": 0.3}
SHOWN = 20
FOREIGN = (".git", ".cache")  # what Git and the Hub's client leave in a folder
_SIBLINGS: dict[str, ModuleType] = {}
FORMAT = 1
MANIFEST_FORM = {"name": str, "version": str, "files": [{"path": str, "sha256": str}]}
BUNDLE_FORM = {
    "base": {"name": str, "revision": str, "how": str, "tokenizer_sha256": str, "weights_sha256": str},
    "personas": {"*": {"adapter": str}},
}


class NoBundle(Exception):
    """The folder is none, or the command was used wrongly."""


class Broken(Exception):
    """The bundle, or the base that was given, is not what it should be."""


def verify(folder: Path, base: Path | None, contract: ModuleType | Any, say: Callable[[str], object] = print) -> None:
    """Check everything that can be checked here. Raises NoBundle, or Broken with all problems of the first step that has any.

    contract: the module contract.py, whose `problems` judges an adapter by its config and shapes.
    """
    manifest = read_manifest(folder)
    refuse(file_problems(folder, manifest), f"{folder} is not the bundle that was cut. Fetch it again.")
    say(f"{manifest['name']} {manifest['version']}: {len(manifest['files'])} files match their hashes.")
    bundle = read_bundle(folder)
    base = base or (folder / "base" if (folder / "base").is_dir() else None)
    if base is None:
        say(f"Base {bundle['base']['name']}: not given, so adapters are not loaded. {how_to_get(bundle)}")
    else:
        refuse(base_problems(base, bundle), f"{base} does not fit this bundle. {how_to_get(bundle)}")
        known = bundle["base"]
        say(f"Base {known['name']} at revision {known['revision']}: its weights are the recorded ones.")
    refuse(contract_problems(folder, bundle, contract), "The adapter contract is broken.")
    say(f"{len(bundle['personas'])} adapter(s) keep the contract: {', '.join(bundle['personas'])}.")
    refuse(export_problems(folder, base, bundle, contract, say), "An export does not say what its adapter says.")


def refuse(problems: Sequence[str], heading: str) -> None:
    """Raise Broken with the heading and the problems, if there are any."""
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise Broken("\n".join([heading, *(f"  {problem}" for problem in problems[:SHOWN])]) + more)


def sibling(name: str) -> ModuleType:
    """A module out of this script's own folder, which isolated mode keeps off the path."""
    if name in _SIBLINGS:
        return _SIBLINGS[name]
    path = Path(__file__).resolve().with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"bundle_{name}", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise NoBundle(f"{path.name} is missing beside verify.py. Fetch the bundle again.")
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True  # a bundle holds the files of its manifest and no others
    spec.loader.exec_module(module)
    _SIBLINGS[name] = module
    return module


# --- files -------------------------------------------------------------------------------------------------------------


def read_manifest(folder: Path) -> dict[str, Any]:
    """manifest.json. Raises NoBundle where there is none, Broken where it is not readable or was edited."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise NoBundle(f"{folder} holds no manifest.json, so it is no bundle. Name the folder that holds it.")
    found = read_json(path)
    body = {key: value for key, value in found.items() if key != "manifest_id"}
    canonical = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    if found.get("manifest_id") != hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest():
        raise Broken("manifest.json was edited: its manifest_id does not match its content. Fetch the bundle again.")
    require(found, MANIFEST_FORM, "manifest.json")
    return found


def require(value: Any, form: Any, where: str) -> None:
    """Raise Broken where a value is not of a form: a type, a list of one form, or a mapping ("*": any further name)."""
    kind = form if isinstance(form, type) else type(form)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Broken(f"{where} should be a {kind.__name__} and is {str(value)[:40]!r}. Fetch the bundle again.")
    if isinstance(form, list):
        for place, item in enumerate(value):
            require(item, form[0], f"{where}[{place}]")
    if isinstance(form, dict):
        lacking = sorted(set(form) - set(value) - {"*"})
        if lacking:
            raise Broken(f"{where} says nothing of {', '.join(lacking)}. Fetch the bundle again.")
        for name, inner in form.items():
            for key in (set(value) - set(form)) if name == "*" else (name,):
                require(value[key], inner, f"{where}: {key}")


def inside(folder: Path, name: str, where: str) -> None:
    """Raise Broken where a name leads out of the bundle: whoever wrote its manifest may have meant harm."""
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        raise Broken(f"{where} names {name[:60]!r}, which is not inside {folder}. Do not use this bundle.")


def file_problems(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """A sentence for each file that is missing, changed, or not of the bundle, links among them."""
    listed = {entry["path"]: entry for entry in manifest["files"]}
    found = own_files(folder)
    problems = [f"{name} is missing." for name in sorted(set(listed) - set(found))]
    for name, path in found.items():
        if path.is_symlink():
            problems.append(f"{name} is a symbolic link; a bundle holds plain files.")
        elif name in listed and file_sha256(path) != listed[name]["sha256"]:
            problems.append(f"{name} was changed: its sha256 is not the manifest's.{_pointer(path)}")
        elif name not in listed and name != "manifest.json":
            problems.append(f"{name} is in the folder but not in the manifest.")
    return problems


def own_files(folder: Path) -> dict[str, Path]:
    """Files and links of a bundle by path inside it, sorted; what Git, the Hub's client and Python leave is not of it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {
        name: path for name, path in names.items() if name.split("/")[0] not in FOREIGN and "__pycache__" not in name
    }


def _pointer(path: Path) -> str:
    """What to do about a file that Git LFS left as a pointer."""
    with path.open("rb") as stream:
        is_pointer = stream.read(40).startswith(b"version https://git-lfs")
    return " It is a Git LFS pointer: run `git lfs pull`." if is_pointer else ""


def read_bundle(folder: Path) -> dict[str, Any]:
    """bundle.json: base, personas and exports."""
    path = folder / "bundle.json"
    if not path.is_file():
        raise NoBundle(f"{folder} holds no bundle.json, so it is no model bundle of this form.")
    if (found := read_json(path)).get("format") != FORMAT:
        raise NoBundle(f"bundle.json has format {str(found.get('format'))[:40]}, this program reads {FORMAT}.")
    require(found, BUNDLE_FORM, "bundle.json")
    for persona, entry in found["personas"].items():
        for name in ("adapter", "merged", "gguf", "gguf_lora"):
            if name in entry:
                require(entry[name], str, f"bundle.json: {persona}: {name}")
                inside(folder, entry[name], f"bundle.json: {persona}")
    return found


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object out of a file."""
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise Broken(f"{path.name} is not JSON ({error}). Fetch the bundle again.") from error
    if not isinstance(found, dict):
        raise Broken(f"{path.name} holds no JSON object. Fetch the bundle again.")
    return found


def file_sha256(path: Path) -> str:
    """64 hex digits over a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# --- the base ------------------------------------------------------------------------------------------------------------


def how_to_get(bundle: Mapping[str, Any]) -> str:
    """How a stranger comes by the base."""
    return str(bundle["base"]["how"])


def base_problems(base: Path, bundle: Mapping[str, Any]) -> list[str]:
    """What is wrong with a folder as this bundle's base."""
    wanted = bundle["base"]
    if not (base / "config.json").is_file() or not list(base.glob("*.safetensors")):
        return [f"{base} holds no model: config.json and *.safetensors are expected."]
    found = weights_sha256(base)
    if found == wanted["weights_sha256"]:
        return []
    wrong = f"its weights have sha256 {found[:12]}..., {wanted['weights_sha256'][:12]}... expected"
    return [f"Wrong base for the adapter: {wrong} ({wanted['name']} at revision {wanted['revision']})."]


def weights_sha256(folder: Path) -> str:
    """64 hex digits over the tensors of a folder's safetensors files: their names, kinds, shapes and bytes.

    Two programs that save equal weights write other headers and cut other shards; this number stays.
    """
    lines = []
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(size))
            for name, entry in header.items():
                if name != "__metadata__":
                    start, end = entry["data_offsets"]
                    stream.seek(8 + size + start)
                    digest = hashlib.sha256(stream.read(end - start)).hexdigest()
                    lines.append(f"{name} {entry['dtype']} {entry['shape']} {digest}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


# --- the contract --------------------------------------------------------------------------------------------------------


def contract_problems(folder: Path, bundle: Mapping[str, Any], contract: Any, merged: float = 0.0) -> list[str]:
    """What breaks the contract: settings, tensors, and what the bundle says of base and tokenizer. Logits come later."""
    problems = []
    if file_sha256(folder / "tokenizer.json") != bundle["base"]["tokenizer_sha256"]:
        problems.append("tokenizer.json is not the tokenizer that the adapter was trained with.")
    for persona, entry in bundle["personas"].items():
        config = read_json(folder / entry["adapter"] / "adapter_config.json")
        origin = {
            "base_model_name_or_path": str(config.get("base_model_name_or_path") or ""),
            "revision": str(config.get("revision") or ""),
            "tokenizer_sha256": bundle["base"]["tokenizer_sha256"],
        }
        named = (config.get("base_model_name_or_path"), config.get("revision"))
        if named != (bundle["base"]["name"], bundle["base"]["revision"]):
            problems.append(f"{persona}: its adapter names base {named[0]} at {named[1]}, the bundle another.")
        shapes = tensor_shapes(folder / entry["adapter"] / "adapter_model.safetensors")
        found = contract.problems(config, shapes, provenance=origin, merge_difference=merged)
        problems += [f"{persona}: {problem}" for problem in found]
    return problems


def tensor_shapes(path: Path) -> dict[str, list[int]]:
    """Names and shapes out of a safetensors file's header."""
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if size > path.stat().st_size:
            raise Broken(f"{path.name} ends before its header does. Fetch the bundle again.")
        try:
            header = json.loads(stream.read(size))
        except (ValueError, RecursionError) as error:
            raise Broken(f"{path.name} is no safetensors file ({error}). Fetch the bundle again.") from error
    require(header, {}, path.name)
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    require(tensors, {"*": {"shape": [int]}}, path.name)
    return {name: entry["shape"] for name, entry in tensors.items()}


# --- what each export says -------------------------------------------------------------------------------------------------


def export_problems(
    folder: Path, base: Path | None, bundle: Mapping[str, Any], contract: Any, say: Callable[[str], object]
) -> list[str]:
    """Load each export, compare logits, replay the recorded dialogue; what cannot be run here is said."""
    import torch
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    probe = read_json(folder / "probe.json")
    ids = torch.tensor([probe["ids"]])
    problems = tokenizer_problems(folder, bundle, probe)
    plain = logits(load(base), ids) if base else None
    for persona, entry in bundle["personas"].items():
        recorded = probe["personas"][persona]
        wanted, heard = None, plain
        if base:
            model = with_adapter(base, folder / entry["adapter"])
            wanted = logits(model, ids)
            problems += against_record(f"{persona}: adapter", wanted, recorded, say)
            problems += replay(f"{persona}: adapter", model, recorded["dialogue"], "float32", say)
            off, bound = float((logits(model.merge_and_unload(), ids) - wanted).abs().max()), contract.MERGE_TOLERANCE
            merges = f"{persona}: adapter and merged logits differ by {off:.2g}, {bound:g} is allowed."
            problems += [] if off <= bound else [merges]
        problems += dtype_problems(persona, folder / entry["merged"]) if entry.get("merged") else []
        for name, make in arms(folder, base, entry, say):
            try:
                model = make()
            except (ValueError, KeyError, RuntimeError, OSError) as error:
                problems.append(f"{persona}: {name} does not load: {' '.join(str(error).split())[:200]}")
                continue
            found = logits(model, ids)
            if wanted is not None and heard is not None:
                problems += compared(f"{persona}: {name}", found, wanted, heard, say)
            else:
                problems += against_record(f"{persona}: {name}", found, recorded, say)
            problems += replay(f"{persona}: {name}", model, recorded["dialogue"], "float16", say)
            del model
        problems += llama_problems(folder, entry, persona, probe, say)
    return problems


def dtype_problems(persona: str, merged: Path) -> list[str]:
    """Transformers loads weights in the dtype that their config names, and so rounds them where the file has another."""
    from safetensors import safe_open

    named = f"torch.{read_json(merged / 'config.json').get('dtype')}"
    with safe_open(merged / "model.safetensors", "pt") as file:
        stored = sorted({str(file.get_slice(name)[:0].dtype) for name in file.keys()})  # noqa: SIM118 (it is no dict)
    wrong = f"{persona}: merged/config.json names {named}, and the weights are {', '.join(stored)}: loading would round them."
    return [] if stored == [named] else [wrong]


def tokenizer_problems(folder: Path, bundle: Mapping[str, Any], probe: Mapping[str, Any]) -> list[str]:
    """Tokenizer and template, loaded as a client loads them, must give the tokens that training gave."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    if not tokenizer.chat_template:
        return ["The tokenizer has no chat template: chat_template.jinja is missing."]
    tools = json.loads((folder / "tools.json").read_bytes())
    asked = {"tools": tools, "add_generation_prompt": True, "tokenize": False}
    problems = []
    if tokenizer.encode(probe["text"], add_special_tokens=False) != probe["ids"]:
        problems.append("The tokenizer cuts the probe into other tokens than training did.")
    for persona in bundle["personas"]:
        for turn in probe["personas"][persona]["dialogue"]:
            text = tokenizer.apply_chat_template(turn["messages"], **asked)
            if tokenizer.encode(text, add_special_tokens=False) != turn["prompt_ids"]:
                problems.append(f"{persona}: the chat template gives other tokens than training did.")
    return problems


def arms(
    folder: Path, base: Path | None, entry: Mapping[str, Any], say: Callable[[str], object]
) -> list[tuple[str, Callable[[], Any]]]:
    """(name, how to load it) of each export of a persona that can be loaded here by torch."""
    has_gguf = importlib.util.find_spec("gguf") is not None
    found: list[tuple[str, Callable[[], Any]]] = []
    if entry.get("merged"):
        found.append(("merged safetensors", lambda: load(folder / entry["merged"])))
    for kind, name in (("gguf", "merged GGUF"), ("gguf_lora", "GGUF LoRA")):
        if not entry.get(kind):
            continue
        if not has_gguf:
            say(f"{name}: not run, as the package gguf is not installed.")
        elif kind == "gguf":
            found.append(
                (name, lambda: sibling("gguf_forms").read_model(folder / entry["gguf"], folder / entry["merged"]))
            )
        elif base:
            found.append((name, lambda: sibling("gguf_forms").add_lora(load(base), folder / entry["gguf_lora"])))
        else:
            say(f"{name}: not run, as it needs the base.")
    return found


def load(folder: Path) -> Any:
    """A model in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(  # no code of the folder's own, no pickle
        str(folder), local_files_only=True, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    ).eval()


def with_adapter(base: Path, adapter: Path) -> Any:
    """The base in float32 with a PEFT adapter."""
    from peft import PeftModel

    return PeftModel.from_pretrained(load(base), str(adapter)).eval()


def logits(model: Any, ids: Any) -> Any:
    """(tokens, vocabulary) of one line of ids."""
    import torch

    with torch.inference_mode():
        return model(input_ids=ids).logits[0].float()


def compared(name: str, found: Any, wanted: Any, plain: Any, say: Callable[[str], object]) -> list[str]:
    """What an export loses of the difference between adapter and base."""
    changed = float((wanted - plain).abs().mean())
    if changed == 0:
        return [f"{name}: the adapter changes nothing, so no export can be told from its base."]
    lost = float((found - wanted).abs().mean()) / changed
    most = float((found - wanted).abs().max())
    say(f"{name}: logits differ by at most {most:.2g}, {lost:.2%} of the adapter's change.")
    too_much = f"{name} loses {lost:.0%} of what the adapter changes, {LOSS_BOUND:.0%} is allowed."
    return [] if lost <= LOSS_BOUND else [too_much]


def against_record(name: str, found: Any, recorded: Mapping[str, Any], say: Callable[[str], object]) -> list[str]:
    """The last token's logits against those that were recorded at the cut, as `compared` does."""
    import torch

    chosen = found[-1][recorded["tokens"]]
    wanted, plain = torch.tensor(recorded["logits"]), torch.tensor(recorded["base_logits"])
    changed = float((wanted - plain).abs().mean())
    lost = float((chosen - wanted).abs().mean()) / changed if changed else float("inf")
    say(f"{name}: logits are {lost:.2%} of the adapter's change from the recorded ones.")
    other = f"{name} does not give the logits that were recorded when the bundle was cut."
    return [] if lost <= LOSS_BOUND else [other]


def replay(
    name: str, model: Any, dialogue: Sequence[Mapping[str, Any]], kind: str, say: Callable[[str], object]
) -> list[str]:
    """Each recorded reply must be what the model says greedily; a word that is nearly as likely as the first is let pass."""
    import torch

    problems, words = list[str](), 0
    for turn in dialogue:
        prompt, reply = turn["prompt_ids"], turn["reply_ids"]
        said = logits(model, torch.tensor([[*prompt, *reply]]))[len(prompt) - 1 : -1]
        behind = said.max(dim=-1).values - said[torch.arange(len(reply)), torch.tensor(reply)]
        words += len(reply)
        if float(behind.max()) > TIE[kind]:
            place = int(behind.argmax())
            problems.append(f"{name} leaves the recorded dialogue at token {place} of {turn['text'][:40]!r}.")
    if not problems:
        say(f"{name}: says the recorded dialogue, {len(dialogue)} turn(s) of {words} tokens.")
    return problems


# --- llama.cpp ----------------------------------------------------------------------------------------------------------


def llama_problems(
    folder: Path, entry: Mapping[str, Any], persona: str, probe: Mapping[str, Any], say: Callable[[str], object]
) -> list[str]:
    """The merged GGUF in llama.cpp itself: tokens, logits, and the recorded dialogue, greedily."""
    if not entry.get("gguf"):
        return []
    if importlib.util.find_spec("cyllama") is None:
        say(f"{persona}: llama.cpp: not run, as cyllama is not installed.")
        return []
    name, problems, recorded = f"{persona}: llama.cpp", list[str](), probe["personas"][persona]
    try:
        model = sibling("gguf_forms").LlamaCpp(folder / entry["gguf"])
        model.takes(folder / entry["gguf_lora"])
    except ImportError as error:
        say(f"{name}: not run, as cyllama does not load here: {' '.join(str(error).split())[:120]}")
        return []
    except ValueError as error:
        return [str(error)]
    if model.tokens(probe["text"]) != probe["ids"]:
        problems.append(f"{name} cuts the probe into other tokens than training did.")
    problems += against_record(name, model.next_logits(probe["ids"])[None], recorded, say)
    for turn in recorded["dialogue"]:
        wanted = turn["reply_ids"]
        said = model.greedy(turn["prompt_ids"], len(wanted))
        same = next((place for place, pair in enumerate(zip(said, wanted, strict=True)) if len({*pair}) > 1), len(said))
        say(f"{name}: {same} of {len(said)} greedy tokens are the recorded ones.")
    return problems


# --- the command ---------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Verify the bundle in which this script lies, or another; 0, 1 or 2 as the module says."""
    parser = argparse.ArgumentParser(description="Check a TwainBot model bundle, offline.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).resolve().parent)
    parser.add_argument("--base", type=Path, help="folder of the base model")
    given = parser.parse_args(argv)
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    try:
        if given.base is not None and not given.base.is_dir():
            raise NoBundle(f"{given.base} is no folder. Make the base with get_base.py.")
        verify(given.folder, given.base, sibling("contract"))
    except (NoBundle, Broken) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, NoBundle) else 1
    print("The bundle is whole.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

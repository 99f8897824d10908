"""What a stage starts from: nothing, the adapter before it trained further, or that adapter merged and stacked upon.

Stacking (`strategy: merge_new`) keeps the contract: the adapter before is merged into the weights in memory only, never
into 4-bit ones, and what is published is both adapters as one of their summed rank, on the base as it was.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from training import engine
from training.base_model import BaseInfo
from training.config import Lora, Recipe, Stage
from twainbot.errors import BadInput

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_UNMIXABLE = {"use_dora": "DoRA", "use_rslora": "rank-stabilised scaling"}  # their product is not scale x B x A


def begin(base: Any, recipe: Recipe, settings: Stage, info: BaseInfo, before: Path | None) -> PeftModel:
    """The base with the adapter to train. Raises BadInput where the adapter before is of another base or shape.

    Also where the recipe is made for another base than the one at hand.
    """
    if recipe.mix:
        parts = " ".join(f"--adapter {name}=DIR" for name in recipe.mix.adapters)
        raise BadInput(
            f"Recipe {recipe.profile}/{recipe.name} mixes adapters and trains none. "
            f"Make it with python -m resources.merging RECIPE --base DIR {parts} --out DIR."
        )
    _check_made_for(recipe, info)
    _check_targets(base, recipe.lora, info)
    if before is None:
        return engine.with_adapter(base, recipe.lora, settings, None)
    check_base(before, info)
    if recipe.strategy == "continue":
        _check_shape(before, recipe.lora)
        return engine.with_adapter(base, recipe.lora, settings, before)
    _check_stack(before, recipe.lora)
    merged = PeftModel.from_pretrained(base, str(before)).merge_and_unload()
    return engine.with_adapter(merged, recipe.lora, settings, None)


def _check_made_for(recipe: Recipe, info: BaseInfo) -> None:
    """A recipe may name its base; a folder of it may be spelt as on the Hub."""
    wanted = recipe.base
    if wanted is None:
        return
    if wanted.name.split("/")[-1].lower() != info.name.lower():
        raise BadInput(
            f"Recipe {recipe.profile}/{recipe.name} is made for {wanted.name}, and the base here is {info.name}. "
            f"Set TWAINBOT_BASE_MODEL={wanted.name}, or point --base at its folder."
        )
    for what, named, found in (
        ("revision", wanted.revision, info.revision), ("template", wanted.template, info.template),
    ):  # fmt: skip
        if named is not None and named != found:
            raise BadInput(
                f"Recipe {recipe.profile}/{recipe.name} is made for {what} {named} of {wanted.name}, and the base here has "
                f"{found}. Set `{what}: {named}` under `base:` in the profile, or correct the recipe."
            )


def _check_targets(base: torch.nn.Module, lora: Lora, info: BaseInfo) -> None:
    """peft passes over a name that the base lacks as long as another one is there."""
    linears = {name.rsplit(".", 1)[-1] for name, module in base.named_modules() if isinstance(module, torch.nn.Linear)}
    absent = [name for name in lora.target_modules if name not in linears]
    if absent:
        raise BadInput(
            f"lora.target_modules names {', '.join(absent)}, and {info.name} has no such linear. It has: "
            f"{', '.join(sorted(linears - {'lm_head'}))}. Correct the recipe."
        )


def merged_before(recipe: Recipe, before: Path | None) -> Path | None:
    """The adapter that `begin` merged into the weights, which must be published together with the new one; or none."""
    return before if recipe.strategy == "merge_new" else None


def adapter_config(adapter: Path) -> dict[str, Any]:
    """What adapter_config.json says; BadInput where the folder holds no adapter."""
    path = adapter / CONFIG
    if not path.is_file() or not (adapter / WEIGHTS).is_file():
        raise BadInput(f"{adapter} holds no adapter: {CONFIG} and {WEIGHTS} are expected. Train its stage first.")
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config


def check_base(adapter: Path, info: BaseInfo) -> None:
    """Raise BadInput where the adapter names another base, or another revision of it, than the one at hand."""
    config = adapter_config(adapter)
    found = (config.get("base_model_name_or_path"), config.get("revision"))
    if found != (info.name, info.revision):
        raise BadInput(
            f"The adapter in {adapter} was trained on {found[0]} at revision {found[1]}, and the base here is {info.name} "
            f"at {info.revision}: its weights would mean nothing there. Point at that base, or train the stage before anew."
        )


def check_plain(adapter: Path) -> None:
    """Raise BadInput for an adapter whose effect is not its scale times B times A, so that adding up would be wrong."""
    config = adapter_config(adapter)
    odd = [name for key, name in _UNMIXABLE.items() if config.get(key)]
    if odd:
        raise BadInput(
            f"The adapter in {adapter} uses {odd[0]}, which adds up wrongly with others. Train a plain LoRA."
        )


def stack(under: Path, over: Path) -> None:
    """Make the adapter in `over` both: its own effect and that of `under`, exactly, at the sum of their ranks."""
    configs = [adapter_config(folder) for folder in (under, over)]
    scales = [config["lora_alpha"] / config["r"] for config in configs]
    first, second = (load_file(folder / WEIGHTS) for folder in (under, over))
    if first.keys() != second.keys():
        odd = sorted(first.keys() ^ second.keys())
        raise BadInput(f"The adapters in {under} and {over} train other weights, first {odd[0]}. Train both anew.")
    both = {}
    for name in second:
        if ".lora_A." in name:  # (r, in) each: rows below one another
            both[name] = torch.cat([first[name], second[name]], dim=0).contiguous()
        else:  # (out, r) each, side by side, with their scales: the whole is then loaded at scale 1
            both[name] = torch.cat([first[name] * scales[0], second[name] * scales[1]], dim=1).contiguous()
    save_file(both, over / WEIGHTS, metadata={"format": "pt"})
    rank = configs[0]["r"] + configs[1]["r"]
    (over / CONFIG).write_text(json.dumps({**configs[1], "r": rank, "lora_alpha": rank}, indent=2), encoding="utf-8")


def _check_shape(before: Path, lora: Lora) -> None:
    """An adapter that goes on keeps its shape; a recipe that says another would be lying."""
    config = adapter_config(before)
    wanted = {"r": lora.r, "lora_alpha": lora.alpha, "target_modules": sorted(lora.target_modules)}
    found = {
        **{name: config.get(name) for name in wanted},
        "target_modules": sorted(config.get("target_modules") or []),
    }
    odd = [name for name in wanted if found[name] != wanted[name]]
    if odd:
        raise BadInput(
            f"The adapter in {before} has {odd[0]}={found[odd[0]]}, and the recipe says {wanted[odd[0]]}. "
            "Train the stages before with this recipe, or set `strategy: merge_new`."
        )


def _check_stack(before: Path, lora: Lora) -> None:
    check_plain(before)
    config = adapter_config(before)
    targets = sorted(config.get("target_modules") or [])
    if targets != sorted(lora.target_modules):
        raise BadInput(
            f"The adapter in {before} trains {', '.join(targets)}, and the recipe {', '.join(sorted(lora.target_modules))}: "
            "stacked adapters need the same lora.target_modules. Correct the recipe, or train the stage before anew."
        )
    if config["r"] + lora.r > lora.max_lora_rank:
        raise BadInput(
            f"The adapter in {before} has rank {config['r']}; with lora.r={lora.r} on top that makes "
            f"{config['r'] + lora.r}, above max_lora_rank={lora.max_lora_rank}. Lower lora.r."
        )

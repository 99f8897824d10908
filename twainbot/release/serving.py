"""What servers need beside the weights: Ollama's Modelfile, a template for llama.cpp, vLLM's command line. Text only.

Tool calls are written in Hermes tags by every template here but harmony's, so vLLM's parser of that name reads them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

PARSERS = {"smollm2": "hermes", "hermes": "hermes", "harmony": "openai"}  # template -> vLLM's --tool-call-parser
_GENERATION = re.compile(r"\{%(?P<left>-?)\s*(?:end)?generation\s*(?P<right>-?)%\}")

# Go templates. `.Properties` is a map there, which a range walks in alphabetical order: the parameters of a signature may
# stand in another order than they were trained in.
_OLLAMA_HEAD = {
    "smollm2": (
        "{{- if or .System .Tools }}<|im_start|>system\n{{ .System }}{{ if and .System .Tools }}\n{{ end }}"
        "{{ if .Tools }}Tools:\n{{ range .Tools }}{{ .Function.Name }}("
        '{{ $comma := "" }}{{ range $key, $_ := .Function.Parameters.Properties }}{{ $comma }}{{ $key }}'
        '{{ $comma = ", " }}{{ end }}): {{ .Function.Description }}\n{{ end }}'
        'Call: <tool_call>{"name": ..., "arguments": {...}}</tool_call>{{ end }}<|im_end|>\n{{ end }}'
    ),
    "hermes": (
        "{{- if or .System .Tools }}<|im_start|>system\n{{ .System }}{{ if and .System .Tools }}\n\n{{ end }}"
        "{{ if .Tools }}# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
        '{{ range .Tools }}\n{"type": "function", "function": {{ .Function }}}{{ end }}\n</tools>\n\n'
        "For each function call, return a json object with function name and arguments within "
        "<tool_call></tool_call> XML tags:\n<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>{{ end }}<|im_end|>\n{{ end }}'
    ),
}
_OLLAMA_CALL = {
    "smollm2": '<tool_call>{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}</tool_call>',
    "hermes": '\n<tool_call>\n{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}\n</tool_call>',
}
_OLLAMA_RESULT = {
    "smollm2": "<|im_start|>tool\n{{ .Content }}<|im_end|>\n",
    "hermes": "<|im_start|>user\n<tool_response>\n{{ .Content }}\n</tool_response><|im_end|>\n",
}


def plain_template(template: str) -> str:
    """A chat template without the `generation` marks, which only trainers know; it renders the same text."""
    return _GENERATION.sub(_joined, template)


def _joined(mark: re.Match[str]) -> str:
    """An empty set-tag that trims white space as the mark did."""
    return "{%" + mark["left"] + " set _ = 0 " + mark["right"] + "%}"


def ollama_template(name: str) -> str | None:
    """The Go template that writes what chat template `name` writes, tools included; None where there is none yet."""
    if name not in _OLLAMA_HEAD:
        return None
    turns = (
        '{{- range .Messages }}{{ if eq .Role "assistant" }}<|im_start|>assistant\n{{ .Content }}'
        f"{{{{ range .ToolCalls }}}}{_OLLAMA_CALL[name]}{{{{ end }}}}<|im_end|>\n"
        f'{{{{ else if eq .Role "tool" }}}}{_OLLAMA_RESULT[name]}'
        '{{ else if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n{{ end }}{{ end }}'
    )
    return f"{_OLLAMA_HEAD[name]}{turns}<|im_start|>assistant\n"


def modelfile(weights: str, template: str, system: str, window: int) -> str:
    """Ollama's Modelfile for a merged GGUF that lies beside it. Greedy, as the model was measured."""
    return (
        f"# ollama create twainbot -f Modelfile\nFROM ./{weights}\n"
        f'TEMPLATE """{template}"""\nSYSTEM """{system}"""\n'
        f"PARAMETER temperature 0\nPARAMETER num_ctx {window}\n"
        'PARAMETER stop "<|im_end|>"\nPARAMETER stop "<|im_start|>"\n'
    )


def vllm_script(base: str, template: str, adapters: Mapping[str, str], rank: int) -> str:
    """A shell script that serves the base with every persona's adapter. `adapters`: persona to folder in the bundle."""
    modules = " ".join(f'{persona}="$HERE/{folder}"' for persona, folder in adapters.items())
    parser = PARSERS.get(template, "hermes")
    return (
        "#!/bin/sh\n"
        "# Serves the personas on vLLM, OpenAI's way: a request's `model` names the persona.\n"
        "# Written for vLLM 0.11 and later by its documentation, and not run where this bundle was cut.\n"
        f'HERE=$(cd "$(dirname "$0")" && pwd)\nBASE=${{1:-{base}}}  # a folder that get_base.py made, or a Hub name\n'
        'exec vllm serve "$BASE" --served-model-name base --host 127.0.0.1 \\\n'
        '  --tokenizer "$HERE" --chat-template "$HERE/chat_template.jinja" \\\n'
        f"  --enable-auto-tool-choice --tool-call-parser {parser} \\\n"
        f"  --enable-lora --max-lora-rank {rank} --lora-modules {modules}\n"
    )


def gitattributes(weights: Sequence[str] = ("*.safetensors", "*.gguf", "tokenizer.json")) -> str:
    """Which files Git LFS keeps."""
    return "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in weights)


def pretty(value: Any) -> str:
    """JSON for people: indented, one newline at the end, order kept."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def notice(base: str, license_name: str, source: str, note: str) -> str:
    """NOTICE.md: whose weights these are made of, and under which terms."""
    return (
        "# Notices\n\n"
        "The adapters were trained by TwainBot, whose code is under Apache-2.0 (LICENSE). They hold changes to the weights "
        f"of `{base}` ({source}), which stands under: {license_name}. {note}\n\n"
        "The files in `merged/`, `gguf/` and, where there is one, `base/` hold those weights themselves, changed by an "
        "adapter or converted to another format, and stand under the base's terms. They are not the base's authors' work, "
        "and these authors answer for none of it.\n\n"
        "Which texts were trained on, and by what right, the card of the data release of the same number lists. "
        "Replies imitate a manner of writing; none of them is a text by the author imitated.\n"
    )

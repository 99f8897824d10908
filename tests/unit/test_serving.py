"""Servers' files: the template without trainers' marks renders the same; Modelfile and vLLM's script name what they need."""

from __future__ import annotations

import re

import pytest

from tests.unit.tiny_training import weather_talk
from training.render import TEMPLATES, load_template, render_text
from twainbot.dialogues.tools import TOOLS
from twainbot.release import serving

NAMES = sorted(path.stem for path in TEMPLATES.glob("*.jinja"))


def plain_render(text, messages, **more):
    """As a server renders that knows nothing of `generation`."""
    import json

    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    return environment.from_string(text).render(messages=messages, **more)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "harmony"])
@pytest.mark.parametrize("asked", [True, False])
def test_a_template_without_the_marks_renders_the_same_text(name, asked):
    template = load_template(name)
    messages = [{"role": "system", "content": "Be brief."}, *weather_talk("Hannibal")]
    plain = serving.plain_template(template.text)
    assert not re.search(r"\{%-?\s*(end)?generation", plain)
    wanted = render_text(messages, TOOLS, template, add_generation_prompt=asked)
    assert plain_render(plain, messages, tools=TOOLS, add_generation_prompt=asked) == wanted


@pytest.mark.parametrize("name", ["smollm2", "hermes"])
def test_a_modelfile_shows_tools_calls_and_results_and_closes_every_block(name):
    template = serving.ollama_template(name)
    text = serving.modelfile("m.gguf", template, "You are a pilot.", 2048)
    assert all(word in text for word in (".Tools", ".ToolCalls", 'eq .Role "tool"', "FROM ./m.gguf", "num_ctx 2048"))
    assert 'SYSTEM """You are a pilot."""' in text
    opened = len(re.findall(r"\{\{-? *(?:if|range) ", template))
    assert opened == len(re.findall(r"\{\{-? *end *-?\}\}", template))
    marks = [len(re.findall(re.escape(mark), template)) for mark in ("<|im_start|>", "<|im_end|>")]
    assert marks[0] == marks[1] + 1  # the last turn is the model's to end


def test_a_template_that_ollama_has_none_of_gives_none():
    assert serving.ollama_template("harmony") is None


def test_the_vllm_script_names_parser_template_rank_and_every_persona():
    text = serving.vllm_script("owner/base", "hermes", {"twain": "adapter", "franklin": "personas/franklin"}, 16)
    wanted = (
        "--tool-call-parser hermes",
        "--max-lora-rank 16",
        'twain="$HERE/adapter"',
        'franklin="$HERE/personas/franklin"',
    )
    assert all(word in text for word in (*wanted, "BASE=${1:-owner/base}", "not run where this bundle was cut"))


def test_the_script_is_a_shell_program(tmp_path):
    import subprocess

    path = tmp_path / "vllm.sh"
    path.write_text(serving.vllm_script("../base", "smollm2", {"twain": "adapter"}, 16))
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0


def test_every_template_has_a_parser_for_its_calls():
    assert set(NAMES) == set(serving.PARSERS)

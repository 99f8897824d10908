"""What a stage will take: bytes by what holds them, and seconds. Arithmetic alone: rates are machine.py's.

The counts per token and layer were read off autograd's own saved tensors on a Llama with LoRA (tests hold them to those).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from training import processes
from training.config import Lora, Stage
from training.machine import Linears, Machine, Speed
from training.preflight import Plan
from training.render import IGNORED

_BYTES = {"fp32": 4, "bf16": 2}
# nf4: half a byte, a byte per 64 weights for their scale, and 4 bytes per 256 scales. int8: a byte; scales per row.
_PACKED = {"nf4": 0.5 + 1 / 64 + 4 / (64 * 256), "int8": 1.0}
_ADAPTER = 4 * (1 + 1 + 2 + 1)  # fp32 weight, gradient, Adam's two moments, and the copy that a second try begins from
_LOGITS = 3  # fp32 copies of the logits at once, in the backward pass: log-probabilities, their gradient, the logits'
# The C library's heap on a CPU: chunks of activations do not fit the holes that shorter-lived ones left. Measured on
# SmolLM2-135M in fp32: 1.85 to 2.0 times the tensors, at 256 and at 512 tokens, and on ten layers alone.
_HEAP = {"cpu": 1.9, "cuda": 1.1}
# A training reaches so much of the GEMM rate on its shapes; the rest is norms, rotations, copies and Python.
_REACHED = 0.7
_MOVES = 4  # times that a saved activation is written or read in its element-wise neighbourhood


@dataclass(frozen=True)
class Shape:
    """The figures of a base that memory and time depend on."""

    layers: int
    hidden: int
    heads: int
    query: int  # heads x their width
    key: int  # key and value heads x their width
    inner: int  # width of what a token passes through in an MLP, of all its experts together
    vocabulary: int
    parameters: int  # tied embeddings once
    packed: int  # of them in linears that quantization packs: all but the head
    active: int  # of them those that one token is multiplied with, head and embeddings left out
    eager: bool  # attention that keeps its T x T weights
    linears: dict[str, tuple[int, int, int]]  # name to features in and out, and how many there are

    @property
    def products(self) -> Linears:
        """Of the layers' linears, for machine.py's probe."""
        found: Counter[tuple[int, int]] = Counter()
        for wide, out, count in self.linears.values():
            found[wide, out] += count
        return found

    def adapter(self, lora: Lora) -> int:
        """Weights of an adapter."""
        return sum(lora.r * (wide + out) * count for wide, out, count in self._targets(lora))

    def _targets(self, lora: Lora) -> list[tuple[int, int, int]]:
        return [self.linears[name] for name in lora.target_modules if name in self.linears]


@dataclass(frozen=True)
class Work:
    """What goes through the model."""

    width: int  # tokens of the widest line
    trained: int  # the most tokens with loss of one line
    tokens: int  # of one epoch
    trained_tokens: int  # of one epoch
    checked_tokens: int  # of one evaluation
    epochs: float  # passes over the data, several processes' divided among them
    evaluations: int


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak, by what holds them."""

    process: int  # what the process held before: Python and its libraries
    weights: int
    adapter: int  # with gradients and optimizer
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All together."""
        return sum(getattr(self, field.name) for field in fields(self))

    @property
    def needed(self) -> int:
        """What must still be free."""
        return self.total - self.process


def shape_of(folder: Path) -> Shape:
    """Of the base in that folder, by building it without weights: its configuration alone is read."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from training import attention

    config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    linears: Counter[tuple[str, int, int]] = Counter()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and not name.endswith("lm_head"):
            linears[name.rsplit(".", 1)[-1], module.in_features, module.out_features] += 1
    own = sum(wide * out * count for (_, wide, out), count in linears.items())
    experts = sum(weight.numel() for name, weight in model.named_parameters() if ".experts." in name)
    chosen = getattr(config, "num_experts_per_tok", None) or 1
    share = chosen / (getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None) or 1)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Shape(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
        query=config.num_attention_heads * width,
        key=(getattr(config, "num_key_value_heads", None) or config.num_attention_heads) * width,
        inner=config.intermediate_size * (chosen if experts else 1),
        vocabulary=config.vocab_size,
        parameters=sum(weight.numel() for weight in model.parameters()),
        packed=0 if attention.comes_packed(config) else own,
        active=own + round(experts * share),
        eager=attention.implementation(config) == "eager",
        linears={name: (wide, out, count) for (name, wide, out), count in linears.items()},
    )


class Laid(Protocol):
    """What is computed of a row of a line."""

    @property
    def ids(self) -> list[int]: ...
    @property
    def labels(self) -> list[int]: ...


def work_of(lines: Sequence[Sequence[Laid]], checked: Sequence[Sequence[Laid]], planned: Plan) -> Work:
    """What a stage sends through the model; a line is what its rows put into it."""
    sizes = [sum(len(row.ids) for row in line) for line in lines]
    trained = [sum(label != IGNORED for row in line for label in row.labels[1:]) for line in lines]
    return Work(
        width=max(sizes),
        trained=max(trained),
        tokens=sum(sizes),
        trained_tokens=sum(trained),
        checked_tokens=sum(len(row.ids) for line in checked for row in line),
        epochs=planned.steps / planned.epoch_steps / processes.count(),
        evaluations=-(-planned.steps // planned.epoch_steps),
    )


def memory(shape: Shape, work: Work, settings: Stage, lora: Lora, machine: Machine) -> Memory:
    """At the peak of a step. settings: with nothing left to choose."""
    rows, heap = settings.rows_at_once, _HEAP[machine.device]
    token = _per_token(shape, settings, lora, machine.device)
    layers = shape.layers * token
    if settings.gradient_checkpointing:  # what goes into each layer, and one layer whole
        layers = shape.layers * shape.hidden * _stream(settings) + token
    scores = 3 * shape.heads * work.width**2 * 4 * (1 if settings.gradient_checkpointing else shape.layers)
    # Of several lines at once logits are computed at the places that any of them trains.
    share = 1 - (1 - min(1.0, work.trained / work.width)) ** rows
    return Memory(
        process=machine.held_bytes,
        weights=weights(shape, settings),
        adapter=shape.adapter(lora) * (_ADAPTER + (2 if settings.precision == "bf16" else 0)),
        activations=round(heap * rows * (layers * work.width + (scores if shape.eager else 0))),
        logits=round(_LOGITS * rows * share * work.width * shape.vocabulary * 4),
    )


def weights(shape: Shape, settings: Stage) -> int:
    """Bytes of the frozen base. What quantization does not pack, peft opens to fp32."""
    if settings.quantization == "none":
        return shape.parameters * _BYTES[settings.precision]
    return round(shape.packed * _PACKED[settings.quantization] + (shape.parameters - shape.packed) * 4)


def seconds(shape: Shape, work: Work, settings: Stage, lora: Lora, speed: Speed, device: str) -> float:
    """Of the loop with its evaluations: what it multiplies, and what its element-wise steps move."""
    moved = work.epochs * work.tokens * shape.layers * _per_token(shape, settings, lora, device) * _MOVES
    return operations(shape, work, settings, lora) / speed.flops / _REACHED + moved / speed.moved


def operations(shape: Shape, work: Work, settings: Stage, lora: Lora) -> float:
    """Floating point operations of the loop with its evaluations.

    A frozen weight costs 2 a token forward and 2 for the gradient that passes through it; the adapter's 6.
    Checkpointing does the forward pass twice.
    """
    forward = 2 * (shape.active + shape.adapter(lora)) + 2 * shape.layers * shape.query * work.width
    backward = forward + 2 * shape.adapter(lora)
    head = 2 * shape.hidden * shape.vocabulary
    token = forward * (2 if settings.gradient_checkpointing else 1) + backward
    trained = work.epochs * (work.tokens * token + work.trained_tokens * 2 * head)
    return trained + work.evaluations * work.checked_tokens * (forward + head)


def _stream(settings: Stage) -> int:
    """Bytes of a number between the layers."""
    return 4 if settings.quantization != "none" else _BYTES[settings.precision]


def _per_token(shape: Shape, settings: Stage, lora: Lora, device: str) -> int:
    """Bytes that autograd keeps of one token in one layer."""
    size, targets = _stream(settings), set(lora.target_modules) & set(shape.linears)
    wide = {name: shape.linears[name][0] for name in targets}
    if settings.precision == "bf16" or lora.dropout:  # each adapter casts its input, or drops from it, for itself
        inputs = sum(wide.values())
    else:
        shared = [targets & group for group in ({"q_proj", "k_proj", "v_proj"}, {"gate_proj", "up_proj"})]
        alone = targets & {"o_proj", "down_proj"}
        inputs = sum(max(wide[name] for name in group) for group in [*shared, *({name} for name in alone)] if group)
    # On a CPU the mask is a tensor of the adapter's fp32, on a GPU one of bytes.
    dropped = sum(wide.values()) * (4 if device == "cpu" else 1) if lora.dropout else 0
    norms = 2 * shape.hidden * 4  # always in fp32
    heads = 2 * shape.query + 2 * (shape.key if device == "cpu" else shape.query)  # under a mask keys are repeated
    taken = _BYTES[settings.precision]
    return (
        norms + (heads + 3 * shape.inner) * size + (inputs + lora.r * len(targets)) * taken + dropped + 12 * shape.heads
    )


def noted(memory: Memory, took_s: float) -> dict[str, Any]:
    """For record.json."""
    return {**{f"{name}_bytes": value for name, value in asdict(memory).items()},
            "memory_bytes": memory.total, "duration_s": round(took_s, 3)}  # fmt: skip

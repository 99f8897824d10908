"""Recipes: what `training/configs/<profile>/<recipe>.yaml` may say. The values' reasons stand in those files.

A recipe is frozen and strict: an unknown key, a value out of range or two values that contradict each other stop the
run before a weight is loaded. `stage_hash` names what a stage depends on, so that an edit reruns only that stage.
A file may start from another in its folder (`extends: default`), or from a shipped one of any profile
(`extends: sample/default`), and say only what differs.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from typing_extensions import override

from twainbot import paths, yaml_text
from twainbot.errors import BadConfig, BadUse, UnknownName
from twainbot.styles import STYLES

CONFIGS = Path(__file__).parent / "configs"
STAGES = ("dapt", "sft", "preference")
COMBINATIONS = ("svd", "cat")
WHY_NO_OTHER = (
    "half and half of one adapter must give that adapter, and linear and ties, which average A and B apart, "
    "were off by 0.52 and 0.45 of logits where the adapter's whole effect is 0.90"
)

StageName: TypeAlias = Literal["dapt", "sft", "preference"]
# Attention and MLP linears only: vLLM, llama.cpp and Ollama load nothing else in an adapter.
Linear: TypeAlias = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
Share: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0)]
RowsAtOnce: TypeAlias = Annotated[int, Field(ge=1)] | Literal["auto"]


class Section(BaseModel):
    """Base of all sections: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Base(Section):
    """The base that the recipe is made for. It chooses none: on any other one no stage trains."""

    name: str  # a name that base_model.prepare knows, a folder, or a Hub model
    revision: str | None = None
    template: str | None = None  # a file stem of training/templates/


class Lora(Section):
    """The adapter's shape. Every stage continues the same adapter, so it is one section for all."""

    r: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.05, ge=0.0, lt=1.0)
    target_modules: tuple[Linear, ...] = Field(("q_proj", "k_proj", "v_proj", "o_proj"), min_length=1)
    max_lora_rank: int = Field(16, ge=1)  # the rank that servers of this adapter allow for

    @model_validator(mode="after")
    def _rank_is_servable(self) -> Lora:
        if self.r > self.max_lora_rank:
            raise ValueError(f"r={self.r} exceeds max_lora_rank={self.max_lora_rank}, so no server would load it")
        return self


class Stage(Section):
    """What all three stages share. Rows of a batch are packed lines, for preference they are pairs."""

    learning_rate: float = Field(gt=0.0, lt=1.0)
    epochs: int = Field(1, ge=1)
    max_steps: int | None = Field(None, ge=1)  # ends earlier than the epochs would
    sequence_length: int = Field(ge=16)  # of a row; a longer one is left out, or of a passage becomes several
    micro_batch: RowsAtOnce  # rows on the device at once; auto: as many as its free memory takes
    effective_batch: int = Field(ge=1)  # rows per optimizer step
    warmup_steps: int = Field(0, ge=0)
    scheduler: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    weight_decay: float = Field(0.0, ge=0.0)
    max_grad_norm: float = Field(1.0, gt=0.0)
    precision: Literal["auto", "fp32", "bf16"] = "fp32"  # auto: bf16 where this machine is faster in it
    quantization: Literal["none", "nf4", "int8"] = "none"  # the base in 4 or 8 bits, LoRA on top (QLoRA)
    gradient_checkpointing: bool | Literal["auto"] = False  # auto: only where one row does not fit without
    checkpoint_steps: int = Field(ge=1)  # optimizer steps between checkpoints
    minimum_steps: int = Field(ge=1)  # preflight: fewer optimizer steps than this teach nothing
    truncation_limit: Share = 0.0  # preflight: largest share of rows too long for sequence_length
    average_last: float = Field(
        0.0, ge=0.0, lt=1.0
    )  # share of the steps, the last, whose weights are averaged; 0: none
    validation_rows: int | None = Field(None, ge=1)  # first so many validation rows are scored; none: all
    # Divergence: a loss above this multiple of the running median, and above all before, ...
    spike_factor: float = Field(3.0, gt=1.0)
    spike_patience: int = Field(3, ge=1)  # ... for so many logged steps in a row
    rising_patience: int = Field(2, ge=0)  # validation loss rose so many evaluations in a row: the stage ends; 0: never
    on_rising: Literal["keep_best", "stop"] = "keep_best"  # end with the best epoch, or fail as diverged

    @property
    def accumulation(self) -> int:
        """Micro batches per optimizer step."""
        return self.effective_batch // self.rows_at_once

    @property
    def rows_at_once(self) -> int:
        """micro_batch as a number. BadUse while it is `auto`: auto.py chooses before anything is loaded."""
        if self.micro_batch == "auto":
            raise BadUse("micro_batch=auto is not chosen yet. Call training.auto.settle first, or name a number.")
        return self.micro_batch

    @property
    def shares(self) -> dict[str, dict[str, float]]:
        """Column of the stage's table to its names and the share of their rows that may train; empty: all of all."""
        return {}

    @model_validator(mode="after")
    def _steps_agree(self) -> Stage:
        if self.micro_batch != "auto" and self.effective_batch % self.micro_batch:
            found = f"effective_batch={self.effective_batch} is no multiple of micro_batch={self.micro_batch}"
            raise ValueError(found)
        if self.max_steps is not None and self.warmup_steps >= self.max_steps:
            raise ValueError(f"warmup_steps={self.warmup_steps} never ends before max_steps={self.max_steps}")
        if self.max_steps is not None and self.minimum_steps > self.max_steps:
            raise ValueError(f"minimum_steps={self.minimum_steps} is above max_steps={self.max_steps}")
        return self


class Packing(Stage):
    """A stage whose rows share lines."""

    # Tokens that rows are packed up to; a longer row has a line of its own. Shorter lines make more steps of as many tokens.
    line_tokens: int | None = Field(None, ge=16)

    @property
    def line_length(self) -> int:
        """As line_tokens, or as long as the longest row may be."""
        return min(self.line_tokens or self.sequence_length, self.sequence_length)


class Dapt(Packing):
    """Domain-adaptive pretraining on passages."""

    on_spike: Literal["stop", "lower_rate"] = "stop"  # lower_rate: once, from a checkpoint before the spike, then stop
    spike_rate_factor: float = Field(0.5, gt=0.0, lt=1.0)  # what lower_rate multiplies learning_rate by
    styles: dict[str, Share] = {}  # per style the share of its passages that may be read, 1 where nothing is said

    @field_validator("styles")
    @classmethod
    def _known_styles(cls, styles: dict[str, float]) -> dict[str, float]:
        if unknown := sorted(set(styles) - set(STYLES)):
            raise ValueError(f"no passage is of style {', '.join(unknown)}; styles are {', '.join(STYLES)}")
        return styles

    @property
    @override
    def shares(self) -> dict[str, dict[str, float]]:
        return {"style": self.styles}


class Watch(Section):
    """What is asked of the model after each epoch, beside its validation loss. It changes no weight; see epoch_scores.py."""

    dialogues: int = Field(0, ge=0)  # so many validation dialogues are answered and scored; 0: none
    samples: int = Field(0, ge=0)  # so many of the replies are kept to be read
    max_new_tokens: int = Field(64, ge=1)  # a reply ends there

    @model_validator(mode="after")
    def _samples_are_of_the_dialogues(self) -> Watch:
        if self.samples > self.dialogues:
            raise ValueError(f"samples={self.samples} are taken from dialogues={self.dialogues}, which are fewer")
        return self


class Weights(Section):
    """How much of what trains: per name the share of its dialogues that may be drawn, 1 where nothing is said.

    A dialogue that several weights name has their product: 0.5 for a persona and 0.5 for its kind make a quarter.
    """

    persona: dict[str, Share] = {}
    kind: dict[str, Share] = {}
    scenario: dict[str, Share] = {}

    def of(self, persona: str, kind: str, scenario: str) -> float:
        """The share of such dialogues that may be drawn, 0..1."""
        return self.persona.get(persona, 1.0) * self.kind.get(kind, 1.0) * self.scenario.get(scenario, 1.0)

    @property
    def names(self) -> dict[str, set[str]]:
        """Column to the names that are weighed."""
        return {column: set(getattr(self, column)) for column in ("persona", "kind", "scenario")}


class Sft(Packing):
    """Supervised fine-tuning on dialogues."""

    watch: Watch = Watch()
    weights: Weights = Weights()  # before max_rows and no_call_share are applied
    max_rows: int | None = Field(None, ge=1)  # train on so many dialogues at most
    # Share of train dialogues without any tool call, reached by leaving out rows of the fuller side. None: as found.
    no_call_share: Share | None = None
    # So many further dialogues are read up to the end of the assistant's first turn: whether to call, and what.
    openings: int = Field(0, ge=0)
    openings_no_call_share: Share | None = None  # of the openings, as above
    opening_tokens: int | None = Field(None, ge=1)  # words of an opening end after so many tokens; a call never does
    # Weight of a further loss, a line's mean over its assistant turns' beginnings: a call, or any words.
    decision_weight: float = Field(0.0, ge=0.0)
    begin_weight: float = Field(1.0, ge=1.0)  # how often the token counts by which a turn begins as a call or as words
    end_weight: float = Field(1.0, ge=1.0)  # how often the token counts that ends a turn

    @property
    @override
    def shares(self) -> dict[str, dict[str, float]]:
        return self.weights.model_dump()


class Preference(Stage):
    """Preference optimisation on pairs; the reference of dpo and kto is the policy that the stage starts from."""

    watch: Watch = Watch()
    objective: Literal["dpo", "orpo", "kto"] = "dpo"
    # dpo, kto: lower may move further from the reference. orpo: the weight of its odds ratio beside plain fine-tuning.
    beta: float = Field(0.1, gt=0.0)
    max_rows: int | None = Field(None, ge=1)  # train on so many pairs at most


class Mix(Section):
    """An adapter that no stage trains: those of other recipes of the profile, added up."""

    adapters: dict[str, Annotated[float, Field(gt=0.0, le=1.0)]] = Field(min_length=2)  # recipe to its weight
    combination: str = "svd"  # svd: at the rank of lora.r. cat: exact, at the sum of the ranks
    stage: StageName = "preference"  # whose adapters

    @field_validator("combination")
    @classmethod
    def _is_exact(cls, combination: str) -> str:
        if combination not in COMBINATIONS:
            raise ValueError(f"{combination} is none of {', '.join(COMBINATIONS)}: {WHY_NO_OTHER}")
        return combination


class Recipe(Section):
    """One recipe file. `name` and `profile` come from its path."""

    name: str
    profile: str
    seed: int = Field(ge=0)
    base: Base | None = None
    # continue: every stage trains the one adapter further. merge_new: a stage merges the adapter before it into the
    # weights in memory and trains a new one; what it publishes is both together, on the unchanged base.
    strategy: Literal["continue", "merge_new"] = "continue"
    lora: Lora
    dapt: Dapt
    sft: Sft
    preference: Preference
    mix: Mix | None = None  # then resources/merging.py makes the adapter, and no stage may train

    @model_validator(mode="after")
    def _stacking_can_be_served(self) -> Recipe:
        if self.strategy == "merge_new":
            stacked = self.lora.r * len(STAGES)
            if stacked > self.lora.max_lora_rank:
                raise ValueError(
                    f"strategy=merge_new stacks {len(STAGES)} adapters of lora.r={self.lora.r}, rank {stacked} in all, "
                    f"above lora.max_lora_rank={self.lora.max_lora_rank}; r may be {self.lora.max_lora_rank // len(STAGES)}"
                )
            squeezed = [stage for stage in STAGES[1:] if self.stage(stage).quantization != "none"]
            if squeezed:
                raise ValueError(
                    f"strategy=merge_new and {squeezed[0]}.quantization={self.stage(squeezed[0]).quantization} contradict "
                    "each other: an adapter merged into weights of so few bits is rounded away; set quantization: none"
                )
        return self

    def stage(self, stage: str) -> Stage:
        """The section of `dapt`, `sft` or `preference`; UnknownName for another."""
        if stage not in STAGES:
            raise UnknownName(f"Unknown training stage {stage!r}. Stages are: {', '.join(STAGES)}.")
        section: Stage = getattr(self, stage)
        return section

    def stage_hash(self, stage: str) -> str:
        """64 hex digits over what `dapt`, `sft` or `preference` reads: its own section, seed, base and lora.

        The strategy too, where a stage has one before it; not `watch`, which changes nothing.
        """
        wanted = {"seed", "base", "lora"} | ({"strategy"} if stage != STAGES[0] else set())
        shared = self.model_dump(mode="json", include=wanted)
        return digest({**shared, stage: self.stage(stage).model_dump(mode="json", exclude={"watch"})})


def digest(value: Any) -> str:
    """64 hex digits of a JSON value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe file; its folder is the profile, its stem the recipe's name.

    Raises BadConfig naming the file, the fields and what is wrong with them.
    """
    raw = _sections(path)
    if "extends" in raw:
        named = str(raw.pop("extends"))
        before = _sections(_start_of(path, named))
        if "extends" in before:
            end = _end_of(path, named)
            raise BadConfig(
                f"{path} extends {named}, which extends another. Extend one that extends nothing{end and f': {end}'}."
            )
        raw = _laid_over(before, raw)
    try:
        return Recipe.model_validate({"name": path.stem, "profile": path.parent.name, **raw})
    except ValidationError as error:
        raise BadConfig(f"{path}: {_plain(error)}.") from error


def _end_of(path: Path, named: str) -> str:
    """The recipe at the end of a row of them, named as `path` would name it; empty where they go round in a circle."""
    passed: list[str] = []
    while named not in passed:
        passed.append(named)
        found = _sections(_start_of(path, named))
        if "extends" not in found:
            return named
        folder, slash, _ = named.rpartition("/")  # where this one looks for what it extends
        further = str(found["extends"])
        named = further if "/" in further else f"{folder}{slash}{further}"
    return ""


def _start_of(path: Path, named: str) -> Path:
    """The file that a recipe extends: one of its folder, or `<profile>/<recipe>` of those that ship with the project."""
    if not re.fullmatch(r"(?:[\w-]{1,80}/)?[\w-]{1,80}", named):
        raise BadConfig(
            f"{path} extends {named[:60]!r}. Name a recipe of the same folder, such as default, or sample/default."
        )
    profile, slash, recipe = named.partition("/")
    return recipe_path(profile, recipe) if slash else path.with_name(f"{named}.yaml")


def _sections(path: Path) -> dict[str, Any]:
    if not paths.is_file(path):
        raise BadConfig(f"No recipe at {path}. Known ones: {', '.join(known_recipes()) or 'none'}.")
    try:
        raw = yaml_text.read(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path} is not YAML: {error}.") from error
    if not isinstance(raw, dict):
        raise BadConfig(f"{path} must hold a mapping of sections, found {type(raw).__name__}.")
    return raw


def _laid_over(before: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The mapping with the changes in it, mapping by mapping; a list or a value is replaced whole."""
    merged = dict(before)
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _laid_over(merged[name], value) if both else value
    return merged


def recipe_path(profile: str, recipe: str) -> Path:
    """Where that profile's recipe lies; UnknownName, listing the known ones, where there is none."""
    path = CONFIGS / profile / f"{recipe}.yaml"
    if not paths.is_file(path):
        raise UnknownName(f"Unknown recipe {profile}/{recipe}. Known ones: {', '.join(known_recipes())}.")
    return path


def known_recipes(profile: str = "*") -> list[str]:
    """`<profile>/<recipe>` of every recipe file, sorted."""
    return sorted(f"{path.parent.name}/{path.stem}" for path in CONFIGS.glob(f"{profile}/*.yaml"))


def _plain(error: ValidationError) -> str:
    found = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "recipe"
        found.append(f"{where}: {item['msg'].removeprefix('Value error, ')}")
    return "; ".join(found)

"""What a stage would learn, on the screen: the first lines of its batches, with the tokens that loss is taken on marked.

    python -m training.show_batch training/configs/sample/default.yaml --data DIR --base DIR --stage sft --lines 2

The rows, their packing and their labels are made by the very functions that training calls. On a terminal trained
tokens are green and the rest is grey; where the output is piped or NO_COLOR is set, brackets stand around them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

from tokenizers import Tokenizer

from training import losses, packing, preference, rows
from training.base_model import describe, template_of
from training.command import to_stderr
from training.config import STAGES, Recipe, load_recipe
from training.preference_loss import OBJECTIVES
from training.render import IGNORED, tokenizer_of, turn_marks
from twainbot.errors import BadUse, TwainBotError

_GREEN, _BOLD, _GREY, _BLUE, _OFF = "\x1b[32m", "\x1b[1;32m", "\x1b[90m", "\x1b[34m", "\x1b[0m"
_SIDES = {preference.PREFIX: "prompt", preference.CHOSEN: "chosen", preference.REJECTED: "rejected",
          preference.OTHER: "chosen of the next pair, for the zero point"}  # fmt: skip

Part: TypeAlias = tuple[str, list[int], list[float]]  # its name, ids, and loss weight of each token, 0 without loss


@dataclass(frozen=True)
class Batches:
    """What a stage trains on in one pass. `lines`: each a list of rows that share a line, or the sides of a pair."""

    lines: list[list[Part]]
    too_long: list[str]
    unit: str  # what a row is made of

    @property
    def tokens(self) -> int:
        """Of all lines."""
        return sum(len(ids) for line in self.lines for _, ids, _ in line)

    @property
    def trained(self) -> int:
        """Tokens with loss of all lines."""
        return sum(weight > 0 for line in self.lines for _, _, weights in line for weight in weights)


def batches(stage: str, recipe: Recipe, data: Path, base: Path) -> Batches:
    """Everything that the stage reads in its first epoch, in the order of packing; the loop shuffles whole lines."""
    tokenizer, template = tokenizer_of(base), template_of(base)
    settings = recipe.stage(stage)
    length, pad_id = settings.sequence_length, describe(base).pad_id
    train = rows.of_split(rows.read_table(stage, data), "train")
    if stage == "dapt":
        chosen = rows.choose_passages(train, recipe.seed, recipe.dapt)
        loaded, unit, weighing = rows.passages(chosen, tokenizer, length), "passages", None
        lines = packing.pack(loaded.rows, recipe.dapt.line_length)
    elif stage == "sft":
        sft = recipe.sft
        chosen = rows.choose_for_sft(train, recipe.seed, sft)
        loaded = rows.dialogues(chosen, tokenizer, template, length, sft.opening_tokens)
        weighing = losses.Weighing(
            turn_marks(tokenizer, template), sft.decision_weight, sft.begin_weight, sft.end_weight
        )
        unit = "dialogues"
        lines = packing.pack(loaded.rows, sft.line_length)
    else:
        drawn = rows.draw(train, recipe.seed)
        drawn = drawn.head(recipe.preference.max_rows or drawn.height)
        sides = OBJECTIVES[recipe.preference.objective].sides
        loaded = rows.pairs(drawn, tokenizer, template, length, sides)
        return Batches([_sides(preference.fold(pair)) for pair in loaded.rows], loaded.too_long, "pairs")
    return Batches([_rows(line, pad_id, weighing) for line in lines], loaded.too_long, unit)


def text(stage: str, recipe: Recipe, found: Batches, tokenizer: Tokenizer, count: int, colour: bool) -> Iterator[str]:
    """The lines of the screen: what there is in all, then `count` lines of tokens."""
    parts = sum(len(line) for line in found.lines)
    share = found.trained / max(1, found.tokens)
    yield (
        f"{stage} of {recipe.profile}/{recipe.name}: {len(found.lines)} lines of {found.unit}, {parts} rows, "
        f"{found.tokens} tokens, {found.trained} of them with loss ({share:.1%})"
    )
    yield f"an optimizer step reads {recipe.stage(stage).effective_batch} lines"
    if found.too_long:
        names = ", ".join(found.too_long[:3])
        yield f"left out as longer than {recipe.stage(stage).sequence_length} tokens: {len(found.too_long)} ({names} ...)"
    yield _legend(colour)
    for number, line in enumerate(found.lines[:count], 1):
        size = sum(len(ids) for _, ids, _ in line)
        trained = sum(weight > 0 for _, _, weights in line for weight in weights)
        yield ""
        yield _heading(f"=== line {number} of {len(found.lines)}: {size} tokens, {trained} with loss", colour)
        for name, ids, weights in line:
            with_loss = sum(weight > 0 for weight in weights)
            yield _heading(f"--- {name}: {len(ids)} tokens, {with_loss} with loss", colour)
            yield painted(ids, weights, tokenizer, colour)


def painted(ids: Sequence[int], weights: Sequence[float], tokenizer: Tokenizer, colour: bool) -> str:
    """The tokens as text, runs of one weight together: green or in ⟦⟧ with loss, the weight in front where it is not 1."""
    numbered = groupby(range(len(ids)), key=lambda place: weights[place])
    runs = [(weight, tokenizer.decode([ids[n] for n in run], skip_special_tokens=False)) for weight, run in numbered]
    return "".join(_marked(words, weight, colour) for weight, words in runs)


def _marked(words: str, weight: float, colour: bool) -> str:
    if colour:
        return f"{_GREY if weight == 0 else _GREEN if weight == 1 else _BOLD}{words}{_OFF}"
    if weight == 0:
        return words
    return f"⟦{'' if weight == 1 else f'{weight:g}×'}{words}⟧"


def _legend(colour: bool) -> str:
    shown = [_marked("no loss", 0, colour), _marked("loss", 1, colour), _marked("loss, counted so often", 2, colour)]
    return "marks: " + "  ".join(shown)


def _heading(words: str, colour: bool) -> str:
    return f"{_BLUE}{words}{_OFF}" if colour else words


def _rows(line: packing.Packed, pad_id: int, weighing: losses.Weighing | None) -> list[Part]:
    """The rows of a packed line as the collated batch has them; a branch begins with the last token that it shares."""
    batch = packing.collate([line], pad_id)
    weights = (batch["labels"] != IGNORED).double()
    if weighing:
        deciding, ending = losses.turns(batch["labels"], weighing.marks)
        weights += deciding * (weighing.decision + weighing.begin - 1) + ending * (weighing.end - 1)
    values, begin = weights[0].tolist(), 0
    found: list[Part] = []
    for number, part in enumerate(packing.parts(line), 1):
        end = begin + len(part.ids)
        after = f", after {part.skipped} tokens of another" if part.skipped else ""
        found.append((f"row {number} of {len(line)}{after}", part.ids, values[begin:end]))
        begin = end
    return found


def _sides(pair: preference.FoldedPair) -> list[Part]:
    """The prompt and the replies of a folded pair; a reply begins with the prompt's last token, which it is told by."""
    parts: list[Part] = []
    for segment, run in groupby(range(len(pair.ids)), key=lambda place: pair.segments[place]):
        places = list(run)
        weights = [float(pair.labels[place] != IGNORED) for place in places]
        parts.append((_SIDES[segment], [pair.ids[place] for place in places], weights))
    return parts


def main(argv: Sequence[str] | None = None) -> int:
    """Print the batch: 0; 1 for data that cannot be read, 2 for bad use, each with a sentence on stderr."""
    example = "example: python -m training.show_batch training/configs/sample/default.yaml --data D --base B"
    parser = argparse.ArgumentParser(prog="python -m training.show_batch", epilog=example)
    parser.add_argument("config", type=Path, help="recipe, a YAML file")
    parser.add_argument("--data", type=Path, required=True, help="folder with the stage's Parquet file")
    parser.add_argument("--base", type=Path, required=True, help="base model folder")
    parser.add_argument("--stage", choices=STAGES, default="sft", help="whose batches, by default sft's")
    parser.add_argument("--lines", type=int, default=2, help="how many lines of tokens, by default 2")
    given = parser.parse_args(argv)
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    try:
        recipe = load_recipe(given.config)
        found = batches(given.stage, recipe, given.data, given.base)
        for line in text(given.stage, recipe, found, tokenizer_of(given.base), given.lines, colour):
            print(line)
    except TwainBotError as error:
        to_stderr(str(error))
        return 2 if isinstance(error, BadUse) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

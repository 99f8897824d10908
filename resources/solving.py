"""Lets base and adapter solve the same problems, and runs what they wrote in the sandbox. The verdict is twainbot/evals'."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resources import proof, sandbox, suites
from resources.language_model import LanguageModel
from twainbot.evals import coding
from twainbot.evals.coding import Answer

NOT_ASKED = "The profile asks for no problems to be solved (evaluation.humaneval: 0), so none were run."
NO_PROBLEMS = "No problems are at hand: install the extra `humaneval`, or name a file in TWAINBOT_CODING_PROBLEMS."
BATCH = 8  # both arms alike; with bf16 weights the batch's size moves single answers


@dataclass(frozen=True)
class Solved:
    """Both arms' answers, none where nothing ran, and the sentence about the sandbox or why nothing ran."""

    answers: tuple[Answer, ...]
    why: str


def solve(model: LanguageModel, limit: int, tokens: int, cache: Path) -> Solved:
    """Greedy solutions of `limit` of HumanEval's problems and of all the user's, adapter on and off in one loaded model."""
    if limit == 0:
        return Solved((), NOT_ASKED)
    everything = suites.problems()
    if not everything:
        return Solved((), NO_PROBLEMS)
    known = [one for one in everything if one.canonical_solution] or suites.own_problems()
    shown = proof.prove(known, cache)
    if not shown.holds:
        return Solved((), f"No model-written code was run. {shown.why}")
    chosen = suites.problems(limit)
    bodies: list[list[str]] = []
    states: list[list[str]] = []
    for adapter in (False, True):
        written = model.complete(
            [coding.asked(one) for one in chosen],
            max_new_tokens=tokens,
            batch_size=BATCH,
            adapter=adapter,
            ended=coding.ended,
        )
        bodies.append([coding.body(text) for text in written])
        programs = [proof.program_of(one, text) for one, text in zip(chosen, bodies[-1], strict=True)]
        states.append([outcome.state for outcome in sandbox.run_all(programs)])
    answers = tuple(
        Answer(one.task_id, *row) for one, row in zip(chosen, zip(*states, *bodies, strict=True), strict=True)
    )
    if any(state == "unavailable" for arm in states for state in arm):
        return Solved((), "The sandbox failed while solutions ran, so nothing counts. Run evals/coding again.")
    return Solved(answers, f"Sandbox: {shown.why[0].lower()}{shown.why[1:]}")

"""One decision per chunk, keep, review or reject, with every reason. The findings come from lexical.py, quality.py and
the toxicity scorer that is passed in; here they meet the thresholds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

from twainbot.errors import BadUse
from twainbot.records import SCREENED, TRAINABLE_RIGHTS, frame
from twainbot.screening.language import OTHER, language_of
from twainbot.screening.lexical import Findings, candidates, find_near, marks_of, reach
from twainbot.screening.quality import TABULAR_STYLES, flags_of
from twainbot.screening.words import WordCounter

NOT_SCORED = "not_scored"
FLAGGED, SAMPLE, NOT_DRAWN, NO_MODEL = "flagged", "sample", "not_drawn", "no_model"  # why a chunk was scored, or not
BLOCK = 1024  # chunks at once


class ToxicityScorer(Protocol):
    """Scores texts from 0 (harmless) to 1 (toxic); None where it gives no score. `backend` names model and weights."""

    @property
    def backend(self) -> str:
        """Name of the scorer with the digest of its weights; "not_scored" for one that gives no scores."""
        ...

    def score(self, texts: list[str]) -> list[float | None]:
        """One score per text, in order."""
        ...


class NotScored:
    """Stands where no toxicity model is installed: it gives no scores, and says so."""

    backend = NOT_SCORED

    def score(self, texts: list[str]) -> list[float | None]:
        """None for each text: an absent score is not a low score."""
        return [None] * len(texts)


@dataclass(frozen=True)
class ScreeningSettings:
    """From which finding on a chunk is reviewed or rejected. Weights are sums of lexicon.yaml's; toxicity is 0..1."""

    profanity_review: float = 2.0  # one strong word
    profanity_reject: float = 4.0  # two
    abuse_review: float = 2.0
    abuse_reject: float = 3.0  # one direct call to harm; fiction's "I'll kill you" weighs 2 and is reviewed
    toxicity_review: float = 0.5
    toxicity_reject: float = 0.9
    quality_reject: int = 2  # failed rules; one alone is reviewed
    hard_quality: tuple[str, ...] = ("too_few_words", "mojibake", "placeholder_text")  # each rejects by itself
    review_topics: tuple[str, ...] = ("self_harm", "sexual_violence", "disallowed")
    # Whoever gathered a joke collection seldom says whose jokes they are, and a person can find out: those of unknown
    # rights wait in the queue. They pass only by rights declared beside the file, never by a reviewer's word.
    review_rights_of: tuple[str, ...] = ("joke",)
    public_contacts: tuple[str, ...] = ("weather_fact",)  # styles whose phone numbers and addresses are offices'
    # Of chunks without a lexical flag; flagged ones are always scored. A base-size classifier takes 2 CPU seconds a chunk:
    # 0.05 makes that affordable, and the drawn chunks still tell how much the lexicon misses (cascade.py).
    scored_share: float = 1.0
    sample_seed: int = 1835

    def __post_init__(self) -> None:
        """Raises BadUse naming both fields where a review threshold lies above its reject threshold."""
        for kind in ("profanity", "abuse", "toxicity"):
            review, reject = getattr(self, f"{kind}_review"), getattr(self, f"{kind}_reject")
            if not 0 < review <= reject:
                raise BadUse(f"{kind}_review={review} must be above 0 and at most {kind}_reject={reject}.")
        if not 0 <= self.sample_seed < 2**63:
            raise BadUse(f"sample_seed={self.sample_seed} must lie between 0 and 2^63.")
        if not 0 <= self.scored_share <= 1:
            raise BadUse(f"scored_share={self.scored_share} must lie between 0 and 1.")


def screen(chunks: pl.DataFrame, scorer: ToxicityScorer, settings: ScreeningSettings) -> pl.DataFrame:
    """One row of records.SCREENED per chunk, in order. A chunk that no model scored has null toxicity, never 0.

    The lexicon looks at all of them first; the model scores what it flagged and a drawn share of the rest.
    """
    counter = WordCounter(marks_of, candidates, reach())
    rows = [row for block in chunks.iter_slices(BLOCK) for row in _screened(block, counter, scorer, settings)]
    return frame(rows, SCREENED)


def _screened(
    chunks: pl.DataFrame, counter: WordCounter, scorer: ToxicityScorer, settings: ScreeningSettings
) -> Iterator[dict[str, Any]]:
    texts = ["" if text is None else text for text in chunks["text"].to_list()]
    counts = counter.count(texts)
    bits = counts.marks.tolist()
    found = [find_near(text, bits[number], counts.marked.get(number, ())) for number, text in enumerate(texts)]
    quality = flags_of(texts, chunks["style"].to_list(), counts)
    languages = language_of(counts)
    because = [_why_scored(text, item, scorer, settings) for text, item in zip(texts, found, strict=True)]
    scores = iter(scorer.score([text for text, why in zip(texts, because, strict=True) if why != NOT_DRAWN]))
    known = chunks.select("chunk_id", "work_id", "style", "copyright_status").iter_rows(named=True)
    for chunk, item, flags, language, why in zip(known, found, quality, languages, because, strict=True):
        score = None if why == NOT_DRAWN else next(scores)
        yield _row(chunk, item, flags, language, why, score, scorer.backend, settings)


def _why_scored(text: str, findings: Findings, scorer: ToxicityScorer, settings: ScreeningSettings) -> str:
    if scorer.backend == NOT_SCORED:
        return NO_MODEL
    if findings.flags:
        return FLAGGED
    return SAMPLE if _sampled(text, settings) else NOT_DRAWN


def _sampled(text: str, settings: ScreeningSettings) -> bool:
    """Whether a text without flags is scored: drawn by its own hash and the seed, so every run draws the same texts."""
    if settings.scored_share == 1:
        return True
    salt = settings.sample_seed.to_bytes(8)
    drawn = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8, salt=salt).digest()) / 2**64
    return drawn < settings.scored_share


def _row(
    chunk: dict[str, Any],
    findings: Findings,
    quality: list[str],
    language: str,
    why_scored: str,
    toxicity: float | None,
    backend: str,
    settings: ScreeningSettings,
) -> dict[str, Any]:
    rejects = [
        *_rights_rejects(chunk, settings),
        *_weight_rejects(findings, settings),
        *(["personal_data:ssn"] if "personal_data:ssn" in findings.flags else []),
        *_quality_rejects(quality, settings),
        *(["toxicity"] if toxicity is not None and toxicity >= settings.toxicity_reject else []),
    ]
    reviews = [
        *(_rights_reasons(chunk["copyright_status"])),
        *_lexical_reviews(chunk["style"], findings, settings),
        *(f"quality:{flag}" for flag in quality),
        *(["language:other"] if language == OTHER and chunk["style"] not in TABULAR_STYLES else []),
    ]
    if toxicity is not None and toxicity >= settings.toxicity_review:
        reviews.append("toxicity")
    reasons = list(dict.fromkeys([*rejects, *reviews]))  # rejecting ones first, each once
    return {
        "chunk_id": chunk["chunk_id"],
        "work_id": chunk["work_id"],
        "decision": "reject" if rejects else "review" if reviews else "keep",
        "reasons": reasons,
        "toxicity": toxicity,
        "toxicity_backend": NOT_SCORED if toxicity is None else backend,
        "lexical_flags": list(findings.flags),
        "sensitive_topics": list(findings.topics),
        "quality_flags": quality,
        "language": language,
        "scored_because": why_scored,
        "evidence": list(findings.evidence),
    }


def _rights_rejects(chunk: dict[str, Any], settings: ScreeningSettings) -> list[str]:
    waits = chunk["copyright_status"] == "unknown" and chunk["style"] in settings.review_rights_of
    return [] if waits else _rights_reasons(chunk["copyright_status"])


def _rights_reasons(rights: str) -> list[str]:
    if rights in TRAINABLE_RIGHTS:
        return []
    return ["rights_restricted" if rights == "restricted" else "rights_unknown"]


def _weight_rejects(findings: Findings, settings: ScreeningSettings) -> Iterator[str]:
    bounds = {"profanity": settings.profanity_reject, "abuse": settings.abuse_reject, "threat": settings.abuse_reject}
    return (kind for kind, weight in findings.weights.items() if weight >= bounds[kind])


def _lexical_reviews(style: str, findings: Findings, settings: ScreeningSettings) -> Iterator[str]:
    bounds = {"profanity": settings.profanity_review, "abuse": settings.abuse_review, "threat": settings.abuse_review}
    for flag in findings.flags:
        kind = flag.partition(":")[0]
        is_public = kind == "personal_data" and style in settings.public_contacts
        if not is_public and findings.weights.get(flag, 0.0) >= bounds.get(flag, 0.0):
            yield flag
    yield from (f"topic:{topic}" for topic in findings.topics if topic in settings.review_topics)


def _quality_rejects(quality: Sequence[str], settings: ScreeningSettings) -> list[str]:
    hard = [flag for flag in quality if flag in settings.hard_quality]
    failed = quality if len(quality) >= settings.quality_reject else hard
    return [f"quality:{flag}" for flag in failed]

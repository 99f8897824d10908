"""Style by classifier and copying by overlap. Ratings by people or judge models become a verdict in verdicts.py.

The classifier only ranks: genuine unseen passages do not all pass it. So a rate is never read alone, but beside the
ceiling set by held-out works, the base's rate, and the paired gain over the base. It must be fitted on works that no
adapter trained on. It reads texts with all but their commonest words masked (names, places and topics among them), so
that a string of the author's favourite nouns is a string of stars (docs/decisions/0024).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from twainbot.errors import BadInput
from twainbot.evals.statistics import Interval, PairedGain, paired_bootstrap

_FOLDS = 5
_PASS = 0.5
_NGRAMS = (2, 4)  # characters within word bounds: spelling and function words more than topics
_KEPT_WORDS = 250  # commonest words of the fitted texts, by texts that hold them; AUC on unseen works .80 plain, .85 so
_WORD = re.compile(r"[^\W_][\w']*")
_LEAST_HEADROOM = 0.05  # probability; below it base and author look alike to the classifier, and a share of it is noise
SHARED_RUN = 6  # words of the n-grams whose share is told
_SEED_WORDS = 4  # overlaps are looked up by four words first: shorter runs are in every text


@dataclass(frozen=True)
class StyleExample:
    """A passage of about a reply's length. `work`: what must not be on both sides of a split; `author`: for the confusion."""

    text: str
    is_target: bool
    work: str
    author: str = ""


@dataclass(frozen=True)
class Ceiling:
    """How the classifier does on works it never saw: what the real author reaches is the most a model can be asked."""

    target_rate: float  # mean over target works of the share that passes
    target_interval: Interval  # over works
    other_rate: float  # the same for everybody else's works: false passes
    auc: float
    works: int
    target_works: int
    probability: float = 0.0  # mean calibrated probability over target works: what full voice reads as
    calibration_error: float = (
        0.0  # expected, ten bins, after calibration on unseen works; two numbers are fitted to it
    )
    passes_by_author: Mapping[str, tuple[float, int]] = field(default_factory=dict)  # (share that passes, passages)


@dataclass(frozen=True)
class StyleReport:
    """Rates in 0..1. `relative`: the adapter's rate as a share of the ceiling. Gains are adapter less base.

    share_of_headroom: the probability gain as a share of what lies between the base and unseen passages of the author,
    these two taken as known; None where the classifier hardly tells them apart.
    """

    ceiling: Ceiling
    n: int
    base_rate: float
    adapter_rate: float
    relative: float
    rate_gain: PairedGain
    probability_gain: PairedGain
    share_of_headroom: PairedGain | None = None


@dataclass(frozen=True)
class Overlap:
    """The longest run of words that a text shares with a corpus. `source`: index of the corpus text, -1 without any."""

    words: int
    text: str
    source: int


def fit(examples: Sequence[StyleExample]) -> Callable[[Sequence[str]], npt.NDArray[np.float64]]:
    """A scorer: texts to probabilities of the target style. Deterministic; raises BadInput on a one-sided set."""
    model = _fitted(examples)
    return lambda texts: _probabilities(model, texts)


def ceiling(examples: Sequence[StyleExample], *, seed: int) -> Ceiling:
    """Scores every work by a classifier that has not seen it, in five folds of whole works."""
    from sklearn.metrics import roc_auc_score  # scikit-learn takes a second to import

    probabilities = _held_out_probabilities(tuple(examples))
    calibrated = _calibration(tuple(examples))(probabilities)
    passed = probabilities >= _PASS
    rates = {side: _work_means(examples, passed.astype(float), side) for side in (True, False)}
    target = paired_bootstrap([0.0] * len(rates[True]), rates[True], seed=seed)
    truth = np.array([e.is_target for e in examples])
    return Ceiling(
        target_rate=target.mean,
        target_interval=Interval(max(0.0, target.interval.low), min(1.0, target.interval.high)),
        other_rate=float(np.mean(rates[False])),
        auc=float(roc_auc_score(truth, probabilities)),
        works=len({e.work for e in examples}),
        target_works=len(rates[True]),
        probability=float(np.mean(_work_means(examples, calibrated, True))),
        calibration_error=_calibration_error(calibrated, truth),
        passes_by_author=_passes_by_author(examples, passed),
    )


def report(
    examples: Sequence[StyleExample],
    base: Sequence[str],
    adapter: Sequence[str],
    *,
    seed: int,
    clusters: Sequence[Hashable] | None = None,
) -> StyleReport:
    """Base and adapter replies to the same prompts, in the same order, against the ceiling of held-out works."""
    if len(base) != len(adapter) or not base:
        raise BadInput(
            f"Style needs a base and an adapter reply to every prompt: {len(base)} and {len(adapter)} given."
        )
    limit, scorer, calibrated = ceiling(examples, seed=seed), fit(examples), _calibration(tuple(examples))
    of_base, of_adapter = scorer(base), scorer(adapter)
    base_passed, adapter_passed = (of_base >= _PASS).astype(float), (of_adapter >= _PASS).astype(float)
    rate = float(adapter_passed.mean())
    return StyleReport(
        ceiling=limit,
        n=len(base),
        base_rate=float(base_passed.mean()),
        adapter_rate=rate,
        relative=rate / limit.target_rate if limit.target_rate else 0.0,
        rate_gain=paired_bootstrap(base_passed.tolist(), adapter_passed.tolist(), seed=seed, clusters=clusters),
        probability_gain=paired_bootstrap(of_base.tolist(), of_adapter.tolist(), seed=seed, clusters=clusters),
        share_of_headroom=_share_of_headroom(limit, calibrated(of_base), calibrated(of_adapter), seed, clusters),
    )


def _share_of_headroom(
    limit: Ceiling,
    base: npt.NDArray[np.float64],
    adapter: npt.NDArray[np.float64],
    seed: int,
    clusters: Sequence[Hashable] | None,
) -> PairedGain | None:
    room = limit.probability - float(base.mean())
    if room < _LEAST_HEADROOM:
        return None
    return paired_bootstrap((base / room).tolist(), (adapter / room).tolist(), seed=seed, clusters=clusters)


def masked(text: str, kept: frozenset[str]) -> str:
    """The text with every word but the kept ones as a star: cases and punctuation aside, only its build remains."""
    return _WORD.sub(lambda m: word if (word := m[0].lower()) in kept else "*", _straight(text))


def common_words(texts: Iterable[str], count: int = _KEPT_WORDS) -> frozenset[str]:
    """The words that most of the texts hold; equals by alphabet, so that equal texts give equal words."""
    held = Counter(word for text in texts for word in {m[0].lower() for m in _WORD.finditer(_straight(text))})
    return frozenset(word for word, _ in sorted(held.items(), key=lambda pair: (-pair[1], pair[0]))[:count])


def _straight(text: str) -> str:
    """With straight apostrophes, as works are put right: a model's `don’t` is the author's `don't`."""
    return text.replace("’", "'")


def shared_run_rates(texts: Sequence[str], corpus_texts: Sequence[str], size: int = SHARED_RUN) -> list[float]:
    """Of each text's runs of so many words, the share that stands in the corpus: a patchwork has no long run."""
    runs = [_runs(text, size) for text in texts]
    wanted = {run for listed in runs for run in listed}
    known = {run for text in corpus_texts for run in _runs(text, size) if run in wanted}
    return [sum(run in known for run in listed) / len(listed) if listed else 0.0 for listed in runs]


def _runs(text: str, size: int) -> list[tuple[str, ...]]:
    words = _words(text)
    return [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]


def longest_overlap(text: str, corpus_texts: Iterable[str]) -> Overlap:
    """The longest run of words of `text` that stands in one corpus text, case and punctuation aside."""
    return longest_overlaps([text], list(corpus_texts))[0]


def longest_overlaps(texts: Sequence[str], corpus_texts: Sequence[str]) -> list[Overlap]:
    """`longest_overlap` of many texts, in order, in one pass over the corpus for each seed length that is needed."""
    replies, corpus = [_words(text) for text in texts], [_words(text) for text in corpus_texts]
    best = [Overlap(0, "", -1) for _ in texts]
    for seed_words in range(_SEED_WORDS, 0, -1):
        open_replies = [i for i, overlap in enumerate(best) if overlap.words == 0]
        _search(replies, corpus, open_replies, seed_words, best)
    return best


def _fitted(examples: Sequence[StyleExample]) -> Any:
    if len({e.is_target for e in examples}) < 2:
        raise BadInput("A style classifier needs passages of the target author and of others.")
    return _model(tuple(examples))


@lru_cache(maxsize=8)  # the final fit of one set is asked for by ceiling, report and calibration
def _model(examples: tuple[StyleExample, ...]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    kept = common_words(e.text for e in examples)

    def build(text: str) -> str:
        return masked(text, kept)

    vectors = TfidfVectorizer(preprocessor=build, analyzer="char_wb", ngram_range=_NGRAMS, min_df=2, sublinear_tf=True)
    # balanced: a corpus with more of others' passages would only shift the threshold; liblinear is deterministic here
    model = make_pipeline(vectors, LogisticRegression(class_weight="balanced", solver="liblinear", C=4.0))
    return model.fit([e.text for e in examples], [e.is_target for e in examples])


def _probabilities(model: Any, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    return np.asarray(model.predict_proba(list(texts))[:, 1], dtype=float)


@lru_cache(maxsize=4)
def _held_out_probabilities(examples: tuple[StyleExample, ...]) -> npt.NDArray[np.float64]:
    from sklearn.model_selection import StratifiedGroupKFold

    targets, works = np.array([e.is_target for e in examples]), np.array([e.work for e in examples])
    sides = [len({e.work for e in examples if e.is_target is side}) for side in (True, False)]
    if min(sides) < 2:
        raise BadInput(f"Held-out works need two on each side: {sides[0]} of the target author, {sides[1]} of others.")
    probabilities = np.full(len(examples), np.nan)
    folds = StratifiedGroupKFold(n_splits=min(_FOLDS, *sides))
    for seen, unseen in folds.split(np.zeros(len(examples)), targets, works):
        model = _fitted([examples[i] for i in seen])
        probabilities[unseen] = _probabilities(model, [examples[i].text for i in unseen])
    return probabilities


@lru_cache(maxsize=4)
def _calibration(
    examples: tuple[StyleExample, ...],
) -> Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    """Platt's two numbers, fitted on works that the scoring classifier had not seen."""
    from sklearn.linear_model import LogisticRegression

    truth = [e.is_target for e in examples]
    line = LogisticRegression(class_weight="balanced", C=1e6).fit(_logits(_held_out_probabilities(examples)), truth)
    return lambda probabilities: np.asarray(line.predict_proba(_logits(probabilities))[:, 1], dtype=float)


def _logits(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    inside = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return np.log(inside / (1 - inside)).reshape(-1, 1)


def _calibration_error(probabilities: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error in ten bins, both sides weighted alike as in the fit."""
    weights = np.where(truth, 0.5 / truth.sum(), 0.5 / (~truth).sum())
    bins = np.minimum((probabilities * 10).astype(int), 9)
    return float(sum(abs((weights * (probabilities - truth))[bins == number].sum()) for number in range(10)))


def _passes_by_author(examples: Sequence[StyleExample], passed: npt.NDArray[np.bool_]) -> dict[str, tuple[float, int]]:
    """Share of each author's passages that pass, and how many passages these are; none where no author is named."""
    by_author: dict[str, list[bool]] = {}
    for example, ok in zip(examples, passed.tolist(), strict=True):
        if example.author:
            by_author.setdefault(example.author, []).append(ok)
    return {author: (sum(flags) / len(flags), len(flags)) for author, flags in sorted(by_author.items())}


def _work_means(examples: Sequence[StyleExample], values: npt.NDArray[np.float64], is_target: bool) -> list[float]:
    """Mean over the passages of each work, in the works' alphabetical order."""
    by_work: dict[str, list[float]] = {}
    for example, value in zip(examples, values.tolist(), strict=True):
        if example.is_target is is_target:
            by_work.setdefault(example.work, []).append(value)
    return [sum(found) / len(found) for _, found in sorted(by_work.items())]


def _words(text: str) -> list[str]:
    cleaned = "".join(c if c.isalnum() else "" if c in "'’" else " " for c in text.casefold())
    return cleaned.split()


def _search(
    replies: Sequence[list[str]], corpus: Sequence[list[str]], wanted: Sequence[int], size: int, best: list[Overlap]
) -> None:
    """Improves `best` with every run that starts by `size` shared words."""
    seeds: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for i in wanted:
        for p in range(len(replies[i]) - size + 1):
            seeds.setdefault(tuple(replies[i][p : p + size]), []).append((i, p))
    for d, document in enumerate(corpus) if seeds else ():
        for q in range(len(document) - size + 1):
            for i, p in seeds.get(tuple(document[q : q + size]), ()):
                if p and q and replies[i][p - 1] == document[q - 1]:
                    continue  # the run began one word earlier and was measured there
                length = _run(replies[i], p, document, q, size)
                if length > best[i].words:
                    best[i] = Overlap(length, " ".join(replies[i][p : p + length]), d)


def _run(a: Sequence[str], p: int, b: Sequence[str], q: int, length: int) -> int:
    limit = min(len(a) - p, len(b) - q)
    while length < limit and a[p + length] == b[q + length]:
        length += 1
    return length

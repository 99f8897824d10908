"""Which group goes to train, validation or test, so that every stratum is divided alike. What makes a group is known by
groups.py; that nothing crosses is proven afterwards, by other code, in leakage.py.

A group first goes where the hash of its samples sends it; then groups are moved or exchanged, one step at a time, while
that brings the strata nearer to their shares. So the split does not depend on the order of rows, and samples added
later move few others (500 more among 31,000: 1.2 % changed sides).
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from twainbot.errors import BadInput, BadUse
from twainbot.records import ASSIGNMENT, SPLITS, conform
from twainbot.splits.groups import group_labels

VALIDATION_SHARE = (0.10, 0.15)  # of every stratum
EXCHANGED = 300  # groups, the largest ones, that may trade places: small ones fill gaps well enough by moving alone
_Counts: TypeAlias = NDArray[np.float64]  # (groups, strata) samples, or (splits, strata) samples
_Splits: TypeAlias = NDArray[np.int64]  # (groups,) places in records.SPLITS
_URGENCY = np.array(
    [1.0, 3.0, 1.0]
)  # validation has bounds to keep, so its deviations weigh more than test's or train's
_MIN_GAIN = 1e-9  # a move that gains less is rounding noise, and could go back and forth for ever


def assign(samples: pl.DataFrame, fractions: Sequence[float] = (0.8, 0.1, 0.1), *, seed: int = 0) -> pl.DataFrame:
    """One row of records.ASSIGNMENT per sample, sorted by sample id; no cluster, work, seed or place lies in two splits.

    Needs sample_id, kind, stratum and cluster_id; work_id, seed_id and place_id tie too where present; a tie may be a list.
    `fractions` are those of train, validation and test; validation is rounded up. `group_id` is the group's smallest
    sample id. Whether every stratum could be balanced is told by `balance`. Raises BadInput on a repeated sample id.
    """
    _check(samples, fractions)
    ordered = samples.sort("sample_id")
    labels = np.array(group_labels(ordered), np.int64)
    firsts, groups = np.unique(labels, return_inverse=True)
    strata = ordered["stratum"].rank("dense").to_numpy().astype(np.int64) - 1
    counts = np.zeros((len(firsts), int(strata.max(initial=-1)) + 1))
    np.add.at(counts, (groups, strata), 1.0)
    drawn = _group_hashes(ordered["sample_id"].to_list(), groups, len(firsts), seed)
    targets = _targets(counts.sum(axis=0), fractions)
    splits = _with_validation(counts, _balanced(counts, _first_draw(drawn, fractions), targets, drawn), targets)
    made = ordered.with_columns(
        pl.Series("group_id", ordered["sample_id"].gather(labels.tolist()), pl.String),
        pl.Series("split", [SPLITS[split] for split in splits[groups]], pl.String),
    )
    return conform(made.select(list(ASSIGNMENT)), ASSIGNMENT, "splits/assignments")


def balance(assignments: pl.DataFrame, validation_share: tuple[float, float] = VALIDATION_SHARE) -> pl.DataFrame:
    """One row per stratum, sorted: samples, groups, shares of the splits (0..1), and `note`, null where all is well.

    A note says in a sentence why a stratum is not divided as wished: too few groups, or one group too large.
    """
    sizes = assignments.group_by("stratum", "group_id").len()
    largest = sizes.group_by("stratum").agg(groups=pl.len(), largest_group=pl.col("len").max())
    shares = [(pl.col("split") == split).mean().alias(f"{split}_share") for split in SPLITS]
    rows = (
        assignments.group_by("stratum")
        .agg(pl.len().alias("samples"), *shares)
        .join(largest, on="stratum")
        .sort("stratum")
    )
    notes = [_note(row, validation_share) for row in rows.iter_rows(named=True)]
    return rows.with_columns(pl.Series("note", notes, pl.String))


def _note(row: dict[str, float], bounds: tuple[float, float]) -> str | None:
    least, most = bounds
    found = row["validation_share"]
    if least <= found <= most and row["test_share"] > 0 and row["train_share"] > 0:
        return None
    held = ", ".join(f"{split} {row[f'{split}_share']:.1%}" for split in SPLITS)
    why = f"its {row['samples']} samples form {row['groups']} group(s), the largest of {row['largest_group']}"
    return (
        f"Stratum {row['stratum']!r} holds {held}: {why}, and groups are never divided. Add works to it, or merge it."
    )


def _check(samples: pl.DataFrame, fractions: Sequence[float]) -> None:
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or not math.isclose(sum(fractions), 1.0, abs_tol=1e-9):
        raise BadUse(f"fractions={tuple(fractions)} must be three shares, train, validation and test, that sum to 1.")
    repeated = samples.filter(pl.col("sample_id").is_duplicated())["sample_id"]
    if len(repeated):
        raise BadInput(f"Sample {repeated.min()!r} occurs more than once. Sample ids must be unique over all kinds.")


def _group_hashes(ids: Sequence[str], groups: NDArray[np.int64], total: int, seed: int) -> NDArray[np.float64]:
    """Per group the least hash of its samples, 0..1. A sample that joins a group of n changes it with p = 1/(n+1)."""
    hashes = [hashlib.blake2b(f"{seed}:{sample_id}".encode(), digest_size=8).digest() for sample_id in ids]
    values = np.array([int.from_bytes(value) / 2**64 for value in hashes])
    least = np.ones(total)
    np.minimum.at(least, groups, values)
    sizes = np.bincount(groups, minlength=total)
    return 1 - (1 - least) ** sizes  # the least of n uniform numbers, made uniform again


def _first_draw(drawn: NDArray[np.float64], fractions: Sequence[float]) -> _Splits:
    return np.searchsorted(np.cumsum(fractions)[:-1], drawn, side="right")


def _targets(totals: NDArray[np.float64], fractions: Sequence[float]) -> _Counts:
    """Wished samples per split and stratum, whole numbers: validation rounded up, test to the nearest, at least one.

    A stratum of one sample is for training, one of two for training and validation.
    """
    validation = np.minimum(np.ceil(totals * fractions[1] - _MIN_GAIN), np.maximum(totals - 1, 0))
    test = np.maximum(np.rint(totals * fractions[2]), float(fractions[2] > 0))
    test = np.minimum(test, np.maximum(totals - validation - 1, 0))
    return np.stack([totals - validation - test, validation, test])


def _balanced(counts: _Counts, splits: _Splits, targets: _Counts, drawn: NDArray[np.float64]) -> _Splits:
    """Splits after moving a group, or exchanging two, as long as that brings the strata nearer to their targets.

    The distance is the sum of squared deviations, each relative to its stratum's size, so that small strata count as
    much as large ones. It falls with each step; of equal steps the first in the order of `drawn` is taken.
    """
    weights = 1 / np.maximum(1, counts.sum(axis=0)) ** 2
    order = np.argsort(drawn, kind="stable")
    large = order[np.argsort(-(counts**2 @ weights)[order], kind="stable")[:EXCHANGED]]
    alike = _Alike(counts[order], splits[order])
    held = np.stack([counts[splits == split].sum(axis=0) for split in range(len(SPLITS))])
    splits = splits.copy()
    place = np.argsort(order)  # of a group in the order
    while len(counts):
        surplus = (held - targets) * weights * _URGENCY[:, None]  # (splits, strata)
        steps = [(int(order[at]), to) for at, to in alike.best_move(surplus, weights)]
        steps = steps or _best_exchange(counts[large], splits[large], surplus, weights, large)
        if not steps:
            break
        for group, to in steps:
            held[splits[group]] -= counts[group]
            held[to] += counts[group]
            splits[group] = to
            alike.move(int(place[group]), to)
    return splits


class _Alike:
    """Groups with the same samples in each stratum, of which only the first in each split needs a look.

    Most groups are one passage: a million of them make a handful of kinds, where looking at each group before each of some
    hundred steps made a sample cost more the more there were. Groups go by their place in the order.
    """

    def __init__(self, counts: _Counts, splits: _Splits) -> None:
        self._counts, kinds = np.unique(counts, axis=0, return_inverse=True)
        self._kinds, self._splits = kinds.reshape(-1), splits.copy()
        self._places = [[list[int]() for _ in SPLITS] for _ in self._counts]
        for at, (kind, split) in enumerate(zip(self._kinds.tolist(), splits.tolist(), strict=True)):
            self._places[kind][split].append(at)  # ascending, and so a heap
        self._first = np.array([[places[0] if places else -1 for places in row] for row in self._places]).reshape(
            -1, len(SPLITS)
        )

    def best_move(self, surplus: _Counts, weights: NDArray[np.float64]) -> list[tuple[int, int]]:
        """The one (group, split) that lowers the distance most, in a list; an empty list where none does."""
        pull = self._counts @ surplus.T  # (kinds, splits): how far a split is over its targets in the kind's strata
        cost = self._counts**2 @ weights
        gains = pull[:, :, None] - pull[:, None, :] - cost[:, None, None] * (_URGENCY[:, None] + _URGENCY) / 2
        gains[self._first < 0] = 0.0
        gains[:, range(len(SPLITS)), range(len(SPLITS))] = 0.0
        if gains.max() <= _MIN_GAIN:
            return []
        kind, out_of, to = np.nonzero(gains == gains.max())
        return [min(zip(self._first[kind, out_of].tolist(), to.tolist(), strict=True))]

    def move(self, at: int, to: int) -> None:
        """Note that a group is in another split now."""
        kind, before = int(self._kinds[at]), int(self._splits[at])
        self._splits[at] = to
        heapq.heappush(self._places[kind][to], at)
        for split in (before, to):
            places = self._places[kind][split]
            while places and self._splits[places[0]] != split:
                heapq.heappop(places)  # left it before
            self._first[kind, split] = places[0] if places else -1


def _best_exchange(
    counts: _Counts, splits: _Splits, surplus: _Counts, weights: NDArray[np.float64], names: _Splits
) -> list[tuple[int, int]]:
    """The two (group, split) that trade places with the greatest gain; an empty list where no trade gains."""
    pull = counts @ surplus.T
    there = pull[:, splits]  # [i, j]: how far the split of group j is over its targets in the strata of group i
    own = np.diagonal(there)
    squares = counts**2 @ weights
    apart = squares[:, None] + squares - 2 * (counts * weights) @ counts.T
    gains = own[:, None] - there + own - there.T - apart * (_URGENCY[splits][:, None] + _URGENCY[splits]) / 2
    gains[splits[:, None] == splits] = 0.0
    one, other = np.unravel_index(np.argmax(gains), gains.shape)
    if gains[one, other] <= _MIN_GAIN:
        return []
    return [(int(names[one]), int(splits[other])), (int(names[other]), int(splits[one]))]


def _with_validation(counts: _Counts, splits: _Splits, targets: _Counts) -> _Splits:
    """Splits after giving each stratum that lacks validation samples its smallest group that training can spare.

    Few groups of unlike size can leave validation nearest to its share when it is empty, and so without a loss to watch.
    """
    splits = splits.copy()
    train, validation = SPLITS.index("train"), SPLITS.index("validation")
    for stratum, inside in enumerate(counts.T):
        spared = (inside > 0) & ((splits != train) | (inside < inside[splits == train].sum()))
        if targets[validation, stratum] > 0 and not inside[splits == validation].any() and spared.any():
            splits[np.argmin(np.where(spared, inside, np.inf))] = validation
    return splits

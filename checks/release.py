"""Gates of stage release: whole, passed or plainly a rehearsal, and loadable by somebody else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from checks.gates import Finding, Gate
from twainbot.release.contract import MERGE_TOLERANCE

if TYPE_CHECKING:
    import polars as pl

SUFFIX = "-rehearsal"


def whole(rows: pl.DataFrame) -> Finding:
    """What is wrong with the bundle's files against its manifest."""
    faults = json.loads(rows["manifest_problems"][0])
    return Finding(
        not faults, faults[0] if faults else f"{rows['files'][0]} files match their hashes", len(faults), 0, faults
    )


def entitled(rows: pl.DataFrame) -> Finding:
    """Verdicts that stand in the way; a rehearsal may have some, but must be named one."""
    blockers, version, rehearsal = json.loads(rows["blockers"][0]), rows["version"][0], rows["rehearsal"][0]
    if rehearsal != version.endswith(SUFFIX):
        kind = "a rehearsal" if rehearsal else "no rehearsal"
        return Finding(False, f"{version} is {kind} and must be named so (`...{SUFFIX}`)", version)
    if blockers and not rehearsal:
        return Finding(False, f"{len(blockers)} verdicts stand in the way: {blockers[0]}", len(blockers), 0, blockers)
    why = f"rehearsal with {len(blockers)} open or failed verdicts" if rehearsal else "all verdicts pass"
    return Finding(True, why, len(blockers))


def loads(rows: pl.DataFrame) -> Finding:
    """Logits of the bundle's adapter against its merged copy, loaded from the bundle alone."""
    difference, bound = rows["merge_difference"][0], MERGE_TOLERANCE
    why = f"loaded from the bundle, merged logits differ by {difference:.1e}"
    return Finding(difference <= bound, why, difference, bound)


def exports_agree(rows: pl.DataFrame) -> Finding:
    """What verify.py finds wrong with the published bundle: files, contract, logits and dialogue of each export."""
    faults, said = json.loads(rows["verify_problems"][0]), json.loads(rows["verified"][0])
    return Finding(not faults, faults[-1] if faults else said[-1], len(faults), 0, faults or said)


def claims_what_was_measured(rows: pl.DataFrame) -> Finding:
    """Figures of the card that its scorecard does not hold."""
    extra = json.loads(rows["unsupported"][0])
    why = (
        f"the card states {extra[0]}, which its scorecard does not" if extra else "each figure stands in the scorecard"
    )
    return Finding(not extra, why, len(extra), 0, extra)


DATASET = [
    Gate("bundle_is_whole", "Every file has the manifest's hash.", whole),
    Gate("named_for_what_it_is", "A rehearsal is named so.", entitled),
]
MODEL = [
    *DATASET,
    Gate("loads_from_the_bundle", "Base and bundle alone give a working adapter.", loads),
    Gate("exports_agree", "Each export says what the adapter says, by the bundle's own verify.py.", exports_agree),
    Gate("claims_what_was_measured", "Each figure of the card stands in the scorecard.", claims_what_was_measured),
]

"""The work of `twainbot run` as one plain script, top to bottom, for comparison: `python benchmarks/plain.py tiny OUT`.

It calls the functions that the assets call, in the same order and per unit or batch as they do, and writes its tables. What
it leaves out is what the graph adds: gates, data versions, lineage, MLflow, Great Expectations, warehouse, scorecard, bundle.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # before this folder, whose training.py is not the package

from resources import scoring, suites  # noqa: E402
from resources.language_model import LanguageModel  # noqa: E402
from resources.solving import solve  # noqa: E402
from resources.speaking import Limits, speak  # noqa: E402
from resources.tokenizer import load_tokenizer  # noqa: E402
from training import base_model, dapt, preference, sft  # noqa: E402
from training.command import Arguments  # noqa: E402
from twainbot import dedupe  # noqa: E402
from twainbot.chunks.windows import chunk_works  # noqa: E402
from twainbot.corpora.works import Sidecar, works_from_unit  # noqa: E402
from twainbot.curation import curate  # noqa: E402
from twainbot.dialogues.feedback import feedback  # noqa: E402
from twainbot.dialogues.gather import gather_and_screen  # noqa: E402
from twainbot.dialogues.observations import observations  # noqa: E402
from twainbot.dialogues.preferences import contrastive  # noqa: E402
from twainbot.dialogues.seeds import DialogueSettings, make_seeds  # noqa: E402
from twainbot.dialogues.talk import tool_calls  # noqa: E402
from twainbot.dialogues.tools import TOOLS  # noqa: E402
from twainbot.dialogues.transfer import style_transfer  # noqa: E402
from twainbot.evals import measure  # noqa: E402
from twainbot.records import GENERATION, content_hash, frame  # noqa: E402
from twainbot.screening import NotScored, ScreeningSettings, screen  # noqa: E402
from twainbot.splits.assign import assign  # noqa: E402
from twainbot.splits.export import dapt_rows, preference_rows, samples, sft_rows  # noqa: E402
from twainbot.splits.straddling import hold_back  # noqa: E402

SOURCE_RANK = ("local", "gutenberg", "satire", "jokes", "transcripts", "weather")  # as the graph ranks copies
FINAL = "preference"
STAGES = ((dapt, "dapt", "dapt"), (sft, "sft", "sft"), (preference, "preference", "preferences"))
Profile = Mapping[str, Any]
Tables = dict[str, pl.DataFrame]


def units(profile: Profile) -> Iterator[tuple[str, str, bytes, Sidecar, int | None]]:
    """(source, unit, bytes, what is known, row limit) of every folder unit of the profile."""
    listed = yaml.safe_load((ROOT / "samples" / "manifest.yaml").read_text(encoding="utf-8"))["files"]
    known = {(ROOT / "samples" / entry["path"]): entry for entry in listed}
    for source, settings in profile["sources"].items():
        only = settings.get("only") or ()
        for path in sorted((ROOT / settings["folder"]).iterdir()) if "folder" in settings else []:
            if path.suffix != ".yaml" and (not only or path.stem in only):
                url = path.relative_to(ROOT).as_posix()
                sidecar = Sidecar.from_mapping(
                    {"filename": path.name, "url": url, "edition": path.stem} | known.get(path, {})
                )
                yield source, path.stem, path.read_bytes(), sidecar, settings.get("max_passages")


def curated(profile: Profile, base: Path) -> Tables:
    """Works, passages and rejects, from the raw units."""
    chunking = {"size": 512, "overlap": 64, "min_tokens": 0, **profile["chunking"]}
    screening, deduping = ScreeningSettings(**profile["screening"]), dedupe.DedupeSettings(**profile["dedupe"])
    made: dict[str, list[pl.DataFrame]] = {name: [] for name in ("works", "chunks", "screened", "signatures")}
    for source, unit, raw, sidecar, limit in units(profile):
        works = works_from_unit(source, unit, raw, sidecar)
        works = works if limit is None else works.head(limit)
        chunks = chunk_works(works, load_tokenizer(base), **chunking)
        made["works"].append(works)
        made["chunks"].append(chunks)
        made["screened"].append(screen(chunks, NotScored(), screening))
        made["signatures"].append(dedupe.signatures(chunks, deduping))
    all_of = {name: pl.concat(frames, how="diagonal_relaxed") for name, frames in made.items()}
    edges = dedupe.edges(all_of["signatures"], all_of["chunks"], deduping)
    clusters = dedupe.clusters(all_of["chunks"], edges, SOURCE_RANK)
    listed = all_of["works"].drop("text")
    found = curate(listed, all_of["chunks"], all_of["screened"], clusters, suites.eval_texts(), {})
    return {**all_of, "edges": edges, "clusters": clusters, "passages": found.passages, "rejects": found.rejects}


def written(profile: Profile, tables: Tables) -> Tables:
    """Dialogues of every batch, and all of them screened."""
    chosen = profile["dialogues"]
    settings, parts = DialogueSettings(**chosen["settings"]), list[Tables]()
    passages = tables["passages"].sort("chunk_id")
    seen = observations(tables["works"].filter(pl.col("source") == "weather"), passages)
    for number in range(chosen["batches"]):
        seeds = make_seeds(passages, f"b{number:03d}", settings, chosen["seed"], seen)
        transfer, calls = style_transfer(seeds), tool_calls(seeds)
        rated = feedback(pl.concat([transfer, calls]))
        parts.append({"transfer": transfer, "calls": calls, "pairs": contrastive(seeds, calls), "feedback": rated})
    found = {name: pl.concat([part[name] for part in parts], how="diagonal_relaxed") for name in parts[0]}
    transcripts = tables["works"].filter(pl.col("source") == "transcripts")
    spoken = pl.concat([found["transfer"], found["calls"]], how="diagonal_relaxed")
    found["dialogues"] = gather_and_screen(spoken, transcripts, passages, NotScored(), suites.eval_texts())
    return found


def split(profile: Profile, tables: Tables) -> Tables:
    """Assignments and the three tables that training reads."""
    listed = samples(tables["passages"], tables["dialogues"], tables["pairs"])
    assignments = hold_back(assign(listed, **profile["splits"]), listed)
    return {
        "assignments": assignments,
        "dapt": dapt_rows(tables["passages"], assignments),
        "sft": sft_rows(tables["dialogues"], assignments),
        "preferences": preference_rows(tables["pairs"], assignments),
    }


def silent(_line: str) -> None:
    """Where the graph logs a stage's lines, this script says nothing."""


def trained(profile: str, out: Path, base: Path, tables: Tables) -> dict[str, Path]:
    """Each stage's adapter folder; a stage continues the one before, and sees only its own table, as in the graph."""
    found: dict[str, Path] = {}
    before: Path | None = None
    for module, stage, table in STAGES:
        data = out / "data" / stage
        data.mkdir(parents=True)
        tables[table].write_parquet(data / f"{table}.parquet")
        recipe = ROOT / "training" / "configs" / profile / "default.yaml"
        module.main(Arguments(recipe, data, base, out / stage, before), silent)
        before = found[stage] = out / stage / "adapter"
    return found


def evaluated(profile: Profile, base: Path, adapters: Mapping[str, Path], tables: Tables) -> Tables:
    """Both arms' replies and every evaluation of them."""
    chosen = profile["evaluation"]
    asked = ("tool_calls", "grounding", "chat")
    calls, grounding, chat = (chosen.get(suite) for suite in asked)
    limits = Limits(calls, grounding, chat, chosen["max_new_tokens"], chosen["batch_size"])
    models = {stage: LanguageModel.load(base, folder) for stage, folder in adapters.items()}
    bare = frame(speak(LanguageModel.load(base), "base", limits, asked), GENERATION)
    replies = speak(models["sft"], "sft", limits, ("tool_calls",)) + speak(models[FINAL], FINAL, limits, asked)
    tuned = frame(replies, GENERATION)
    texts = {"passages": scoring.held_out(tables["dapt"], chosen["perplexity_tokens"]), "neutral": scoring.neutral()}
    seen: dict[str, dict[str, float]] = {name: {} for name in texts}
    losses = {
        stage: {
            name: scoring.losses(model, listed, seen[name])
            for name, listed in texts.items()
            if stage == FINAL or name == "passages"
        }
        for stage, model in models.items()
    }
    return {
        "baseline": bare,
        "generations": tuned,
        "calls_measured": measure.tool_calls(bare, tuned, TOOLS, FINAL),
        "grounding": measure.grounding(bare, tuned, FINAL),
        "humor": measure.humor(bare, tuned, FINAL),
        "style": measure.style(bare, tuned, tables["dapt"], FINAL),
        "perplexity": measure.perplexity(losses),
        "coding": coding(models[FINAL], chosen, base.parent / "cache"),
        "ratings": measure.ratings(bare, tuned, [], "default", FINAL),
    }


def coding(model: LanguageModel, chosen: Mapping[str, Any], cache: Path) -> pl.DataFrame:
    """Loss on canonical solutions, and the problems solved where the profile asks for some."""
    solved = solve(model, chosen.get("humaneval", 0), chosen.get("code_tokens", 256), cache)
    return measure.coding(scoring.code_losses(model, chosen.get("coding")), solved.answers, solved.why)


def main(name: str, out: Path) -> None:
    """Run everything; print the hashes of the training tables as JSON, so that another can see that they are the same."""
    profile = yaml.safe_load((ROOT / "profiles" / f"{name}.yaml").read_text(encoding="utf-8"))
    wanted = profile["base"]
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "samples" / "local").glob("*.md"))]
    base = base_model.prepare(wanted["name"], out / "models", texts=texts if wanted["name"] == base_model.TINY else [])
    tables = curated(profile, base)
    tables |= written(profile, tables)
    tables |= split(profile, tables)
    tables |= evaluated(profile, base, trained(name, out, base, tables), tables)
    (out / "tables").mkdir()
    for table, rows in tables.items():
        rows.write_parquet(out / "tables" / f"{table}.parquet")
    print(json.dumps({table: content_hash(tables[table]) for table in ("dapt", "sft", "preferences")}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", choices=["tiny", "sample"])
    parser.add_argument("out", type=Path, help="an empty folder for its tables, models and adapters")
    given = parser.parse_args()
    main(given.profile, given.out)

"""The command line: a thin layer over the graph. Exit codes: 0, 1 (a gate failed, something was not built, or bad
input), 2 (bad use).

Imports stand inside the commands: `--help` must answer at once, and the profile must be chosen before the graph loads.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from typing_extensions import override

from resources.home import PROJECT, Home, current, export, is_ours
from twainbot.errors import BadUse, TwainBotError
from twainbot_assets.chat import chat
from twainbot_assets.serve_weather import serve_weather

if TYPE_CHECKING:
    import dagster as dg

    from twainbot_assets.runner import Fault, Report

profile_option = click.option(
    "--profile", help="tiny, sample, laptop, full, or a file. Default: TWAINBOT_PROFILE, else sample."
)


class Plain(click.Group):
    """A group whose commands answer our own errors with one sentence, never a traceback."""

    @override
    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit with 2 for bad use, with 1 for bad input."""
        try:
            return super().invoke(ctx)
        except TwainBotError as error:
            click.echo(f"twainbot: {error}", err=True)
            ctx.exit(2 if isinstance(error, BadUse) else 1)
        except Exception as error:
            from resources.patience import trouble_of

            said = trouble_of(error) or disk_trouble(error)
            if said is None:
                raise
            click.echo(f"twainbot: {said}", err=True)
            ctx.exit(1)


DISK_TROUBLES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)


def disk_trouble(error: Exception) -> str | None:
    """The sentence for a place that cannot be read or written, be it where the output goes; None for any other error."""
    if not isinstance(error, OSError) or error.errno not in DISK_TROUBLES:
        return None
    where = error.filename or "Where the output goes"
    return f"{where} cannot be read or written: {error.strerror}. Make room or mend its permissions, then run again."


@click.group(cls=Plain, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """TwainBot: public texts to a persona LoRA, as a Dagster asset graph. `make ui` shows the same graph."""


main.add_command(chat)
main.add_command(serve_weather)


def prepared(profile: str | None) -> Home:
    """The home of the chosen profile, its folders made and its environment set. Raises UnknownName on a bad profile."""
    from twainbot_assets import profile as profiles

    home = current(profile)
    profiles.load(home.named)
    leave_foreign_instance()
    export(home)
    profiles.current()  # whose cast of personas is this process's from here on
    return home.prepare()


def leave_foreign_instance() -> None:
    """Take no notice of a DAGSTER_HOME that is another project's, and say so."""
    named = os.environ.get("DAGSTER_HOME")
    if named and not is_ours(named):
        click.echo(
            f"DAGSTER_HOME is {named}, another project's instance: left alone, the clone's is used. To use it, "
            "have its dagster.yaml name a TWAINBOT_ variable, as deploy/postgres does.",
            err=True,
        )
        del os.environ["DAGSTER_HOME"]


def open_instance() -> dg.DagsterInstance:
    """The Dagster instance of the home, as the UI uses it, but with step output left on this terminal."""
    import dagster as dg

    from resources.patience import wait_for_locks

    wait_for_locks()
    return dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"])


@main.command(epilog="Example: twainbot run --profile tiny --select splits")
@profile_option
@click.option(
    "--select", help="Assets to build, in Dagster's selection syntax: `splits`, `chunks/local`, `+evals/style`."
)
@click.option("--partition", help="One partition of the selected assets.")
@click.option("--force", is_flag=True, help="Build the selection even where it is fresh.")
def run(profile: str | None, select: str | None, partition: str | None, force: bool) -> None:
    """Build whatever is missing or stale, from corpora to scorecard and bundle."""
    home = prepared(profile)
    from twainbot_assets import session

    with session.opened(home, open_instance()) as work:
        report = work.build(select, partition, force)
        if select is None and partition is None and not report.faults:
            work.cut_rehearsal(report)
    sys.exit(tell(report, home, work.closing(report)))


@main.command(epilog="Example: twainbot refresh --dry-run")
@profile_option
@click.option("--dry-run", is_flag=True, help="Only say what is stale, why, and how long it would take.")
def refresh(profile: str | None, dry_run: bool) -> None:
    """Observe the sources, then rebuild what is stale and what truly depends on it; nothing else."""
    home = prepared(profile)
    from twainbot_assets import session

    with session.opened(home, open_instance()) as work:
        stale, may_follow = work.outlook()
        for item, reasons in stale.items():
            click.echo(f"{item}: {'; '.join(reasons)}")
        if may_follow:
            click.echo(
                f"May follow, if what they read changes: {', '.join(sorted({item.table for item in may_follow}))}"
            )
        if dry_run or not stale:
            for line in work.estimate(list(stale), may_follow) if stale else ():
                click.echo(line)
            click.echo("Nothing is stale." if not stale else f"{len(stale)} stale. Run `twainbot refresh` to rebuild.")
            return
        report = work.build(None, None, False)
    for item, reasons in report.reasons.items():
        if item not in stale:
            click.echo(f"{item}: {'; '.join(reasons)}")
    sys.exit(tell(report, home, []))


@main.command(epilog="Example: twainbot status")
@profile_option
def status(profile: str | None) -> None:
    """What is fresh, stale, missing or failed, and how much room it takes."""
    home = prepared(profile)
    from twainbot_assets import session

    with session.opened(home, open_instance(), lock=False) as work:
        for line in work.status_lines():
            click.echo(line)


@main.command(epilog="Example: twainbot trace b000/tool_calls/0007")
@click.argument("sample_id")
@profile_option
def trace(sample_id: str, profile: str | None) -> None:
    """Walk a passage, dialogue or split row back to its characters in a named edition, and on to its adapters."""
    home = prepared(profile)
    from resources.lake import Lake
    from twainbot_assets.tracing import trace as walk

    for line in walk(Lake(home.lake), sample_id):
        click.echo(line)


@main.command(epilog="Example: twainbot lineage --out lineage.html")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Where to write it. Default: reports/lineage.html in the home."
)
@profile_option
def lineage(out: Path | None, profile: str | None) -> None:
    """One web page that walks from every adapter to the characters it learned, and back; it needs no network."""
    home = prepared(profile)
    from twainbot_assets.lineage import told

    for line in told(home, out):
        click.echo(line)


@main.command(epilog="Example: twainbot clean --dry-run --keep-runs 50 --older-than 7")
@profile_option
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--keep-runs", default=200, show_default=True, type=click.IntRange(min=1), help="The newest runs stay.")
@click.option(
    "--older-than", default=30.0, show_default=True, type=click.FloatRange(min=0), help="Days since a run ended."
)
@click.option("--yes", is_flag=True, help="Delete without asking.")
def clean(profile: str | None, dry_run: bool, keep_runs: int, older_than: float, yes: bool) -> None:
    """Delete what no fresh asset needs: old runs, adapters, bundles and downloads, training work, temporary files."""
    home = prepared(profile)
    from twainbot_assets import cleaning

    with open_instance() as instance:
        asked = None if dry_run else cleaning.always if yes else click.confirm
        cleaning.clean(home, instance, cleaning.Bounds(keep_runs, older_than), asked, click.echo)


@main.command("alert-test", epilog="Example: TWAINBOT_ALERT_URLS='json://127.0.0.1:8080' twainbot alert-test")
@profile_option
def alert_test(profile: str | None) -> None:
    """Send a test message to everybody in TWAINBOT_ALERT_URLS, and say who took it."""
    prepared(profile)
    from twainbot_assets import alerting

    lines, all_took = alerting.trial()
    for line in lines:
        click.echo(line)
    sys.exit(0 if all_took else 1)


# twainbot.dedupe.ENGINES, which cannot be asked: importing it takes longer than `--help` may
ENGINES = ("minhash", "fracminhash", "simhash", "datasketch")


@main.command(epilog="Example: twainbot dedupe books.parquet notes.jsonl -o pairs.parquet --engine fracminhash")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Edges; clusters go to <name>-clusters.parquet.",
)
@click.option("--threshold", default=0.7, show_default=True, help="Least Jaccard similarity of word n-grams.")
@click.option("--text-column", default="text", show_default=True)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default=ENGINES[0],
    show_default=True,
    help="What finds the pairs to verify. simhash misses most of those that are only alike; datasketch is slow.",
)
def dedupe(files: tuple[Path, ...], output: Path, threshold: float, text_column: str, engine: str) -> None:
    """Near-duplicate edges and clusters of anyone's Parquet or JSON lines; every pair is verified exactly."""
    from twainbot_assets.tools import dedupe_files

    click.echo(dedupe_files(files, output, threshold, text_column, engine))


@main.command(epilog="Example: twainbot score grounding transcripts.jsonl --json")
@click.argument("what", type=click.Choice(["tool-calls", "grounding", "style"]))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Machine-readable result.")
def score(what: str, file: Path, as_json: bool) -> None:
    """Run the evaluators on anyone's transcripts. The forms of FILE stand in docs/scoring.md."""
    from twainbot_assets.tools import score_file

    click.echo(score_file(what, file, as_json))


@main.command(epilog="Example: twainbot decide > queue.jsonl; edit it; twainbot decide queue.jsonl --by 'A. Reviewer'")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--by", "reviewer", help="Who decided; needed with FILE.")
@profile_option
def decide(file: Path | None, reviewer: str | None, profile: str | None) -> None:
    """Without FILE: the open review queue. With it: bring decisions back, JSON lines of chunk_id and keep or reject."""
    home = prepared(profile)
    from resources.lake import Lake
    from twainbot_assets import reviewing

    if file is None:
        waiting = reviewing.open_queue(Lake(home.lake))
        click.echo(waiting or "No passage waits for a person.", err=not waiting)
        return
    if not reviewer:
        raise BadUse("Decisions need a name: add --by 'WHO'.")
    click.echo(reviewing.bring_back(file, reviewer, home))


@main.command(epilog="Example: twainbot review --rater Ann; a judge model instead: twainbot review --judge")
@click.option("--recipe", default=None, help="Whose replies. Default: the profile's first recipe.")
@click.option("--rater", default="", help="Who rates. Default: the page asks.")
@click.option("--port", default=3600, show_default=True, help="On 127.0.0.1; 0 takes any free one.")
@click.option("--judge", is_flag=True, help="Have the profile's judge model rate, in both orders, and open no page.")
@profile_option
def review(recipe: str | None, rater: str, port: int, judge: bool, profile: str | None) -> None:
    """Rate replies of base and adapter blind, 1 to 5 on voice, humour and correctness, on a local web page."""
    home = prepared(profile)
    from twainbot_assets import rating
    from twainbot_assets.profile import load

    name = rating.clean_name(rater) if rater else ""
    desk = rating.open_desk(home, load(home.named), recipe)
    before = rating.stored(home.ratings)
    if judge:
        lines = rating.judge(desk, rating.open_judge(home, load(home.named)))
    else:
        from twainbot_assets.review_server import serve

        for line in rating.standing(desk)[:-1]:
            click.echo(line)
        serve(desk, name, port, click.echo)
        lines = rating.standing(desk)
    if rating.stored(home.ratings) != before:
        with open_instance() as instance:
            rating.report(home, desk, instance)
    for line in lines:
        click.echo(line)


@main.command(epilog="Example: twainbot serve; then open the page, or point an OpenAI client at its /v1")
@click.option(
    "--recipe", default=None, help="Whose adapter. Default: every trained persona's, else the first recipe's."
)
@click.option("--bundle", default=None, type=click.Path(path_type=Path), help="A released bundle in place of a recipe.")
@click.option(
    "--base", type=click.Path(path_type=Path), help="The base's folder. Default: the one that the home holds."
)
@click.option(
    "--weather",
    help="nws, archive, mock, none, an MCP server's command or its URL. Default: nws; mock in tiny and sample.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve; there is no login.")
@click.option("--port", default=8017, show_default=True, help="0 takes any free one.")
@profile_option
def serve(
    recipe: str | None, bundle: Path | None, base: Path | None, weather: str | None, host: str, port: int,
    profile: str | None,
) -> None:  # fmt: skip
    """Serve the personas to OpenAI clients, and a web chat that shows tool calls, results and sources."""
    home = prepared(profile)
    from twainbot_assets import serving
    from twainbot_assets.profile import load

    serving.run(home, load(home.named), serving.Asked(recipe, bundle, base), weather, host, port, click.echo)


@main.command(epilog="Example: twainbot release data-v1.0-rehearsal --to s3://bucket/releases")
@click.argument("version")
@click.option("--recipe", default=None, help="Which recipe's adapter. Default: the profile's first.")
@click.option("--to", help="Copy the bundle to URL/VERSION: a folder, or s3://bucket/prefix.")
@click.option("--dvc", type=click.Path(path_type=Path), help="Add the bundle to this DVC repository, and push it.")
@click.option("--dvc-remote", help="Where a DVC repository without a remote pushes to: a folder or URL.")
@click.option(
    "--push", metavar="OWNER/NAME", help="Push the bundle to this Hub repository; one made by that is private."
)
@profile_option
def release(
    version: str, recipe: str | None, to: str | None, dvc: Path | None, dvc_remote: str | None, push: str | None,
    profile: str | None,
) -> None:  # fmt: skip
    """Cut a release: data-v... or twainbot-lora-v.... A version is cut once; --to, --dvc and --push hand it on."""
    home = prepared(profile)
    from twainbot_assets import bundles, publishing, session

    def hand_on() -> None:
        click.echo("\n".join(publishing.hand_over(home, version, to, dvc, dvc_remote)))
        if push:
            click.echo(bundles.push(version, push, home))

    publishing.require_ways(dvc, dvc_remote, push)
    if (to or dvc or push) and publishing.is_cut(home, version):
        hand_on()
        return
    with session.opened(home, open_instance()) as work:
        report = work.cut(version, recipe)
    code = tell(report, home, work.closing(report))
    if not code:
        hand_on()
    sys.exit(code)


@main.command(epilog="Example: twainbot diff data-v1.0 data-v1.1")
@click.argument("old")
@click.argument("new")
@click.option("--json", "as_json", is_flag=True, help="Every row that differs, as JSON.")
@profile_option
def diff(old: str, new: str, as_json: bool, profile: str | None) -> None:
    """Compare two data sets, by version or folder: rows added, removed and changed, by source and reason."""
    home = prepared(profile)
    from twainbot_assets import diffing

    click.echo(diffing.diff(home, old, new, as_json))


@main.command(
    "verify-bundle", epilog="Example: twainbot verify-bundle data/sample/lake/release/model/files/0123abcd4567"
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--base", type=click.Path(path_type=Path), help="The base's folder. Default: the bundle's, or the home's."
)
def verify_bundle(folder: Path, base: Path | None) -> None:
    """Check a bundle, offline: every hash; of a model also base, contract and what each export says."""
    from twainbot_assets import bundles

    click.echo(bundles.verify(folder, base, current(), click.echo))


@main.command(hidden=True)
@profile_option
def prepare(profile: str | None) -> None:
    """Register units and observe sources: what `make ui` does before it opens the graph."""
    home = prepared(profile)
    from twainbot_assets import session

    with session.opened(home, open_instance(), lock=False):
        click.echo(f"Profile {home.profile}, state in {home.own}.")


@main.command(hidden=True, context_settings={"ignore_unknown_options": True})
@profile_option
@click.option("--port", default=3000, show_default=True)
def ui(profile: str | None, port: int) -> None:
    """Open the graph on 127.0.0.1: what `make ui` calls."""
    home = prepared(profile)
    from twainbot_assets import session

    with session.opened(home, open_instance(), lock=False):
        pass
    command = [sys.executable, "-m", "twainbot_assets.ui_server", "dev", "-h", "127.0.0.1", "-p", str(port)]
    os.execv(sys.executable, [*command, "-w", str(PROJECT / "workspace.yaml")])  # noqa: S606 - becomes the UI itself


def warning_lines(warnings: list[Fault]) -> list[str]:
    """A line per warning; one that many partitions of a stage share is told once, with their number."""
    alike: dict[tuple[str, str], list[Fault]] = {}
    for fault in warnings:
        alike.setdefault((fault.item.table.split("/")[0], fault.why.partition(":")[0]), []).append(fault)
    lines = []
    for (stage, _), found in alike.items():
        more = f" (and {len(found) - 1} more of {stage})" if len(found) > 1 else ""
        lines.append(f"warning {found[0].item}: {found[0].why}{more}")
    return lines


def missing_first(skipped: list[Fault]) -> str:
    """The command that builds the skipped items with all that they are made of."""
    behind = list(dict.fromkeys(f"+{fault.item.table}" for fault in skipped))
    select = f" --select '{' or '.join(behind)}'" if len(behind) < 4 else ""
    return f"What was skipped needs more than was selected: `twainbot run{select}` builds both."


def tell(report: Report, home: Home, closing: list[str]) -> int:
    """Print what was done, and return the exit code: 1 where something failed, or was asked for and not built."""
    for fault in report.skipped:
        click.echo(f"SKIPPED {fault.item}: {fault.why}", err=True)
    for line in warning_lines(report.warnings):
        click.echo(line, err=True)
    counts = {"failed": len(report.faults), "skipped": len(report.skipped)}
    verdict = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "every blocking gate passed"
    click.echo(f"{len(report.made)} built, {verdict}, {report.seconds:.0f} s (profile {home.profile})")
    for fault in report.faults:
        click.echo(f"FAILED {fault.item}: {fault.why}", err=True)
    if report.skipped and not report.faults:
        click.echo(missing_first(report.skipped), err=True)
    for line in closing:
        click.echo(line)
    return 1 if report.faults or report.skipped else 0


if __name__ == "__main__":
    main()

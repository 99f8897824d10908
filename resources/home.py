"""Where things lie: the folders under TWAINBOT_HOME, and the environment that Dagster's own files read. No business rules.

<home>/raw  models  cache          shared by all profiles
<home>/<profile>/lake              Parquet, one file per asset partition
<home>/<profile>/dagster, mlflow   their state
<home>/<profile>/work              half-done trainings, safe to delete
<home>/<profile>/reports           scorecards, for people

A profile outside the project is named by its file, and its folders by that file's stem.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path

from twainbot.errors import BadUse

PROJECT = Path(__file__).resolve().parent.parent  # the clone: profiles/, samples/, training/configs/ lie here
INSTANCE_MARK = "TWAINBOT_"  # begins the variables that the shipped ones name


@dataclass(frozen=True)
class Home:
    """The folders of one profile. Nothing is created before `prepare`."""

    root: Path
    profile: str
    file: str = ""  # the absolute path of a profile that does not ship with the project

    @property
    def named(self) -> str:
        """What TWAINBOT_PROFILE and --profile say of this profile."""
        return self.file or self.profile

    @property
    def own(self) -> Path:
        """Everything that this profile alone writes."""
        return self.root / self.profile

    @property
    def lake(self) -> str:
        """Absolute path or URL of the Parquet lake; TWAINBOT_LAKE replaces the default (`s3://bucket/prefix`)."""
        chosen = os.environ.get("TWAINBOT_LAKE") or str(self.own / "lake")
        return chosen if "://" in chosen else str(absolute(chosen))

    @property
    def raw(self) -> Path:
        """Content-addressed downloads."""
        return self.root / "raw"

    @property
    def models(self) -> Path:
        """Converted base models."""
        return self.root / "models"

    @property
    def cache(self) -> Path:
        """Answers memoised by content hash."""
        return self.root / "cache"

    @property
    def work(self) -> Path:
        """Trainings in progress and their checkpoints."""
        return self.own / "work"

    @property
    def reports(self) -> Path:
        """Scorecards and other pages for people."""
        return self.own / "reports"

    @property
    def warehouse(self) -> Path:
        """The DuckDB catalogue of views."""
        return self.own / "warehouse.duckdb"

    @property
    def reviews(self) -> Path:
        """Decisions that people made on the review queue."""
        return self.own / "reviews.jsonl"

    @property
    def ratings(self) -> Path:
        """Blind ratings of sample dialogues."""
        return self.own / "ratings.jsonl"

    def prepare(self) -> Home:
        """Create the folders that this profile writes into. Raises BadUse where one cannot be."""
        logs = self.own / "dagster" / "logs"
        named = dict.fromkeys((self.raw, self.models, self.cache, self.work, self.reports, logs), "TWAINBOT_HOME")
        if "://" in self.lake:
            require_store(self.lake)
        else:
            named[Path(self.lake)] = "TWAINBOT_LAKE" if os.environ.get("TWAINBOT_LAKE") else "TWAINBOT_HOME"
        for folder, variable in named.items():
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                why = f"{folder} cannot be made: {error.strerror}."
                raise BadUse(f"{why} Set {variable} to a folder that this user may write into.") from error
        return self


def require_store(lake: str) -> None:
    """Raise BadUse where a lake's URL is of no kind of store that can be opened."""
    from fsspec import available_protocols

    kind = lake.partition("://")[0]
    if kind not in available_protocols():
        raise BadUse(
            f"TWAINBOT_LAKE is {lake}, and {kind!r} is no kind of store. Set it to a folder or s3://bucket/prefix."
        )


def current(profile: str | None = None) -> Home:
    """The home that TWAINBOT_HOME and TWAINBOT_PROFILE name; `./data` and `sample` where they are unset."""
    root = absolute(os.environ.get("TWAINBOT_HOME") or "data")
    named = profile or os.environ.get("TWAINBOT_PROFILE") or "sample"
    if not is_file_name(named):
        return Home(root, named)
    path = absolute(named)
    return Home(root, path.stem, str(path))


def absolute(path: str) -> Path:
    """A path as a shell reads it, `~` and all. Raises BadUse for the home of somebody whom this machine does not know."""
    try:
        return Path(path).expanduser().resolve()
    except RuntimeError as error:
        raise BadUse(f"{path} begins with a user whom this machine does not know. Write the whole path.") from error


def is_file_name(profile: str) -> bool:
    """Whether a profile is named by its file, as one that lies outside the project is."""
    return "/" in profile or profile.endswith((".yaml", ".yml"))


def is_ours(instance: str) -> bool:
    """Whether a folder holds a Dagster instance for TwainBot: one of the clone's, or a `dagster.yaml` that speaks of it.

    Anybody who lives in Dagster has another project's in DAGSTER_HOME, whose runs are not ours to end or to forget.
    """
    folder = Path(instance)
    if folder.resolve().is_relative_to(PROJECT):
        return True
    try:
        return INSTANCE_MARK in (folder / "dagster.yaml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def export(home: Home, environment: MutableMapping[str, str] | None = None) -> None:
    """Set what dagster.yaml, MLflow and child processes read. Values that the user set are kept."""
    target = os.environ if environment is None else environment
    target["TWAINBOT_HOME"] = str(home.root)
    target["TWAINBOT_PROFILE"] = home.named
    target["DAGSTER_STATE_DIR"] = str(home.own / "dagster")
    target["DAGSTER_LOG_DIR"] = str(home.own / "dagster" / "logs")
    target["DAGSTER_HOME"] = target.get("DAGSTER_HOME") or str(PROJECT)
    target.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{home.own / 'mlflow' / 'mlflow.db'}")
    for switch in ("DAGSTER_DISABLE_TELEMETRY", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY"):
        target.setdefault(switch, "true")
    target.setdefault("GX_ANALYTICS_ENABLED", "false")
    target.setdefault("TOKENIZERS_PARALLELISM", "false")
    target.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    if not sys.stderr.isatty():
        target.setdefault("TQDM_DISABLE", "1")  # quiet when piped: the libraries' bars too

"""`verify-bundle` and `release --push`: whole bundles, checked and sent. What a bundle holds, release.py decides."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from twainbot.errors import BadInput, BadUse

if TYPE_CHECKING:
    from resources.home import Home

MODEL_FILE = "bundle.json"  # a model's bundle has one, a dataset's has none


def verify(folder: Path, base: Path | None, home: Home | None, say: Callable[[str], object]) -> str:
    """The last line about a whole bundle; the steps before go to `say`. Raises BadUse for none, BadInput for a harmed one.

    base: where the base lies; without one it is looked for in the bundle, then among the home's models.
    """
    from twainbot_assets.tools import verify_folder

    if not (folder / MODEL_FILE).is_file():
        return verify_folder(folder)
    from resources.shipped import verify as shipped
    from twainbot.release import contract

    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    if base is not None and not base.is_dir():
        raise BadUse(f"{base} is no folder. Name the base's folder, or leave --base out.")
    try:
        shipped.verify(folder, base or own_base(folder, home), contract, say)
    except shipped.NoBundle as error:
        raise BadUse(str(error)) from error
    except shipped.Broken as error:
        raise BadInput(str(error)) from error
    return f"{folder} is whole."


def own_base(folder: Path, home: Home | None) -> Path | None:
    """The home's folder of the bundle's base, if it has one and the bundle does not."""
    from resources.shipped import verify as shipped

    if home is None or (folder / "base").is_dir():
        return None
    from training.base_model import describe

    wanted = shipped.read_json(folder / MODEL_FILE).get("base")
    if not isinstance(wanted, dict):
        return None  # a harmed bundle, which the check of its hashes tells of
    for found in sorted(home.models.glob("*/base.json")):
        info = describe(found.parent)
        if (info.name, info.revision) == (wanted.get("name"), wanted.get("revision")):
            return found.parent
    return None


def push(version: str, repository: str, home: Home) -> str:
    """Push the bundle of a version that was cut; one line with the commit's address."""
    from resources.hub import push as upload
    from twainbot_assets.publishing import bundle_of

    return f"pushed   {upload(bundle_of(home, version), repository)}"

"""Pushes a bundle to a Hub repository, only where somebody asked for that. Cutting and checking it is done before.

Address and token are huggingface_hub's own: HF_ENDPOINT, HF_TOKEN or a login. A repository that is made here is private.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twainbot.errors import BadInput, BadUse, SourceUnavailable
from twainbot.release.manifest import MANIFEST_NAME, from_json

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def push(bundle: Path, repository: str) -> str:
    """Upload a whole bundle under its version's name; the commit's address.

    It takes the place of all that the repository held, the Hub's own .gitattributes excepted: an older version's files under
    this one's tag would break its manifest, and may have been withdrawn. The older version keeps them under its own tag.
    Raises BadUse for a name that is none and for a repository of other things, BadInput for a folder that is no bundle,
    SourceUnavailable where the Hub refuses.
    """
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    require_name(repository)
    made = _manifest(bundle)
    kind = "dataset" if made["name"].endswith("-data") else "model"
    # read here: the library takes it once, at its import
    hub = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=os.environ.get("HF_TOKEN"))
    try:
        hub.create_repo(repository, repo_type=kind, private=True, exist_ok=True)
        _require_ours(hub, repository, kind, bundle, made["name"])
        commit: Any = hub.upload_folder(
            repo_id=repository, repo_type=kind, folder_path=bundle, commit_message=made["version"], delete_patterns="*"
        )  # fmt: skip
        hub.create_tag(repository, tag=made["version"], repo_type=kind, exist_ok=True)
    except (HfHubHTTPError, LocalTokenNotFoundError, httpx2.HTTPError, OSError) as error:
        why = " ".join(str(error).split())[:300]
        raise SourceUnavailable(f"{repository} was not pushed: {why}. Check HF_TOKEN and HF_ENDPOINT.") from error
    return str(commit.commit_url)


def require_name(repository: str) -> None:
    """Raise BadUse for a name that is no repository's."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if not _REPOSITORY.fullmatch(repository):
        raise BadUse(f"{repository!r} names no repository. Write OWNER/NAME.")
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise BadUse(f"{repository!r} names no repository of a Hub: {error} Write another OWNER/NAME.") from error


def _require_ours(hub: HfApi, repository: str, kind: str, bundle: Path, name: str) -> None:
    """Raise BadUse where a repository holds what no bundle brought: a mistyped name must not empty somebody's work.

    A push that broke off left files of this bundle and perhaps no manifest yet.
    """
    held = set(hub.list_repo_files(repository, repo_type=kind))
    own = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*")} | {".gitattributes"}
    strangers = sorted(held - own)
    if strangers and not (MANIFEST_NAME in held and _is_bundles(hub, repository, kind, name)):
        raise BadUse(
            f"{repository} holds {strangers[0]} and no {MANIFEST_NAME} of {name}: it is no such bundle's, and a push replaces "
            "what lies there. Name another repository, or empty this one first."
        )


def _is_bundles(hub: HfApi, repository: str, kind: str, name: str) -> bool:
    """Whether the repository's manifest is a bundle's of this name: browser extensions and web pages have a file called so."""
    with tempfile.TemporaryDirectory(prefix="twainbot-hub-") as folder:
        path = hub.hf_hub_download(repository, MANIFEST_NAME, repo_type=kind, local_dir=folder)
        try:
            return bool(from_json(Path(path).read_bytes()).get("name") == name)
        except BadInput:
            return False


def _manifest(bundle: Path) -> dict[str, Any]:
    path = bundle / MANIFEST_NAME
    if not path.is_file():
        raise BadInput(f"{bundle} holds no manifest.json, so it is no bundle. Name the folder that holds it.")
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found

"""Pushes a bundle to a Hub repository, only where somebody asked for that. Cutting and checking it is done before.

Address and token are huggingface_hub's own: HF_ENDPOINT, HF_TOKEN or a login. A repository that is made here is private.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from twainbot.errors import BadInput, BadUse, SourceUnavailable

_REPOSITORY = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")


def push(bundle: Path, repository: str) -> str:
    """Upload a whole bundle as one commit, named after its version; the commit's address.

    Raises BadUse for a name that is none, BadInput for a folder that is no bundle, SourceUnavailable where the Hub refuses.
    """
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    if not _REPOSITORY.match(repository):
        raise BadUse(f"{repository!r} names no repository. Write OWNER/NAME.")
    made = _manifest(bundle)
    kind = "dataset" if made["name"].endswith("-data") else "model"
    # read here: the library takes it once, at its import
    hub = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=os.environ.get("HF_TOKEN"))
    try:
        hub.create_repo(repository, repo_type=kind, private=True, exist_ok=True)
        commit: Any = hub.upload_folder(
            repo_id=repository, repo_type=kind, folder_path=bundle, commit_message=made["version"]
        )  # fmt: skip
        hub.create_tag(repository, tag=made["version"], repo_type=kind, exist_ok=True)
    except (HfHubHTTPError, LocalTokenNotFoundError, httpx.HTTPError, OSError) as error:
        why = " ".join(str(error).split())[:300]
        raise SourceUnavailable(f"{repository} was not pushed: {why}. Check HF_TOKEN and HF_ENDPOINT.") from error
    return str(commit.commit_url)


def _manifest(bundle: Path) -> dict[str, Any]:
    path = bundle / "manifest.json"
    if not path.is_file():
        raise BadInput(f"{bundle} holds no manifest.json, so it is no bundle. Name the folder that holds it.")
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found

"""Pushing a data set's folder to the Hugging Face Hub.

The key comes from the environment and goes to the Hub's own client, and into nothing else: no log,
no error text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from agents.assets.hub_errors import transport_error
from agents.errors import StoreError, UsageError
from training.construction.formats.card import DATA_FILE

_REPO = re.compile(r"[\w.-]+/[\w.-]+")


def push_dataset(
    folder: Path,
    repo: str,
    *,
    private: bool = True,
    key_variable: str = "HF_TOKEN",
    endpoint: str | None = None,
) -> str:
    """Pushes a folder that `write_dataset` wrote, making the repository where there is none.

    Args:
        folder: The folder.
        repo: `OWNER/NAME`.
        private: Whether a new repository is private; one that exists stays as it is.
        key_variable: Environment variable that holds the key.
        endpoint: Address of the Hub; None: its own, or what `HF_ENDPOINT` says.

    Returns:
        Address of the data set.

    Raises:
        UsageError: The folder is no data set, the name is malformed, or there is no key.
        StoreError: The Hub refused or could not be reached.
    """
    if not _REPO.fullmatch(repo):
        raise UsageError(f"expected OWNER/NAME as the Hub's repository, got {repo!r}")
    for name in ("README.md", DATA_FILE):
        if not (folder / name).is_file():
            raise UsageError(f"{folder} lacks {name}: write it with its dataset card first")
    key = os.environ.get(key_variable, "").strip()
    if not key:
        raise UsageError(f"there is no key in {key_variable}: export one with write access")
    from huggingface_hub import HfApi, errors

    api = HfApi(endpoint=endpoint, token=key)
    try:
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            repo_type="dataset",
            commit_message="Upload trajectories",
            allow_patterns=["README.md", DATA_FILE],
        )
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        raise StoreError(f"the Hub refused {repo} with status {status}") from None
    except (transport_error(), OSError) as error:
        raise StoreError(f"the Hub could not be reached: {type(error).__name__}") from None
    return f"{(endpoint or api.endpoint).rstrip('/')}/datasets/{repo}"

"""Policies in the store: which files make one, its digest, and how it is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from agents.assets.model import BUNDLED_MODEL, ensure_model
from agents.errors import UsageError
from agents.trajectory import PolicyRef
from tasks.digests import file_digest, files_digest
from tasks.manifest import Manifest
from tasks.runs import RunLog
from tasks.schemas import POLICIES

_SUFFIXES = frozenset({".safetensors", ".json", ".txt", ".jinja", ".model"})
_NOT_OF_A_MODEL = frozenset({"trainer_state.json", "training_args.json", "README.txt"})
"""Files of trainers: they hold timings and say nothing about the weights."""


API_FILE = "api.json"
"""Names the model in the folder of a policy that is behind an API: it has no weights of ours."""
API_PREFIX, HUB_PREFIX = "openai:", "hub:"
"""What policies behind an API, and on the Hugging Face Hub, are named with."""


def policy_files(folder: Path) -> list[Path]:
    """The files that make a folder a policy: weights, tokenizer, configs, chat template.

    Raises:
        UsageError: The folder holds no model in safetensors form, and names none behind an API.
    """
    if not folder.is_dir():
        raise UsageError(f"policy {folder}: expected a folder, found none")
    files = sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix in _SUFFIXES and path.name not in _NOT_OF_A_MODEL
    )
    if not (folder / "config.json").is_file():
        raise UsageError(f"policy {folder}: expected a config.json, found none")
    is_ours = not (folder / API_FILE).is_file()
    if is_ours and not any(path.suffix == ".safetensors" for path in files):
        raise UsageError(f"policy {folder}: expected weights as *.safetensors, found none")
    return files


def policy_digest(folder: Path) -> str:
    """Digest over the files that make a folder a policy."""
    return files_digest((path.name, file_digest(path)) for path in policy_files(folder))


def policy_path(digest: str) -> str:
    """Where the files of a policy lie in the store."""
    return f"artifacts/{POLICIES}/{digest}"


def resolve_policy(
    runs: RunLog,
    manifests: Sequence[Manifest],
    folder_of: Callable[[Manifest], Path],
    text: str,
) -> PolicyRef:
    """Finds the policy that a person means.

    Args:
        runs: The records of the store.
        manifests: All manifests of the store.
        folder_of: The folder of a stored policy, checked.
        text: A prefix (4 digits or more) of a digest, `RUN` (its last promoted policy),
            `RUN/ITERATION` or `RUN/NAME` (`laptop/base`), a local model folder, the name of the
            model among the inputs, or `hub:OWNER/NAME`.

    Raises:
        UsageError: Nothing or more than one thing is meant.
        AssetError: The model could not be fetched.
        StoreError: The policy is damaged.
    """
    digest = _of_run(runs, text)
    by_digest = {m.ref.digest: m for m in manifests if m.ref.kind == POLICIES}
    if digest is None and len(text) >= 4:
        found = [known for known in by_digest if known.startswith(text)]
        if len(found) > 1:
            raise UsageError(f"policy {text}: {len(found)} digests start so; give more digits")
        digest = found[0] if found else None
    if digest is not None:
        if digest not in by_digest:
            raise UsageError(f"policy {text}: its weights ({digest[:12]}) are not in this store")
        return PolicyRef(folder_of(by_digest[digest]).as_uri(), digest)
    if text == BUNDLED_MODEL or text.startswith(HUB_PREFIX):
        folder = ensure_model(text.removeprefix(HUB_PREFIX))
    else:
        folder = Path(text).expanduser()
    if folder.is_dir():
        return PolicyRef(folder.resolve().as_uri(), policy_digest(folder))
    raise UsageError(
        f"policy {text}: expected a digest, RUN, RUN/ITERATION, a model folder, {BUNDLED_MODEL} or "
        f"{HUB_PREFIX}OWNER/NAME; `evolvesearch runs` lists the runs"
    )


def _of_run(runs: RunLog, text: str) -> str | None:
    """Digest of the policy that `RUN` or `RUN/WHICH` names, None where there is no such run."""
    name, slash, which = text.partition("/")
    record = runs.run(name) if runs.is_name(name) else None
    if record is None:
        return None
    if not slash:
        promoted = [entry for entry in record.policies if entry.promoted]
        if not promoted:
            raise UsageError(f"policy {text}: run {name} has promoted no policy yet")
        return promoted[-1].digest
    wanted = which.replace("-", " ").replace("_", " ")
    named = [entry for entry in record.policies if wanted in (entry.name, str(entry.iteration))]
    if not named:
        known = ", ".join(entry.name for entry in record.policies) or "none yet"
        raise UsageError(f"policy {text}: run {name} has {known}")
    return named[-1].digest

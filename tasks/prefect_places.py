"""Where a run lies and how to look at it, as an artifact of the run."""

from __future__ import annotations

import shlex

from tasks.markdown_text import block, inline
from tasks.prefect_publishing import artifact_key, publish_markdown


def publish_places(run: str, store: str) -> None:
    """Publishes the store of a run, and the commands that read it there.

    Args:
        run: Name of the run.
        store: URI of its store.
    """
    described = f"{run}: where it lies"
    publish_markdown(artifact_key("run", run), places(run, store), described, of_run=True)


def places(run: str, store: str) -> str:
    """The same as Markdown."""
    commands = [
        ("show", run),
        ("curve", run),
        ("compare", f"{run}/base", run),
        ("lineage", run),
        ("sql", f"from stages where run = '{run}'"),
    ]
    # The store on a line of its own: the block is narrow, and a command cut in two is none.
    lines = [
        f"{shlex.join(['evolvesearch', *words])} \\\n  {shlex.join(['--store', store])}"
        for words in commands
    ]
    return "\n\n".join(
        [
            f"## Run {inline(run)}",
            f"Everything it makes lies in the store {inline(store)}: records, trajectories, "
            "verdicts, policies, scores.",
            block("\n".join(lines), 4000),
            "The same name goes on where a run was interrupted; what is done is not done again.",
        ]
    )

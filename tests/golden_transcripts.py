"""Golden transcripts: a trajectory token by token, the file it is held to, and small tokenizers.

Files hold one conversation each as runs of tokens with the same mask. To accept a wanted change,
delete the file, run its test twice and read the difference.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from agents.chat_format import Tokenizer
from agents.trajectory import Trajectory

HERE = Path(__file__).parent / "golden"


def runs_of(trajectory: Trajectory, tokenizer: Tokenizer) -> dict[str, Any]:
    """A trajectory as runs of tokens with the same mask."""
    pairs = zip(trajectory.token_ids, trajectory.loss_mask, strict=True)
    runs = []
    for mask, group in itertools.groupby(pairs, key=lambda pair: pair[1]):
        ids = [token for token, _ in group]
        runs.append({"mask": mask, "text": tokenizer.decode(ids), "ids": ids})
    return {
        "stop_reason": trajectory.stop_reason.value,
        "num_prompt_tokens": trajectory.num_prompt_tokens,
        "runs": runs,
    }


def assert_golden(name: str, found: dict[str, Any]) -> None:
    """Holds a trajectory to a file; one that is not there is written, and the test fails."""
    path = HERE / name
    if not path.exists():
        lines = ",\n".join(f"  {json.dumps(run, ensure_ascii=False)}" for run in found["runs"])
        head = f'"stop_reason": "{found["stop_reason"]}"'
        number = f'"num_prompt_tokens": {found["num_prompt_tokens"]}'
        path.write_text(f'{{{head},\n{number},\n"runs": [\n{lines}\n]}}\n', encoding="utf-8")
        pytest.fail(f"{path.name} did not exist and was written: read it and run again")
    assert found == json.loads(path.read_text(encoding="utf-8"))


def small_chatml() -> PreTrainedTokenizerFast:
    """A small tokenizer with ChatML's template."""
    return PreTrainedTokenizerFast(
        tokenizer_file=str(HERE / "chatml_tokenizer.json"),
        eos_token="<|im_end|>",
        chat_template=(HERE / "chatml.jinja").read_text(encoding="utf-8"),
    )


def styled(style: str) -> PreTrainedTokenizerFast:
    """A small tokenizer with a model family's way of splitting, its added tokens and its template.

    `qwen3` has a token for each protocol tag, `qwen25` for those of tool calls alone.
    """
    return PreTrainedTokenizerFast(
        tokenizer_file=str(HERE / f"{style}_style_tokenizer.json"),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=(HERE / f"{style}_style.jinja").read_text(encoding="utf-8"),
    )

"""A tiny policy for the tests of training, made once."""

from pathlib import Path

import pytest

from training.tiny import make_tiny_policy


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [
        f"user\nWhat is the capital of country {i}?\nassistant\n<think>I search for it.</think>"
        f'<tool_call>{{"name": "search", "arguments": {{"query": ["capital {i * 7}"]}}}}'
        f"</tool_call><answer>{i * 13}</answer>"
        for i in range(300)
    ]
    return make_tiny_policy(tmp_path_factory.mktemp("tiny") / "policy", texts, seed=1)

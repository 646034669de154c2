"""A model or file that is not there is named before Prefect or a child process is started."""

from pathlib import Path

import pytest

from agents.errors import UsageError
from flows import evolve
from flows.profiles import load_profile


@pytest.mark.parametrize(
    "setting",
    [
        "model=./absent",
        'web.corpus=["./absent"]',
        "questions.training_file=./absent",
        'questions.benchmark_files={mine="./absent"}',
    ],
)
def test_a_missing_input_is_named_before_anything_starts(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*_: object) -> None:
        pytest.fail("something was started first")

    monkeypatch.setattr(evolve, "start_heavy", started)
    monkeypatch.setattr(evolve, "prefect_session", started)
    config = load_profile("laptop", [setting, f"store.uri={tmp_path / 'store'}"])
    with pytest.raises(UsageError, match=r"\./absent"):
        evolve.run_evolution(config)
    assert not (tmp_path / "store").exists()

"""What a grid and a list make: members with names of their own, checked before any is started."""

from __future__ import annotations

import pytest

from agents.errors import ConfigError, UsageError
from flows.profiles import load_profile
from flows.sweep_members import sweep_members

CONFIG = load_profile("smoke")


def test_a_grid_is_all_combinations_the_last_key_fastest():
    members = sweep_members(CONFIG, "s", {"rl.num_steps": [3, 4], "seed": [0, 1]}, None)
    assert [dict(member.settings) for member in members] == [
        {"rl.num_steps": 3, "seed": 0},
        {"rl.num_steps": 3, "seed": 1},
        {"rl.num_steps": 4, "seed": 0},
        {"rl.num_steps": 4, "seed": 1},
    ]
    assert [member.number for member in members] == [1, 2, 3, 4]
    assert [(m.config.rl.num_steps, m.config.seed) for m in members][-1] == (4, 1)
    assert len({member.run for member in members}) == 4


def test_each_of_a_list_is_made_at_each_point_of_the_grid():
    listed = [{"rl.enabled": False}, {"sft.num_epochs": 2}]
    members = sweep_members(CONFIG, "s", {"seed": [5, 6]}, listed)
    assert [dict(member.settings) for member in members] == [
        {"rl.enabled": False, "seed": 5},
        {"rl.enabled": False, "seed": 6},
        {"sft.num_epochs": 2, "seed": 5},
        {"sft.num_epochs": 2, "seed": 6},
    ]
    assert len(sweep_members(CONFIG, "s", None, listed)) == 2


def test_names_stay_where_a_grid_grows_and_change_with_what_is_shared():
    few = sweep_members(CONFIG, "s", {"seed": [1]}, None)
    more = sweep_members(CONFIG, "s", {"seed": [0, 1, 2]}, None)
    assert few[0].run == more[1].run
    assert few[0].run.startswith("s-")
    other = CONFIG.model_copy(update={"iterations": 5})
    assert sweep_members(other, "s", {"seed": [1]}, None)[0].run != few[0].run


def test_values_may_come_as_text_and_are_shown_as_read():
    members = sweep_members(CONFIG, "s", {"sft.learning_rate": ["1e-5", "0.5"]}, None)
    assert [dict(member.settings) for member in members] == [
        {"sft.learning_rate": 1e-5},
        {"sft.learning_rate": 0.5},
    ]


@pytest.mark.parametrize(
    ("grid", "configs", "message"),
    [
        ({"rl.num_step": [1]}, None, "unknown config key 'rl.num_step'.*did you mean"),
        ({"seed": [0, -1]}, None, "config key 'seed': got -1"),
        ({"seed": []}, None, "grid key 'seed': expected a list of values"),
        ({"seed": "01"}, None, "grid key 'seed': expected a list of values"),
        ({"seed": [0]}, [{"seed": 1}], "'seed' stands in the grid and in the list"),
        ({"seed": [3, 3]}, None, "members 1 and 2 .*would be the same run"),
        ({"store.uri": ["a", "b"]}, None, "members 1 and 2 .*would be the same run"),
    ],
)
def test_what_is_wrong_with_a_member_is_said_before_any_is_started(grid, configs, message):
    with pytest.raises(ConfigError, match=message):
        sweep_members(CONFIG, "s", grid, configs)


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 72])
def test_a_sweep_is_named_like_a_run_with_room_for_its_members(name):
    with pytest.raises(UsageError, match="sweep name"):
        sweep_members(CONFIG, name, {"seed": [0]}, None)
    assert len(sweep_members(CONFIG, "x" * 71, {"seed": [0]}, None)[0].run) == 80


def test_a_sweep_of_nothing_is_none():
    with pytest.raises(UsageError, match="something to vary"):
        sweep_members(CONFIG, "s", {}, [])

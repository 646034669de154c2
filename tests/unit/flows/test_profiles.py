"""Profiles load, settings override them, and every mistake is one clear line."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from agents.errors import ConfigError
from flows.config import EvolutionConfig
from flows.profiles import config_keys, load_profile, profile_names


@pytest.mark.parametrize("name", ["laptop", "smoke", "single-gpu", "paper"])
def test_every_shipped_profile_loads_under_its_name(name: str):
    assert name in profile_names()
    assert load_profile(name).profile == name


def test_there_is_no_profile_that_no_test_loads():
    assert profile_names() == ["laptop", "paper", "single-gpu", "smoke"]


def test_settings_are_typed_by_the_field_they_set():
    config = load_profile(
        "laptop",
        [
            "rl.num_steps=7",
            "sft.learning_rate=3e-5",
            "engine.deterministic=true",
            "sft.max_tokens=none",
            "agents.prompt=7",
            'benchmark.names=["more_hops"]',
            "store.uri=/some/where",
        ],
    )
    assert config.rl.num_steps == 7
    assert config.sft.learning_rate == 3e-5
    assert config.engine.deterministic is True
    assert config.sft.max_tokens is None
    assert config.agents.prompt == "7"
    assert config.benchmark.names == ("more_hops",)
    assert config.store.uri == "/some/where"


def test_a_later_setting_wins_over_the_profile_and_leaves_the_rest():
    plain = load_profile("smoke")
    changed = load_profile("smoke", {"rollout.num_rollouts": 3})
    assert changed.rollout.num_rollouts == 3
    assert changed.rollout.num_questions == plain.rollout.num_questions


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("rollout.num_quesitons=3", "did you mean 'rollout.num_questions'"),
        ("rl.num_steps=abc", "'rl.num_steps': got 'abc'; .*valid integer"),
        ("rl.num_steps=0", "'rl.num_steps': .*greater than or equal to 1"),
        ("nonsense=1", "unknown config key 'nonsense'"),
        ("rl=3", "'rl': got '3'"),
        ("rl.num_steps", "expected KEY=VALUE"),
        ("=1", "expected KEY=VALUE"),
        ("rollout.source=yesterday", "'rollout.source': got 'yesterday'; .*'fresh' or 'rl'"),
        ("agents.max_context_tokens=64", "config section 'agents': .*max_context_tokens"),
    ],
)
def test_a_bad_setting_is_one_line_that_says_what_was_expected(setting: str, expected: str):
    with pytest.raises(ConfigError, match=expected) as caught:
        load_profile("laptop", [setting])
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_loop_that_would_never_record_a_rollout_is_refused():
    with pytest.raises(ConfigError, match="no rollouts would ever be recorded") as caught:
        load_profile("laptop", ["rollout.source=rl", "rl.enabled=false"])
    assert "\n" not in str(caught.value)


def test_an_unknown_profile_names_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown profile 'latop' \(did you mean 'laptop'\?\)"):
        load_profile("latop")


def test_a_profile_file_of_ones_own_is_read_and_checked(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("iterations = 5\n[rl]\nnum_steps = 2\n")
    config = load_profile(str(path))
    assert (config.profile, config.iterations, config.rl.num_steps) == ("mine", 5, 2)
    path.write_text("[rl]\nnum_step = 2\n")
    with pytest.raises(ConfigError, match=re.escape("did you mean 'rl.num_steps'")):
        load_profile(str(path))
    path.write_text("[rl\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_profile(str(path))
    with pytest.raises(ConfigError, match="cannot read profile"):
        load_profile(str(tmp_path / "absent.toml"))


def test_the_default_run_name_says_what_is_configured_and_not_where_it_is_stored():
    first = load_profile("smoke", ["store.uri=/a"]).default_run_name
    assert first == load_profile("smoke", ["store.uri=/b"]).default_run_name
    assert first != load_profile("smoke", ["seed=1"]).default_run_name
    assert first.startswith("smoke-")


def test_every_section_is_addressable_by_a_dotted_key():
    keys = set(config_keys(EvolutionConfig))
    assert {"seed", "agents.visit.mode", "web.corpus", "gate.rule", "training.precision"} <= keys


def test_configuration_loads_neither_torch_nor_prefect():
    code = (
        "import sys, flows.profiles as p; p.load_profile('laptop'); "
        "print([m for m in ('torch', 'transformers', 'trl', 'prefect') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_visit_section_may_be_its_mode_alone():
    shorthand = load_profile("smoke", ["agents.visit=browser"]).agents.visit
    # The other keys of the section are the profile's all the same.
    assert shorthand == load_profile("smoke", ["agents.visit.mode=browser"]).agents.visit
    assert (shorthand.mode, shorthand.max_words) == ("browser", 30)
    both = load_profile("smoke", ["agents.visit=browser", "agents.visit.max_words=7"])
    assert (both.agents.visit.mode, both.agents.visit.max_words) == ("browser", 7)
    with pytest.raises(ConfigError, match=r"'agents\.visit\.mode': got 'telepathy'"):
        load_profile("smoke", ["agents.visit=telepathy"])

"""Prompt templates and the agent's configuration."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from agents.config import AgentConfig, VisitConfig
from agents.errors import UsageError
from agents.prompt import QUESTION_MARK, load_prompt
from agents.toolset import make_tools


@pytest.fixture
def tools(web):
    return make_tools(web, AgentConfig())


def test_compact_prompt_is_short_and_shows_both_tools(tools):
    prompt = load_prompt("compact", tools)
    assert prompt.user == QUESTION_MARK
    assert len(prompt.system.split()) < 40
    for shown in ('"search"', '"visit"', "<think>", "<answer>"):
        assert shown in prompt.system


def test_paper_prompt_shows_schemas_date_and_question(tools):
    prompt = load_prompt("paper", tools, "2025-05-28")
    assert "2025-05-28" in prompt.system
    assert prompt.user.endswith(f"Question: {QUESTION_MARK}")
    for shown in ('"name": "search"', '"name": "visit"', "<tool_response>", '"goal"'):
        assert shown in prompt.user


def test_ones_own_template(tools, tmp_path):
    path = tmp_path / "mine.md"
    path.write_text("<!-- section: user -->\nQ: {{ question }}\n<!-- section: force -->\nNow!\n")
    prompt = load_prompt(str(path), tools)
    assert (prompt.system, prompt.user, prompt.force) == ("", f"Q: {QUESTION_MARK}", "Now!")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Q: {{ question }}", "lacks the section '<!-- section: user -->'"),
        ("<!-- section: user -->\n{{ question }}\n", "lacks the section '<!-- section: force -->'"),
        (
            "<!-- section: user -->\nhi\n<!-- section: force -->\nx\n",
            "does not show {{ question }}",
        ),
        (
            "<!-- section: user -->\n{{ question }}\n<!-- section: force -->\n{{ question }}\n",
            "outside its user section",
        ),
        (
            "<!-- section: user -->\n{{ question }}{{ x }}\n<!-- section: force -->\na\n",
            "does not render",
        ),
        (
            "<!-- section: user -->\n{{ question }}\n<!-- section: force -->\n"
            "{{ ''.__class__.__mro__ }}\n",
            "does not render",
        ),
        ("<!-- section: usr -->\nx\n", "has a section 'usr'"),
    ],
)
def test_unusable_templates_are_refused_in_a_line(tools, tmp_path, text, message):
    path = tmp_path / "mine.md"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_prompt(str(path), tools)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_limits_that_leave_no_room_are_refused():
    with pytest.raises(ValidationError, match="max_context_tokens is 300, but"):
        AgentConfig(max_context_tokens=300)
    assert AgentConfig(max_context_tokens=300, max_turns=1).max_turns == 1


@pytest.mark.parametrize(
    "wrong", [{"max_turns": 0}, {"deadline_s": 0}, {"search_results": 0}, {"prompts": "paper"}]
)
def test_values_out_of_bounds_are_refused(wrong):
    with pytest.raises(ValidationError):
        AgentConfig(**wrong)


def test_every_field_says_what_it_does():
    for config in (AgentConfig, VisitConfig):
        for name, field in config.model_fields.items():
            assert field.description, name


def test_importing_the_configs_does_not_import_torch():
    code = (
        "import sys, agents.config, training.construction.config; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'jinja2', 'httpx')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

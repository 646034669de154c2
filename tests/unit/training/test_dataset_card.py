"""A data set's folder and card, and its way to a server that speaks the Hub's API."""

from __future__ import annotations

import logging
import threading

import pytest
from conversation_samples import closing, conversation, turn
from hub_server import HubServer
from huggingface_hub import DatasetCard

from agents.errors import StoreError, UsageError
from training.construction.formats.card import (
    DATA_FILE,
    CardFacts,
    card_text,
    markdown_table,
    write_dataset,
)
from training.construction.formats.files import Form, read_file
from training.construction.formats.hub import push_dataset
from training.construction.funnel.config import FunnelConfig
from training.construction.funnel.report import funnel_rows
from training.construction.funnel.run import run_funnel

CASES = [conversation(), conversation(turn(seen="The Seine."), closing())]
FACTS = CardFacts("River trajectories", "apache-2.0", "Made by hand.", counts={"tests": 1})


def test_the_card_has_front_matter_that_the_hub_reads():
    text = card_text(CASES, FACTS)
    card = DatasetCard(text)
    head, body = card.data.to_dict(), card.text
    assert head["license"] == "apache-2.0"
    assert head["pretty_name"] == "River trajectories"
    assert head["size_categories"] == ["n<1K"]
    [config] = head["configs"]
    assert config["data_files"] == [{"split": "train", "path": DATA_FILE}]
    assert "Made by hand." in body
    assert "| trajectories | 2 |" in body
    assert "| questions | 1 |" in body
    assert "| tool calls | 2 |" in body
    assert "| tests | 1 |" in body
    assert "| conversation_id | string |" in body
    assert "## Funnel" not in body


def test_the_card_shows_the_funnel():
    rows = funnel_rows(run_funnel(CASES, FunnelConfig()))
    facts = CardFacts("T", "mit", "S", funnel=rows)
    assert "| validity | form | 2 | 0 | 0 | 2 |" in card_text(CASES, facts)


@pytest.mark.parametrize("missing", ["title", "licence", "source"])
def test_a_card_without_licence_or_source_is_refused(missing):
    facts = {"title": "T", "licence": "mit", "source": "S", missing: " "}
    with pytest.raises(UsageError, match=missing):
        card_text(CASES, CardFacts(**facts))


def test_cells_cannot_break_a_table():
    assert markdown_table([{"a": "x | y\nz", "b": None}]).splitlines()[-1] == "| x \\| y z |  |"


@pytest.fixture
def hub():
    with HubServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "hf_secret_key")
    write_dataset(CASES, tmp_path / "set", FACTS)
    (tmp_path / "set" / "notes.txt").write_text("mine alone")
    return tmp_path / "set"


def test_a_folder_is_pushed_with_its_card_and_nothing_else(hub, folder, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    url = push_dataset(folder, "me/mine", key_variable="MY_KEY", endpoint=hub.url)
    assert url == f"{hub.url}/datasets/me/mine"
    assert set(hub.files["me/mine"]) == {"README.md", DATA_FILE}
    (tmp_path / "back.parquet").write_bytes(hub.files["me/mine"][DATA_FILE])
    assert list(read_file(tmp_path / "back.parquet", Form.PARQUET).conversations) == CASES
    [made] = hub.repos
    assert made.get("private") is True or made.get("visibility") == "private"
    assert made["type"] == "dataset"
    assert hub.keys == {"Bearer hf_secret_key"}
    assert "hf_secret_key" not in caplog.text


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_one_line_without_the_key(hub, folder, status):
    hub.status = status
    with pytest.raises(StoreError, match=str(status)) as error:
        push_dataset(folder, "me/mine", key_variable="MY_KEY", endpoint=hub.url)
    assert "hf_secret_key" not in str(error.value)
    assert error.value.__cause__ is None


def test_a_hub_that_is_away_is_said(folder):
    with pytest.raises(StoreError, match="could not be reached"):
        push_dataset(folder, "me/mine", key_variable="MY_KEY", endpoint="http://127.0.0.1:9")


def test_what_cannot_be_pushed_is_refused_before_anything_is_asked(folder, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="OWNER/NAME"):
        push_dataset(folder, "mine")
    with pytest.raises(UsageError, match=r"README\.md"):
        push_dataset(tmp_path, "me/mine")
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(UsageError, match="MY_KEY"):
        push_dataset(folder, "me/mine", key_variable="MY_KEY")

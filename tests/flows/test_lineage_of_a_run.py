"""The lineage of a rehearsed run: from every score to the pages, and from pages to the scores."""

from __future__ import annotations

from collections import Counter

import pytest

from tasks.artifacts import ArtifactStore
from tasks.care.verification import verify_store
from tasks.catalog import Catalog
from tasks.catalog_index import open_index
from tasks.lineage.refs import resolve_node
from tasks.lineage.steps import lineage_down, lineage_up
from tasks.lineage.store import LineageStore
from tasks.lineage.tree import Lineage

pytestmark = pytest.mark.assets


@pytest.fixture(scope="module")
def known(rehearsal) -> LineageStore:
    store = ArtifactStore.open(rehearsal.config.store)
    return LineageStore(store, open_index(store.objects))


def counts(found: Lineage) -> dict[str, int]:
    return dict(Counter(node.type for node in found.nodes if node != found.root))


def test_every_score_leads_down_to_pages_questions_and_examples(rehearsal, known) -> None:
    config = rehearsal.config
    for benchmark in rehearsal.document["iterations"][-1]["benchmarks"]:
        node, place = resolve_node(known, f"{rehearsal.name}/1/{benchmark}")
        found = counts(lineage_down(known, node, place))
        assert set(found) == {
            "answer",
            "trajectory",
            "question",
            "page",
            "policy",
            "sft_example",
            "verdict",
        }
        assert found["answer"] == config.benchmark.num_questions
        # RL's policy, that of the SFT before it, the cold start's that sampled, and the base.
        assert found["policy"] == 4
        assert found["verdict"] == found["sft_example"] >= config.cold_start.num_questions


def test_a_page_of_the_cold_start_leads_up_to_the_last_scores(rehearsal, known) -> None:
    store = ArtifactStore.open(rehearsal.config.store)
    with Catalog(store) as catalog:
        rows = catalog.query(
            "select v.page, p.text from page_views v join pages p using (page) where v.run = "
            f"'{rehearsal.name}' and v.iteration = 0 and v.trajectory_id like 'construction%'"
        ).to_pylist()
    assert all(row["text"] for row in rows)
    node, place = resolve_node(known, f"page:{rows[0]['page']}")
    up = lineage_up(known, node, place)
    scores = {n.name for n in up.nodes if n.type == "score"}
    final = rehearsal.document["iterations"][-1]
    assert scores >= {f"{final['policy']}/{name}" for name in final["benchmarks"]}


def test_what_was_visited_over_http_was_recorded_as_it_was_read(rehearsal) -> None:
    store = ArtifactStore.open(rehearsal.config.store)
    with Catalog(store) as catalog:
        rows = catalog.query(
            "select u.observation, v.query, string_agg(p.title || ' ' || p.text, ' ') as read "
            "from page_views v join pages p using (page) join turns u on u.artifact = v.artifact "
            "and u.trajectory_id = v.trajectory_id and u.index = v.turn "
            "where v.tool = 'visit' group by all"
        ).to_pylist()
    assert rows
    for row in rows:
        beginning = " ".join(row["observation"].split()[:3])
        assert beginning in " ".join(row["read"].split())
        assert row["query"]


def test_a_rehearsed_store_is_whole(rehearsal) -> None:
    assert verify_store(ArtifactStore.open(rehearsal.config.store)).problems == []

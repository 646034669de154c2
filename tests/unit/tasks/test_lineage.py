"""From a score down to the pages and questions behind it, and from a page up to the scores."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from agents.errors import UsageError
from tasks.catalog_index import open_index
from tasks.lineage.refs import resolve_node
from tasks.lineage.steps import lineage_down, lineage_up
from tasks.lineage.store import LineageStore
from tasks.lineage.tree import Lineage, Node, document
from tasks.rows import trajectory_row


@pytest.fixture
def known(sample_run) -> LineageStore:
    return LineageStore(sample_run.store, open_index(sample_run.store.objects))


def counts(found: Lineage) -> dict[str, int]:
    return dict(Counter(node.type for node in found.nodes if node != found.root))


def test_a_score_leads_down_to_everything_it_was_made_from(known, sample_run) -> None:
    node, place = resolve_node(known, "demo/1/more_hops")
    down = lineage_down(known, node, place)
    assert counts(down) == {
        "answer": 2,
        # Two of the benchmark, two of RL, two kept of the rollouts, one kept of the cold start.
        "trajectory": 7,
        "question": 4,
        "page": 2,
        "policy": 4,
        "sft_example": 3,
        "verdict": 3,
    }
    assert down.nodes[node]["accuracy"] == 1.0
    pages = {n.name: said["url"] for n, said in down.nodes.items() if n.type == "page"}
    assert pages == {page: url for url, page in sample_run.pages.items()}
    verdicts = [said for n, said in down.nodes.items() if n.type == "verdict"]
    assert {(v["reason"], v["reward"]) for v in verdicts} == {("kept", 1.0)}
    assert lineage_up(known, node, place).edges == []


def test_every_step_of_a_walk_is_an_edge_from_made_to_made_from(known) -> None:
    node, place = resolve_node(known, "demo/1/more_hops")
    down = lineage_down(known, node, place)
    steps = {(edge.child.type, edge.relation, edge.parent.type) for edge in down.edges}
    assert steps == {
        ("score", "measures", "policy"),
        ("score", "mean_of", "answer"),
        ("answer", "answered_by", "trajectory"),
        ("trajectory", "asks", "question"),
        ("trajectory", "sampled_by", "policy"),
        ("trajectory", "saw", "page"),
        ("policy", "started_from", "policy"),
        ("policy", "trained_on", "sft_example"),
        ("policy", "trained_on", "trajectory"),
        ("sft_example", "kept_by", "verdict"),
        ("verdict", "judges", "trajectory"),
    }
    assert {edge.child for edge in down.edges} | {edge.parent for edge in down.edges} == set(
        down.nodes
    )


def test_a_page_leads_up_to_the_scores(known, sample_run) -> None:
    node, place = resolve_node(known, "http://wiki.local/Lyon")
    assert node == Node("page", sample_run.pages["http://wiki.local/Lyon"])
    up = lineage_up(known, node, place)
    # All trajectories saw it: what they led to is all but the base policy and the questions.
    assert counts(up) == {
        "trajectory": 12,
        "verdict": 6,
        "sft_example": 3,
        "policy": 3,
        "answer": 2,
        "score": 1,
    }
    assert counts(lineage_down(known, node, place)) == {}


def test_a_dropped_trajectory_led_to_its_verdict_alone(known, sample_run) -> None:
    policy = sample_run.made["sft 0"]["policy"].digest
    node, place = resolve_node(known, f"{policy[:12]}-rollout-1-q0-1")
    assert counts(lineage_up(known, node, place)) == {"verdict": 1}
    assert counts(lineage_down(known, node, place)) == {
        "question": 1,
        "page": 2,
        "policy": 2,
        "sft_example": 1,
        "verdict": 1,
        "trajectory": 1,
    } | {"page": 2, "question": 1}


def test_what_references_mean(known, sample_run) -> None:
    final, base = (sample_run.made[s]["policy"].digest for s in ("rl", "construct"))
    benchmarks = sample_run.made["benchmark"]["benchmarks"].digest
    questions = sample_run.made["construct"]["questions"]
    for text, node in {
        "demo/iteration 1/more_hops": Node("score", f"{final}/more_hops", benchmarks),
        f"{final[:9]}/more_hops": Node("score", f"{final}/more_hops", benchmarks),
        f"score:{final}/more_hops": Node("score", f"{final}/more_hops", benchmarks),
        "demo/base": Node("policy", base),
        base[:8]: Node("policy", base),
        f"{questions.key}/{questions.name}": Node("artifact", f"questions/{questions.digest}"),
        questions.digest[:10]: Node("artifact", f"questions/{questions.digest}"),
        "q1": Node("question", "q1"),
        "question:b0": Node("question", "b0"),
        sample_run.pages["http://wiki.local/France"][:16]: Node(
            "page", sample_run.pages["http://wiki.local/France"]
        ),
    }.items():
        assert resolve_node(known, text)[0] == node, text
        # The id of a node in a document means the node.
        assert resolve_node(known, node.node_id)[0] == node


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "nothing in this store is called so"),
        ("demo/7", "the policies of run demo are: base, cold start, iteration 1"),
        ("demo/1/less_hops", "no benchmark 'less_hops' there: more_hops"),
        ("trajectory:none", "nothing in this store"),
    ],
)
def test_what_means_nothing_is_said(known, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve_node(known, text)


def test_what_means_two_things_names_both(sample_run) -> None:
    store = sample_run.store
    ref = sample_run.made["cold_start"]["trajectories"]
    first, *_ = store.read_trajectories(ref)
    other = replace(first, answer="sampled again")
    store.write_table("trajectories", [trajectory_row(other)], stage_key="again", name="t")
    known = LineageStore(store, open_index(store.objects))
    with pytest.raises(UsageError, match="means 2 things; name one: trajectory:"):
        resolve_node(known, first.trajectory_id)
    named, place = resolve_node(known, f"{first.trajectory_id}@{ref.digest[:12]}")
    assert (named.artifact, place) == (ref.digest, ref.digest)


def test_an_artifact_has_its_parents_and_children(known, sample_run) -> None:
    verdicts = sample_run.made["filter 1"]["verdicts"]
    node, place = resolve_node(known, verdicts.digest[:12])
    kinds = {n.name.partition("/")[0] for n in lineage_down(known, node, place).nodes}
    assert kinds == {"verdicts", "questions", "trajectories", "pages", "policies", "sft_examples"}


def test_the_document_is_one_graph(known) -> None:
    node, place = resolve_node(known, "demo/cold-start")
    both = document("x", lineage_down(known, node, place), lineage_up(known, node, place))
    ids = [each["id"] for each in both["nodes"]]
    assert both["root"] == node.node_id
    assert len(ids) == len(set(ids))
    assert {edge[end] for edge in both["edges"] for end in ("child", "parent")} == set(ids)
    assert both["counts"]["led_to"]["score"] == 1
    assert both["counts"]["made_from"]["page"] == 1

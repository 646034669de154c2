"""A network that fails, stalls and cuts at random: nothing partial is seen, nothing is lost.

Each operation ends in time or gives one clear error; the same again comes to the same artifacts.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from fault_proxy import FAULTS, FaultProxy
from store_samples import trajectory
from store_servers import StoreServer
from survived import record_survived

from agents.errors import StoreError
from tasks.artifacts import ArtifactStore
from tasks.manifest import ArtifactRef
from tasks.rows import trajectory_row
from tasks.runs import RunLog, RunRecord
from tasks.shards import ShardLog
from tasks.storage.config import StoreConfig
from tasks.storage.objects import ObjectStore

pytestmark = pytest.mark.s3

T = TypeVar("T")

TIMEOUT_S, RETRY_S, STALL_S = 0.5, 3.0, 0.7
LONGEST_S = 20.0
"""Within which an operation of a few requests must have ended."""


class Network:
    """A store behind a faulty proxy, and the same store seen directly."""

    def __init__(self, server: StoreServer, folder: Path, name: str, proxy: FaultProxy) -> None:
        waits = {"timeout_s": TIMEOUT_S, "retry_s": RETRY_S, "part_mib": 5}
        clear = server.config(name, folder / "clear-cache")
        self.clear = clear
        self.faulty = StoreConfig(
            uri=clear.uri, endpoint=proxy.url, cache=str(folder / "faulty-cache"), **waits
        )
        self.num_errors = 0

    def check_what_is_visible(self) -> None:
        """Whatever has a manifest is whole, to the last byte."""
        store = ArtifactStore.open(self.clear)
        for manifest in store.manifests():
            for file in manifest.files:
                data = store.objects.get(file.path)
                assert data is not None
                assert hashlib.sha256(data).hexdigest() == file.sha256

    def insist(self, action: Callable[[], T]) -> T:
        """Repeats an operation until it succeeds; each failure must be one clear line."""
        for _ in range(50):
            start = time.monotonic()
            try:
                return action()
            except StoreError as error:
                line = str(error)
                assert line.startswith("cannot ")
                assert "\n" not in line
                assert "Generic" not in line, line
                self.num_errors += 1
                self.check_what_is_visible()
            finally:
                assert time.monotonic() - start < LONGEST_S
        raise AssertionError("50 tries did not get through")


def write_all(network: Network, model: Path) -> dict[str, ArtifactRef]:
    """A small run's worth of writing and reading, each step as a new process would do it."""

    def table(index: int) -> ArtifactRef:
        rows = [trajectory_row(trajectory(index))]
        store = ArtifactStore.open(network.faulty)
        return store.write_table("trajectories", rows, stage_key=f"k{index}", name="rollouts")

    def policy() -> ArtifactRef:
        return ArtifactStore.open(network.faulty).write_policy(model, stage_key="sft")

    def shard() -> None:
        log = ShardLog(ArtifactStore.open(network.faulty), "rollout")
        log.append_trajectories([trajectory(0), trajectory(1)])

    def record() -> None:
        log = RunLog(ArtifactStore.open(network.faulty).objects)
        log.save_run(RunRecord("demo", "smoke", 7, "done", "t0"))

    refs = {f"k{index}": network.insist(lambda index=index: table(index)) for index in range(3)}
    refs["sft"] = network.insist(policy)
    network.insist(shard)
    network.insist(record)
    for index in range(3):
        ref = refs[f"k{index}"]
        read = network.insist(lambda ref=ref: ArtifactStore.open(network.faulty).read_table(ref))
        assert read.column("trajectory_id").to_pylist() == [trajectory(index).trajectory_id]
    folder = network.insist(lambda: ArtifactStore.open(network.faulty).policy_folder(refs["sft"]))
    for file in model.iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()
    return refs


def survive(server: StoreServer, folder: Path, model: Path, seed: int, rate: float) -> None:
    with FaultProxy(server.url, seed, rate, STALL_S) as proxy:
        network = Network(server, folder, f"faults-{folder.name}-{seed}", proxy)
        refs = write_all(network, model)
        num_faults = proxy.num_injected
    network.check_what_is_visible()
    store = ArtifactStore.open(network.clear)
    assert {m.ref for m in store.manifests()} == set(refs.values())
    # An append that was told as failed may have arrived: rows are known by their key.
    assert ShardLog(store, "rollout").trajectories() == [trajectory(0), trajectory(1)]
    assert [record.run for record in RunLog(store.objects).runs()] == ["demo"]
    assert num_faults > 0
    record_survived("faults", num_faults)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_faulty_network_loses_and_shows_nothing_partial(s3_server, tmp_path, model, seed):
    survive(s3_server, tmp_path, model, seed, rate=0.3)


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(10, 22))
def test_a_faultier_network_loses_and_shows_nothing_partial(s3_server, tmp_path, model, seed):
    survive(s3_server, tmp_path, model, seed, rate=0.5)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_network_that_only_fails_gives_one_clear_error(s3_server, tmp_path, model, kind):
    """Nothing gets through, or nobody is told that it did: every operation ends, in one line."""
    name = f"only-{kind.replace(' ', '-')}-{tmp_path.name}"
    direct = ObjectStore.open(s3_server.config(name, tmp_path / "cache"))
    with FaultProxy(s3_server.url, 0, 1.0, STALL_S, (kind,)) as proxy:
        config = Network(s3_server, tmp_path, name, proxy).faulty
        start = time.monotonic()
        with pytest.raises(StoreError, match=r"^cannot open s3://[^\n]*: [^\n]*$") as caught:
            ArtifactStore.open(config.model_copy(update={"retry_s": 0.5}))
        assert time.monotonic() - start < LONGEST_S
        assert "again" in str(caught.value) or "no answer in time" in str(caught.value)
        assert proxy.injected[kind] > 0
        record_survived("faults", proxy.num_injected)
    assert direct.paths("") == []


def test_a_lost_answer_does_not_make_a_winner_a_loser(s3_server, tmp_path):
    """What was written although the answer was cut is told as written: leases rely on it."""
    name = f"lost-{tmp_path.name}"
    with FaultProxy(s3_server.url, 5, 0.5, STALL_S, ("cut answer",)) as proxy:
        network = Network(s3_server, tmp_path, name, proxy)
        objects = network.insist(lambda: ObjectStore.open(network.faulty))
        for number in range(4):
            mine = str(number).encode()
            assert network.insist(lambda n=number, m=mine: objects.put_new(f"lease/{n}", m))
            assert not network.insist(lambda n=number: objects.put_new(f"lease/{n}", b"other"))
        assert proxy.injected["cut answer"] > 2
        record_survived("faults", proxy.num_injected)
    direct = ObjectStore.open(network.clear)
    assert [direct.get(f"lease/{n}") for n in range(4)] == [str(n).encode() for n in range(4)]

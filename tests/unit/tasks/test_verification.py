"""Whatever byte of a store is changed, its object is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.care.verification import verify_store


def problems(run) -> dict[str, str]:
    return {problem.path: problem.problem for problem in verify_store(run.store).problems}


def path_of(run, stage: str, kind: str) -> str:
    return run.store.manifest(run.made[stage][kind]).files[0].path


def test_a_whole_store_has_no_problem(sample_run) -> None:
    found = verify_store(sample_run.store)
    assert found.problems == []
    assert found.unnamed == []
    assert found.num_manifests == len(sample_run.store.manifests())
    assert found.num_bytes > 0


@pytest.mark.parametrize(
    ("stage", "kind"), [("rollout", "trajectories"), ("rl", "policy"), ("rl", "pages")]
)
@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_a_damaged_object_is_named(sample_run, stage: str, kind: str, how: str) -> None:
    path = path_of(sample_run, stage, kind)
    file = sample_run.store.objects.path_of(path)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    match how:
        case "flipped":
            file.write_bytes(data)
        case "cut":
            file.write_bytes(data[:-1])
        case "gone":
            file.unlink()
    assert list(problems(sample_run)) == [path]


def test_a_damaged_manifest_and_what_refers_to_it_are_named(sample_run) -> None:
    ref = sample_run.made["rollout"]["trajectories"]
    path = f"manifests/{ref.key}/{ref.name}.json"
    sample_run.store.objects.path_of(path).write_text("{}")
    found = problems(sample_run)
    assert set(found) == {path}
    assert "damaged" in found[path] or "refers to it" in found[path]


def test_a_manifest_that_is_gone_is_missed(sample_run) -> None:
    ref = sample_run.made["rollout"]["trajectories"]
    path = f"manifests/{ref.key}/{ref.name}.json"
    sample_run.store.objects.delete([path])
    found = verify_store(sample_run.store)
    assert {problem.path for problem in found.problems} == {path}
    assert len(found.unnamed) == 1


def test_a_manifest_of_other_content_is_named(sample_run) -> None:
    """Bytes that are whole, but not of the artifact that the manifest speaks of."""
    ref = sample_run.made["filter 1"]["rewards"]
    path = f"manifests/{ref.key}/{ref.name}.json"
    manifest = sample_run.store.manifest(ref)
    (file,) = manifest.files
    elsewhere = replace(file, path=file.path.replace(ref.digest, "0" * 64))
    sample_run.store.objects.put(elsewhere.path, sample_run.store.objects.get(file.path) or b"")
    other = replace(manifest, ref=replace(ref, digest="0" * 64), files=(elsewhere,))
    sample_run.store.objects.put(path, other.to_bytes())
    assert "its rows have another digest" in problems(sample_run)[elsewhere.path]
    other = replace(manifest, ref=replace(ref, digest="0" * 64))
    sample_run.store.objects.put(path, other.to_bytes())
    assert problems(sample_run)[path] == "it names objects of another artifact"


def test_a_damaged_record_is_named(sample_run) -> None:
    sample_run.store.objects.put("runs/demo/stages/0-construct.json", b"{")
    assert "damaged" in problems(sample_run)["runs/demo/stages/0-construct.json"]

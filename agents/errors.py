"""The one exception tree: a message says what was got, what was expected and what to do."""

from __future__ import annotations


class EvolveSearchError(Exception):
    """Base of every error a user may see; printed as one line, without a traceback.

    Attributes:
        exit_code: Exit code of the command line when this error ends it.
    """

    exit_code = 1


class UsageError(EvolveSearchError):
    """Bad usage: an unknown name, a missing folder, a malformed argument."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration value that is unknown, of the wrong type or out of bounds."""


class AssetError(EvolveSearchError):
    """An input could not be fetched, or is not the one whose digest is known."""


class StoreError(EvolveSearchError):
    """The artifact store could not be read or written."""


class StageError(EvolveSearchError):
    """A stage failed; nothing half-written is visible in the store."""


class MemoryNeedError(StageError):
    """A training was not started: by its estimate it takes more memory than there is."""


class DivergedError(StageError):
    """The loss of a training became infinite or no number."""


class RankDiedError(StageError):
    """A process of a training ended without a word: killed from outside, or crashed."""


class RankHungError(StageError):
    """A process of a training gave no sign of life, or no step, for longer than is allowed."""


class RankMemoryError(StageError):
    """A process of a training ran out of memory, of the machine or of the accelerator."""


class EngineError(EvolveSearchError):
    """An engine could not load a model or generate with it."""


class StoppedError(EvolveSearchError):
    """A sentinel or the promotion gate ended the run."""

    exit_code = 3


class BudgetError(StoppedError):
    """A paid call was not made: it might have cost more than its budget leaves."""


class SentinelTrippedError(StoppedError):
    """A sentinel stopped a training that was collapsing; it went back to a good checkpoint."""

"""The closed-book stage: which training questions the base policy answers without any tool."""

from __future__ import annotations

from agents.errors import UsageError
from evaluation.contamination.closed_book import without_tools
from tasks.artifacts import ArtifactStore
from tasks.config import StageConfig, StageContext
from tasks.heavy.run import run_heavy
from tasks.jobs.payload import payload_of
from tasks.leases import Lease
from tasks.memory_advice import memory_advice
from tasks.references import resolve
from tasks.sampling_inputs import ids_digest
from tasks.schemas import POLICIES
from tasks.selection import training_order
from tasks.stage import StageOutcome, StageWork, run_stage
from tasks.stage_task import stage_task


@stage_task("answer training questions without tools")
def find_known(
    config: StageConfig, context: StageContext, questions: str, policy: str
) -> StageOutcome:
    """Asks a policy the training questions without tools.

    Args:
        config: The configuration.
        context: Which stage of which run it is.
        questions: Reference of the questions.
        policy: Reference of the policy.

    Returns:
        The artifact `closed_book`; with `closed_book.drop` also `questions`, without the known.

    Raises:
        UsageError: No answers are asked for, or there are no training questions.
    """
    store = ArtifactStore.open(config.store)
    settings = config.closed_book
    if not settings.attempts:
        raise UsageError("closed_book.attempts is 0: ask for answers, as closed_book.attempts=10")
    inputs = {
        "questions": resolve(store, "questions", questions),
        "policy": resolve(store, POLICIES, policy),
    }
    asked = training_order(store.read_questions(inputs["questions"]), config.seed)
    ids = [question.question_id for question in asked[: settings.num_questions or None]]
    if not ids:
        raise UsageError("the question set has no training questions; make some with construct")

    def compute(lease: Lease) -> None:
        run_heavy(
            "tasks.jobs.closed_book:run",
            payload_of(config, context, lease.key, inputs, {"question_ids": ids}),
            description="closed book",
            lease=lease,
            memory_advice=memory_advice("closed_book", config),
        )

    work = StageWork(
        stage="closed_book",
        config={
            "closed_book": settings,
            "engine": config.engine,
            "agents": without_tools(config.agents),
        },
        inputs=[*inputs.values(), ids_digest(ids)],
        outputs=("closed_book", *(("questions",) if settings.drop else ())),
        seed=config.seed,
        compute=compute,
    )
    return run_stage(store, context, work)

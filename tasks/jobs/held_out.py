"""Held-out accuracy while RL goes on: the gate's questions, answered greedily by present weights.

Measured before the update of a step that is due, with weights that the engine has just taken over,
and once more at the end. Nothing of it is recorded but the figures, and no training question is
among the questions; the benchmarks' are not touched.
"""

from __future__ import annotations

from statistics import fmean

from agents.engines.config import most_open
from agents.randomness import derive_seed
from agents.runner import RolloutJob, run_rollouts
from agents.tools.base import Tool
from agents.trajectory import Question
from evaluation.gate import GateConfig
from evaluation.scoring import score_answer
from tasks.jobs.payload import Job
from tasks.jobs.sampling import Sampler
from tasks.selection import gate_questions

ACCURACY = "held_out_accuracy"
"""The figure of a step, before its update; of the stage, at its end."""


class HeldOut:
    """Evaluates the weights of a training at the steps that are due.

    Args:
        job: The stage's work.
        sampler: Its engine answers.
        tools: Tools of its own: what they show is not recorded.
        questions: All questions; the gate's are chosen.
    """

    def __init__(
        self, job: Job, sampler: Sampler, tools: dict[str, Tool], questions: list[Question]
    ) -> None:
        self._config = job.config
        self._policy = job.inputs["policy"].digest
        self._iteration = job.context.iteration
        self._sampler = sampler
        self._tools = tools
        chosen = GateConfig(num_questions=job.config.rl.eval_questions)
        self._questions = gate_questions(questions, chosen)
        self._measured: dict[int, dict[str, float]] = {}

    def look(self, step: int) -> None:
        """Evaluates where the step is due and was not looked at; the engine has its weights."""
        every = self._config.rl.eval_steps
        if every is not None and (step - 1) % every == 0 and step not in self._measured:
            self._measured[step] = self.measure(f"Held-out questions before step {step}")

    def of_step(self, step: int) -> dict[str, float]:
        """The figures of a step, none where it was not due."""
        return self._measured.pop(step, {})

    def measure(self, description: str) -> dict[str, float]:
        """Answers the questions with the engine's present weights.

        Returns:
            Accuracy and mean F1 over the questions that no infrastructure failure took, share of
            right format, and tool calls a question.
        """
        config = self._config
        jobs = [
            RolloutJob(
                question=question,
                rollout_index=0,
                seed=derive_seed(config.seed, "held out", question.question_id),
                temperature=0.0,
                top_p=1.0,
                iteration=self._iteration,
                policy=self._policy,
                source="held out",
            )
            for question in self._questions
        ]
        made = run_rollouts(
            jobs,
            self._sampler.engine,
            self._sampler.tokenizer,
            self._tools,
            config.agents,
            max_concurrency=config.engine.batch_size,
            max_open=most_open(config.engine),
            description=description,
        )
        pairs = [
            (score_answer(trajectory.answer, question.answers), trajectory)
            for question, trajectory in zip(self._questions, made, strict=True)
            if not trajectory.stop_reason.is_infrastructure
        ]
        if not pairs:
            return {}
        return {
            ACCURACY: fmean(float(score.accuracy) for score, _ in pairs),
            "held_out_f1": fmean(float(score.f1) for score, _ in pairs),
            "held_out_format": fmean(float(trajectory.format_ok) for _, trajectory in pairs),
            "held_out_tool_calls": fmean(trajectory.num_tool_calls for _, trajectory in pairs),
            "held_out_questions": float(len(pairs)),
        }

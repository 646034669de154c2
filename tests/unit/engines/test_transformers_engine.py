"""The engine computes what Transformers computes, with everything that it keeps and shares."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from agents.engines.base import Generation, SamplingParams
from agents.engines.config import EngineConfig
from agents.engines.factory import make_engine
from agents.engines.sessions import MIN_WORTH_WAITING_TOKENS
from agents.engines.transformers import TransformersEngine
from agents.errors import EngineError

FAMILIES = ("llama", "qwen2", "qwen3")
MakeModel = Callable[..., PreTrainedModel]


@contextmanager
def engine_on(
    model_dir: Path, max_context_tokens: int = 400, **config: object
) -> Iterator[TransformersEngine]:
    settings = {"dtype": "float32", "batch_size": 4, "prefill_chunk_tokens": 32, **config}
    engine = make_engine(model_dir, EngineConfig.model_validate(settings), max_context_tokens)
    try:
        yield engine
    finally:
        engine.close()


def greedy(num_tokens: int, stop: tuple[int, ...] = ()) -> SamplingParams:
    return SamplingParams(0.0, 1.0, num_tokens, 0, stop)


def prompt(length: int, seed: int) -> list[int]:
    stream = random.Random(seed)
    return [stream.randrange(3, 331) for _ in range(length)]


@cache
def reference_model(model_dir: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)


def reference_logprobs(
    model_dir: Path, ids: Sequence[int], sampled: Sequence[int], temperature: float = 1.0
) -> torch.Tensor:
    """Logprobs of `sampled` after `ids` by one full forward pass of Transformers: (T, V)."""
    model = reference_model(model_dir)
    with torch.inference_mode():
        logits = model(torch.tensor([[*ids, *sampled]])).logits[0, len(ids) - 1 : -1]
    return (logits / temperature).log_softmax(-1)


def assert_logprobs(
    model_dir: Path, ids: Sequence[int], generation: Generation, temperature: float = 1.0
) -> None:
    reference = reference_logprobs(model_dir, ids, generation.token_ids, temperature)
    expected = reference.gather(1, torch.tensor(generation.token_ids)[:, None])[:, 0]
    torch.testing.assert_close(
        torch.tensor(generation.logprobs), expected, atol=2e-4, rtol=0, check_dtype=False
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("deterministic", [False, True])
async def test_greedy_equals_transformers_generate(
    model_dirs: dict[str, Path], family: str, deterministic: bool
) -> None:
    """Ids are those of `generate`, logprobs those of a full forward pass, at uneven lengths."""
    model = reference_model(model_dirs[family])
    prompts = [prompt(length, length) for length in (1, 2, 31, 33, 70, 140)]
    with engine_on(model_dirs[family], deterministic=deterministic) as engine:
        results = await asyncio.gather(
            *(engine.generate(f"s{n}", ids, greedy(20)) for n, ids in enumerate(prompts))
        )
    for ids, result in zip(prompts, results, strict=True):
        expected = model.generate(
            torch.tensor([ids]), max_new_tokens=20, do_sample=False, eos_token_id=None
        )
        assert list(result.token_ids) == expected[0, len(ids) :].tolist()
        assert result.finish_reason == "length"
        assert_logprobs(model_dirs[family], ids, result)


@pytest.mark.parametrize("deterministic", [False, True])
async def test_later_turns_continue_the_kept_session(
    model_dirs: dict[str, Path], deterministic: bool
) -> None:
    """Only new tokens are computed at a later turn, and the result is that of a whole pass."""
    with engine_on(model_dirs["qwen2"], deterministic=deterministic) as engine:
        ids = prompt(150, 1)
        for turn in range(3):
            before = engine.stats.prefilled_tokens
            result = await engine.generate("a", ids, greedy(12))
            computed = engine.stats.prefilled_tokens - before
            assert_logprobs(model_dirs["qwen2"], ids, result)
            # the last sampled id was not computed yet; the last id of the prompt is decoded
            assert computed == (149 if turn == 0 else 17)
            ids = [*ids, *result.token_ids, *prompt(17, turn)]


async def test_rewritten_history_is_computed_anew(model_dirs: dict[str, Path]) -> None:
    """A conversation that differs from the kept one is right from the difference on."""
    with engine_on(model_dirs["llama"]) as engine:
        await engine.generate("a", prompt(60, 1), greedy(8))
        changed = [*prompt(60, 1)[:40], *prompt(30, 2)]
        result = await engine.generate("a", changed, greedy(8))
        assert_logprobs(model_dirs["llama"], changed, result)
        assert engine.stats.reused_tokens == 40


@pytest.mark.parametrize("together", [False, True])
async def test_common_beginnings_are_computed_once(
    model_dirs: dict[str, Path], together: bool
) -> None:
    """Sessions that come one after another, or all at once, share what they begin with."""
    shared = prompt(100, 1)
    prompts = [shared + prompt(10 + n, n + 2) for n in range(4)]
    with engine_on(model_dirs["llama"]) as engine:
        if together:
            results = await asyncio.gather(
                *(engine.generate(f"s{n}", ids, greedy(6)) for n, ids in enumerate(prompts))
            )
        else:
            results = []
            for number, ids in enumerate(prompts):
                results.append(await engine.generate(f"s{number}", ids, greedy(6)))
                engine.release(f"s{number}")
        # a few tokens at the end of a common beginning are not worth waiting for
        assert engine.stats.reused_tokens >= 3 * (100 - MIN_WORTH_WAITING_TOKENS)
        for ids, result in zip(prompts, results, strict=True):
            assert_logprobs(model_dirs["llama"], ids, result)


@pytest.mark.parametrize("deterministic", [False, True])
async def test_more_sessions_than_slots_over_many_turns(
    model_dirs: dict[str, Path], deterministic: bool
) -> None:
    """Sessions beyond the batch are parked and come back with what they had."""

    async def converse(engine: TransformersEngine, number: int) -> None:
        ids = prompt(40 + number, number)
        for turn in range(3):
            result = await engine.generate(f"s{number}", ids, greedy(5 + number % 3))
            assert_logprobs(model_dirs["llama"], ids, result)
            ids = [*ids, *result.token_ids, *prompt(9, turn)]
            await asyncio.sleep(0)
        engine.release(f"s{number}")

    with engine_on(model_dirs["llama"], batch_size=2, deterministic=deterministic) as engine:
        await asyncio.gather(*(converse(engine, number) for number in range(7)))
        # 7 first prompts, then 2 observations each: nothing was computed twice
        expected = sum(40 + n - 1 for n in range(7)) + 7 * 2 * 9
        assert engine.stats.prefilled_tokens == expected


@pytest.mark.parametrize("batch_size", [3, 8])
async def test_deterministic_results_are_equal_bit_for_bit(
    model_dirs: dict[str, Path], batch_size: int
) -> None:
    """Whatever the order and the concurrency: the same ids and the same bits of logprobs."""
    shared = prompt(50, 99)
    prompts = [shared + prompt(5 + 7 * n, n) for n in range(9)]

    async def converse(engine: TransformersEngine, number: int) -> list[Generation]:
        ids, generations = list(prompts[number]), []
        for turn in range(3):
            sampling = SamplingParams(0.9, 0.95 if turn == 1 else 1.0, 8 + number, number, (5,))
            generations.append(await engine.generate(f"s{number}", ids, sampling))
            ids += [*generations[-1].token_ids, *prompt(6 + number, turn)]
        engine.release(f"s{number}")
        return generations

    async def run(order: Sequence[int], limit: int) -> dict[int, list[Generation]]:
        gate = asyncio.Semaphore(limit)

        async def gated(number: int) -> tuple[int, list[Generation]]:
            async with gate:
                return number, await converse(engine, number)

        with engine_on(
            model_dirs["llama"], deterministic=True, batch_size=batch_size, dtype="auto"
        ) as engine:
            return dict(await asyncio.gather(*(gated(number) for number in order)))

    one_by_one = await run(range(9), 1)
    assert len({generations[0].token_ids for generations in one_by_one.values()}) == 9
    assert await run(range(9), 9) == one_by_one
    assert await run(range(8, -1, -1), 5) == one_by_one
    assert await run([4, 1, 7, 0, 8, 3, 6, 2, 5], 2) == one_by_one


async def test_sampled_logprobs_are_of_the_tempered_distribution(
    model_dirs: dict[str, Path],
) -> None:
    """Trainers divide by the temperature too; logprobs must be of what was sampled from."""
    with engine_on(model_dirs["qwen3"]) as engine:
        ids = prompt(30, 4)
        result = await engine.generate("a", ids, SamplingParams(0.7, 1.0, 40, 11, ()))
        assert_logprobs(model_dirs["qwen3"], ids, result, temperature=0.7)
        again = await engine.generate("b", ids, SamplingParams(0.7, 1.0, 40, 11, ()))
        other = await engine.generate("c", ids, SamplingParams(0.7, 1.0, 40, 12, ()))
        assert again.token_ids == result.token_ids
        assert other.token_ids != result.token_ids


async def test_stop_ids_and_a_full_context_end_a_generation(
    model_dirs: dict[str, Path],
) -> None:
    with engine_on(model_dirs["llama"], max_context_tokens=48) as engine:
        ids = prompt(20, 3)
        free = await engine.generate("a", ids, greedy(10))
        stop = free.token_ids[4]
        stopped = await engine.generate("b", ids, greedy(10, (stop,)))
        assert stopped.finish_reason == "stop"
        assert stopped.token_ids == free.token_ids[: free.token_ids.index(stop) + 1]
        full = await engine.generate("c", ids, greedy(1000))
        assert (len(full.token_ids), full.finish_reason) == (28, "length")
        with pytest.raises(EngineError, match="leaves no room for an answer in a context of 48"):
            await engine.generate("d", prompt(48, 1), greedy(1))
        with pytest.raises(EngineError, match="empty prompt"):
            await engine.generate("d", [], greedy(1))
        with pytest.raises(EngineError, match="the model knows 0 to 330"):
            await engine.generate("d", [7, 331], greedy(1))


async def test_new_weights_are_used_and_old_keys_forgotten(
    model_dirs: dict[str, Path], tiny_model: MakeModel
) -> None:
    """The trainer's weights take effect at the next generation, in sessions that go on too."""
    other = tiny_model("qwen2", seed=7)
    ids = prompt(64, 5)
    with engine_on(model_dirs["qwen2"]) as engine:
        before = await engine.generate("a", ids, greedy(10))
        engine.load_weights(other.state_dict())
        after = await engine.generate("a", ids, greedy(10))
        fresh = await engine.generate("b", ids, greedy(10))
        tensors = dict(other.state_dict())
        del tensors["model.layers.1.mlp.up_proj.weight"]
        with pytest.raises(EngineError, match=r"lack 'model.layers.1.mlp.up_proj.weight'"):
            engine.load_weights(tensors)
        unharmed = await engine.generate("c", ids, greedy(10))
    expected = other.generate(torch.tensor([ids]), max_new_tokens=10, do_sample=False)
    assert list(after.token_ids) == expected[0, 64:].tolist() != list(before.token_ids)
    assert fresh.token_ids == unharmed.token_ids == after.token_ids


async def test_cancelled_generations_leave_the_session_usable(
    model_dirs: dict[str, Path], tiny_model: MakeModel
) -> None:
    with engine_on(model_dirs["llama"]) as engine:
        ids = prompt(30, 6)
        task = asyncio.create_task(engine.generate("a", ids, greedy(350)))
        while engine.stats.sampled_tokens < 5:
            await asyncio.sleep(0.001)
        with pytest.raises(EngineError, match="already generating"):
            await engine.generate("a", ids, greedy(2))
        with pytest.raises(EngineError, match="while sessions generate"):
            engine.load_weights(tiny_model("llama").state_dict())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        result = await engine.generate("a", ids, greedy(5))
        assert_logprobs(model_dirs["llama"], ids, result)


async def test_closing_fails_what_still_runs(model_dirs: dict[str, Path]) -> None:
    with engine_on(model_dirs["llama"]) as engine:
        task = asyncio.create_task(engine.generate("a", prompt(9, 1), greedy(390)))
        while engine.stats.sampled_tokens < 5:
            await asyncio.sleep(0.001)
        engine.close()
        with pytest.raises(EngineError, match="was closed"):
            await task
        with pytest.raises(EngineError, match="is closed"):
            await engine.generate("b", prompt(9, 1), greedy(1))
        engine.release("a")


async def test_bfloat16_stays_close_to_float32(model_dirs: dict[str, Path]) -> None:
    with engine_on(model_dirs["llama"], dtype="bfloat16") as engine:
        ids = prompt(200, 8)
        result = await engine.generate("a", ids, SamplingParams(1.0, 1.0, 30, 1, ()))
    reference = reference_logprobs(model_dirs["llama"], ids, result.token_ids)
    expected = reference.gather(1, torch.tensor(result.token_ids)[:, None])[:, 0]
    error = (torch.tensor(result.logprobs) - expected).abs()
    assert error.mean() < 0.05
    assert error.max() > 0  # it did run in bfloat16


@pytest.mark.gpu
async def test_gpu_equals_transformers(
    model_dirs: dict[str, Path], pytestconfig: pytest.Config
) -> None:
    if not torch.cuda.is_available() and not pytestconfig.getoption("markexpr"):
        pytest.skip("no GPU here; fails instead where -m gpu asks for it")
    with engine_on(model_dirs["qwen3"], device="cuda") as engine:
        prompts = [prompt(length, length) for length in (3, 40, 200)]
        results = await asyncio.gather(
            *(engine.generate(f"s{n}", ids, greedy(20)) for n, ids in enumerate(prompts))
        )
    for ids, result in zip(prompts, results, strict=True):
        assert_logprobs(model_dirs["qwen3"], ids, result)

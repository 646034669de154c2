"""A real vLLM server against the engine in this process: same tokens, new weights, a kill."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest
from process_groups import gone, group
from safetensors.torch import load_file
from transformers import AutoTokenizer

from agents.assets.model import ensure_model
from agents.engines.base import SamplingParams
from agents.engines.config import EngineConfig
from agents.engines.factory import make_engine
from agents.engines.vllm_server import find_python
from agents.errors import EngineError


def has_vllm() -> bool:
    try:
        find_python("")
    except EngineError:
        return False
    return True


pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.assets,
    pytest.mark.skipif(not has_vllm(), reason="no vLLM here; `make vllm` builds its environment"),
    pytest.mark.skipif(sys.platform != "linux", reason="vLLM runs on Linux"),
]


@pytest.fixture(scope="module")
def folder():
    return ensure_model("smollm2-135m-instruct")


@pytest.fixture(scope="module")
def prompts(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = ["The capital of France is", "Water boils at a temperature of", "One, two, three,"]
    return [tokenizer.encode(text) for text in texts]


@pytest.fixture(scope="module")
def engine(folder):
    config = EngineConfig(kind="vllm", dtype="float32", batch_size=8)
    engine = make_engine(folder, config, 256)
    yield engine
    engine.close()


def generate(engine, prompts, temperature=0.0, length=12, seed=5):
    async def all_of_them():
        return await asyncio.gather(
            *(
                engine.generate(f"s{n}", ids, SamplingParams(temperature, 1.0, length, seed, ()))
                for n, ids in enumerate(prompts)
            )
        )

    return asyncio.run(all_of_them())


def test_tokens_and_logprobs_are_those_of_the_engine_in_this_process(engine, folder, prompts):
    ours = make_engine(folder, EngineConfig(dtype="float32", batch_size=8), 256)
    try:
        expected = generate(ours, prompts)
        for theirs, mine in zip(generate(engine, prompts), expected, strict=True):
            assert theirs.token_ids == mine.token_ids
            assert theirs.logprobs == pytest.approx(mine.logprobs, abs=2e-3)
        # Tempered logprobs: one token sampled by vLLM, scored by ours as the stop that it is.
        sampled = generate(engine, prompts, temperature=0.7, length=1)
        for ids, [generation] in zip(prompts, [[g] for g in sampled], strict=True):
            assert generation.logprobs[0] == pytest.approx(
                tempered(folder, ids, generation.token_ids[0], 0.7), abs=2e-3
            )
    finally:
        ours.close()


def tempered(folder, ids, token, temperature):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0, -1] / temperature
    return logits.log_softmax(-1)[token].item()


def test_a_stop_id_ends_a_generation_and_is_part_of_it(engine, prompts):
    [whole] = generate(engine, prompts[:1])
    stop = whole.token_ids[4]
    sampling = SamplingParams(0.0, 1.0, 12, 0, (stop,))
    generation = asyncio.run(engine.generate("s", prompts[0], sampling))
    assert generation.token_ids == whole.token_ids[: whole.token_ids.index(stop) + 1]
    assert generation.finish_reason == "stop"


def test_many_seeds_at_once_and_prompts_longer_than_a_step(engine):
    """What killed vLLM 0.32 on a CPU: a seed, and a prompt that is cut."""
    prompts = [[100 + n, *range(200, 430)] for n in range(32)]
    generations = generate(engine, prompts, temperature=1.0, length=3)
    assert all(len(generation.token_ids) == 3 for generation in generations)


def test_weights_are_swapped_and_survive_a_kill(engine, folder, prompts):
    before = generate(engine, prompts)
    weights = load_file(folder / "model.safetensors")
    engine.load_weights({name: 0.9 * tensor for name, tensor in weights.items()})
    changed = generate(engine, prompts)
    assert [g.logprobs for g in changed] != [g.logprobs for g in before]
    leader = engine.server.pid
    # The server itself, the guardian's first child.
    child = min(process for process in group(leader) if process != leader)
    os.kill(child, signal.SIGKILL)
    again = generate(engine, prompts)
    assert engine.server.pid != leader
    for one, other in zip(changed, again, strict=True):
        assert one.token_ids == other.token_ids
    engine.load_weights(weights)
    for one, other in zip(before, generate(engine, prompts), strict=True):
        assert one.token_ids == other.token_ids


def test_no_process_is_left(folder):
    engine = make_engine(folder, EngineConfig(kind="vllm", batch_size=4), 128)
    leader = engine.server.pid
    engine.close()
    assert gone(leader)

"""The engine behind a vLLM server that runs already: what is asked, read, refused and reloaded."""

from __future__ import annotations

import asyncio
import json

import pytest
from fake_vllm import FakeVllm
from safetensors.torch import load_file

from agents.engines.base import EngineLoad, Generation, SamplingParams
from agents.engines.config import EngineConfig, most_open
from agents.engines.factory import make_engine
from agents.engines.weights_folder import write_weights
from agents.errors import EngineError

SAMPLING = SamplingParams(0.7, 1.0, 5, 2**64 - 1, (13,))


@pytest.fixture
def server():
    with FakeVllm() as server:
        yield server


@pytest.fixture
def engine(server, model_dirs):
    config = EngineConfig(kind="vllm", vllm={"url": server.url + "/", "request_timeout_s": 5})
    engine = make_engine(model_dirs["llama"], config, 200)
    yield engine
    engine.close()
    engine.close()


async def test_ids_go_in_and_ids_with_logprobs_come_out(engine, server):
    assert await engine.generate("s", [5, 10], SAMPLING) == Generation(
        (11, 12, 13), (-0.5,) * 3, "stop"
    )
    assert await engine.generate("s", [5, 20], SAMPLING) == Generation(
        (21, 22, 23, 24, 25), (-0.5,) * 5, "length"
    )
    path, body = server.asked[0]
    assert path == "/v1/completions"
    assert body["model"] == "served"
    assert body["prompt"] == [5, 10]
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.7, 1.0, 5)
    assert body["stop_token_ids"] == [13]
    assert body["ignore_eos"] is True
    assert 0 <= body["seed"] < 2**63


async def test_a_generation_ends_where_the_context_is_full(engine, server):
    assert len((await engine.generate("s", [1] * 198, SAMPLING)).token_ids) == 2
    for ids in ([], [1] * 200):
        with pytest.raises(EngineError, match="expected between 1 and 199"):
            await engine.generate("s", ids, SAMPLING)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((400, {"error": {"message": "too   long"}}), "status 400, too long"),
        ((500, "oops"), "status 500, oops"),
        ((200, {"choices": []}), "no token ids"),
        ((200, {"choices": [{"token_ids": [1], "logprobs": None}]}), "no token ids"),
        (
            (200, {"choices": [
                {"token_ids": [1], "logprobs": {"token_logprobs": [0]}, "finish_reason": "abort"}
            ]}),
            "'abort'",
        ),
    ],
)  # fmt: skip
async def test_what_the_server_refuses_is_an_engine_error(engine, server, answer, says):
    server.answers["/v1/completions"] = answer
    with pytest.raises(EngineError, match=says):
        await engine.generate("s", [1], SAMPLING)


def test_loops_come_and_go_and_the_engine_stays(engine):
    for _ in range(2):
        assert asyncio.run(engine.generate("s", [5, 10], SAMPLING)).finish_reason == "stop"


async def test_a_cancelled_generation_ends_at_once(engine, server):
    server.delay_s = 3.0
    task = asyncio.create_task(engine.generate("s", [1], SAMPLING))
    while not server.asked:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # Nothing is on its way any more, so that weights may be swapped.
    await asyncio.sleep(0.05)
    engine.load_weights({})


async def test_the_load_is_read_while_something_generates(engine, server):
    server.delay_s = 0.5
    assert engine.load == EngineLoad(0, 0)
    task = asyncio.create_task(engine.generate("s", [1], SAMPLING))
    async with asyncio.timeout(10):
        while engine.load == EngineLoad(0, 0):
            await asyncio.sleep(0.01)
    assert engine.load == EngineLoad(5, 4, 0.75)
    await task


async def test_weights_are_written_and_loaded_in_place(engine, server, tiny_model):
    model = tiny_model("llama", seed=3)
    await asyncio.to_thread(engine.load_weights, model.state_dict())
    (path, body), (then, _) = server.asked
    assert (path, then) == ("/collective_rpc", "/reset_prefix_cache")
    assert body["method"] == "reload_weights"
    server.answers["/reset_prefix_cache"] = (200, {"success": False})
    with pytest.raises(EngineError, match="did not forget"):
        await asyncio.to_thread(engine.load_weights, model.state_dict())
    server.answers["/collective_rpc"] = (404, {"error": {"message": "Not Found"}})
    with pytest.raises(EngineError, match="VLLM_SERVER_DEV_MODE"):
        await asyncio.to_thread(engine.load_weights, model.state_dict())


async def test_weights_that_never_arrive_are_an_error_and_no_wait_without_end(
    server, model_dirs, tiny_model
):
    server.delay_s = 5.0
    settings = {"url": server.url, "sync_timeout_s": 0.2}
    engine = make_engine(model_dirs["llama"], EngineConfig(kind="vllm", vllm=settings), 200)
    with pytest.raises(EngineError, match=r"did not answer /collective_rpc within 0\.2 s"):
        await asyncio.to_thread(engine.load_weights, tiny_model("llama").state_dict())
    engine.close()


async def test_a_server_of_anothers_is_never_put_to_sleep(engine, server):
    await asyncio.to_thread(engine.rest)
    assert server.asked == []
    with pytest.raises(ValueError, match="leave url empty"):
        EngineConfig(kind="vllm", vllm={"url": server.url, "colocated": True})


async def test_no_weights_while_something_generates(engine, server):
    server.delay_s = 0.5
    task = asyncio.create_task(engine.generate("s", [1], SAMPLING))
    while not server.asked:
        await asyncio.sleep(0.01)
    with pytest.raises(EngineError, match="while sessions generate"):
        engine.load_weights({})
    await task


def test_a_weights_folder_is_a_model_folder(tmp_path, tiny_model, model_dirs):
    source, folder = model_dirs["llama"], tmp_path / "new"
    folder.mkdir()
    state = tiny_model("llama", seed=3).state_dict()
    write_weights(state, source, folder)
    assert json.loads((folder / "config.json").read_text()) == json.loads(
        (source / "config.json").read_text()
    )
    written = load_file(folder / "model.safetensors")
    # The tied head is the embedding, once.
    assert set(written) == set(state) - {"lm_head.weight"}
    assert all((written[name] == state[name]).all() for name in written)


async def test_a_server_that_is_gone_or_does_not_fit(server, model_dirs, engine):
    def config(**vllm):
        return EngineConfig(kind="vllm", vllm=vllm)

    with pytest.raises(EngineError, match=r"takes 512; lower agents\.max_context"):
        make_engine(model_dirs["llama"], config(url=server.url), 1000)
    server.answers["/v1/models"] = (200, "no JSON")
    with pytest.raises(EngineError, match="no vLLM server answers"):
        make_engine(model_dirs["llama"], config(url=server.url), 100)
    with FakeVllm() as other:
        engine = make_engine(model_dirs["llama"], config(url=other.url), 100)
    try:
        with pytest.raises(EngineError, match="hung up"):
            await engine.generate("s", [1], SAMPLING)
    finally:
        engine.close()
    with pytest.raises(EngineError, match="closed"):
        await engine.generate("s", [1], SAMPLING)


def test_config_of_the_kinds():
    with pytest.raises(ValueError, match="belong to kind transformers"):
        EngineConfig(kind="vllm", deterministic=True)
    with pytest.raises(ValueError, match=r"needs openai\.model"):
        EngineConfig(kind="openai")
    assert most_open(EngineConfig(batch_size=4)) == 8
    assert most_open(EngineConfig(kind="vllm", batch_size=4)) == 32
    assert most_open(EngineConfig(batch_size=4, max_open=5)) == 5

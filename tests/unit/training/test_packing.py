"""Packed rows against the plain way: one sequence at a time through the unchanged model."""

import random
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen2Config
from transformers import Qwen2ForCausalLM as Qwen2

from training.logprobs import _TILE_ELEMENTS, add_scoring_forward, linear_log_probs
from training.packing import ATTENTION, pack, supports_packing

SIZES = {
    "vocab_size": 120,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def model_of(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZES)) if kind == "llama" else Qwen2(
        Qwen2Config(**SIZES, tie_word_embeddings=True)
    )  # fmt: skip
    for parameter in model.parameters():  # biases start at zero, where a fault would not show
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def batch_of(prefix: int, seed: int) -> tuple[list[list[int]], list[list[int]]]:
    rng = random.Random(seed)
    common = [rng.randrange(120) for _ in range(prefix)]
    sequences, masks = [], []
    for row in range(4):
        tail = [row] + [rng.randrange(120) for _ in range(rng.randrange(3, 14))]
        sequences.append(common + tail)
        masks.append([0] * prefix + [rng.randrange(2) for _ in tail])
    return sequences, masks


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("prefix", [0, 1, 6])
def test_log_probs_and_gradients_equal_those_of_separate_sequences(kind: str, prefix: int) -> None:
    sequences, masks = batch_of(prefix, seed=prefix)
    plain, packed_model = model_of(kind), model_of(kind)
    plain.set_attn_implementation("eager")
    packed_model.set_attn_implementation(ATTENTION)
    add_scoring_forward(packed_model)
    batch = pack(sequences, masks)
    assert batch.layout.prefix_tokens == prefix
    scores = packed_model(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        layout=batch.layout,
        predictors=batch.predictors,
        targets=batch.targets,
        temperature=0.7,
    )
    expected, top1 = [], []
    for sequence, mask in zip(sequences, masks, strict=True):
        logits = plain(input_ids=torch.tensor([sequence])).logits[0] / 0.7
        for at in range(1, len(sequence)):
            if mask[at]:
                expected.append(logits[at - 1].log_softmax(0)[sequence[at]])
                top1.append(float(logits[at - 1].argmax() == sequence[at]))
    reference = torch.stack(expected)
    torch.testing.assert_close(scores["log_probs"], reference, atol=1e-5, rtol=1e-5)
    assert scores["is_top1"].tolist() == top1

    weights = torch.randn(len(reference), generator=torch.Generator().manual_seed(1))
    (scores["log_probs"] * weights).sum().backward()
    (reference * weights).sum().backward()
    wanted = dict(plain.named_parameters())
    for name, parameter in packed_model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name].grad, atol=2e-4, rtol=1e-4)


def test_one_sequence_and_equal_sequences_are_packed_too() -> None:
    alone = pack([[5, 6, 7]], [[0, 0, 1]])
    assert alone.targets.tolist() == [7]
    assert alone.input_ids[0, alone.predictors].tolist() == [6]
    twins = pack([[5, 6, 7], [5, 6, 7]], [[0, 0, 1], [0, 1, 1]])
    # The second has loss at position 1, so the common prefix ends before it.
    assert twins.layout.prefix_tokens == 1
    assert twins.targets.tolist() == [7, 6, 7]
    assert twins.source.tolist() == [[0, 2], [1, 1], [1, 2]]
    assert twins.input_ids[0, twins.predictors].tolist() == [6, 5, 6]


def test_a_first_token_with_loss_is_left_out_for_nothing_predicts_it() -> None:
    batch = pack([[5, 6], [7, 8]], [[1, 1], [1, 0]])
    assert batch.source.tolist() == [[0, 1]]


def test_bad_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="no sequences"):
        pack([], [])
    with pytest.raises(ValueError, match="mask as long"):
        pack([[1, 2, 3]], [[0, 1]])


def test_sliding_windows_are_not_packed() -> None:
    windowed = Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=4, max_window_layers=1)
    assert not supports_packing(Qwen2(windowed))
    assert supports_packing(model_of("qwen2"))
    assert supports_packing(model_of("llama"))


@pytest.mark.parametrize(("rows", "elements"), [(2048, 1 << 22), (2048, 1), (128, 128 * 64)])
def test_scores_and_gradients_do_not_depend_on_the_tiles(
    monkeypatch: pytest.MonkeyPatch, rows: int, elements: int
) -> None:
    monkeypatch.setattr("training.logprobs._TILE_ROWS", rows)
    monkeypatch.setitem(_TILE_ELEMENTS, "cpu", elements)
    generator = torch.Generator().manual_seed(3)
    targets = torch.randint(150, (300,), generator=generator)
    hidden = torch.randn(300, 8, generator=generator, requires_grad=True)
    weight = torch.randn(150, 8, generator=generator, requires_grad=True)
    bias = torch.randn(150, generator=generator, requires_grad=True)
    scores = linear_log_probs(hidden, weight, bias, targets, 1.3)
    logits = (hidden @ weight.T + bias) / 1.3
    wanted = logits.log_softmax(1)[torch.arange(300), targets]
    torch.testing.assert_close(scores.log_probs, wanted)
    assert torch.equal(scores.is_top1, (logits.argmax(1) == targets).float())
    leaves, upstream = (hidden, weight, bias), torch.randn(300, generator=generator)
    grads = torch.autograd.grad(scores.log_probs, leaves, upstream)
    for ours, theirs in zip(grads, torch.autograd.grad(wanted, leaves, upstream), strict=True):
        torch.testing.assert_close(ours, theirs)


class Shapes(TorchDispatchMode):
    """Notes the shapes of all that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.made: set[torch.Size] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> torch.Tensor:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.made.add(made.shape)
        return made


@pytest.mark.parametrize("learns", [True, False])
def test_a_head_that_does_not_learn_costs_no_gradient(
    monkeypatch: pytest.MonkeyPatch, learns: bool
) -> None:
    monkeypatch.setitem(_TILE_ELEMENTS, "cpu", 1)  # no tile is as large as all of the head
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(150, 8, generator=generator, requires_grad=learns)
    hidden = torch.randn(20, 8, generator=generator, requires_grad=True)
    targets = torch.randint(150, (20,), generator=generator)
    scores = linear_log_probs(hidden, weight, None, targets)
    with Shapes() as shapes:
        scores.log_probs.sum().backward()
    assert (weight.shape in shapes.made) is learns
    wanted = (hidden @ weight.T).log_softmax(1)[torch.arange(20), targets].sum()
    assert hidden.grad is not None
    torch.testing.assert_close(hidden.grad, torch.autograd.grad(wanted, hidden)[0])


def test_a_token_that_is_nearly_sure_keeps_its_small_gradient_in_bf16() -> None:
    # Its 1 - p of about 0.001 is below what bf16 tells apart next to 1.
    weight = torch.zeros(64, 4, requires_grad=True)
    with torch.no_grad():
        weight[5, 0] = 1.0
    hidden = torch.tensor([[11.0, 0.0, 0.0, 0.0]], requires_grad=True)
    target = torch.tensor([5])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        linear_log_probs(hidden, weight, None, target).log_probs.sum().backward()
    sure = (hidden.detach() @ weight.detach().T).softmax(1)[0, 5].item()
    assert sure > 0.998
    assert hidden.grad is not None
    assert weight.grad is not None
    assert hidden.grad[0, 0].item() == pytest.approx(1 - sure, rel=0.01)
    assert weight.grad[5, 0].item() == pytest.approx(11 * (1 - sure), rel=0.01)

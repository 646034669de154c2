"""The tiny policy: small, seeded, and speaking ChatML."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from agents.errors import StageError
from training.tiny import make_tiny_policy


def test_it_is_a_small_plain_model_folder(tiny_policy: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_policy)
    assert sum(parameter.numel() for parameter in model.parameters()) < 600_000
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    assert len(tokenizer) == model.config.vocab_size == 504
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Où ? ✓"}], add_generation_prompt=True, tokenize=False
    )
    assert prompt == "<|im_start|>user\nOù ? ✓<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(prompt, add_special_tokens=False).input_ids
    assert ids[0] == tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert tokenizer.decode(ids) == prompt
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_its_vocabulary_fits_its_texts(tiny_policy: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    text = "What is the capital of country 12?"
    assert len(tokenizer(text).input_ids) < len(text) / 2


def test_the_seed_decides_the_weights(tiny_policy: Path, tmp_path: Path) -> None:
    texts = [f"some text number {i} about city {i * 3}" for i in range(400)]
    state = torch.random.get_rng_state()
    folders = [
        make_tiny_policy(tmp_path / str(i), texts, seed, vocabulary=300)
        for i, seed in enumerate((1, 1, 2))
    ]
    assert torch.equal(torch.random.get_rng_state(), state)
    first, again, other = (load_file(folder / "model.safetensors") for folder in folders)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_too_little_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="smaller vocabulary"):
        make_tiny_policy(tmp_path, ["few words"], seed=1)

"""A tiny policy made on the spot: a Llama of half a million weights and its own small vocabulary.

It lets every stage run with real work in seconds. Its vocabulary is learnt from the texts it will
meet, so that they stay short in tokens; its chat template is ChatML, like its big relatives'.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from agents.errors import StageError
from training.quiet import quiet_libraries

_UNKNOWN, _START, _END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
_SPECIAL = (_UNKNOWN, _START, _END)

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content']"
    " + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML without a default system turn."""


def make_tiny_policy(
    folder: Path,
    texts: Iterable[str],
    seed: int,
    vocabulary: int = 504,
    hidden_size: int = 96,
    num_layers: int = 4,
    num_heads: int = 4,
    max_context_tokens: int = 2048,
) -> Path:
    """Writes a randomly initialised policy as a plain Hugging Face folder.

    Args:
        folder: Where to write it; made if it is not there.
        texts: What the tokenizer learns its vocabulary from.
        seed: Seed of the weights.
        vocabulary: Number of tokens, bytes and special tokens included (259 at least).
        hidden_size: Width of the model.
        num_layers: Number of layers.
        num_heads: Number of attention heads, of which pairs share their keys and values.
        max_context_tokens: Longest conversation.

    Returns:
        The folder.

    Raises:
        StageError: The texts are empty or too poor for a vocabulary of this size.
    """
    tokenizer = _train_tokenizer(list(texts), vocabulary, max_context_tokens)
    end = _SPECIAL.index(_END)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden_size,
        intermediate_size=hidden_size * 8 // 3,
        num_hidden_layers=num_layers,
        num_attention_heads=num_heads,
        num_key_value_heads=max(1, num_heads // 2),
        max_position_embeddings=max_context_tokens,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=end,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=end, pad_token_id=end
    )
    with quiet_libraries():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def _train_tokenizer(
    texts: list[str], vocabulary: int, max_context_tokens: int
) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocabulary:
        raise StageError(
            f"{len(texts)} texts gave {tokenizer.get_vocab_size()} tokens, not {vocabulary}: give "
            "more text or ask for a smaller vocabulary"
        )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        chat_template=CHAT_TEMPLATE,
        unk_token=_UNKNOWN,
        eos_token=_END,
        pad_token=_END,
        model_max_length=max_context_tokens,
        clean_up_tokenization_spaces=False,
    )

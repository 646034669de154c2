"""Sizes of a policy from its `config.json` alone: weights, and the arithmetic of a step.

Free of torch, so that memory can be estimated and speed be judged without loading anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from agents.errors import UsageError


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a decoder of the Llama, Qwen2 or Qwen3 family.

    Attributes:
        num_layers: Layers.
        hidden_size: Width of the residual stream.
        intermediate_size: Width of the feed-forward part.
        num_heads: Heads of queries.
        num_kv_heads: Heads of keys and values.
        head_dim: Width of a head.
        vocabulary: Rows of the embedding.
        tied: Whether input and output embedding are one.
        max_positions: Longest conversation that the model is made for.
        attention_bias: Whether queries, keys and values have a bias.
        output_bias: Whether attention's output has one.
        head_norms: Whether queries and keys are normalised, head by head.
    """

    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    max_positions: int
    attention_bias: bool = False
    output_bias: bool = False
    head_norms: bool = False

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        """Reads the `config.json` of a model folder.

        Raises:
            UsageError: There is none, or it does not tell these sizes.
        """
        try:
            return cls.of_config(json.loads((folder / "config.json").read_text("utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else error
            raise UsageError(
                f"{folder / 'config.json'} does not tell the model's sizes: {reason}"
            ) from error

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> Self:
        """Reads the fields of a `config.json`; a `KeyError` names one that is missing."""
        heads, hidden = config["num_attention_heads"], config["hidden_size"]
        family = config["model_type"]
        return cls(
            num_layers=config["num_hidden_layers"],
            hidden_size=hidden,
            intermediate_size=config["intermediate_size"],
            num_heads=heads,
            num_kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or hidden // heads,
            vocabulary=config["vocab_size"],
            tied=bool(config.get("tie_word_embeddings", False)),
            max_positions=config.get("max_position_embeddings", 0),
            attention_bias=family == "qwen2" or bool(config.get("attention_bias")),
            output_bias=family != "qwen2" and bool(config.get("attention_bias")),
            head_norms=family == "qwen3",
        )

    @property
    def layer_weights(self) -> int:
        """Weights of one layer's matrices."""
        heads = (2 * self.num_heads + 2 * self.num_kv_heads) * self.head_dim
        return self.hidden_size * (heads + 3 * self.intermediate_size)

    @property
    def num_weights(self) -> int:
        """All weights; equal to what the model has once it is loaded."""
        small = 2 * self.hidden_size
        if self.attention_bias:
            small += (self.num_heads + 2 * self.num_kv_heads) * self.head_dim
        if self.output_bias:
            small += self.hidden_size
        if self.head_norms:
            small += 2 * self.head_dim
        embeddings = self.vocabulary * self.hidden_size * (1 if self.tied else 2)
        return self.num_layers * (self.layer_weights + small) + self.hidden_size + embeddings

    def adapter_weights(self, rank: int, *, attention_only: bool) -> int:
        """Weights of low-rank adapters: two thin matrices beside each that has one.

        Args:
            rank: Their width.
            attention_only: Whether the feed-forward part has none.
        """
        queries, keys = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        ends = 2 * (self.hidden_size + queries) + 2 * (self.hidden_size + keys)
        if not attention_only:
            ends += 3 * (self.hidden_size + self.intermediate_size)
        return self.num_layers * rank * ends

    def training_flops(self, tokens: int, head_tokens: int, context_tokens: float) -> float:
        """Floating-point operations that a step needs: forward, and twice that backward.

        Per token 2 operations a weight of the layers' matrices, per token of the head 2 a weight
        of it, and for attention 4 · heads · width for each of the tokens that a token sees, half
        of its conversation in the mean. What is computed again under gradient checkpointing is
        not needed and not counted (PaLM, arXiv 2204.02311, appendix B).

        Args:
            tokens: Tokens of the step's sequences.
            head_tokens: Tokens whose logits are computed.
            context_tokens: Mean length of a sequence.
        """
        layers = 2.0 * self.num_layers * self.layer_weights * tokens
        head = 2.0 * self.vocabulary * self.hidden_size * head_tokens
        seen = context_tokens / 2
        attention = 4.0 * self.num_layers * self.num_heads * self.head_dim * seen * tokens
        return 3.0 * (layers + head + attention)

"""A decoder's weights, read from a model folder and packed for few, large multiplications.

Query, key and value projections become one matrix, gate and up another. The families read here
(Llama, Mistral, Qwen2, Qwen3) share one structure and differ in biases and in the norm of
queries and keys, which are taken where the checkpoint has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from agents.errors import EngineError

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
STATIC_ROPE = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """Sizes and constants of a decoder."""

    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    norm_eps: float
    activation: str
    max_positions: int

    @property
    def group_size(self) -> int:
        """Query heads that share one key/value head."""
        return self.num_heads // self.num_kv_heads


@dataclass(slots=True)
class LayerWeights:
    """One layer; H query heads, K key/value heads, D head size, E hidden size, F inner size.

    Attributes:
        input_norm: (E,).
        qkv: ((H + 2K) * D, E), query rows first, then key, then value.
        qkv_bias: ((H + 2K) * D,) or None.
        qk_norm: (H + K, D) norm of each head's query or key, or None.
        output: (E, H * D).
        output_bias: (E,) or None.
        post_norm: (E,).
        gate_up: (2F, E), gate rows first.
        gate_up_bias: (2F,) or None.
        down: (E, F).
        down_bias: (E,) or None.
    """

    input_norm: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    qk_norm: Tensor | None
    output: Tensor
    output_bias: Tensor | None
    post_norm: Tensor
    gate_up: Tensor
    gate_up_bias: Tensor | None
    down: Tensor
    down_bias: Tensor | None


@dataclass(slots=True)
class DecoderWeights:
    """All weights: `embedding` and `lm_head` are (V, E), the same tensor where they are tied."""

    embedding: Tensor
    layers: list[LayerWeights]
    final_norm: Tensor
    lm_head: Tensor


def read_config(model_dir: Path) -> Any:
    """Reads a model folder's configuration and checks that its family is supported.

    Raises:
        EngineError: It is missing, malformed, or of another family.
    """
    try:
        config = AutoConfig.from_pretrained(str(model_dir), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        line = str(error).strip().splitlines()[0]
        raise EngineError(f"cannot read the model configuration in {model_dir}: {line}") from error
    if config.model_type not in FAMILIES:
        raise EngineError(
            f"model family {config.model_type!r} in {model_dir} is not supported; "
            f"expected one of {', '.join(FAMILIES)}"
        )
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        raise EngineError(
            f"{model_dir} uses sliding-window attention, which is not supported; "
            "use a model with full attention"
        )
    rope_type = config.rope_parameters["rope_type"]
    if rope_type not in STATIC_ROPE:
        raise EngineError(
            f"rope type {rope_type!r} in {model_dir} is not supported; "
            f"expected one of {', '.join(STATIC_ROPE)}"
        )
    return config


def shape_of(config: Any) -> DecoderShape:
    """Takes the sizes out of a Transformers configuration."""
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return DecoderShape(
        num_layers=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        head_dim=head_dim,
        vocab_size=config.vocab_size,
        norm_eps=config.rms_norm_eps,
        activation=config.hidden_act,
        max_positions=config.max_position_embeddings,
    )


def read_tensors(model_dir: Path) -> dict[str, Tensor]:
    """Reads the safetensors of a model folder, sharded or not, under their own names.

    Raises:
        EngineError: None are there, or one is damaged.
    """
    index = model_dir / "model.safetensors.index.json"
    try:
        if index.is_file():
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        else:
            names = ["model.safetensors"]
        tensors: dict[str, Tensor] = {}
        for name in names:
            tensors.update(load_file(model_dir / name))
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        line = str(error).strip().splitlines()[0]
        raise EngineError(f"cannot read the weights in {model_dir}: {line}") from error
    return tensors


def pack_weights(
    tensors: Mapping[str, Tensor],
    shape: DecoderShape,
    dtype: torch.dtype,
    device: torch.device,
) -> DecoderWeights:
    """Packs named tensors, as a state dict has them, into a decoder's weights.

    The result shares no memory with `tensors`.

    Raises:
        EngineError: A tensor is missing or of another shape than its neighbours ask for.
    """

    def take(name: str) -> Tensor:
        try:
            tensor = tensors[name]
        except KeyError as error:
            raise EngineError(
                f"the weights lack {name!r}; expected the names of a plain causal-LM state dict"
            ) from error
        return tensor.detach().to(device=device, dtype=dtype, copy=True)

    def join(prefix: str, parts: tuple[str, ...], kind: str) -> Tensor | None:
        if kind == "bias" and f"{prefix}.{parts[0]}.bias" not in tensors:
            return None
        return torch.cat([take(f"{prefix}.{part}.{kind}") for part in parts])

    def joined(prefix: str, *parts: str) -> Tensor:
        weight = join(prefix, parts, "weight")
        assert weight is not None
        return weight

    def head_norms(attention: str) -> Tensor | None:
        if f"{attention}.q_norm.weight" not in tensors:
            return None
        query, key = take(f"{attention}.q_norm.weight"), take(f"{attention}.k_norm.weight")
        return torch.cat(
            [query.expand(shape.num_heads, -1), key.expand(shape.num_kv_heads, -1)]
        ).contiguous()

    layers = []
    for number in range(shape.num_layers):
        layer = f"model.layers.{number}"
        attention, mlp = f"{layer}.self_attn", f"{layer}.mlp"
        layers.append(
            LayerWeights(
                input_norm=take(f"{layer}.input_layernorm.weight"),
                qkv=joined(attention, "q_proj", "k_proj", "v_proj"),
                qkv_bias=join(attention, ("q_proj", "k_proj", "v_proj"), "bias"),
                qk_norm=head_norms(attention),
                output=joined(attention, "o_proj"),
                output_bias=join(attention, ("o_proj",), "bias"),
                post_norm=take(f"{layer}.post_attention_layernorm.weight"),
                gate_up=joined(mlp, "gate_proj", "up_proj"),
                gate_up_bias=join(mlp, ("gate_proj", "up_proj"), "bias"),
                down=joined(mlp, "down_proj"),
                down_bias=join(mlp, ("down_proj",), "bias"),
            )
        )
    embedding = take("model.embed_tokens.weight")
    tied = "lm_head.weight" not in tensors or (
        tensors["lm_head.weight"].data_ptr() == tensors["model.embed_tokens.weight"].data_ptr()
    )
    return DecoderWeights(
        embedding=embedding,
        layers=layers,
        final_norm=take("model.norm.weight"),
        lm_head=embedding if tied else take("lm_head.weight"),
    )


def rotary_tables(
    config: Any, num_positions: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Cosine and signed sine of every position: (P, 1, D) each.

    The sine's first half is negated, so that a rotation is `x * cos + roll(x, D / 2) * sin`.
    """
    rotary = LlamaRotaryEmbedding(config)
    positions = torch.arange(num_positions)[None]
    cos, sin = rotary(torch.zeros(1, dtype=torch.float32), positions)
    half = sin.shape[-1] // 2
    sin = torch.cat((-sin[..., :half], sin[..., half:]), dim=-1)
    cos, sin = cos[0].unsqueeze(1), sin[0].unsqueeze(1)
    return cos.to(device=device, dtype=dtype), sin.to(device=device, dtype=dtype)

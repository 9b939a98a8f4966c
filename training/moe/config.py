"""The shape of a decoder MoE, under the names of Hugging Face's Glm4Moe configuration."""

from __future__ import annotations

from typing import Self

from pydantic import Field, JsonValue, model_validator

from headrace.infra.configuration.settings import Settings


class MoEConfig(Settings):
    """Everything that fixes the parameters' shapes and the forward pass."""

    vocab_size: int = Field(default=2048, ge=2)
    """Rows of the embedding, V."""
    hidden_size: int = Field(default=128, ge=1)
    """Width of the residual stream, D."""
    num_hidden_layers: int = Field(default=4, ge=1)
    """Decoder layers, L."""
    num_attention_heads: int = Field(default=4, ge=1)
    """Query heads."""
    num_key_value_heads: int = Field(default=2, ge=1)
    """Key and value heads: each serves a group of query heads."""
    head_dim: int = Field(default=32, ge=2)
    """Width of a head."""
    attention_bias: bool = False
    """Whether queries, keys and values get a bias."""
    use_qk_norm: bool = True
    """RMSNorm on queries and keys, before the rotation."""
    intermediate_size: int = Field(default=320, ge=1)
    """Hidden width of the dense feed-forward layers."""
    first_k_dense_replace: int = Field(default=1, ge=0)
    """So many first layers are dense."""
    n_routed_experts: int = Field(default=16, ge=1)
    """Routed experts of a layer, E."""
    num_experts_per_tok: int = Field(default=4, ge=1)
    """Experts that a token is sent to, k."""
    n_shared_experts: int = Field(default=1, ge=1)
    """Experts that every token passes."""
    moe_intermediate_size: int = Field(default=64, ge=1)
    """Hidden width of one expert, M."""
    routed_scaling_factor: float = 1.0
    """Factor on the routed experts' weights."""
    norm_topk_prob: bool = True
    """Whether the k chosen weights are normalised to the sum 1."""
    max_position_embeddings: int = Field(default=256, ge=2)
    """Longest context, in tokens."""
    rope_theta: float = 10_000.0
    """Base of the rotary frequencies."""
    partial_rotary_factor: float = Field(default=1.0, gt=0, le=1)
    """Share of a head's width, from its start, that is rotated."""
    rms_norm_eps: float = 1e-5
    """Added to the mean square in RMSNorm."""
    initializer_range: float = 0.02
    """Standard deviation of the initial weights of matrices."""
    embedding_range: float = 0.2
    """Standard deviation of the initial embedding: large, so that what the layers add does not
    drown the token."""
    tie_word_embeddings: bool = True
    """Whether the output head is the embedding."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("num_attention_heads must be a multiple of num_key_value_heads")
        if self.num_experts_per_tok > self.n_routed_experts:
            raise ValueError("num_experts_per_tok is larger than n_routed_experts")
        if self.head_dim % 2 and self.rotary_dim == self.head_dim:
            raise ValueError("head_dim must be even: the rotation turns pairs")
        if self.hidden_size % 8 or self.moe_intermediate_size % 8:
            raise ValueError("hidden_size and moe_intermediate_size must be multiples of 8")
        return self

    def is_moe(self, layer: int) -> bool:
        """Whether layer number `layer` has routed experts."""
        return layer >= self.first_k_dense_replace

    @property
    def rotary_dim(self) -> int:
        """Dimensions of a head that are rotated; of an odd number the next one too."""
        return int(self.head_dim * self.partial_rotary_factor)

    @property
    def moe_layers(self) -> int:
        """Number of layers with routed experts."""
        return max(0, self.num_hidden_layers - self.first_k_dense_replace)

    def dense(self) -> MoEConfig:
        """Return the shape without routed experts that has the same active parameters per layer."""
        passed = self.num_experts_per_tok + self.n_shared_experts
        return self.model_copy(
            update={
                "first_k_dense_replace": self.num_hidden_layers,
                "intermediate_size": passed * self.moe_intermediate_size,
            }
        )

    def to_hf(self) -> dict[str, JsonValue]:
        """Return Hugging Face's config.json as JSON, without token ids (`hf_config.read`)."""
        shape = self.model_dump(exclude={"rope_theta"})
        rotary = {
            "rope_theta": self.rope_theta,
            "partial_rotary_factor": self.partial_rotary_factor,
        }
        return {
            "architectures": ["Glm4MoeForCausalLM"],
            "model_type": "glm4_moe",
            **shape,
            "attention_dropout": 0.0,
            "dtype": "float32",
            "hidden_act": "silu",
            "n_group": 1,
            "topk_group": 1,
            "num_nextn_predict_layers": 0,
            # Both spellings: transformers 5 reads rope_parameters, older ones the plain names.
            "rope_parameters": {"rope_type": "default", **rotary},
            **rotary,
            "use_cache": True,
        }

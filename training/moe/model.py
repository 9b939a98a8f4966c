"""The decoder: pre-norm layers of attention and (mixture of) feed-forward, and a tied head.

Parameter names are those of Hugging Face's Glm4MoeForCausalLM, with the experts stacked.
Shapes: B batch, T tokens, S keys, D width, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace.training.moe.attention import Attention, Cache
from headrace.training.moe.config import MoEConfig
from headrace.training.moe.experts import MoELayer, SwiGLU
from headrace.training.moe.rope import angles
from headrace.training.moe.router import Router


class Layer(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, config: MoEConfig, number: int) -> None:
        super().__init__()
        D, eps = config.hidden_size, config.rms_norm_eps
        self.input_layernorm = nn.RMSNorm(D, eps=eps)
        self.self_attn = Attention(config, number)
        self.post_attention_layernorm = nn.RMSNorm(D, eps=eps)
        self.mlp = (
            MoELayer(config) if config.is_moe(number) else SwiGLU(D, config.intermediate_size)
        )

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: Cache | None
    ) -> Tensor:
        """`x` (B, T, D) after this layer."""
        attended: Tensor = self.self_attn(self.input_layernorm(x), cos, sin, mask, cache)
        x = x + attended
        fed: Tensor = self.mlp(self.post_attention_layernorm(x))
        return x + fed


class Decoder(nn.Module):
    """Embedding, layers and last norm (Hugging Face's `model.`)."""

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, i) for i in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)


class MoEForCausalLM(nn.Module):
    """A causal language model. Random weights come from torch's global generator."""

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        if self.model.norm.weight.device.type != "meta":
            self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """Draw normal weights; scale those that write to the residual stream by 1/√(2L) (GPT-2).

        Where the head is the embedding, the last norm begins so small that the first logits have
        a standard deviation of 1/2 whatever the embedding's is.
        """
        config = self.config
        for name, p in self.named_parameters():
            if p is self.model.embed_tokens.weight:
                p.normal_(0.0, config.embedding_range)
            elif p.ndim > 1:
                into = name.endswith(("o_proj.weight", "down_proj.weight", "down_proj"))
                scale = (2 * config.num_hidden_layers) ** -0.5 if into else 1.0
                p.normal_(0.0, config.initializer_range * scale)
            elif name.endswith(".bias"):
                p.zero_()
        if config.tie_word_embeddings:
            self.model.norm.weight.fill_(0.5 / (config.embedding_range * config.hidden_size**0.5))

    def hidden(
        self,
        input_ids: Tensor,
        cache: Cache | None = None,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """States (B, T, D) after the last norm.

        Args:
            input_ids: token ids (B, T), int64.
            cache: keys and values of earlier tokens; gets those of `input_ids` appended.
            mask: (B, 1, T, S) bool, true where a key may be seen; None: causal.
            positions: (B, T) or (T,) int64; None: counted from the cache's length.
        """
        seen = cache.seen if cache is not None else 0
        if mask is None and seen and input_ids.shape[1] > 1:
            S = seen + input_ids.shape[1]
            mask = torch.ones(input_ids.shape[1], S, dtype=torch.bool).tril(seen)[None, None]
        if positions is None:
            positions = torch.arange(seen, seen + input_ids.shape[1], device=input_ids.device)
        cos, sin = angles(positions, self.config.rotary_dim, self.config.rope_theta)
        if positions.ndim == 2:  # one row of angles a sequence, for all its heads
            cos, sin = cos[:, None], sin[:, None]
        x = self.model.embed_tokens(input_ids)
        cos, sin = cos.to(x.dtype), sin.to(x.dtype)
        for layer in self.model.layers:
            x = layer(x, cos, sin, mask, cache)
        if cache is not None:
            cache.seen += input_ids.shape[1]
        states: Tensor = self.model.norm(x)
        return states

    def forward(
        self,
        input_ids: Tensor,
        cache: Cache | None = None,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, T, V) of the token after each one; arguments as in `hidden`."""
        return self.logits(self.hidden(input_ids, cache, mask, positions))

    def logits(self, states: Tensor) -> Tensor:
        """Logits (…, V) from states (…, D)."""
        out: Tensor = self.lm_head(states)
        return out

    def routers(self) -> list[Router]:
        """Return the routers, in the order of layers."""
        return [m for m in self.modules() if isinstance(m, Router)]

    def balance(self, rate: float) -> Tensor:
        """Tokens each expert had since the last call (layers, E); moves the selection biases.

        Call once after each optimizer step of any training.
        """
        loads = [router.balance(rate) for router in self.routers()]
        return torch.stack(loads) if loads else torch.zeros(0, self.config.n_routed_experts)


def count_parameters(config: MoEConfig) -> tuple[int, int]:
    """Return (total, active) parameters, counted on the meta device.

    Active are those that one token passes: all but the experts that it is not sent to.
    """
    with torch.device("meta"):
        model = MoEForCausalLM(config)
    total = sum(p.numel() for p in model.parameters())
    expert = 3 * config.hidden_size * config.moe_intermediate_size
    idle = config.n_routed_experts - config.num_experts_per_tok
    return total, total - config.moe_layers * idle * expert


def next_token_loss(logits: Tensor, input_ids: Tensor) -> Tensor:
    """Mean cross-entropy in nats of tokens 1, 2, … given those before them."""
    # The last position is passed over by its label: slicing it off would copy all logits.
    target = F.pad(input_ids[:, 1:], (0, 1), value=-100)
    return F.cross_entropy(logits.flatten(0, 1).float(), target.flatten(), ignore_index=-100)

"""Named shapes with the recipe that trains them.

A new preset is a function and its entry in `PRESETS`. Settings check the name of a preset here, so
torch is not imported.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from headrace.infra.configuration.settings import Settings
from headrace.infra.errors import UsageError
from headrace.training.moe.config import MoEConfig


class Recipe(Settings):
    """How a preset is trained unless the settings say otherwise."""

    steps: int = Field(default=1200, ge=1)
    """Optimizer steps."""
    rows: int = Field(default=8, ge=1)
    """Sequences in a batch."""
    muon_lr: float = 0.02
    """Peak learning rate of the matrices."""
    adamw_lr: float = 3e-3
    """Peak learning rate of norms and routers."""
    embedding_lr: float = 0.04
    """Peak learning rate of the embedding."""


class Preset(Settings):
    """A shape and its recipe."""

    model: MoEConfig
    """Shape; vocabulary and context are replaced by those of the token shards."""
    recipe: Recipe
    """Training."""


def local() -> Preset:
    """1.8M parameters in all, 0.9M active: minutes on two cores (figures in docs/model.md)."""
    return Preset(model=MoEConfig(), recipe=Recipe())


def test() -> Preset:
    """A model that trains 120 steps in seconds, for trying the machinery out."""
    return Preset(
        model=MoEConfig(
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=128,
            n_routed_experts=8,
            num_experts_per_tok=2,
            moe_intermediate_size=32,
        ),
        recipe=Recipe(steps=120, rows=4),
    )


def moe_175b() -> Preset:
    """About 177B parameters, 21B active: 128 experts, 8 chosen and 2 shared."""
    return Preset(
        model=MoEConfig(
            vocab_size=131_072,
            hidden_size=5120,
            num_hidden_layers=56,
            num_attention_heads=80,
            num_key_value_heads=8,
            head_dim=128,
            intermediate_size=12_288,
            n_routed_experts=128,
            num_experts_per_tok=8,
            n_shared_experts=2,
            moe_intermediate_size=1536,
            max_position_embeddings=8192,
            rope_theta=1_000_000.0,
            tie_word_embeddings=False,
        ),
        recipe=Recipe(steps=500_000, rows=2048, muon_lr=2e-4, adamw_lr=2e-4, embedding_lr=2e-4),
    )


PRESETS: dict[str, Callable[[], Preset]] = {"local": local, "test": test, "moe-175b": moe_175b}


def preset(name: str) -> Preset:
    """Return the preset of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PRESETS:
        raise UsageError(f"no preset {name!r}", f"one of {', '.join(PRESETS)}")
    return PRESETS[name]()

"""Settings that several parts of training share, and those of pretraining.

They stand apart from what they set, so that a command can read its settings without torch.
"""

from __future__ import annotations

import difflib
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from headrace.infra.configuration.setting_faults import SettingError
from headrace.infra.configuration.settings import Settings
from headrace.training.identity import Names, TrainingSettings
from headrace.training.moe.presets import PRESETS

Decay = Annotated[float, Field(ge=0, lt=1)]


class OptimizerSettings(Settings):
    """Learning rates and their course."""

    muon_lr: float = Field(default=0.02, ge=0)
    """Peak learning rate of the matrices (Muon); 0 gives them to AdamW."""
    adamw_lr: float = Field(default=3e-3, gt=0)
    """Peak learning rate of norms, routers and heads."""
    embedding_lr: float | None = Field(default=None, gt=0)
    """Peak learning rate of the embedding (AdamW); None: `adamw_lr`."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Muon's momentum (Nesterov)."""
    betas: tuple[Decay, Decay] = (0.9, 0.95)
    """AdamW's decay rates."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled decay of everything with two dimensions or more."""
    warmup: float = Field(default=0.03, ge=0, le=1)
    """Share of the steps in which the rates climb from 0."""
    final: float = Field(default=0.0, ge=0, le=1)
    """Share of the peak to which the rates fall in a straight line; the last step is one short of
    it."""


class CheckpointSettings(TrainingSettings):
    """When to save, and how many to keep."""

    OPERATION: ClassVar[Names] = frozenset({"every", "keep"})

    every: int = Field(default=100, ge=1)
    """Steps between two checkpoints; the last step always has one."""
    keep: int = Field(default=2, ge=1)
    """Newest checkpoints kept."""


class PretrainSettings(TrainingSettings):
    """Settings of pretraining; None takes the preset's figure."""

    # The number of processes changes rounding alone.
    OPERATION: ClassVar[Names] = frozenset({"processes", "heldout_every"})
    FIGURES: ClassVar[Names] = frozenset({"heldout_rows"})

    preset: str = "local"
    """Shape and recipe, by its name in docs/model.md."""
    dense: bool = False
    """Train the dense model of the same active parameters instead, to compare with."""
    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps; after one epoch the rows are repeated in the same order."""
    rows: int | None = Field(default=None, ge=1)
    """Sequences in a batch."""
    muon_lr: float | None = Field(default=None, ge=0)
    """Peak learning rate of the matrices."""
    adamw_lr: float | None = Field(default=None, gt=0)
    """Peak learning rate of norms and routers."""
    embedding_lr: float | None = Field(default=None, gt=0)
    """Peak learning rate of the embedding."""
    clip: float = Field(default=1.0, ge=0)
    """Largest norm of the gradients; 0 does not clip."""
    balance_rate: float = Field(default=0.01, ge=0)
    """Change of the routers' selection biases per step. DeepSeek-V3's 0.001 is for far more
    steps: in a run of some hundred, one expert had every token for half of it."""
    separate_documents: bool = True
    """Whether a token sees only its own document of a packed row."""
    heldout_rows: int = Field(default=32, ge=1)
    """Held-out rows measured during training."""
    heldout_every: int | None = Field(default=None, ge=1)
    """Steps between two such measurements; None: eight in a run."""
    checkpoint: CheckpointSettings = CheckpointSettings()
    """When to save."""
    processes: int = Field(default=1, ge=1)
    """Processes of one run on this machine, the experts divided among them."""

    @field_validator("preset")
    @classmethod
    def _is_known(cls, preset: str) -> str:
        if preset not in PRESETS:
            near = difflib.get_close_matches(preset, PRESETS, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(PRESETS)}"
            raise SettingError(f"no preset {preset!r}", hint)
        return preset


class EvaluateSettings(TrainingSettings):
    """What of each document is scored, and how sure the interval is to be."""

    # A stage of training scores documents, and draws no interval from them.
    OPERATION: ClassVar[Names] = frozenset({"resamples", "confidence"})

    documents: int = Field(default=300, ge=1)
    """Most documents that are scored: those of the lowest content hash, a fixed random sample."""
    max_bytes: int = Field(default=1536, ge=1)
    """Bytes (UTF-8) of the start of a document that are scored."""
    resamples: int = Field(default=1000, ge=1)
    """Random sign flips behind an interval (`scoring.interval`)."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Of the two-sided interval."""

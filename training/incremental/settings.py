"""Settings of a round of incremental training, and the job that it is."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from headrace.infra.configuration.settings import Settings
from headrace.training.identity import Names, TrainingSettings
from headrace.training.settings import CheckpointSettings, EvaluateSettings, OptimizerSettings


class MaterialSettings(TrainingSettings):
    """How much text a round uses."""

    FIGURES: ClassVar[Names] = frozenset({"heldout"})

    tokens: int = Field(default=250_000, ge=1)
    """Most tokens trained on, replayed ones included."""
    passes: int = Field(default=6, ge=1)
    """Most passes over the window's training documents."""
    rows: int = Field(default=8, ge=1)
    """Sequences in a batch."""
    replay: float = Field(default=0.25, ge=0, lt=1)
    """Part of each batch that is old text."""
    dialogues: float = Field(default=0.125, ge=0, lt=1)
    """Part of each batch that is the champion's own answers, where it has been aligned."""
    prompts: int = Field(default=512, ge=0)
    """Prompts that the champion answers for that."""
    document_tokens: int = Field(default=1024, ge=2)
    """Tokens of a document that are used, from its start, so that no long one fills a batch."""
    fisher_tokens: int = Field(default=32_768, ge=1)
    """Tokens of old text from which the Fisher information is estimated."""
    fisher_rows: int = Field(default=2, ge=1)
    """Sequences in one backward pass of that estimate."""
    validation: EvaluateSettings = EvaluateSettings(documents=48, max_bytes=512)
    """Documents of each kind that choose among states; none of them is trained on."""
    validation_share: float = Field(default=0.08, gt=0, lt=1)
    """Most of the window's training documents that are used for that."""
    heldout: EvaluateSettings = EvaluateSettings(documents=200, max_bytes=1024)
    """Held-out documents of each kind that judge the result."""


class CourseSettings(Settings):
    """How a round trains."""

    optimizer: OptimizerSettings = OptimizerSettings(
        muon_lr=0.01, adamw_lr=1e-3, embedding_lr=0.004, warmup=0.1
    )
    """Rates, a fraction of those of pretraining (docs/continual.md has the trials)."""
    clip: float = Field(default=1.0, ge=0)
    """Largest norm of the gradients."""
    check: int = Field(default=25, ge=1)
    """Steps between two checks on validation text."""
    patience: int = Field(default=3, ge=1)
    """Training ends after so many checks in a row without better new text."""
    forgetting: float = Field(default=0.008, ge=0)
    """Most bits per byte that old validation text may lose."""
    checkpoint: CheckpointSettings = CheckpointSettings(every=25)
    """When to save."""


class EWCSettings(Settings):
    """How a window is learned."""

    strength: float = Field(default=30.0, ge=0)
    """λ: what a nat per token of movement away on old text costs against one of the new text's loss
    (to second order, diagonal)."""
    answers: float = Field(default=16.0, ge=0)
    """What a nat per token of divergence from the champion costs on its answers to prompts
    (docs/continual.md has the trials)."""
    material: MaterialSettings = MaterialSettings()
    """How much text is used."""
    course: CourseSettings = CourseSettings()
    """How the training goes."""


class EWCJob(Settings):
    """A round of incremental training."""

    model: str
    """The champion's export folder."""
    new: tuple[str, ...] = Field(min_length=1)
    """Release folders of the window."""
    old: tuple[str, ...] = Field(min_length=1)
    """Release folders of the champion's corpus."""
    output: str
    """The run folder."""
    settings: EWCSettings = EWCSettings()
    """How."""
    seed: int = 20260101
    """Of samples, orders and sampled labels."""
    lineage: dict[str, Any] = Field(default={})
    """Written into the export."""
    prompts: str | None = None
    """JSON Lines with `prompt`, where the champion was aligned: its answers are replayed."""
    compare_plain: bool = True
    """Whether plain fine-tuning is trained beside it."""

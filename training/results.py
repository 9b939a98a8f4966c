"""What the jobs of training give back: JSON at the border of their process, these classes inside.

A key that doesn't apply (a held-out figure without held-out rows, say) is left out of the JSON:
`JobResult` fields with a default are written only where they were set.
"""

from __future__ import annotations

import math
from typing import Generic, Literal, TypeVar

from pydantic import JsonValue

from headrace.infra.subprocess_jobs import JobResult


class PretrainResult(JobResult):
    """A finished pretraining, as result.json in its run folder has it."""

    export: str
    """Folder of the exported model."""
    steps: int
    tokens: int
    """Tokens trained on."""
    total_parameters: int
    active_parameters: int
    """Parameters that a token passes through."""
    identity: str
    """What decided the weights."""
    heldout_rows: int
    """Held-out rows asked for."""
    resumed_from: int
    """Step where the call began."""
    tokens_per_second: float
    """Mean over the steps of that call."""
    loss: float = math.nan
    """Of the last step, in nats per token; only the first rank has it."""
    heldout_loss: float | None = None
    """In nats per token."""
    heldout_bits_per_byte: float | None = None


class Change(JobResult):
    """A figure before a stage and after it; None where it could not be measured."""

    before: float | None
    after: float | None


class Share(JobResult):
    """A share of `n` items."""

    value: float
    n: int


SHOWN = {"name", "before", "after", "gain", "low", "high", "n"}


class StageMetrics(JobResult):
    """What a stage of alignment is judged by, on held-out items before and after."""

    name: str
    """Name of the measure."""
    better: Literal["lower", "higher"]
    before: float
    after: float
    gain: float | None
    """Mean improvement per item; positive is better."""
    low: float | None
    """Lower end of the gain's 95 % interval; None where there are too few items."""
    high: float | None
    n: int
    """Items measured."""

    def shown(self) -> dict[str, JsonValue]:
        """Return the figures that a model card shows."""
        return self.model_dump(mode="json", include=SHOWN)


class SFTMetrics(StageMetrics):
    """Bits per byte of held-out responses, given their prompts."""

    language: Change
    """Bits per byte of held-out pretraining text."""


class RewardMetrics(StageMetrics):
    """Share of held-out pairs in the right order."""

    margin: float
    """Mean difference of the two sides' scores, in log odds."""
    untrained: float
    """What a head of zeros gives."""
    by_kind: dict[str, Share]
    """The share for each kind of rejected answer."""


class PPOMetrics(StageMetrics):
    """Share of answers to held-out prompts that pass the rule reward."""

    samples: int
    """Answers to each prompt."""
    checks: dict[str, Change]
    """Share of the answers that hold each check of the rule."""
    optimised: Change
    """The reward model's own score, which is no evidence of a gain."""
    kl: float
    """Divergence of a whole answer from the SFT policy, in nats."""
    length: Change
    """Tokens per answer."""
    distinct: Change
    """Share of distinct answers."""
    language: Change
    """Bits per byte of held-out pretraining text."""


M = TypeVar("M", bound=StageMetrics)


class StageResult(JobResult, Generic[M]):
    """A finished stage of alignment."""

    export: str
    """Folder of the exported model."""
    stage: str
    metrics: M


class Check(JobResult):
    """Bits per byte of validation text after `step` steps."""

    step: int
    new: float
    old: float


class Course(JobResult):
    """How the training of a round went."""

    steps: int
    """Steps taken."""
    kept: int
    """Step whose state was kept; 0: the old weights."""
    share: float
    """How far that state was drawn back: 1 not at all, 0 to the old weights."""
    loss: float
    """Of the last step on all rows, new and replayed, in nats per token."""
    checks: tuple[Check, ...]


class Sides(JobResult):
    """Bits per byte of one kind of held-out text."""

    before: float
    """Under the champion."""
    after: float
    """Under the new model."""
    plain: float | None = None
    """After plain fine-tuning, where that was asked for."""


class SideFiles(JobResult):
    """Parquet files of the values per document, of each of `Sides`."""

    before: str
    after: str
    plain: str | None = None


class RoundMetrics(JobResult):
    """Bits per byte of held-out text of both kinds."""

    new: Sides
    old: Sides


class RoundFiles(JobResult):
    """Values per document of both kinds."""

    new: SideFiles
    old: SideFiles


class RoundDocuments(JobResult):
    """Held-out documents of both kinds."""

    new: int
    old: int


class EWCResult(JobResult):
    """A finished round of incremental training."""

    export: str
    """Folder of the exported model."""
    evaluation: RoundFiles
    stage: Literal["ewc"]
    steps: int
    tokens: int
    """Tokens trained on."""
    metrics: RoundMetrics
    documents: RoundDocuments
    measures: dict[str, float]
    """`new.order_gain`: `scoring.order_gain` of the new text under the new model."""
    loss: float
    resumed_from: int
    """Step where the call began."""
    course: Course
    seconds: float

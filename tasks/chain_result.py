"""What a chain made, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.infra.artifacts import Gain, Model, Pretraining, Release, TokenSet
from headrace.tasks.answers import (
    Answer,
    model_answer,
    release_answer,
    scores_answer,
    tokens_answer,
)
from headrace.tasks.gate.contests import Quality
from headrace.tasks.gate.promotion import Gated
from headrace.tasks.models.alignment import Aligned
from headrace.tasks.retraining.round import Retrained


@dataclass(frozen=True)
class Lifecycle:
    """What a chain made."""

    release: Release
    tokens: TokenSet
    base: Model
    aligned: Aligned
    quality: Quality
    first: Gated
    again: Retrained | None
    """The drift round; None: there was none."""
    seconds: float
    """How long its curation took."""
    report: str = ""
    """Its page."""

    @property
    def pretraining(self) -> Pretraining:
        """Return the figures of the pretraining."""
        assert self.base.pretraining is not None, "it is a pretrained model"
        return self.base.pretraining

    @property
    def gains(self) -> dict[str, Gain]:
        """Return what each stage of alignment is worth."""
        return {name: m.gain for name, m in self.aligned.stages.items() if m.gain}

    @property
    def exports(self) -> dict[str, str]:
        """Return {stage: its model} of those that the report lets speak."""
        stages = self.aligned.stages
        out = {
            "pretraining": self.base.export,
            "SFT": stages["sft"].export,
            "PPO": stages["ppo"].export,
        }
        if self.again and self.again.trained:
            out["retraining"] = self.again.trained.export
        return out

    def as_json(self) -> Answer:
        """Answer of `headrace run`: all of curate's, and what became of it."""
        gated = self.first.as_json()
        stages = self.aligned.stages
        scored = self.quality.evaluations()
        return {
            **release_answer(self.release, self.seconds),
            "tokens": tokens_answer(self.tokens),
            "pretrain": model_answer(self.base),
            "export": self.aligned.model.export,
            "total_parameters": self.pretraining.total_parameters,
            "active_parameters": self.pretraining.active_parameters,
            "alignment": {name: gain.as_json() for name, gain in self.gains.items()},
            "stages": {name: model_answer(m) for name, m in stages.items()},
            **{k: gated[k] for k in ("decision", "reasons", "gate", "champion", "moved")},
            **{k: gated[k] for k in ("version", "waiting", "overtaken")},
            "evaluation": {name: scores_answer(e) for name, e in scored.items()},
            "round": self.again.as_json() if self.again else None,
            "report": self.report,
        }

"""What the chain's report shows, as the chain's answer has it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from headrace.infra.artifacts import Decision, Gain


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class Tokens(_Figures):
    """The token set."""

    tokens: int


class Pretrained(_Figures):
    """The pretrained model."""

    export: str
    steps: int
    tokens: int
    tokens_per_second: float


class Stage(_Figures):
    """A model after a stage of alignment."""

    export: str


class Metric(_Figures):
    """A metric of a model, with its 95 % interval where there is one."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


class Evaluation(_Figures):
    """The metrics of a model by name."""

    metrics: dict[str, Metric]

    @property
    def bits_per_byte(self) -> Metric:
        """The metric on all held-out documents."""
        return self.metrics["bits_per_byte"]


class BeforeAfter(_Figures):
    """Bits per byte of held-out text around a retraining."""

    before: float
    after: float
    plain: float | None = None
    """After plain fine-tuning."""


class RoundMetrics(_Figures):
    """What a retraining did to new and to old text."""

    new: BeforeAfter
    old: BeforeAfter


class Verdict(_Figures):
    """Where the figures of a drift verdict are stored; None where they aren't."""

    sections: str | None = None


class Round(Verdict):
    """A drift round; without drift there is a verdict only."""

    champion: str
    """Version after the round."""
    decision: str | None = None
    """The gate's; None without drift."""
    verdict: Verdict | None = None
    """None: the round's own fields are the verdict's."""
    folder: str | None = None
    export: str | None = None
    metrics: RoundMetrics | None = None
    gate: Decision | None = None
    """The decision of `training.scoring.gate`."""

    @property
    def drift(self) -> str | None:
        """Where the figures of its drift verdict are stored."""
        return (self.verdict or self).sections


class ChainFigures(_Figures):
    """What the chain's report shows."""

    release: str
    release_id: str
    read: int
    kept: int
    rejected: dict[str, int]
    unreadable: int
    input_bytes: int
    total_parameters: int
    active_parameters: int
    decision: str
    champion: str | None = None
    report: str = ""
    """The page, once it is written."""
    gate: Decision
    """The decision of `training.scoring.gate`."""
    tokens: Tokens
    pretrain: Pretrained
    stages: dict[str, Stage]
    alignment: dict[str, Gain]
    evaluation: dict[str, Evaluation]
    round: Round | None

    @property
    def rejected_records(self) -> int:
        """Records rejected at any level."""
        return sum(self.rejected.values())

    @property
    def adds_up(self) -> bool:
        """Whether every record read has an outcome."""
        return self.kept + self.rejected_records + self.unreadable == self.read

    @property
    def exports(self) -> dict[str, str]:
        """{stage: its model} of those that the report lets speak."""
        out = {
            "pretraining": self.pretrain.export,
            "SFT": self.stages["sft"].export,
            "PPO": self.stages["ppo"].export,
        }
        if self.round and self.round.export:
            out["retraining"] = self.round.export
        return out

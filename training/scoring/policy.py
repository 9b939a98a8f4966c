"""The rules of a gate, as settings read from YAML: what must improve, what must not get worse."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from headrace.infra.configuration.config_file import read_config
from headrace.infra.configuration.setting_faults import SettingError
from headrace.infra.configuration.settings import Settings, build
from headrace.infra.errors import UsageError

POLICIES = Path(__file__).resolve().parents[2] / "infra" / "configs" / "gate"
"""Folder of the policies that headrace ships."""
SLICES = ("lang", "domain")
"""Columns of scored documents by whose values a metric can be shown."""


class Rule(Settings):
    """What one metric has to show."""

    name: str
    """Name of the sample in the evidence, `new.bits_per_byte` say."""
    label: str = ""
    """What a reader calls it; empty: the name."""
    unit: str = ""
    """Of the values, `bits per byte` say."""
    direction: Literal["lower", "higher"] = "lower"
    """Which way is better."""
    require: Literal["better", "not_worse"] = "better"
    """`better`: improvement above the margin. `not_worse`: a loss of at most the margin."""
    judge: Literal["interval", "estimate"] = "interval"
    """What is held against the margin: the end of the interval on the unsafe side, or the
    estimate. Where it is the interval and the margin lies inside, the verdict is unknown."""
    margin: float = Field(0.0, ge=0)
    """In the metric's unit."""
    slices: tuple[str, ...] = ()
    """Columns of the documents by whose values the metric is also shown."""
    slice_margin: float | None = Field(None, ge=0)
    """A slice that is shown to lose more than this makes the decision reject; p is adjusted for the
    number of slices (Holm). None: slices are shown and decide nothing."""
    min_documents: int = Field(8, ge=2)
    """With fewer pairs the verdict is unknown. Below 6 not even pairs that all agree reach p = .025
    in a sign-flip test (1 of 64 flips), and at 6 and 7 they have to agree to a tenth of their
    difference."""
    optional: bool = False
    """Whether a metric without evidence is left out (with a note) or makes the decision
    inconclusive."""

    @field_validator("slices")
    @classmethod
    def _are_columns(cls, slices: tuple[str, ...]) -> tuple[str, ...]:
        if odd := [name for name in slices if name not in SLICES]:
            raise SettingError(f"no column {odd[0]!r}", f"take some of {', '.join(SLICES)}")
        return slices


class Guard(Settings):
    """A bound on one figure; outside it nothing is promoted."""

    name: str
    """Name of the figure in the challenger's evidence."""
    label: str = ""
    """What a reader calls it; empty: the name."""
    low: float | None = None
    """The least that is accepted."""
    high: float | None = None
    """The most that is accepted."""
    optional: bool = True
    """Whether a figure that is missing is left out (with a note) or makes the decision
    inconclusive."""

    @model_validator(mode="after")
    def _bounded(self) -> Guard:
        if self.low is None and self.high is None:
            raise ValueError(f"guard {self.name} has neither low nor high")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"guard {self.name}: low {self.low:g} is above high {self.high:g}")
        return self


class Policy(Settings):
    """The rules by which a challenger is held against the champion."""

    name: str
    """Shown in the decision."""
    description: str = ""
    """What the policy is for."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Of the two-sided intervals."""
    resamples: int = Field(4000, ge=100)
    """Random sign flips behind an interval (`interval.ratio`)."""
    metrics: tuple[Rule, ...] = Field(min_length=1)
    """Every rule must hold."""
    guards: tuple[Guard, ...] = ()
    """Every guard must hold."""

    def names(self, name: str) -> bool:
        """Whether a rule or a guard is about this metric or figure."""
        return name in {*(r.name for r in self.metrics), *(g.name for g in self.guards)}

    @model_validator(mode="after")
    def _unique(self) -> Policy:
        for names in ([r.name for r in self.metrics], [g.name for g in self.guards]):
            twice = sorted({n for n in names if names.count(n) > 1})
            if twice:
                raise ValueError(f"named twice: {', '.join(twice)}")
        return self


def read_policy(which: str | Path) -> Policy:
    """Read a policy by the name of a shipped one (`default`, `first`) or by its YAML file's path.

    Raises:
        UsageError: there is no such policy, or the file breaks its schema.
    """
    shipped = {p.stem: p for p in sorted(POLICIES.glob("*.yaml"))}
    path = shipped.get(str(which), Path(which))
    if not path.is_file():
        raise UsageError(
            f"gate policy {which}: no such file",
            f"give a YAML file, or one of {', '.join(shipped)}",
        )
    return build(Policy, read_config(path))

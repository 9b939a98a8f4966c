"""What comparisons of a window come to: results of tests, comparisons, the verdict, as JSON too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from headrace.expectations.columns import Distribution
from headrace.expectations.losses import LossJson, LossRise
from headrace.expectations.settings import DriftSettings


class TestJson(TypedDict):
    """A test in the answer of `headrace monitor`."""

    name: str
    statistic: float
    p_value: float
    effect: float
    drifted: bool


class ComparisonJson(TypedDict):
    """A comparison in the answer of `headrace monitor`."""

    reference: str
    drift: bool
    p_value: float
    effect: float
    reference_documents: int
    window_documents: int
    order: str
    window_run: float
    reference_units: int
    window_units: int
    least_p: float
    seed: int
    drifted: list[str]
    tests: list[TestJson]
    loss: LossJson | None
    settings: dict[str, float]


class VerdictJson(TypedDict):
    """A verdict in the answer of `headrace monitor`."""

    drift: bool
    p_value: float
    effect: float
    drifted: list[str]
    tests: list[TestJson]
    references: list[ComparisonJson]
    without_loss: str | None


@dataclass(frozen=True)
class TestResult:
    """One test of a comparison."""

    name: str
    statistic: float
    p_value: float
    """Family-wise: corrected for the number of tests."""
    effect: float
    """Share of the window that differs at least, beyond what chance gives; 0 to 1. Of the model's
    loss: its rise in bits per byte beyond what chance gives."""
    drifted: bool
    """Whether both are beyond what the settings allow."""

    def to_json(self) -> TestJson:
        """Return the result as JSON values."""
        return {
            "name": self.name,
            "statistic": self.statistic,
            "p_value": self.p_value,
            "effect": self.effect,
            "drifted": self.drifted,
        }


@dataclass(frozen=True)
class Unusual:
    """A document of the window that is unlike the reference."""

    text: str
    lang: str
    domain: str
    neighbours_in_window: float
    """Share of its nearest neighbors that are of the window."""


@dataclass(frozen=True)
class Comparison:
    """A window against one reference, with what a report needs."""

    reference: str
    """What the reference is, for a person."""
    p_value: float
    effect: float
    """Largest effect among the drifted tests; where none drifted, that of the smallest p-value.
    Always a share of the window: the loss has its own unit, `loss`."""
    tests: tuple[TestResult, ...]
    loss: LossRise | None
    """None where it was not measured."""
    reference_documents: int
    window_documents: int
    """Documents that were compared, after sampling."""
    order: str
    """In which order neighbors are most alike: position, source or day."""
    window_run: float
    """Documents in a row that count as one, 1 where each stands for itself."""
    reference_units: int
    window_units: int
    """What was permuted: documents, or runs of them."""
    least_p: float
    """The smallest p-value that so many units could give."""
    distributions: tuple[Distribution, ...]
    unusual: tuple[Unusual, ...]
    settings: DriftSettings
    seed: int

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the drifted tests."""
        return tuple(t.name for t in self.tests if t.drifted)

    @property
    def drift(self) -> bool:
        """Whether the window differs from this reference."""
        return bool(self.drifted)

    def to_json(self) -> ComparisonJson:
        """Return the comparison as JSON values, without texts."""
        return {
            "reference": self.reference,
            "drift": self.drift,
            "p_value": self.p_value,
            "effect": self.effect,
            "reference_documents": self.reference_documents,
            "window_documents": self.window_documents,
            "order": self.order,
            "window_run": self.window_run,
            "reference_units": self.reference_units,
            "window_units": self.window_units,
            "least_p": self.least_p,
            "seed": self.seed,
            "drifted": list(self.drifted),
            "tests": [test.to_json() for test in self.tests],
            "loss": None if self.loss is None else self.loss.to_json(),
            "settings": self.settings.model_dump(),
        }


@dataclass(frozen=True)
class DriftVerdict:
    """What all comparisons of a window come to: it has drifted if it differs from every reference.

    Each comparison keeps the level alpha, and so does their intersection (Berger 1982).
    """

    comparisons: tuple[Comparison, ...]
    """Against the corpus first."""
    without_loss: str | None = None
    """Why the champion's loss was not measured; None where it was, or no champion is meant."""

    @property
    def drift(self) -> bool:
        """Whether the window differs from every reference."""
        return all(c.drift for c in self.comparisons)

    @property
    def p_value(self) -> float:
        """The largest of the comparisons'."""
        return max(c.p_value for c in self.comparisons)

    @property
    def nearest(self) -> Comparison:
        """The comparison that decides: the one that is nearest to no drift."""
        return min(self.comparisons, key=lambda c: (c.drift, -c.p_value, c.effect))

    @property
    def effect(self) -> float:
        """The effect against the nearest reference."""
        return self.nearest.effect

    @property
    def drifted(self) -> tuple[str, ...]:
        """Tests that drifted against every reference, or those against the nearest one."""
        if not self.drift:
            return ()
        every = set.intersection(*(set(c.drifted) for c in self.comparisons))
        return tuple(n for n in self.nearest.drifted if n in every) or self.nearest.drifted

    def to_json(self) -> VerdictJson:
        """Return the verdict as JSON values; `tests` are those against the nearest reference."""
        return {
            "drift": self.drift,
            "p_value": self.p_value,
            "effect": self.effect,
            "drifted": list(self.drifted),
            "tests": [test.to_json() for test in self.nearest.tests],
            "references": [comparison.to_json() for comparison in self.comparisons],
            "without_loss": self.without_loss,
        }

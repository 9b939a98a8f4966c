"""Who is compared with whom by the gate, and on what evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from headrace.infra.artifacts import Evaluation, Lineage
from headrace.infra.configuration.settings import Shared
from headrace.infra.tracking.runs import milliseconds
from headrace.training.scoring.gate import Sample
from headrace.training.settings import EvaluateSettings

OLD, NEW = "old", "new"
"""Kinds of text: what the champion has learned, and what only the challenger has."""


@dataclass(frozen=True)
class Side:
    """A model, or a baseline, in a comparison."""

    name: str
    """What the decision calls it."""
    scores: Mapping[str, str]
    """Kind of text: Parquet file with the scores of its held-out documents."""
    export: str | None = None
    """None: a baseline."""
    version: str | None = None
    """Its version, where it is one."""
    fault: str = ""
    """Why it can't be used at all, whatever it scores; empty for a sound one."""

    def sample(self, text: str) -> Sample | None:
        """Its scores of a kind of text, None where it has none."""
        return read_scores(self.scores[text]) if text in self.scores else None


@dataclass(frozen=True)
class Comparison:
    """What the gate decides on. Evidence that isn't there is not measured."""

    champion: Side
    """The model in service, or what a first model has to beat."""
    challenger: Side
    folder: str
    """Where the decision is stored."""
    default: str
    """Name of the policy, unless the settings name another."""
    shared: Shared
    compared_with: str | None = None
    """The champion's version; None: there is none."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Ids of the documents, by kind of text."""
    corpus: tuple[str, ...] = ()
    """Releases whose held-out records are the old text."""
    new: tuple[str, ...] = ()
    """Releases that only the challenger has learned."""
    window: str | None = None
    """The one of these that a round of retraining learned last."""
    judge: Lineage = field(default_factory=Lineage)
    """Names the reward model and the prompts by which answers are judged."""
    anchored: EvaluateSettings | None = None
    """How old text was sampled, for the comparison with the anchor; None: there is none."""
    base: Evaluation | None = None
    """Scores of old text by the model that alignment started from."""
    measures: Mapping[str, float | None] = field(default_factory=dict)
    """Figures of the challenger that are known already."""
    began: int = field(default_factory=milliseconds)
    """When its scoring began (ms since 1970)."""

    @property
    def name(self) -> str:
        """Whose gate it is."""
        return self.challenger.name


@dataclass(frozen=True)
class Pair:
    """Both sides' values of a metric, row by row about the same."""

    champion: Sample
    challenger: Sample
    against: str | None = None
    """Whose values the first are, unless they are the champion's."""
    notes: tuple[str, ...] = ()
    """What a reader of the decision has to know."""


@dataclass(frozen=True)
class Metric:
    """Something that a policy can name: a rule compares both sides, a guard bounds a figure."""

    name: str
    compare: Callable[[Comparison], Pair | None] | None = None
    """For rules; None: there is no such evidence in this comparison."""
    measure: Callable[[Comparison], float | None] | None = None
    """For guards, of the challenger; None: likewise."""


def read_scores(path: str) -> Sample:
    """Bits and bytes of each document, as an evaluation stored them."""
    return Sample.of_text(pq.read_table(path))

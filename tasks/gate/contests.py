"""The comparisons that the gate is asked for: a chain's model with its rival, and any two exports.

That of a round of retraining is made beside the round (tasks/retraining).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headrace.infra import releases
from headrace.infra.artifacts import Evaluation, Inputs, Lineage, Model, Release, TokenSet
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import UsageError
from headrace.infra.registry.versions import Registry, Version
from headrace.infra.tracking.runs import milliseconds
from headrace.tasks.configuration.settings import GateConfig
from headrace.tasks.gate import anchor
from headrace.tasks.gate.comparison import NEW, OLD, Comparison, Side
from headrace.tasks.gate.evaluation import (
    Baselines,
    release_folder,
    score_baselines,
    score_heldout,
)
from headrace.tasks.gate.promotion import policy_of
from headrace.tasks.mlflow_log import registry
from headrace.tasks.model_refs import fault_of, resolve_model, weights_of
from headrace.training.settings import EvaluateSettings


@dataclass(frozen=True)
class Quality:
    """A chain's models on held-out records, beside the baselines."""

    pretrained: Evaluation
    aligned: Evaluation
    baselines: Baselines
    began: int
    """When the scoring did (ms since 1970)."""

    def evaluations(self) -> dict[str, Evaluation]:
        """{name: evaluation} of all of them."""
        models = {"pretrained": self.pretrained, "aligned": self.aligned}
        return {**models, **self.baselines.evaluations()}


def measure_quality(
    aligned: Model, base: Model, tokens: TokenSet, release: Release, shared: Shared
) -> Quality:
    """Held-out scores of a chain's models and of the baselines, which saw as many tokens."""
    corpus, began = [release.folder], milliseconds()
    assert base.pretraining is not None, "it is a pretrained model"
    return Quality(
        score_heldout(base.export, corpus, shared),
        score_heldout(aligned.export, corpus, shared),
        score_baselines(tokens, corpus, base.pretraining.tokens, shared),
        began,
    )


def first_comparison(
    aligned: Model, release: Release, quality: Quality, shared: Shared
) -> Comparison:
    """Return a chain's model with what it has to beat, and the model that alignment started from.

    That is a version on the same held-out records, or the best baseline where there is none.
    """
    standing = standing_against(aligned.export, registry(shared.model.name))
    if standing is None:
        best = quality.baselines.best()
        scores = quality.baselines.evaluations()[best]
        rival = Side(f"baseline {best}", {OLD: scores.documents})
    else:
        scores = score_heldout(str(standing.export), [release.folder], shared)
        name = f"version {standing.number}"
        rival = Side(name, {OLD: scores.documents}, version=standing.number)
    return Comparison(
        champion=rival,
        challenger=Side(
            aligned.export,
            {OLD: quality.aligned.documents},
            aligned.export,
            fault=fault_of(aligned.export),
        ),
        folder=aligned.folder,
        default="first",
        shared=shared,
        compared_with=rival.version,
        data={OLD: release.id},
        base=quality.pretrained,
        began=quality.began,
    )


def standing_against(export: str, models: Registry) -> Version | None:
    """Return the version that an export has to beat: the champion, None where there is none.

    For a model that has been champion itself it is what it was compared with then: that verdict was
    carried out. One that wasn't is no answer to who is champion now.
    """
    own = models.of_export(Path(export))
    if own is None or models.since(own.number) is None:
        return models.current()
    number = own.tags.get("parent_version")
    return models.version(number) if number else None


@dataclass(frozen=True)
class Exports:
    """Two exports or aliases that a user compares."""

    champion: str
    challenger: str
    settings: GateConfig

    @property
    def name(self) -> str:
        """Whose gate it is."""
        return self.challenger


def compare_exports(asked: Exports) -> Comparison:
    """Compare the comparison of two exports.

    Old text is the held-out records of the champion's corpus, new text those of the releases that
    only the challenger has seen, what a round of retraining held out of its window included; with
    one corpus the challenger must be better on it.

    Raises:
        UsageError: both are the same export, or one doesn't say which text it was made of.
    """
    began, settings = milliseconds(), asked.settings
    exports = [str(resolve_model(m, settings)) for m in (asked.champion, asked.challenger)]
    if exports[0] == exports[1]:
        raise UsageError("champion and challenger are the same export", "name two models")
    lineages = [Lineage.of(e) for e in exports]
    models = registry(settings.model.name)
    versions = [models.of_export(Path(e)) for e in exports]
    old, seen = (releases.lineage(release_folder(x.release_id)) for x in lineages)
    new = [r for r in seen if r not in old]
    # A round of retraining held out more of this window than of others.
    window = new[-1] if new and lineages[1].parent_version is not None else None
    sides = []
    for export, version in zip(exports, versions, strict=True):
        scores = {OLD: score_heldout(export, old, settings).documents}
        if new:
            scores[NEW] = score_heldout(export, new, settings, window).documents
        number = version.number if version else None
        sides.append(Side(export, scores, export, number, fault_of(export)))
    default = "default" if new else "first"
    policy = policy_of(settings, default)
    corpora = {OLD: old, **({NEW: new} if new else {})}
    # The reward model that judges is the champion's: a version's tags name it.
    tags = versions[0].tags if versions[0] else {}
    judge = {k: tags[k] for k in ("reward", "prompts") if k in tags}
    inputs = Inputs.deciding(
        "gate",
        *map(weights_of, exports),
        policy.model_dump(),
        settings.seed,
        models.approved() if policy.names(anchor.METRIC.name) else [],
    )
    return Comparison(
        champion=sides[0],
        challenger=sides[1],
        folder=str(inputs.folder),
        default=default,
        shared=settings,
        data={text: ",".join(Path(r).name for r in corpus) for text, corpus in corpora.items()},
        corpus=tuple(old),
        new=tuple(new),
        window=window,
        judge=lineages[0].with_(**judge),
        anchored=EvaluateSettings(),
        began=began,
    )

"""The end of a command that makes something of the chain: a release, a model, a decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from headrace.flows.summaries.layout import NAMED, rule, table
from headrace.infra.artifacts import Compared, Decision, Evaluation, Figure, Gain, Model, Release
from headrace.infra.visible import visible
from headrace.tasks.models.stage_metrics import measured_by
from headrace.tasks.models.stage_metrics import verdict as stage_verdict

if TYPE_CHECKING:  # a command's last screen imports nothing heavy
    from headrace.tasks.chain_result import Lifecycle
    from headrace.tasks.retraining.round import Retrained
    from headrace.training.plan import Plan

_MEASURED = {"bits_per_byte": "bits per byte (lower is better)"}
_KINDS = {"lang": "language"}
_SCORED = (
    ("unigram", "unigram"),
    ("Kneser-Ney bigram", "kneser_ney_bigram"),
    ("MoE, pretrained", "pretrained"),
    ("MoE, aligned", "aligned"),
)


def _ledger(release: Release) -> list[tuple[str, str]]:
    totals = release.totals
    levels = ", ".join(f"{level} {n:,}" for level, n in totals.rejected.items() if n)
    sign = "=" if totals.add_up else "≠"
    return [
        ("records read", f"{totals.read:,}  ({release.input_bytes / 1e6:.1f} MB)"),
        ("kept", f"{totals.kept:,}"),
        ("rejected", f"{totals.rejects:,}" + (f"  ({levels})" if levels else "")),
        ("unreadable", f"{totals.unreadable:,}"),
        *([("repaired", f"{totals.repaired:,} of those read")] if totals.repaired else []),
        (
            "the ledger",
            f"{totals.read:,} {sign} {totals.kept:,} + {totals.rejects:,} + {totals.unreadable:,}",
        ),
    ]


def _files(release: Release) -> list[tuple[str, str]]:
    """Return the first files that are unreadable, misnamed or left out, and how many more."""
    out = []
    for title, files in (
        ("can't be read", release.unreadable_files),
        ("note", release.noted_files),
        ("left out", release.left_out),
    ):
        rows = [(title, f"{file.uri}: {file.why}") for file in files.first[:NAMED]]
        if (rest := files.count - len(rows)) > 0:
            rows.append((title, f"and {rest:,} more: see the report"))
        out += rows
    return out


def release_screen(release: Release) -> str:
    """The end of `headrace curate`."""
    rows = [("release", release.id), *_ledger(release)]
    if not release.totals.kept:
        rows.append(("nothing is kept", "so latest.json doesn't point to this release"))
    rows += _files(release)
    rows += [("folder", release.folder), ("report", release.report)]
    return "\n".join([rule("release"), *table(rows)])


def model_line(model: Model) -> str:
    """The end of `headrace pretrain` and `align`."""
    text = ""
    if figures := model.pretraining:
        text = f"loss {figures.loss:.4f} after {figures.steps} steps"
    elif gain := model.gain:
        text = f"{model.stage}: {gain.name} {gain.before:.4g} -> {gain.after:.4g}"
    return visible(f"{text}: {model.export}")


def _figure(figure: Figure) -> str:
    if figure.value is None:
        return f"not a finite number  n {figure.n}"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}  n {figure.n}, too few documents for an interval"
    return f"{figure.value:.3f}  [{figure.low:.3f}, {figure.high:.3f}]  n {figure.n}"


def metrics_screen(evaluation: Evaluation) -> str:
    """The end of `headrace evaluate`."""
    model = [("model", evaluation.export)] if evaluation.export else []
    lines, slices = [rule("evaluation"), *table(model)], False
    for name, figure in evaluation.metrics.items():
        measure, _, part = name.partition(".")
        kind, equals, value = part.partition("=")
        if not equals:
            lines.append(rule(f"{_MEASURED.get(name, name)}, 95 % interval"))
            lines += table([("all", _figure(figure))])
        else:
            slices = True
            kinds = [k for k in evaluation.metrics if k.startswith(f"{measure}.{kind}=")]
            if name == kinds[0]:
                lines += table([(f"by {_KINDS.get(kind, kind)}", "")])
            lines += table([(f"  {value}", _figure(figure))])
    rows = [] if slices else [("no slices", "the documents carry neither `lang` nor `domain`")]
    return "\n".join([*lines, *table([*rows, ("file", evaluation.path)])])


def plan_screen(plan: Plan, preset: str, devices: str) -> str:
    """The end of `headrace plan`."""
    need, has = plan.bytes_per_device / 2**30, plan.device_bytes / 2**30
    rows = [
        ("parameters", f"{plan.total_parameters:,}, of which {plan.active_parameters:,} active"),
        ("memory per device", f"{need:.1f} of {has:.1f} GiB: "
                            f"{'fits' if plan.fits else 'does not fit'}"),
    ]  # fmt: skip
    if plan.tokens_per_second is None:
        rows.append(("speed, cost", "not measured"))
    return "\n".join([rule(f"{preset} on {devices}"), *table(rows)])


def _mark(decision: str, moved: bool) -> str:
    """The verdict of the policy; `moved`: that version is the champion now."""
    if decision == "promote":
        return "PROMOTED" if moved else "PROMOTE (no champion was moved)"
    return {"reject": "REJECTED"}.get(decision, "INCONCLUSIVE")


def _difference(metric: Compared) -> str:
    """One metric of a gate."""
    champion, challenger, difference = metric.champion, metric.challenger, metric.difference
    moved = f"{champion:.3f} -> {challenger:.3f}, difference {difference:+.3f}"
    if metric.interval is None:
        return f"{moved} over {metric.n} documents, too few for an interval: {metric.verdict}"
    low, high = metric.interval
    return f"{moved} [{low:+.3f}, {high:+.3f}]: {metric.verdict}"


def gate_screen(decision: Decision) -> str:
    """The end of `headrace gate`."""
    rows = [("decision", _mark(decision.decision, moved=False))]
    for name, metric in decision.metrics.items():
        if metric.difference is not None:
            rows.append((metric.label or name, _difference(metric)))
    rows += [("because", reason) for reason in decision.reasons]
    rows.append(("report", decision.report))
    return "\n".join([rule("gate"), *table(rows)])


def _round_rows(made: Retrained) -> list[tuple[str, str]]:
    child, gated, finding = made.child, made.gated, made.finding
    if child is None or gated is None:
        return [("drift", "none: nothing is trained"), ("champion", f"version {made.champion}")]
    rows = []
    if finding:
        shown = f"p {finding.p_value:.2g}, effect {finding.effect:.2f}"
        rows.append(("drift", f"found ({shown}): {', '.join(finding.drifted[:4])}"))
    rows.append(("window", f"{child.totals.read:,} read, {child.totals.kept:,} kept"))
    for side, label in (("new", "new text, bits/byte"), ("old", "old text, bits/byte")):
        change = made.changes[side]
        plain = f"   (plain fine-tuning {change.plain:.3f})" if change.plain is not None else ""
        rows.append((label, f"{change.before:.3f} -> {change.after:.3f}{plain}"))
    mark = _mark(gated.verdict, gated.moved)
    rows.append(("gate", f"{mark}: {'; '.join(gated.reasons[:2])}"))
    rows.append(("champion", f"version {made.champion}"))
    return rows


def round_screen(made: Retrained) -> str:
    """The end of `headrace retrain`."""
    rows, finding = _round_rows(made), made.finding
    report = made.gated.decision.report if made.gated else finding and finding.report
    return "\n".join([rule("retraining"), *table(rows + ([("report", report)] if report else []))])


def _gains(stages: Mapping[str, Model]) -> list[tuple[str, str]]:
    return [
        (
            stage,
            f"{measured_by(gain.name)}: {gain.before:.3f} -> {gain.after:.3f}, "
            f"gain {gain.gain:+.3f}{_ends(gain)}: {stage_verdict(gain)}",
        )
        for stage, model in stages.items()
        if (gain := model.gain)
    ]


def _ends(gain: Gain) -> str:
    return "" if gain.low is None else f" [{gain.low:+.3f}, {gain.high:+.3f}]"


def run_screen(made: Lifecycle) -> str:
    """The end of `headrace run`: the whole chain on one screen."""
    figures, first, again = made.base.pretraining, made.first, made.again
    assert figures is not None, "it is a pretrained model"
    scored = made.quality.evaluations()
    total, active = figures.total_parameters, figures.active_parameters
    # The first model was champion until the round's took its place.
    moved = first.moved or bool(again and again.gated and again.gated.moved)
    release = [("release", made.release.id), *_ledger(made.release), *_files(made.release)]
    lines = [
        rule("release"),
        *table(release),
        rule("model"),
        *table(
            [
                ("parameters", f"{total / 1e6:.2f} M, of which {active / 1e6:.2f} M active"),
                ("trained on", f"{figures.tokens:,} tokens in {figures.steps} steps"),
            ]
        ),
        rule("held-out bits per byte (lower is better) [95 % interval]"),
        *table([(name, _figure(scored[key].bits)) for name, key in _SCORED]),
        rule("alignment, on held-out prompts"),
        *table(_gains(made.aligned.stages)),
        rule("gate"),
        *table([("first model", f"{_mark(first.verdict, moved)}: {'; '.join(first.reasons[:2])}")]),
        rule("drift round"),
    ]
    if again:
        lines += table(_round_rows(again))
    elif not first.champion:
        lines += table([("left out", "there is no champion to retrain")])
    else:
        lines += table([("left out", "no --window was given")])
    return "\n".join([*lines, rule(), visible(f"  report: {made.report}")])

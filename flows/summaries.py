"""What a command prints at its end, for a data engineer and an ML lead alike."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from headrace.flows.recorded_lines import DECIDED, decided, recorded
from headrace.infra.artifacts import (
    Compared,
    Decision,
    Evaluation,
    Figure,
    Gain,
    Model,
    Release,
)
from headrace.infra.configuration.setting_faults import written
from headrace.infra.json_types import Json
from headrace.infra.registry.rules import Decision as RecordedDecision
from headrace.infra.visible import visible
from headrace.tasks.configuration.listed_settings import shown
from headrace.tasks.models.stage_metrics import measured_by
from headrace.tasks.models.stage_metrics import verdict as stage_verdict

if TYPE_CHECKING:  # a command's last screen imports nothing heavy
    from headrace.flows.deployments import Deployed
    from headrace.infra.audit import AuditEntry
    from headrace.infra.stack.stack import ServiceState
    from headrace.infra.stack.ways_in import WaysIn
    from headrace.tasks.chain_result import Lifecycle
    from headrace.tasks.configuration.listed_settings import ListedSetting
    from headrace.tasks.gate.decisions import PersonDecision, Verified
    from headrace.tasks.operations.backup import Backup
    from headrace.tasks.operations.garbage import Collected
    from headrace.tasks.operations.restore import Restored
    from headrace.tasks.operations.status import Status, Waiting
    from headrace.tasks.retraining.round import Retrained
    from headrace.tasks.retraining.verdicts import Finding
    from headrace.training.plan import Plan

WIDTH = 78


def _rule(title: str = "") -> str:
    return f"── {title} ".ljust(WIDTH, "─") if title else "─" * WIDTH


def _rows(rows: Iterable[tuple[str, str]]) -> list[str]:
    # A name that is too long for its column still stands apart from the value.
    return [f"  {visible(name):<20}  {visible(value)}" for name, value in rows]


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


_NAMED = 5
"""Files of a kind that the screen names."""


def _files(release: Release) -> list[tuple[str, str]]:
    """Return the first files that are unreadable, misnamed or left out, and how many more."""
    out = []
    for title, files in (
        ("can't be read", release.unreadable_files),
        ("note", release.noted_files),
        ("left out", release.left_out),
    ):
        rows = [(title, f"{file.uri}: {file.why}") for file in files.first[:_NAMED]]
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
    return "\n".join([_rule("release"), *_rows(rows)])


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
    lines, slices = [_rule("evaluation"), *_rows(model)], False
    for name, figure in evaluation.metrics.items():
        measure, _, part = name.partition(".")
        kind, equals, value = part.partition("=")
        if not equals:
            lines.append(_rule(f"{_MEASURED.get(name, name)}, 95 % interval"))
            lines += _rows([("all", _figure(figure))])
        else:
            slices = True
            kinds = [k for k in evaluation.metrics if k.startswith(f"{measure}.{kind}=")]
            if name == kinds[0]:
                lines += _rows([(f"by {_KINDS.get(kind, kind)}", "")])
            lines += _rows([(f"  {value}", _figure(figure))])
    rows = [] if slices else [("no slices", "the documents carry neither `lang` nor `domain`")]
    return "\n".join([*lines, *_rows([*rows, ("file", evaluation.path)])])


_MEASURED = {"bits_per_byte": "bits per byte (lower is better)"}
_KINDS = {"lang": "language"}


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
    return "\n".join([_rule(f"{preset} on {devices}"), *_rows(rows)])


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
    return "\n".join([_rule("gate"), *_rows(rows)])


def drift_screen(findings: Sequence[Finding], waits: Sequence[str] = ()) -> str:
    """The end of `headrace monitor`.

    Args:
        findings: on each window.
        waits: why files of the inbox wait for more text.
    """
    rows = [row for finding in findings for row in _window_rows(finding)]
    rows = rows or [("windows", "no new one")]
    if waits:
        rows.append(("waits", "; ".join(dict.fromkeys(waits))))
    return "\n".join([_rule("monitor"), *_rows(rows)])


def _window_rows(finding: Finding) -> list[tuple[str, str]]:
    """The finding on one window."""
    rows = [("window", finding.window)] if finding.window is not None else []
    if finding.drift is None:
        return [*rows, ("verdict", f"unreadable: {finding.why}")]
    verdict = "DRIFT" if finding.drift else "no drift"
    rows.append(("verdict", f"{verdict}  (p {finding.p_value:.2g}, effect {finding.effect:.2f})"))
    if finding.drifted:
        rows.append(("what shifted", ", ".join(finding.drifted)))
    if finding.drift:
        rows += _alert(finding)
    return [*rows, ("report", str(finding.report))]


def waits_in(outbox: str, why: str | None) -> str:
    """Where an alert waits, and why where that is known."""
    return f"waits in {outbox}" + (f": {why}" if why else "")


def _alert(finding: Finding) -> list[tuple[str, str]]:
    """What became of the alert on a window, and what follows."""
    if finding.outbox:
        return [("alert", f"raised; it {waits_in(finding.outbox, finding.alert_waits)}")]
    return [
        ("alert", "raised, and sent to Prefect"),
        ("what follows", "retrain/on-drift learns the window, and the gate decides: "
         "`headrace status` shows its run"),
    ]  # fmt: skip


def stack_screen(
    services: Sequence[ServiceState],
    ways: WaysIn,
    without_worker: Sequence[str],
    alerts_sent: int,
) -> str:
    """The end of `headrace up`: what runs and where, how to log in, and how from elsewhere."""
    rows = [f"  {'what':<16}{'address':<32}{'pid':<9}state"]
    rows += [f"  {s.name:<16}{s.address:<32}{s.pid:<9}{s.state}" for s in services]
    about = [(name, url) for name, url in ways.pages.items() if url]
    about.append(("log in", f"as `{ways.user}`; the passwords: `headrace env`"))
    if ways.tunnel:
        about.append(("from a laptop", f"{ways.tunnel}, then the same addresses there"))
    about += _afterwards(without_worker, alerts_sent)
    return "\n".join([_rule("stack"), *rows, "", *_rows(about)])


def deployments_screen(made: Deployed) -> str:
    """The end of `headrace deploy`."""
    rows = [
        (d.name, (", ".join([*d.schedules, *d.automations]) or "on demand")
         + (f"; paused: {', '.join(d.paused)}" if d.paused else ""))
        for d in made.deployments
    ]  # fmt: skip
    rows += [("changed", f"{c.setting}: {_value(c.before)} -> {_value(c.after)}")
             for c in made.changed]  # fmt: skip
    rows += [
        ("set back", f"{e.deployment} {e.parameter}: {_value(e.before)} -> {_value(e.after)} "
         "(changed in Prefect's pages; --set keeps it)")
        for e in made.edited
    ]  # fmt: skip
    rows += _afterwards(made.without_worker, made.alerts_sent)
    rows += [("kept in", made.kept), ("see", made.prefect)]
    return "\n".join([_rule("deployments"), *_rows(rows)])


def _afterwards(without_worker: Sequence[str], alerts_sent: int) -> list[tuple[str, str]]:
    """Pools that no worker serves, and the alerts that were sent."""
    rows = []
    if without_worker:
        rows.append(("no worker", _without_worker(without_worker)))
    if alerts_sent:
        rows.append(("alerts", f"{alerts_sent} that waited were sent"))
    return rows


def _without_worker(pools: Sequence[str]) -> str:
    return (
        f"{', '.join(pools)}: runs there wait until a worker serves it "
        "(`headrace down`, then `headrace up`, for a pool of `pools`)"
    )


def _value(value: Json) -> str:
    """A setting's value as `--set` takes it."""
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value


def settings_screen(rows: Sequence[ListedSetting], verb: str | None) -> str:
    """The end of `headrace settings`: key and value, what it takes, what it means.

    Args:
        rows: the settings.
        verb: whose they are; None: of every verb.
    """
    lines, last = [], ""
    for row in rows:
        group = row.key.rpartition(".")[0]
        title = group or (f"headrace {row.verb}" if verb else "of every verb")
        if not group and not verb and row.verb != "run":
            title = f"headrace {row.verb}"
        if title != last:
            lines += ["", _rule(title)]
            last = title
        default = "" if row.value == row.default else f", default {written(row.default)}"
        lines.append(f"  {row.key} = {shown(row.value)}   ({row.kind}{default})")
        lines += textwrap.wrap(row.meaning, WIDTH, initial_indent=" " * 6,
                               subsequent_indent=" " * 6)  # fmt: skip
    return "\n".join(visible(line) for line in lines[1:])


def _or(value: str | None) -> str:
    return value if value else "none"


def _waiting(versions: Sequence[Waiting]) -> list[tuple[str, str]]:
    return [
        ("waits for a person", f"version {v.version}, compared with "
         + (f"version {v.compared_with}" if v.compared_with else "no model")
         + (f": {v.report}" if v.report else ""))
        for v in versions
    ]  # fmt: skip


def _parts(sizes: dict[str, int]) -> str:
    """What takes the room, the largest first; a hundredth of all is not worth a word."""
    least = sum(sizes.values()) / 100
    shown = [f"{part} {size / 1e9:.2f} GB" for part, size in sizes.items() if size >= least]
    return ", ".join(shown) + "; `headrace gc --keep 3 --dry-run` says what can go"


def status_screen(status: Status) -> str:
    """The end of `headrace status`."""
    champion, window, last, disk = status.champion, status.window, status.decision, status.disk
    rows = [
        ("champion", f"version {champion.version}, release {_or(champion.release_id)}, "
         f"since {_or(champion.since)}" if champion else "none yet: `headrace run`"),
        *((("it lacks", champion.missing),) if champion and champion.missing else ()),
        *(_waiting(status.waiting) or [("waits for a person", "none")]),
        ("last window", f"{window.window}: {'DRIFT' if window.drift else 'no drift'}, "
         f"{window.judged}" if window else "none"),
        ("last decision", decided(RecordedDecision.of(last)) if last else "none"),
        ("runs", _or(", ".join(f"{r.name} ({r.flow})" for r in status.running))),
        ("next", _or(", ".join(f"{r.flow} at {r.at}" for r in status.next))),
        *(("paused", what) for what in status.paused),
        *(("alert waits", f"{a.window}: {a.why}") for a in status.alerts),
        *(("alert's run", f"{_or(r.windows[0])}: {r.name}, {r.state}")
          for r in status.alert_runs[:_NAMED]),
        ("stack", f"{_or(status.stack)}{status.stack_fault or ''}"),
        ("disk", f"{disk.state_bytes / 1e9:.2f} GB here, {disk.free_bytes / 1e9:.1f} GB free"),
        *((("of it", _parts(disk.parts)),) if disk.parts else ()),
    ]  # fmt: skip
    return "\n".join([_rule("status"), *_rows(rows)])


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
    return "\n".join([_rule("retraining"), *_rows(rows + ([("report", report)] if report else []))])


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


_SCORED = (
    ("unigram", "unigram"),
    ("Kneser-Ney bigram", "kneser_ney_bigram"),
    ("MoE, pretrained", "pretrained"),
    ("MoE, aligned", "aligned"),
)


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
        _rule("release"),
        *_rows(release),
        _rule("model"),
        *_rows(
            [
                ("parameters", f"{total / 1e6:.2f} M, of which {active / 1e6:.2f} M active"),
                ("trained on", f"{figures.tokens:,} tokens in {figures.steps} steps"),
            ]
        ),
        _rule("held-out bits per byte (lower is better) [95 % interval]"),
        *_rows([(name, _figure(scored[key].bits)) for name, key in _SCORED]),
        _rule("alignment, on held-out prompts"),
        *_rows(_gains(made.aligned.stages)),
        _rule("gate"),
        *_rows([("first model", f"{_mark(first.verdict, moved)}: {'; '.join(first.reasons[:2])}")]),
        _rule("drift round"),
    ]
    if again:
        lines += _rows(_round_rows(again))
    elif not first.champion:
        lines += _rows([("left out", "there is no champion to retrain")])
    else:
        lines += _rows([("left out", "no --window was given")])
    return "\n".join([*lines, _rule(), visible(f"  report: {made.report}")])


def decision_screen(made: PersonDecision) -> str:
    """The end of `headrace decide` and `rollback`."""
    rows = [
        (f"version {made.version}", f"{DECIDED[made.decision]}, by {made.by}"),
        ("because", made.why),
        ("champion", f"version {made.champion}" if made.champion else "none"),
    ]
    rows += [("passed by", f"version {x.version} {x.because}") for x in made.skipped or ()]
    return "\n".join([_rule("decision"), *_rows(rows)])


def audit_screen(verified: Verified) -> str:
    """The end of `headrace audit verify`."""
    rows = [("recorded lines", f"{verified.lines:,}, the chain holds")]
    if verified.unsigned:
        rows.append(("not signed", f"{verified.unsigned:,}: written before there was a key"))
    if verified.last:
        rows.append(("last hash", verified.last))
    if verified.torn:
        rows.append(("torn last line", "a decision that a kill cut short; it was never made"))
    rows.append(("file", verified.file))
    return "\n".join([_rule("audit"), *_rows(rows)])


def decisions_screen(entries: Sequence[AuditEntry]) -> str:
    """The end of `headrace audit show`: a line each, the oldest first."""
    lines = [visible(f"  {recorded(entry)}") for entry in entries]
    return "\n".join([_rule("recorded"), *(lines or ["  nothing yet"])])


def litter_screen(made: Collected) -> str:
    """The end of `headrace gc`."""
    verb, freed = ("would go", "would free") if made.dry_run else ("removed", "freed")
    rows = [(verb, name) for name in made.removed]
    for kind in dict.fromkeys(e.kind for e in made.expired):
        sizes = [e.bytes for e in made.expired if e.kind == kind]
        rows.append((verb, f"{kind}: {len(sizes)}, {sum(sizes) / 1e6:,.1f} MB"))
    if any(made.prefect.values()):
        rows.append((verb, "Prefect's: {runs:,} runs, {events:,} events".format(**made.prefect)))
    rows.append((freed, f"{made.bytes / 1e6:,.1f} MB; {len(made.kept)} folders stay"))
    return "\n".join([_rule("gc"), *_rows(rows)])


def backup_screen(made: Backup) -> str:
    """The end of `headrace backup`."""
    rows = [
        ("backup", made.backup),
        ("files", f"{made.files:,}, {made.bytes / 1e6:,.1f} MB"),
        ("copied", f"{made.copied:,}, {made.copied_bytes / 1e6:,.1f} MB; the rest is linked"),
        *_apart(made),
    ]
    if made.audit_key:
        rows.append(("copy by hand", f"{made.audit_key}: the key of the audit file"))
    return "\n".join([_rule("backup"), *_rows(rows)])


def restore_screen(made: Restored) -> str:
    """The end of `headrace restore`."""
    rows = [
        *([("restored to", made.home)] if made.home else []),
        ("backup", f"{made.backup}, of {made.made}"),
        ("files", f"{made.files:,}, {made.bytes / 1e6:,.1f} MB, each as it was copied"),
        *_apart(made),
    ]
    if made.missing_keys:
        rows.append(("audit key", "not here: put it back, then `headrace audit verify`"))
    if made.home:
        rows.append(("next", "`headrace audit verify`, `headrace up`"))
    return "\n".join([_rule("restore"), *_rows(rows)])


def _apart(made: Backup | Restored) -> list[tuple[str, str]]:
    """What a backup does not hold."""
    rows = [("not in it", ", ".join(made.left_out))] if made.left_out else []
    return [*rows, *(("outside, not in it", place) for place in made.outside)]

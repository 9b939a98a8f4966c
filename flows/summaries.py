"""What a command prints at its end, for a data engineer and an ML lead alike."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
from headrace.infra.visible import visible
from headrace.tasks.configuration.listed_settings import shown
from headrace.tasks.models.stage_metrics import measured_by
from headrace.tasks.models.stage_metrics import verdict as stage_verdict

if TYPE_CHECKING:  # a command's last screen imports nothing heavy
    from headrace.tasks.chain_result import Lifecycle
    from headrace.tasks.gate.decisions import PersonDecision, Verified
    from headrace.tasks.retraining.round import Retrained

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
    """The first files that can't be read, aren't what their names say or are left out; how many
    more there are of each."""
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


def plan_screen(data: dict[str, Any], preset: str, devices: str) -> str:
    """The end of `headrace plan`."""
    need, has = data["bytes_per_device"] / 2**30, data["device_bytes"] / 2**30
    total, active = data["total_parameters"], data["active_parameters"]
    rows = [
        ("parameters", f"{total:,}, of which {active:,} active"),
        ("memory a device", f"{need:.1f} of {has:.1f} GiB: "
                            f"{'fits' if data['fits'] else 'does not fit'}"),
    ]  # fmt: skip
    if data["tokens_per_second"] is None:
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


def drift_screen(data: dict[str, Any]) -> str:
    """The end of `headrace monitor`."""
    windows = data.get("windows", [data])
    rows = [row for window in windows for row in _window_rows(window)]
    rows = rows or [("windows", "no new one")]
    if "waits" in data:
        rows.append(("waits", data["waits"]))
    return "\n".join([_rule("monitor"), *_rows(rows)])


def _window_rows(verdict: dict[str, Any]) -> list[tuple[str, str]]:
    """One window's own verdict."""
    rows = [("window", verdict["window"])] if "window" in verdict else []
    if verdict["drift"] is None:
        return [*rows, ("verdict", f"unreadable: {verdict['why']}")]
    said = "DRIFT" if verdict["drift"] else "no drift"
    rows.append(
        ("verdict", f"{said}  (p {verdict['p_value']:.2g}, effect {verdict['effect']:.2f})")
    )
    if verdict["drifted"]:
        rows.append(("what shifted", ", ".join(verdict["drifted"])))
    if verdict["drift"]:
        rows += _alert(verdict)
    return [*rows, ("report", verdict["report"])]


def waits_in(outbox: str, why: str | None) -> str:
    """Where an alert waits, and why where that is known."""
    return f"waits in {outbox}" + (f": {why}" if why else "")


def _alert(verdict: dict[str, Any]) -> list[tuple[str, str]]:
    """What became of the alert on a window, and what follows."""
    if verdict.get("outbox"):
        return [("alert", f"raised; it {waits_in(verdict['outbox'], verdict['alert_waits'])}")]
    return [
        ("alert", "raised, and sent to Prefect"),
        ("what follows", "retrain/on-drift learns the window, and the gate decides: "
         "`headrace status` shows its run"),
    ]  # fmt: skip


def stack_screen(data: dict[str, Any]) -> str:
    """The end of `headrace up`: what runs and where, how to log in, and how from elsewhere."""
    rows = [f"  {'what':<16}{'address':<32}{'pid':<9}state"]
    rows += [
        f"  {s['name']:<16}{s['address']:<32}{s['pid']:<9}{s['state']}" for s in data["services"]
    ]
    pages = [(name, url) for name, url in data["pages"].items() if url]
    login = f"as `{data['user']}`; the passwords: `headrace env`"
    said = [*pages, ("log in", login)]
    if data["tunnel"]:
        said.append(("from a laptop", f"{data['tunnel']}, then the same addresses there"))
    if data["without_worker"]:
        said.append(("no worker", _without_worker(data["without_worker"])))
    if data["alerts_sent"]:
        said.append(("alerts", f"{data['alerts_sent']} that waited were sent"))
    return "\n".join([_rule("stack"), *rows, "", *_rows(said)])


def deployments_screen(data: dict[str, Any]) -> str:
    """The end of `headrace deploy`."""
    rows = [
        (d["name"], (", ".join([*d["schedules"], *d["automations"]]) or
         "on demand") + (f"; paused: {', '.join(d['paused'])}" if d["paused"] else ""))
        for d in data["deployments"]
    ]  # fmt: skip
    rows += [("changed", f"{c['setting']}: {_value(c['from'])} -> {_value(c['to'])}")
             for c in data["changed"]]  # fmt: skip
    rows += [
        ("set back", f"{e['deployment']} {e['parameter']}: {_value(e['from'])} -> "
         f"{_value(e['to'])} (changed in Prefect's pages; --set keeps it)")
        for e in data["edited"]
    ]  # fmt: skip
    if data["without_worker"]:
        rows.append(("no worker", _without_worker(data["without_worker"])))
    if data["alerts_sent"]:
        rows.append(("alerts", f"{data['alerts_sent']} that waited were sent"))
    rows += [("kept in", data["kept"]), ("see", data["prefect"])]
    return "\n".join([_rule("deployments"), *_rows(rows)])


def _without_worker(pools: list[str]) -> str:
    return (
        f"{', '.join(pools)}: runs there wait until a worker serves it "
        "(`headrace down`, then `headrace up`, for a pool of `pools`)"
    )


def _value(value: Any) -> str:
    """A setting's value as `--set` takes it."""
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value


def settings_screen(data: dict[str, Any]) -> str:
    """The end of `headrace settings`: key and value, what it takes, what it means."""
    lines, last = [], ""
    for row in data["settings"]:
        group = row["key"].rpartition(".")[0]
        title = group or (f"headrace {row['verb']}" if data["verb"] else "of every verb")
        if not group and not data["verb"] and row["verb"] != "run":
            title = f"headrace {row['verb']}"
        if title != last:
            lines += ["", _rule(title)]
            last = title
        default = "" if row["value"] == row["default"] else f", default {written(row['default'])}"
        lines.append(f"  {row['key']} = {shown(row['value'])}   ({row['kind']}{default})")
        lines += textwrap.wrap(row["meaning"], WIDTH, initial_indent=" " * 6,
                               subsequent_indent=" " * 6)  # fmt: skip
    return "\n".join(visible(line) for line in lines[1:])


def _removed(line: Mapping[str, Any]) -> str:
    """What a recorded removal was of."""
    history = line.get("prefect", {})
    return ", ".join(
        [
            *line.get("removed", ()),
            *(f"{one['kind']}: {one['items']}" for one in line.get("expired", ())),
            *(f"{history[k]} {k} of Prefect" for k in ("runs", "events") if history.get(k)),
        ]
    )


_DECIDED = {"promote": "promoted", "refuse": "refused", "rollback": "champion again"}


def _or(value: str | None) -> str:
    return value if value else "none"


def _waiting(versions: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        ("waits for a person", f"version {v['version']}, compared with "
         + (f"version {v['compared_with']}" if v["compared_with"] else "no model")
         + (f": {v['report']}" if v["report"] else ""))
        for v in versions
    ]  # fmt: skip


def _decided(line: Mapping[str, Any]) -> str:
    """A recorded decision in a line: on which version, who, why, when."""
    said = _DECIDED.get(line["action"], line["action"])
    before, after = line.get("from"), line["to"]
    moved = "" if before == after else f" (champion {before or 'none'} -> {after})"
    stale = ", over a champion that it was not compared with" if line.get("stale") else ""
    return (
        f"version {line.get('version') or after} {said}{moved}{stale} by "
        f"{line.get('who', 'unknown')}, {line['time']}: {line.get('why', 'no reason given')}"
    )


def _parts(sizes: dict[str, int]) -> str:
    """What takes the room, the largest first; a hundredth of all is not worth a word."""
    least = sum(sizes.values()) / 100
    shown = [f"{part} {size / 1e9:.2f} GB" for part, size in sizes.items() if size >= least]
    return ", ".join(shown) + "; `headrace gc --keep 3 --dry-run` says what can go"


def status_screen(data: dict[str, Any]) -> str:
    """The end of `headrace status`."""
    c, w, d = data["champion"], data["window"], data["decision"]
    rows = [
        ("champion", f"version {c['version']}, release {_or(c['release_id'])}, "
         f"since {_or(c['since'])}" if c else "none yet: `headrace run`"),
        *((("it lacks", c["missing"]),) if c and c["missing"] else ()),
        *(_waiting(data["waiting"]) or [("waits for a person", "none")]),
        ("last window", f"{w['window']}: {'DRIFT' if w['drift'] else 'no drift'}, {w['judged']}"
         if w else "none"),
        ("last decision", _decided(d) if d else "none"),
        ("runs", _or(", ".join(f"{r['name']} ({r['flow']})" for r in data["running"]))),
        ("next", _or(", ".join(f"{r['flow']} at {r['at']}" for r in data["next"]))),
        *(("paused", what) for what in data["paused"]),
        *(("alert waits", f"{a['window']}: {a['why']}") for a in data["alerts"]),
        *(("alert's run", f"{_or(r['windows'][0])}: {r['name']}, {r['state']}")
          for r in data["alert_runs"][:_NAMED]),
        ("stack", f"{_or(data['stack'])}{data['stack_fault'] or ''}"),
        ("disk", f"{data['disk']['state_bytes'] / 1e9:.2f} GB here, "
         f"{data['disk']['free_bytes'] / 1e9:.1f} GB free"),
        *((("of it", _parts(data["disk"]["parts"])),) if data["disk"]["parts"] else ()),
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
        (f"version {made.version}", f"{_DECIDED[made.decision]}, by {made.by}"),
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


def decisions_screen(lines: Sequence[Mapping[str, Any]]) -> str:
    """The end of `headrace audit show`: a line each, the oldest first."""
    shown = [visible(f"  {line['number']:>4}  {_recorded(line)}") for line in lines]
    return "\n".join([_rule("recorded"), *(shown or ["  nothing yet"])])


def _recorded(line: Mapping[str, Any]) -> str:
    """A line of the audit file: a decision, or what else has changed."""
    account = f" (account {line['account']})" if "account" in line else ""
    if line["action"] in _DECIDED:
        return f"{line['model']}: {_decided(line)}{account}"
    match line["action"]:
        case "release":
            text = f"release {line['release_id']} published as {line['release']}"
        case "deploy":
            text = f"deployed {', '.join(line['deployments'])}; {_changes(line)}"
        case "thresholds":
            text = f"thresholds of {line['of']}: {_changes(line)}"
        case "gc":
            text = f"removed {_removed(line)}"
        case "alias set back":
            text = f"{line['model']}: {line['why']}; set back to version {line['to']}"
        case other:
            text = other
    return f"{text}, {line['time']}{account}"


def _changes(line: Mapping[str, Any]) -> str:
    """What a line says has changed, as `path: old -> new`; where all is new, only how much."""
    before, after = line["from"], line["to"]
    if not before:
        return f"{len(after):,} values, all of them new"
    paths = sorted({*before, *after})
    shown = [f"{p}: {before.get(p, 'none')} -> {after.get(p, 'none')}" for p in paths[:5]]
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    return ", ".join(shown) + more


def litter_screen(data: dict[str, Any]) -> str:
    """The end of `headrace gc`."""
    said, freed = ("would go", "would free") if data["dry_run"] else ("removed", "freed")
    rows = [(said, name) for name in data["removed"]]
    kinds = dict.fromkeys(e["kind"] for e in data["expired"])
    for kind in kinds:
        sizes = [e["bytes"] for e in data["expired"] if e["kind"] == kind]
        rows.append((said, f"{kind}: {len(sizes)}, {sum(sizes) / 1e6:,.1f} MB"))
    if any(data["prefect"].values()):
        rows.append((said, "Prefect's: {runs:,} runs, {events:,} events".format(**data["prefect"])))
    rows.append((freed, f"{data['bytes'] / 1e6:,.1f} MB; {len(data['kept'])} folders stay"))
    return "\n".join([_rule("gc"), *_rows(rows)])


def backup_screen(data: dict[str, Any]) -> str:
    """The end of `headrace backup`."""
    rows = [
        ("backup", data["backup"]),
        ("files", f"{data['files']:,}, {data['bytes'] / 1e6:,.1f} MB"),
        ("copied", f"{data['copied']:,}, {data['copied_bytes'] / 1e6:,.1f} MB; the rest is linked"),
        *_apart(data),
    ]
    if data["audit_key"]:
        rows.append(("copy by hand", f"{data['audit_key']}: the key of the audit file"))
    return "\n".join([_rule("backup"), *_rows(rows)])


def restore_screen(data: dict[str, Any]) -> str:
    """The end of `headrace restore`."""
    rows = [
        *([("restored to", data["home"])] if data["home"] else []),
        ("backup", f"{data['backup']}, of {data['made']}"),
        ("files", f"{data['files']:,}, {data['bytes'] / 1e6:,.1f} MB, each as it was copied"),
        *_apart(data),
    ]
    if data["missing_keys"]:
        rows.append(("audit key", "not here: put it back, then `headrace audit verify`"))
    if data["home"]:
        rows.append(("next", "`headrace audit verify`, `headrace up`"))
    return "\n".join([_rule("restore"), *_rows(rows)])


def _apart(data: dict[str, Any]) -> list[tuple[str, str]]:
    """What a backup does not hold."""
    rows = [("not in it", ", ".join(data["left_out"]))] if data["left_out"] else []
    return [*rows, *(("outside, not in it", place) for place in data["outside"])]

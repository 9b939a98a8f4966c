"""The report of a release: what came in, what was rejected at which level and why, with examples.

The figures are stored with the release; the page is made of them, alone or within a chain's report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict

from headrace.infra import html
from headrace.infra.level_facts import CONTAMINATION, Score
from headrace.infra.plots import CYCLE, color, plot
from headrace.infra.releases import FileNote, Manifest
from headrace.spark_jobs.levels import DRAWN, LEVELS, PLACES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from headrace.spark_jobs.curate import release_writer, scan_counts

_SOURCES = 40
"""Lines of the table of inputs; of more files only the largest are shown."""
_COMMON = 20
"""Least records of a language whose scores are drawn."""
Line = tuple[Any, ...]


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class Totals(_Figures):
    """Records by outcome."""

    read: int
    kept: int
    rejected: dict[str, int]
    """By level."""
    unreadable: int
    repaired: int = 0


class Input(_Figures):
    """A file that was read."""

    uri: str
    bytes: int
    records: int
    licence: str | None = None


class FileOfNote(_Figures):
    """A file and what is odd about it."""

    uri: str
    why: str


class Example(_Figures):
    """A rejected record."""

    id: str
    source: str
    position: int
    lang: str
    reason: str
    detail: str | None
    text: str


class UnreadableRecord(_Figures):
    """A record that could not be read."""

    source: str
    position: int
    error: str


class Histogram(_Figures):
    """How many records of a language have which score, in equal bins between 0 and 1."""

    score: str
    lang: str
    bins: list[int]


class ReleaseFigures(_Figures):
    """What the report of a release shows."""

    release_id: str
    parent: str | None
    totals: Totals
    repeated_ids: int
    inputs: list[Input]
    """The largest first."""
    more_inputs: int
    """Files that `inputs` leaves out."""
    files_of_note: dict[str, list[FileOfNote]]
    repaired: list[tuple[str, int]]
    """(source, repaired records), most first."""
    repaired_files: int
    kept: list[tuple[str, int]]
    """(language, records), most first."""
    common: list[str]
    """Languages that have their own colors in the plots, the commonest first."""
    reasons: list[tuple[str, str, str, int]]
    """(level, reason, language, rejected records)."""
    histograms: list[Histogram]
    thresholds: dict[str, dict[str, float]]
    """By score: {name: threshold}."""
    examples: dict[str, list[Example]]
    """By level, in the order of levels."""
    unreadable: list[UnreadableRecord]
    """The first ones."""

    def share(self, records: int) -> str:
        """Return in words which part of what was read some records are."""
        return f"{records / self.totals.read:.1%} of what was read" if self.totals.read else ""


def files_of_note(manifest: Manifest) -> dict[str, list[FileNote]]:
    """Files that can't be read, are not what their names say, or were left out: URI and reason."""
    inputs = manifest["inputs"]
    return {
        "unreadable_files": [{"uri": i["uri"], "why": i["error"]} for i in inputs if "error" in i],
        "noted_files": [{"uri": i["uri"], "why": i["note"]} for i in inputs if "note" in i],
        "left_out": list(manifest.get("left_out", [])),
    }


_SOURCE, _OUTCOME, _LEVEL, _REASON, _LANG, _RECORDS, _BYTES, _REPAIRED = range(8)


def _by(lines: Sequence[Line], *keys: int) -> Counter[tuple[Any, ...]]:
    """Sum the records of ledger lines by some of their columns."""
    out: Counter[tuple[Any, ...]] = Counter()
    for line in lines:
        out[tuple(line[k] for k in keys)] += line[_RECORDS]
    return out


def _thresholds(manifest: Manifest, score: Score) -> dict[str, float]:
    """Return the named thresholds that apply to a score."""
    level = next((level for level in LEVELS if score in level.columns), None)
    if level is None or not score.threshold:
        return {}
    threshold = manifest["config"][level.name][score.threshold]
    return dict(threshold) if score.per else {score.threshold: threshold}


def figures(
    manifest: Manifest,
    lines: Sequence[Line],
    histograms: Mapping[tuple[str, str], Sequence[int]],
    examples: Mapping[str, Sequence[release_writer.Example]],
    unreadable: Sequence[scan_counts.UnreadableRecord] = (),
) -> ReleaseFigures:
    """Return what the report shows.

    Args:
        manifest: the manifest to be.
        lines: ledger lines (source, outcome, level, reason, lang, records, bytes, repaired).
        histograms: {(score, lang): counts of equal bins between 0 and 1}.
        examples: {level: rejected records}.
        unreadable: `source`, `position`, `error` of the first unreadable records.
    """
    inputs = sorted(manifest["inputs"], key=lambda i: (-i["bytes"], i["uri"]))
    repaired: Counter[str] = Counter()
    for line in lines:
        repaired[line[_SOURCE]] += line[_REPAIRED]
    repairs = [(s, n) for s, n in sorted(repaired.items(), key=lambda i: (-i[1], i[0])) if n]
    kept = _by([line for line in lines if line[_OUTCOME] == "kept"], _LANG)
    common = sorted(_by(lines, _LANG).items(), key=lambda i: (-i[1], str(i[0][0])))
    rejected = _by([x for x in lines if x[_OUTCOME] == "rejected"], _LEVEL, _REASON, _LANG)
    ordered = sorted(rejected.items(), key=lambda i: (PLACES.index(i[0][0]), -i[1], i[0]))
    return ReleaseFigures(
        release_id=manifest["release_id"],
        parent=manifest["parent"],
        totals=Totals.model_validate(manifest["totals"]),
        repeated_ids=manifest["warnings"]["repeated_ids"],
        inputs=[Input.model_validate(i) for i in inputs[:_SOURCES]],
        more_inputs=max(0, len(inputs) - _SOURCES),
        files_of_note={
            kind: [FileOfNote(**f) for f in files]
            for kind, files in files_of_note(manifest).items()
        },
        repaired=repairs[:_SOURCES],
        repaired_files=len(repairs),
        kept=[(lang, n) for (lang,), n in sorted(kept.items(), key=lambda i: (-i[1], i[0]))],
        common=[lang for (lang,), _ in common[: len(CYCLE)]],
        reasons=[(level, reason, lang, n) for (level, reason, lang), n in ordered],
        histograms=[
            Histogram(score=score, lang=lang, bins=list(bins))
            for (score, lang), bins in sorted(histograms.items())
            if sum(bins)
        ],
        thresholds={s.name: _thresholds(manifest, s) for s in DRAWN},
        examples={
            level: [Example.model_validate(e) for e in examples[level]]
            for level in PLACES
            if examples.get(level)
        },
        unreadable=[UnreadableRecord.model_validate(x) for x in unreadable],
    )


def render(shown: ReleaseFigures) -> str:
    """Return the report of a release as a self-contained HTML page."""
    parent = f", child of {shown.parent}" if shown.parent else ""
    title = "What this release is made of"
    subtitle = f"release {shown.release_id}{parent}"
    return html.page("release.html.j2", title, subtitle, release=ReleaseView.of(shown))


@dataclass(frozen=True)
class ReleasePlots:
    """The plots of a release."""

    levels: Markup | None
    """None where nothing was rejected."""
    scores: tuple[tuple[str, str, Markup], ...]
    """(title, thresholds, plot)."""


@dataclass(frozen=True)
class ReleaseView:
    """What the template `release.html.j2` lays out, alone or within a chain's report."""

    figures: ReleaseFigures
    plots: ReleasePlots
    totals: list[tuple[str, int]]
    licensed: bool
    inputs: list[tuple[str | int, ...]]
    files: list[tuple[str, list[tuple[str, str]], int]]
    """Of each kind of file of note: (kind, rows, further files)."""
    languages: list[str]
    levels: list[tuple[str | int, ...]]
    """(level, rejected records of each language)."""
    unreadable: list[tuple[str, str]]

    @classmethod
    def of(cls, shown: ReleaseFigures) -> ReleaseView:
        """Return the figures in rows, and the plots."""
        totals = shown.totals
        counts = [
            ("read", totals.read),
            ("kept", totals.kept),
            ("rejected", sum(totals.rejected.values())),
            ("unreadable", totals.unreadable),
            ("repaired", totals.repaired),
        ]
        licensed = any(i.licence is not None for i in shown.inputs)
        languages, levels = _rejected(shown)
        return cls(
            figures=shown,
            plots=ReleasePlots(
                plot(
                    partial(_draw_levels, shown, languages, levels), height=0.6 + 0.4 * len(levels)
                )
                if levels
                else None,
                tuple(_scores(shown)),
            ),
            totals=counts if totals.repaired else counts[:-1],
            licensed=licensed,
            inputs=[
                (i.uri, i.bytes, i.records, *([i.licence or ""] if licensed else []))
                for i in shown.inputs
            ],
            files=[
                (kind, [(f.uri, f.why) for f in files[:_SOURCES]], max(0, len(files) - _SOURCES))
                for kind, files in shown.files_of_note.items()
                if files
            ],
            languages=languages,
            levels=levels,
            unreadable=[(f"{x.source}:{x.position}", x.error) for x in shown.unreadable],
        )


def _colors(shown: ReleaseFigures) -> dict[str, str]:
    """Return a color for each of the commonest languages, the same in all plots."""
    return {lang: color(name) for lang, name in zip(shown.common, CYCLE, strict=False)}


def _rejected(shown: ReleaseFigures) -> tuple[list[str], list[tuple[str | int, ...]]]:
    """Return the languages, and per level the rejected records of each; nothing if none was."""
    cells: Counter[tuple[str, str]] = Counter()
    for level, _, lang, n in shown.reasons:
        cells[level, lang] += n
    languages = [lang for lang in shown.common if any(lang == key[1] for key in cells)]
    # Contamination is a level only where it is looked for.
    levels = [n for n in PLACES if n != CONTAMINATION or any(n == key[0] for key in cells)]
    if not cells:
        return [], []
    return languages, [(level, *(cells[level, lang] for lang in languages)) for level in levels]


def _draw_levels(
    shown: ReleaseFigures,
    languages: Sequence[str],
    rows: Sequence[tuple[str | int, ...]],
    axes: Axes,
) -> None:
    colors = _colors(shown)
    levels = [str(row[0]) for row in rows]
    left = np.zeros(len(rows))
    for column, lang in enumerate(languages, 1):
        width = np.array([int(row[column]) for row in rows])
        axes.barh(levels, width, left=left, color=colors[lang], label=lang)
        left += width
    axes.invert_yaxis()
    axes.set_xlabel("records")
    axes.legend(frameon=False)


def _scores(shown: ReleaseFigures) -> list[tuple[str, str, Markup]]:
    """Return (title, thresholds, plot) of each score that any record has."""
    out = []
    for score in DRAWN:
        mine = {h.lang: h.bins for h in shown.histograms if h.score == score.name}
        if not mine:
            continue
        thresholds = shown.thresholds.get(score.name, {})
        draw = partial(_draw_scores, mine, _colors(shown), set(thresholds.values()))
        caption = ", ".join(f"{k} {v:g}" for k, v in thresholds.items())
        out.append((score.title, caption, plot(draw, height=2.4)))
    return out


def _draw_scores(
    bins: Mapping[str, Sequence[int]],
    colors: Mapping[str, str],
    thresholds: set[float],
    axes: Axes,
) -> None:
    # Shares of a handful of records would be tall bars that say nothing.
    common = [lang for lang in colors if sum(bins.get(lang, ())) >= _COMMON]
    for lang in common[:4] or sorted(bins, key=lambda lang: -sum(bins[lang]))[:1]:
        share = np.array(bins[lang]) / sum(bins[lang])
        edges = np.linspace(0, 1, len(share) + 1)
        axes.stairs(share, edges, color=colors.get(lang, color("grey")), label=lang, linewidth=1.5)
    for value in sorted(thresholds):
        axes.axvline(value, color=color("red"), linewidth=1, linestyle="--")
    axes.set_xlim(0, 1)
    axes.set_yscale("symlog", linthresh=0.01)
    axes.set_ylabel("share of records")
    axes.legend(frameon=False)

"""The page of a release: what came in, what was rejected at which level and why, with examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from headrace.infra.html import (
    CYCLE,
    Section,
    colour,
    details,
    excerpt,
    heading,
    page,
    paragraph,
    plot,
    table,
    tiles,
)
from headrace.infra.level_facts import CONTAMINATION, Score
from headrace.infra.releases import FileNote, Manifest
from headrace.spark_jobs.levels import DRAWN, LEVELS, PLACES

_SOURCES = 40
"""Lines of the table of inputs; of more files only the largest are shown."""
_COMMON = 20
"""Least records of a language whose scores are drawn."""

Line = tuple[Any, ...]


def _tiles(totals: Mapping[str, Any]) -> Markup:
    read = totals["read"]

    def share(n: int) -> str:
        return f"{n / read:.1%} of what was read" if read else ""

    rejected = sum(totals["rejected"].values())
    repaired = totals.get("repaired", 0)
    return tiles(
        [
            ("read", read, "records"),
            ("kept", totals["kept"], share(totals["kept"])),
            ("rejected", rejected, share(rejected)),
            ("unreadable", totals["unreadable"], share(totals["unreadable"])),
            *([("repaired", repaired, share(repaired))] if repaired else []),
        ]
    )


def _inputs(manifest: Manifest) -> Section:
    largest = sorted(manifest["inputs"], key=lambda i: (-i["bytes"], i["uri"]))
    rows = [[i["uri"], i["bytes"], i["records"]] for i in largest[:_SOURCES]]
    head = ["source", "bytes", "records"]
    if any("licence" in i for i in largest):
        head.append("licence")
        rows = [[*r, i.get("licence", "")] for r, i in zip(rows, largest, strict=False)]
    more = len(largest) - len(rows)
    note = f"and {more:,} smaller files" if more > 0 else ""
    return Section("What came in", table(head, rows, note))


def files_of_note(manifest: Manifest) -> dict[str, list[FileNote]]:
    """Files that can't be read, are not what their names say, or were left out: URI and reason."""
    inputs = manifest["inputs"]
    return {
        "unreadable_files": [{"uri": i["uri"], "why": i["error"]} for i in inputs if "error" in i],
        "noted_files": [{"uri": i["uri"], "why": i["note"]} for i in inputs if "note" in i],
        "left_out": list(manifest.get("left_out", [])),
    }


_FILES = {
    "unreadable_files": "Can't be read",
    "noted_files": "Not what their names say",
    "left_out": "Left out of the folders that were read",
}


def _files(manifest: Manifest) -> list[Section]:
    parts: list[Markup] = []
    for name, rows in files_of_note(manifest).items():
        if rows:
            more = len(rows) - _SOURCES
            note = f"and {more:,} more; manifest.json has them all" if more > 0 else ""
            shown = [[x["uri"], x["why"]] for x in rows[:_SOURCES]]
            parts += [heading(_FILES[name]), table(["file", "what it is"], shown, note)]
    return [Section("Files of note", *parts)] if parts else []


def _by(lines: Sequence[Line], *keys: int) -> Counter[tuple[Any, ...]]:
    """Records of ledger lines summed by some of their columns."""
    out: Counter[tuple[Any, ...]] = Counter()
    for line in lines:
        out[tuple(line[k] for k in keys)] += line[5]
    return out


_SOURCE, _OUTCOME, _LEVEL, _REASON, _LANG, _RECORDS, _BYTES, _REPAIRED = range(8)


def _colours(lines: Sequence[Line]) -> dict[str, str]:
    """A colour for each of the commonest languages, the same in all plots."""
    common = sorted(_by(lines, _LANG).items(), key=lambda i: (-i[1], str(i[0][0])))
    return {lang: colour(name) for ((lang,), _), name in zip(common, CYCLE, strict=False)}


def _levels(lines: Sequence[Line]) -> Section:
    rejected = [line for line in lines if line[_OUTCOME] == "rejected"]
    cells = _by(rejected, _LEVEL, _LANG)
    colours = _colours(lines)
    langs = [lang for lang in colours if any(lang == key[1] for key in cells)]
    # Contamination is a level of its own only where it is looked for.
    levels = [n for n in PLACES if n != CONTAMINATION or any(n == key[0] for key in cells)]
    if not rejected:
        return Section("Rejected by level and language", paragraph("Nothing was rejected."))

    def draw(axes: Any) -> None:
        left = np.zeros(len(levels))
        for lang in langs:
            width = np.array([cells[level, lang] for level in levels])
            axes.barh(levels, width, left=left, color=colours[lang], label=lang)
            left += width
        axes.invert_yaxis()
        axes.set_xlabel("records")
        axes.legend(frameon=False)

    rows = [[level, *(cells[level, lang] for lang in langs)] for level in levels]
    return Section(
        "Rejected by level and language",
        plot(draw, "The first level that a record fails rejects it.", height=0.6 + 0.4 * len(rows)),
        table(["level", *langs], rows),
    )


def _reasons(lines: Sequence[Line]) -> Section:
    rejected = [line for line in lines if line[_OUTCOME] == "rejected"]
    rows = [
        [level, reason, lang, n]
        for (level, reason, lang), n in sorted(
            _by(rejected, _LEVEL, _REASON, _LANG).items(),
            key=lambda item: (PLACES.index(item[0][0]), -item[1], item[0]),
        )
    ]
    return Section("Reasons", table(["level", "reason", "language", "records"], rows))


def _thresholds(config: Mapping[str, Any], score: Score) -> dict[str, float]:
    """Named thresholds that apply to a score."""
    level = next((level for level in LEVELS if score in level.columns), None)
    if level is None or not score.threshold:
        return {}
    threshold = config[level.name][score.threshold]
    return dict(threshold) if score.per else {score.threshold: threshold}


def _scores(
    histograms: Mapping[tuple[str, str], Sequence[int]],
    config: Mapping[str, Any],
    colours: Mapping[str, str],
) -> Section:
    parts: list[Markup] = []
    for score in DRAWN:
        mine = {lang: h for (name, lang), h in sorted(histograms.items()) if name == score.name}
        mine = {lang: h for lang, h in mine.items() if sum(h)}
        if not mine:
            continue
        # Shares of a handful of records would be tall bars that say nothing.
        common = [lang for lang in colours if sum(mine.get(lang, ())) >= _COMMON]
        shown = common[:4] or sorted(mine, key=lambda lang: -sum(mine[lang]))[:1]

        def draw(axes: Any, score: Score = score, mine: Any = mine, shown: Any = shown) -> None:
            for lang in shown:
                share = np.array(mine[lang]) / sum(mine[lang])
                edges = np.linspace(0, 1, len(share) + 1)
                axes.stairs(
                    share, edges, color=colours.get(lang, colour("grey")), label=lang, linewidth=1.5
                )
            for value in sorted(set(_thresholds(config, score).values())):
                axes.axvline(value, color=colour("red"), linewidth=1, linestyle="--")
            axes.set_xlim(0, 1)
            axes.set_yscale("symlog", linthresh=0.01)
            axes.set_ylabel("share of records")
            axes.legend(frameon=False)

        said = _thresholds(config, score)
        caption = ", ".join(f"{k} {v:g}" for k, v in said.items())
        parts += [
            heading(score.title),
            plot(draw, f"dashed: {caption}" if said else "", height=2.4),
        ]
    return Section("Scores", *parts)


def _kept(lines: Sequence[Line]) -> Section:
    kept = _by([line for line in lines if line[_OUTCOME] == "kept"], _LANG)
    rows = [[lang, n] for (lang,), n in sorted(kept.items(), key=lambda i: (-i[1], i[0]))]
    return Section("Kept", table(["language", "records"], rows))


def _examples(
    examples: Mapping[str, Sequence[Mapping[str, Any]]], totals: Mapping[str, int]
) -> Section:
    parts: list[Markup] = []
    for level in PLACES:
        found = examples.get(level, [])
        if not found:
            continue
        shown: list[Markup] = []
        for e in found:
            where = f"{e['reason']} · {e['lang']} · {e['source']}:{e['position']} · id {e['id']}"
            seen = [paragraph(str(e["detail"]), "muted")] if e["detail"] else []
            shown.append(details(where, *seen, excerpt(e["text"])))
        summary = f"{level}: {len(found)} of {totals.get(level, len(found)):,}"
        parts.append(details(summary, *shown))
    return Section("Rejected examples", *(parts or [paragraph("Nothing was rejected.")]))


def _unreadable(lost: Sequence[Mapping[str, Any]], total: int) -> list[Section]:
    if not lost:
        return []
    rows = [[f"{x['source']}:{x['position']}", x["error"]] for x in lost]
    note = f"{len(rows)} of {total:,}; all of them with their first 4 KiB are in unreadable/."
    return [Section("Unreadable", table(["where", "what was wrong"], rows, note))]


def _repaired(lines: Sequence[Line]) -> list[Section]:
    """Which files had records that were repaired; nothing where none had."""
    sums: Counter[str] = Counter()
    for line in lines:
        sums[line[_SOURCE]] += line[_REPAIRED]
    rows = [[s, n] for s, n in sorted(sums.items(), key=lambda i: (-i[1], i[0])) if n]
    if not rows:
        return []
    note = "`repairs` in the metadata of each says what was repaired."
    if len(rows) > _SOURCES:
        note = f"{_SOURCES} of {len(rows):,} files; {note}"
    return [Section("Repaired", table(["source", "records"], rows[:_SOURCES], note))]


def sections(
    manifest: Manifest,
    lines: Sequence[Line],
    histograms: Mapping[tuple[str, str], Sequence[int]],
    examples: Mapping[str, Sequence[Mapping[str, Any]]],
    lost: Sequence[Mapping[str, Any]] = (),
) -> list[Section]:
    """The parts of the report, for a page that holds more than this.

    Args:
        manifest: the manifest to be.
        lines: ledger lines (source, outcome, level, reason, lang, records, bytes, repaired).
        histograms: {(score, lang): counts of equal bins between 0 and 1}.
        examples: {level: rejected records}.
        lost: `source`, `position`, `error` of the first unreadable records.
    """
    repeated, repaired = manifest["warnings"]["repeated_ids"], _repaired(lines)
    said = [_tiles(manifest["totals"])]
    if repeated:
        warning = f"{repeated:,} records repeat the id of another text; they are kept."
        said.append(paragraph(warning, "bad"))
    return [
        Section("In short", *said),
        _inputs(manifest),
        *_files(manifest),
        *repaired,
        _kept(lines),
        _levels(lines),
        _reasons(lines),
        _scores(histograms, manifest["config"], _colours(lines)),
        _examples(examples, manifest["totals"]["rejected"]),
        *_unreadable(lost, manifest["totals"]["unreadable"]),
    ]


def render(manifest: Manifest, parts: Sequence[Section]) -> str:
    """The report of a release as a self-contained HTML page."""
    parent = f", child of {manifest['parent']}" if manifest["parent"] else ""
    title = "What this release is made of"
    return page(title, f"release {manifest['release_id']}{parent}", parts)

"""The chain's report: one page from what came in to what the retraining did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from headrace.infra import html, storage
from headrace.infra.artifacts import Gain
from headrace.infra.corpora import BASE, WINDOW
from headrace.infra.html import Section
from headrace.tasks.curves import stage_plots
from headrace.tasks.models.samples import PROMPTS, generate_samples
from headrace.tasks.models.stage_metrics import MEASURES, verdict
from headrace.tasks.task import step
from headrace.training.scoring import gate_report
from headrace.training.settings import EvaluateSettings

_MODELS = (
    ("unigram", "unigram"),
    ("kneser_ney_bigram", "Kneser-Ney bigram"),
    ("pretrained", "MoE, pretrained"),
    ("aligned", "MoE, aligned"),
)


@step("write report")
def write_report(answer: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The answer with `report`, the path of the page; and a small JSON file beside it."""
    report = folder / "report.html"
    storage.write_bytes(report, render(answer).encode())
    answer = {**answer, "report": str(report)}
    storage.write_json(folder / "answer.json", json.loads(json.dumps(answer, default=str)))
    return answer


def render(answer: dict[str, Any]) -> str:
    """The page as HTML text."""
    exports = _exports(answer)
    sections = [
        _summary(answer),
        *_prefixed("Release", _stored(f"{answer['release']}/report.json")),
        _pretraining(answer),
        _quality(answer),
        _alignment(answer),
        *_prefixed("First gate", gate_report.sections(answer["gate"])),
    ]
    if answer["round"]:
        sections += _round(answer["round"])
    sections.append(_speech(exports))
    return html.page(
        "headrace: the whole chain",
        f"release {answer['release_id']}, {answer['total_parameters'] / 1e6:.2f} M parameters",
        [*sections, _sources(answer)],
    )


def _prefixed(name: str, sections: Sequence[Section]) -> list[Section]:
    return [Section(f"{name}: {s.title[:1].lower()}{s.title[1:]}", *s.parts) for s in sections]


def _stored(uri: str) -> list[Section]:
    return html.load_sections(storage.read_bytes(uri))


def _exports(answer: dict[str, Any]) -> dict[str, str]:
    found = {
        "pretraining": answer["pretrain"]["export"],
        "SFT": answer["stages"]["sft"]["export"],
        "PPO": answer["stages"]["ppo"]["export"],
    }
    if answer["round"] and answer["round"].get("export"):
        found["retraining"] = answer["round"]["export"]
    return found


def _gained(alignment: dict[str, Any]) -> tuple[str, str]:
    """How many stages are better by their interval, and which are not."""
    others = {
        stage: v
        for stage, m in alignment.items()
        if (v := verdict(Gain.model_validate(m))) != "better"
    }
    told = ", ".join(f"{stage}: {v}" for stage, v in others.items())
    better = len(alignment) - len(others)
    return f"{better} of {len(alignment)} better", told or "SFT, reward model, PPO"


def _summary(answer: dict[str, Any]) -> Section:
    scored = answer["evaluation"]
    bits = {k: v["metrics"]["bits_per_byte"]["value"] for k, v in scored.items()}
    rejected = sum(answer["rejected"].values())
    adds = answer["kept"] + rejected + answer["unreadable"]
    again = answer["round"] or {}
    return Section(
        "At a glance",
        html.tiles(
            [
                ("records read", answer["read"], f"{answer['input_bytes'] / 1e6:.1f} MB"),
                (
                    "kept",
                    answer["kept"],
                    f"{answer['kept'] / max(1, answer['read']):.1%} of records",
                ),
                ("rejected", rejected, "with a reason each"),
                (
                    "ledger",
                    "adds up" if adds == answer["read"] else "does not add up",
                    f"{answer['unreadable']} unreadable",
                ),
                (
                    "parameters",
                    f"{answer['total_parameters'] / 1e6:.2f} M",
                    f"{answer['active_parameters'] / 1e6:.2f} M active per token",
                ),
                (
                    "bits per byte, held out",
                    f"{bits['aligned']:.3f}",
                    f"bigram {bits['kneser_ney_bigram']:.3f}, unigram {bits['unigram']:.3f}",
                ),
                ("alignment", *_gained(answer["alignment"])),
                ("first gate", answer["decision"], answer["gate"]["reasons"][0]),
                (
                    "drift round",
                    again.get("decision", "no drift") if again else "left out",
                    f"champion: version {again['champion']}" if again else "no window or champion",
                ),
            ]
        ),
    )


def _passes(trained: int, corpus: int) -> str:
    if trained <= corpus:
        return "No token is seen twice, so both curves are of unseen text."
    return (
        f"The corpus was passed {trained / corpus:.1f} times: after the first pass the training "
        "loss is of text that was seen before."
    )


def _pretraining(answer: dict[str, Any]) -> Section:
    base = answer["pretrain"]
    return Section(
        "Pretraining",
        html.paragraph(
            f"{base['tokens']:,} tokens in {base['steps']} steps, "
            f"{base['tokens_per_second']:,.0f} tokens per second."
        ),
        *stage_plots(
            "pretrain",
            Path(base["export"]).parent,
            first="Loss. " + _passes(base["tokens"], answer["tokens"]["tokens"]),
        ),
    )


def _quality(answer: dict[str, Any]) -> Section:
    scored = answer["evaluation"]
    names = list(scored["aligned"]["metrics"])
    rows = []
    for name in names:
        values = [scored[key]["metrics"].get(name, {}) for key, _ in _MODELS]
        label = name.partition(".")[2] or "all"
        rows.append([label, values[-1].get("n"), *(v.get("value") for v in values)])

    def draw(axes: Any) -> None:
        for i, (key, label) in enumerate(_MODELS):
            m = scored[key]["metrics"]["bits_per_byte"]
            axes.barh(i, m["value"], color=html.colour("blue" if "MoE" in label else "grey"))
            end = m["value"]
            if m["low"] is not None:
                end = m["high"]
                axes.plot([m["low"], end], [i, i], color=html.colour("ink"), lw=2)
            axes.text(end + 0.04, i, f"{m['value']:.3f}", va="center", fontsize=9)
        axes.set_yticks(range(len(_MODELS)), [label for _, label in _MODELS], fontsize=9)
        axes.invert_yaxis()
        axes.set_xlabel("bits per byte on held-out documents (lower is better)", fontsize=9)

    return Section(
        "Held-out quality",
        html.plot(draw, "The black line is the 95 % interval over documents.", height=2.3),
        html.table(
            ["documents", "n", *(label for _, label in _MODELS)],
            rows,
            "Bits per byte of held-out documents by language and domain: a fixed sample, and of "
            f"each the first {EvaluateSettings().max_bytes:,} bytes.",
        ),
    )


def _alignment(answer: dict[str, Any]) -> Section:
    rows = []
    for stage, m in answer["alignment"].items():
        name = str(m.get("name"))
        rows.append([stage, MEASURES.get(name, name), m["before"], m["after"], m["gain"], m["low"],
                     m["high"], verdict(Gain.model_validate(m)), m.get("n")])  # fmt: skip
    parts = [
        html.table(
            ["stage", "measured by", "before", "after", "gain", "low", "high", "verdict", "n"],
            rows,
            "Held-out prompts; low and high bound the gain (95 % interval). What the reward model "
            "is compared with is the order by the SFT model's likelihood, which needs no training; "
            "a head that knows nothing ties every pair, which is 0.5.",
        )
    ]
    for stage in answer["alignment"]:
        folder = Path(answer["stages"][stage]["export"]).parent
        parts += [html.heading(stage), *stage_plots(stage, folder)]
    return Section("Alignment", *parts)


def _speech(exports: dict[str, str]) -> Section:
    parts: list[Markup] = []
    said = {stage: generate_samples(export) for stage, export in exports.items()}
    for i, prompt in enumerate(PROMPTS):
        parts.append(html.heading(prompt))
        for stage, texts in said.items():
            parts.append(html.paragraph(f"after {stage}", "muted"))
            parts.append(html.excerpt(texts[i]))
    return Section("Five prompts after each stage", *parts)


def _round(round_: dict[str, Any]) -> list[Section]:
    verdict = round_.get("verdict") or round_
    sections = []
    if verdict.get("sections"):
        sections += _prefixed("Drift", _stored(verdict["sections"]))
    if "metrics" not in round_:
        return sections
    rows = []
    for side in ("new", "old"):
        m = round_["metrics"][side]
        plain = m.get("plain")
        lost = None if plain is None else plain - m["before"]
        change = m["after"] - m["before"]
        rows.append([f"{side} text", m["before"], m["after"], change, plain, lost])
    sections.append(
        Section(
            "Retraining",
            html.table(
                ["held-out text", "before", "EWC", "change", "plain fine-tuning", "change"],
                rows,
                "Bits per byte (lower is better): what was learned of the new, forgotten of the "
                "old. A smaller sample of documents and of their bytes "
                "(`retrain.ewc.material.heldout`), so the figures differ from those above.",
            ),
            *stage_plots("ewc", round_["folder"]),
        )
    )
    return [*sections, *_prefixed("Second gate", gate_report.sections(round_["gate"]))]


def _sources(answer: dict[str, Any]) -> Section:
    rows = [[c.package, c.version, c.about, c.licence] for c in (*BASE, WINDOW)]
    return Section(
        "Text that packages ship",
        html.table(["package", "version", "what it is", "licence"], rows,
                    "Used where no --input is given; the last one is the drift round's window."),
    )  # fmt: skip

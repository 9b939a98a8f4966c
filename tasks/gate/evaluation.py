"""Evaluation of models and baselines on held-out documents, or on a suite of the user's."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.infra import releases, storage
from headrace.infra.artifacts import (
    Artifact,
    Evaluation,
    Figure,
    Inputs,
    Lineage,
    TokenSet,
    produce,
)
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import InputError, UsageError, ValidationError
from headrace.infra.lineage import sha256
from headrace.infra.state.state_dir import home
from headrace.infra.tracking.runs import milliseconds
from headrace.tasks.input_checks import OWN_SUITE, check_suite
from headrace.tasks.mlflow_log import record_stage, registry
from headrace.tasks.model_refs import resolve_model, run_ref, weights_of
from headrace.tasks.task import relative, step
from headrace.training.incremental.split import split_window
from headrace.training.scoring import evaluate as scoring
from headrace.training.settings import EvaluateSettings

_TEXT = ("text", "content_hash")


def heldout_documents(corpus: list[str], window: str | None = None) -> pa.Table:
    """Return the held-out documents of releases: `text`, `content_hash`, `lang`, `domain`.

    `window` is the one of them, if any, that a round of retraining learned last: what that round
    held out besides counts as well, since a small window has next to nothing otherwise.
    """
    tables = []
    for release in corpus:
        if release == window:
            tables.append(split_window(releases.read_documents(release, _TEXT))[1])
        else:
            tables.append(releases.read_documents(release, _TEXT, heldout=True))
    return pa.concat_tables(tables)


def release_folder(release_id: str | None) -> str:
    """Return the folder of a release of this state folder.

    Raises:
        UsageError: it isn't there, or a model doesn't say which one it was made of.
    """
    if release_id is None:
        raise UsageError(
            "the export doesn't say of which release it was made (lineage.json)",
            "`headrace evaluate --model URI --suite FILE` evaluates it on documents of your own",
        )
    folder = home().root / "releases" / release_id
    if not releases.is_release(str(folder)):
        raise UsageError(
            f"release {release_id} is not in {home().root}",
            f"copy it to {folder}, or evaluate on documents of your own: "
            "`headrace evaluate --model URI --suite FILE`",
        )
    return str(folder)


def read_suite(path: str) -> pa.Table:
    """Read the documents of a JSONL file with `text`, and `lang` and `domain` where given.

    Raises:
        InputError: no such file, or a line that is not a JSON object with a text, or whose `lang`
            or `domain` is no text.
    """
    check_suite(path)
    rows = []
    for number, line in enumerate(storage.read_bytes(path).split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            wrong = _wrong_in(row)
        except (ValueError, RecursionError):
            wrong = "not JSON in UTF-8"
        if wrong:
            raise InputError(f"{path} line {number}: {wrong}", "fix the line, or remove it")
        rows.append({name: row.get(name) for name in _SUITE.names})
    if not rows:
        raise ValidationError(f"{path} holds no document", "give at least one line with `text`")
    return pa.Table.from_pylist(rows, _SUITE)


_SUITE = pa.schema([(name, pa.string()) for name in ("text", "lang", "domain")])


def _wrong_in(row: object) -> str:
    """Return what keeps a line of a suite from being a document; empty where nothing does."""
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        return "not a JSON object with a string `text`"
    for name in _SUITE.names:
        value = row.get(name)
        if not isinstance(value, str | None):
            return f"`{name}` is {json.dumps(value)[:40]}, not a string"
        if value is not None and re.search("[\ud800-\udfff]", value):
            return f"`{name}` holds half a surrogate pair, which is no character"
    return ""


@step("evaluate")
def evaluate_model(model: str, suite: str | None, shared: Shared) -> Evaluation:
    """Metrics of a model on a suite, by default the held-out records of its corpus."""
    began, export = milliseconds(), resolve_model(model, shared)
    if suite in (None, OWN_SUITE):
        if model == "champion":
            release = registry(shared.model.name).champion().release
        else:
            release = release_folder(Lineage.of(export).release_id)
        corpus = releases.lineage(release)
        table, suite_id = heldout_documents(corpus), str([Path(r).name for r in corpus])
        tags = {"release_id": Path(release).name}
        settings = EvaluateSettings()
    else:
        table, suite_id = read_suite(str(suite)), sha256(str(suite))
        tags = {"suite": storage.display(str(suite)), "suite_sha256": suite_id}
        # A suite is scored whole: the caller chose its size.
        settings = EvaluateSettings(documents=table.num_rows)
    inputs = Inputs.deciding(
        "evaluate",
        weights_of(export),
        suite_id,
        settings.model_dump(),
        shared.seed,
        of=run_ref(export),
        record="metrics.json",
    )

    def make(_: Path) -> Evaluation:
        result = scoring.evaluate(str(export), table, shared.seed, settings)
        return Evaluation(metrics=_figures(result), table=None)

    evaluation = produce(Evaluation, inputs, make)
    run = record_stage(
        "evaluate",
        inputs.folder,
        evaluation.figures(),
        {"suite": suite or OWN_SUITE, "seed": shared.seed, **settings.model_dump()},
        {"model": relative(export), **tags},
        began=began,
    )
    return evaluation.model_copy(update={"run_id": run, "export": str(export)})


def _figures(result: scoring.Evaluation) -> dict[str, Figure]:
    return {name: Figure.model_validate(metric) for name, metric in result.metrics.items()}


@step("evaluate on held-out records")
def score_heldout(
    export: str, corpus: list[str], shared: Shared, window: str | None = None
) -> Evaluation:
    """Score `heldout_documents` by a model."""
    return scores_of(export, corpus, shared, window)


def scores_of(
    export: str, corpus: list[str], shared: Shared, window: str | None = None
) -> Evaluation:
    """`score_heldout` as a part of another task."""
    names = [Path(r).name for r in corpus]
    last = Path(window).name if window else None
    inputs = Inputs.deciding(
        "evaluate", weights_of(export), names, shared.seed, last, of=run_ref(export)
    )

    def make(folder: Path) -> Evaluation:
        result = scoring.evaluate(export, heldout_documents(corpus, window), shared.seed)
        write_documents(result.documents, folder / "documents.parquet")
        return Evaluation(metrics=_figures(result))

    return produce(Evaluation, inputs, make)


class Baselines(Artifact):
    """Scores of the n-gram models, which a first model has to beat."""

    RECORD = "baselines.json"

    metrics: dict[str, dict[str, Figure]]
    """By baseline."""

    def evaluations(self) -> dict[str, Evaluation]:
        """{baseline: its evaluation}."""
        return {
            name: Evaluation(metrics=metrics, table=f"{name}.parquet").at(self.folder, self.record)
            for name, metrics in self.metrics.items()
        }

    def best(self) -> str:
        """Return the baseline with the fewest bits per byte."""
        scored = self.evaluations()
        return min(scored, key=lambda name: scored[name].bits.value or math.inf)

    def parts(self) -> tuple[str, ...]:
        """Return the scores of each document."""
        return tuple(evaluation.documents for evaluation in self.evaluations().values())


@step("score baselines")
def score_baselines(tokens: TokenSet, corpus: list[str], seen: int, shared: Shared) -> Baselines:
    """Score n-gram models of the first `seen` tokens on the same held-out records."""
    from headrace.training.moe.export import load_tokenizer

    names = [Path(r).name for r in corpus]
    inputs = Inputs.deciding(
        "baselines", tokens.id, names, seen, shared.seed, parents=(tokens.ref,)
    )

    def make(folder: Path) -> Baselines:
        tokenizer = load_tokenizer(tokens.tokenizer_folder)
        results = scoring.baseline_evaluations(
            tokens.folder, tokenizer, heldout_documents(corpus), shared.seed, seen
        )
        for name, result in results.items():
            write_documents(result.documents, folder / f"{name}.parquet")
        return Baselines(metrics={name: _figures(result) for name, result in results.items()})

    return produce(Baselines, inputs, make)


def write_documents(table: pa.Table, path: Path) -> None:
    """Write a table of scored documents, with the folder that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)

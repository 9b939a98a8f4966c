"""Evaluation and the gate: evidence gathered, the policy asked, the decision recorded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.infra import releases, storage
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import InputError, NotPromotedError, UsageError, ValidationError
from headrace.infra.lineage import code_version, digest, sha256
from headrace.infra.registry.rules import GATE, NOBODY
from headrace.infra.state.state_dir import home
from headrace.infra.tracking.runs import milliseconds
from headrace.tasks import audit_records
from headrace.tasks.configuration.settings import GateSettings
from headrace.tasks.input_checks import OWN_SUITE, check_suite
from headrace.tasks.mlflow_log import log_plots, record_stage, registry, tracking
from headrace.tasks.model_refs import lineage_of, resolve_model, run_of, weights_of
from headrace.tasks.task import OF, once, relative, run_folder, step
from headrace.training.incremental.split import split_window
from headrace.training.scoring import evaluate as scoring
from headrace.training.scoring import gate, gate_report
from headrace.training.scoring.gate import Evidence, Sample
from headrace.training.scoring.policy import Policy, read_policy
from headrace.training.settings import EvaluateSettings

_TEXT = ("text", "content_hash")


def heldout_documents(corpus: list[str], window: str | None = None) -> pa.Table:
    """The held-out documents of releases: `text`, `content_hash`, `lang`, `domain`.

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
    """The folder of a release of this state folder.

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
    """The documents of a JSONL file with `text`, and `lang` and `domain` where given.

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
            raise InputError(f"{path} line {number}: {wrong}", "fix the line, or take it out")
        rows.append({name: row.get(name) for name in _SUITE.names})
    if not rows:
        raise ValidationError(f"{path} holds no document", "give at least one line with `text`")
    return pa.Table.from_pylist(rows, _SUITE)


_SUITE = pa.schema([(name, pa.string()) for name in ("text", "lang", "domain")])


def _wrong_in(row: Any) -> str:
    """What keeps a line of a suite from being a document; empty where nothing does."""
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
def evaluate_model(model: str, suite: str | None, shared: Shared) -> dict[str, Any]:
    """The answer of `headrace evaluate`."""
    began, export = milliseconds(), resolve_model(model, shared)
    if suite in (None, OWN_SUITE):
        if model == "champion":
            release = registry(shared.model.name).champion().release
        else:
            release = release_folder(lineage_of(export).get("release_id"))
        corpus = releases.lineage(release)
        table, suite_id = heldout_documents(corpus), str([Path(r).name for r in corpus])
        tags = {"release_id": Path(release).name}
        settings = EvaluateSettings()
    else:
        table, suite_id = read_suite(str(suite)), sha256(str(suite))
        tags = {"suite": storage.display(str(suite)), "suite_sha256": suite_id}
        # A suite is scored whole: the caller chose its size.
        settings = EvaluateSettings(documents=table.num_rows)
    identity = [
        weights_of(export),
        suite_id,
        settings.model_dump(),
        shared.seed,
        code_version("training"),
    ]
    folder = run_folder("evaluate", identity)

    def make() -> dict[str, Any]:
        found = scoring.evaluate(str(export), table, shared.seed, settings)
        return {"metrics": found.metrics, OF: run_of(export)}

    metrics = once(folder, "metrics.json", make)["metrics"]
    run = record_stage(
        "evaluate",
        folder,
        metrics,
        {"suite": suite or OWN_SUITE, "seed": shared.seed, **settings.model_dump()},
        {"model": relative(export), **tags},
        began=began,
    )
    return {
        "model": str(export),
        "metrics": metrics,
        "file": str(folder / "metrics.json"),
        "run_id": run,
    }


@step("evaluate on held-out records")
def score_heldout(
    export: str, corpus: list[str], shared: Shared, window: str | None = None
) -> dict[str, Any]:
    """{metrics, documents (Parquet file)} of a model on `heldout_documents`."""
    identity = [weights_of(export), [Path(r).name for r in corpus], shared.seed]
    if window:
        identity.append(Path(window).name)
    folder = run_folder("evaluate", [*identity, code_version("training")])

    def make() -> dict[str, Any]:
        result = scoring.evaluate(export, heldout_documents(corpus, window), shared.seed)
        path = folder / "documents.parquet"
        write_documents(result.documents, path)
        return {"metrics": result.metrics, "documents": relative(path), OF: run_of(export)}

    return once(folder, "evaluation.json", make)


@step("score baselines")
def score_baselines(
    tokens: dict[str, Any], corpus: list[str], seen: int, shared: Shared
) -> dict[str, Any]:
    """{name: {metrics, documents}} of the n-gram models on the same held-out records."""
    from headrace.training.moe.export import load_tokenizer

    ids = [Path(r).name for r in corpus]
    identity = [Path(tokens["output"]).name, ids, seen, shared.seed, code_version("training")]
    folder = run_folder("baselines", identity)

    def make() -> dict[str, Any]:
        tokenizer = load_tokenizer(storage.join(tokens["output"], "tokenizer"))
        found = scoring.baseline_evaluations(
            tokens["output"], tokenizer, heldout_documents(corpus), shared.seed, seen
        )
        answer = {}
        for name, result in found.items():
            path = folder / f"{name}.parquet"
            write_documents(result.documents, path)
            answer[name] = {"metrics": result.metrics, "documents": relative(path)}
        return answer

    return once(folder, "evaluation.json", make)


def write_documents(table: pa.Table, path: Path) -> None:
    """Write a table of scored documents, with the folder that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def read_scores(path: str) -> Sample:
    """The values a document that an evaluation stored."""
    return Sample.of_text(pq.read_table(home().resolve(path)))


def policy_of(settings: GateSettings, default: str) -> Policy:
    """The policy that the settings name, or a shipped one.

    Raises:
        UsageError: there is no such policy, or it breaks its schema.
    """
    return read_policy(settings.policy or default)


def _stored(folder: Path, key: str) -> tuple[Path, Path]:
    """Where a decision and its page are stored; `key` tells policies and rivals apart."""
    return folder / f"decision{key}.json", folder / f"gate{key}.html"


def _free(folder: Path, key: str, compared_with: str | None) -> str:
    """The key under which a decision against this rival is stored, or is to be.

    The first has the plain name of the contract; one against a later champion names that one.
    """
    path, _ = _stored(folder, key)
    if not path.exists() or storage.read_json(path)["compared_with"] == compared_with:
        return key
    return f"{key}-against-{compared_with or NOBODY}"


@step("decide")
def decide(
    champion: Evidence,
    challenger: Evidence,
    folder: Path,
    settings: GateSettings,
    default_policy: str,
    seed: int,
    compared_with: str | None = None,
) -> dict[str, Any]:
    """The decision of the policy, stored in the challenger's run folder.

    A policy of the user's own is stored by what it says, so that one that was edited decides anew
    and the old decision stays; and so it is with another rival.
    `compared_with` is the champion's version, None where there was none; it is stored as well.
    """
    policy = policy_of(settings, default_policy)
    audit_records.thresholds_used(f"gate policy {policy.name}", policy.model_dump(mode="json"))
    own = "" if settings.policy is None else f"-{digest(policy.model_dump())[:8]}"
    path, page = _stored(folder, _free(folder, own, compared_with))

    def make() -> dict[str, Any]:
        decision = gate.decide(champion, challenger, policy, seed)
        decision["compared_with"] = compared_with
        storage.write_bytes(page, gate_report.render(decision).encode())
        return decision

    return {**once(folder, path.name, make), "report": str(page)}


@step("register and promote")
def promote(
    export: str,
    release: str,
    decision: dict[str, Any],
    settings: GateSettings,
    shared: Shared,
    tags: dict[str, Any],
    parent: str | None = None,
    began: int | None = None,
) -> dict[str, Any]:
    """The challenger as a version of the model; the alias moves where the gate says promote.

    `began`: when the scoring for the gate did (ms since 1970), None: now.

    {`version`, `champion` (the version after), `moved` (that version is the champion now),
    `waiting` (whether it is left to a person), `decided_before` (the verdict is not carried out,
    since a person decided on that version before), `overtaken` (nor since another champion came in
    after the comparison: then `decision` is inconclusive), `decision`, `reasons`, `run_id`}.
    """
    folder = Path(export).parent
    models = registry(shared.model.name)
    expected = decision["compared_with"]
    said, reasons = decision["decision"], decision["reasons"]
    known = {**tags, "gate_decision": said, "parent_version": expected}
    run = record_stage(
        GATE,
        folder,
        _figures(decision),
        {"policy": decision["policy"]},
        known,
        parent,
        variant=Path(decision["report"]).stem,
        began=began,
    )
    log_decision(run, decision)
    version = models.register(run, Path(export), release, known)
    waiting, overtaken = False, None
    if said == "promote":
        why = f"policy {decision['policy']}: {'; '.join(reasons)}"
        try:
            if settings.promote == "auto":
                models.move_champion(version, expected, GATE, why, run_id=run, decision=said)
            else:
                waiting = models.mark_waiting(version, expected, run)
        except NotPromotedError as error:
            # No fault of the run's: a person decided while it was at work.
            overtaken = error.message
    now = models.current()
    champion = now.number if now else None
    moved = champion == version
    return {
        "version": version,
        "champion": champion,
        "moved": moved,
        "waiting": waiting,
        "decided_before": said == "promote"
        and not moved
        and models.decided_by_person(version, expected, run),
        "overtaken": overtaken is not None,
        "decision": "inconclusive" if overtaken else said,
        "reasons": [overtaken, *reasons] if overtaken else reasons,
        "run_id": run,
    }


def log_decision(run: str, decision: dict[str, Any]) -> None:
    """The stored decision, its page and its plots of intervals as artifacts of a gate's run."""
    store = tracking()
    page = Path(decision["report"])
    for file in _stored(page.parent, page.stem.removeprefix("gate")):
        store.log_file(run, file)
    log_plots(run, gate_report.drawings(decision))


def _figures(decision: dict[str, Any]) -> dict[str, Any]:
    names = ("champion", "challenger", "difference", "se", "p", "margin", "power")
    return {m: {k: v.get(k) for k in names} for m, v in decision["metrics"].items()}

"""The chain as a whole: where its text comes from, its run folder, and its answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.infra import storage
from headrace.infra.corpora import BASE, WINDOW
from headrace.infra.lineage import code_version, digest
from headrace.infra.state.state_dir import home
from headrace.spark_jobs.curate.inventory_job import list_inputs, survey_all
from headrace.spark_jobs.settings import Source
from headrace.tasks.configuration.settings import GateSettings, RetrainVerb, RunVerb
from headrace.tasks.corpus.curation import fetch_corpora
from headrace.tasks.gate.evaluation import policy_of
from headrace.tasks.mlflow_log import open_chain
from headrace.tasks.retraining.round import deciding
from headrace.tasks.retraining.window import Window, check_there
from headrace.tasks.task import once, relative, run_folder


def chain_sources(
    inputs: tuple[str, ...], window: str | None
) -> tuple[tuple[Source, ...], Window | None, str]:
    """(inputs, window, output) of a run: the user's own text, or that of pinned packages.

    Own text without an own window has no drift round: the packages' window would tell nothing
    of the user's model.
    """
    output = str(home().root)
    own = Window.of(window) if window else None
    if inputs:
        return tuple(Source(uri=uri) for uri in inputs), own, output
    return fetch_corpora(BASE), own or Window(inputs=fetch_corpora((WINDOW,))), output


def check_beforehand(window: str | None, gate: GateSettings) -> None:
    """Look at what is needed only hours later, so that a slip in it is told now.

    Raises:
        InputError: the window isn't there.
        UsageError: the gate's policy isn't there, or breaks its schema.
    """
    policy_of(gate, "default")
    if window is not None:
        check_there(window)


def begin_chain(release: dict[str, Any], settings: RunVerb, began: int) -> dict[str, Any]:
    """{run_id, folder}: the chain's parent run in MLflow and its run folder.

    `began`: when its curation did (ms since 1970).
    """
    identity = [
        release["release_id"],
        deciding(settings),
        policy_of(settings.gate, "default").model_dump(),
        [code_version(layer) for layer in ("spark_jobs", "training", "expectations")],
    ]
    folder = run_folder("chain", identity)
    tags = {"release_id": release["release_id"], "folder": relative(folder)}
    run = open_chain("chain", digest(identity), tags, began)
    return {"run_id": run, "folder": folder}


def window_key(window: Window) -> str:
    """What tells a chain's windows apart: their content, and where it lies."""
    files, _ = survey_all(list_inputs(window.sources()))
    return digest([[f.source, f.bytes, f.sha256] for f in files])[:12]


def round_once(
    folder: Path, key: str, champion: str, make: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    """The chain's round on a window, made once.

    It starts from the champion of its first try, also when a kill came after the promotion. One
    that another champion overtook is not kept: the next try starts from that one.

    Args:
        folder: the chain's run folder.
        key: the window (`window_key`).
        champion: the version that is champion now.
        make: the round from a version.
    """
    start = f"start-{key}.json"
    version = once(folder, start, lambda: {"version": champion})["version"]
    path = folder / f"round-{key}.json"
    if not path.exists():
        answer = make(version)
        if answer.get("overtaken"):
            (folder / start).unlink()
            return answer
        storage.write_json(path, answer)
    answer = storage.read_json(path)
    return answer


def round_settings(settings: RunVerb) -> RetrainVerb:
    """The settings of the drift round within a run."""
    return RetrainVerb(
        **{k: getattr(settings, k) for k in ("spark", "seed", "model", "notify")},
        **settings.retrain.model_dump(),
        curate=settings.curate,
        gate=settings.gate,
        monitor=settings.monitor,
    )


def chain_answer(
    release: dict[str, Any],
    tokens: dict[str, Any],
    base: dict[str, Any],
    aligned: dict[str, Any],
    first: dict[str, Any],
    again: dict[str, Any] | None,
) -> dict[str, Any]:
    """The answer of `headrace run`: all of curate's, and what became of it."""
    return {
        **release,
        "tokens": tokens,
        "pretrain": base,
        "export": aligned["export"],
        "total_parameters": base["total_parameters"],
        "active_parameters": base["active_parameters"],
        "alignment": {stage: a["metrics"] for stage, a in aligned["stages"].items()},
        "stages": aligned["stages"],
        "decision": first["decision"],
        "reasons": first["reasons"],
        "gate": first["gate"],
        "champion": first["champion"],
        "moved": first["moved"],
        "version": first["version"],
        "waiting": first["waiting"],
        "overtaken": first["overtaken"],
        "evaluation": first["evaluation"],
        "round": again,
    }

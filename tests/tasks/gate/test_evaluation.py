import json
from collections.abc import Callable
from hashlib import blake2b
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.infra import releases
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import InputError, UsageError, ValidationError
from headrace.infra.lineage import is_heldout
from headrace.infra.tracking.runs import milliseconds
from headrace.tasks.configuration.settings import GateSettings
from headrace.tasks.gate.evaluation import (
    decide,
    evaluate_model,
    heldout_documents,
    promote,
    read_suite,
    release_folder,
)
from headrace.tasks.mlflow_log import registry, tracking
from headrace.training.scoring.gate import Evidence, Sample


def test_a_suite_is_read_with_language_and_domain_where_given(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    file.write_text('{"text": "一", "lang": "zh"}\n\n{"text": "two", "other": 1}\n')
    table = read_suite(str(file))
    assert table.to_pylist() == [
        {"text": "一", "lang": "zh", "domain": None},
        {"text": "two", "lang": None, "domain": None},
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'{"text": 3}',
        b'{"id": "x"}',
        b'"text"',
        b"null",
        b"[" * 100_000,
        b'{"text": "\xff"}',
        b'{"text": "a \\ud83d b"}',
        b'{"text": "a", "lang": 7}',
        b'{"text": "a", "lang": "\\udc00"}',
        b'{"text": "a", "domain": ["legal"]}',
    ],
)
def test_an_odd_line_of_a_suite_is_named(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "s.jsonl"
    file.write_bytes(b'{"text": "a"}\n' + line + b"\n")
    with pytest.raises(InputError, match="line 2"):
        read_suite(str(file))


def test_no_file_and_no_document(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_suite(str(tmp_path / "none.jsonl"))
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ValidationError):
        read_suite(str(tmp_path / "empty.jsonl"))


def test_a_release_that_is_gone_says_what_to_give(state: Path) -> None:
    with pytest.raises(UsageError) as e:
        release_folder("0" * 32)
    assert "--suite" in e.value.hint


def test_a_window_counts_with_all_that_its_round_held_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The contract holds out 3 of 150 records, which no gate can decide on."""

    def read(release: str, columns: Any, heldout: bool | None = None) -> pa.Table:
        numbers = [n for n in range(1, 151) if heldout is None or (n % 50 == 0) == heldout]
        hashes = [f"{n:032x}" for n in numbers]
        return pa.table({"text": [f"{release}{n}" for n in numbers], "content_hash": hashes})

    monkeypatch.setattr(releases, "read_documents", read)
    assert heldout_documents(["a", "b"]).num_rows == 6
    texts = heldout_documents(["a", "b"], "b")["text"].to_pylist()
    assert len([t for t in texts if t.startswith("a")]) == 3
    assert {"b50", "b100", "b150"} < set(texts) and len(texts) == 3 + 22


def evidence(name: str, bits: float) -> Evidence:
    size = np.full(40, 100.0)
    rates = np.linspace(1.8, 2.2, 40) + bits
    ids = tuple(map(str, range(40)))
    sample = Sample(ids, rates * size, size, {"lang": ("en",) * 40})
    return Evidence(name, {"old.bits_per_byte": sample}, data={"old": "r"})


def test_an_edited_policy_decides_anew_and_the_old_decision_stays(tmp_path: Path) -> None:
    text = "name: {}\nmetrics:\n  - {{name: old.bits_per_byte, require: {}, margin: {}}}\n"
    policy, folder = tmp_path / "p.yaml", tmp_path / "run"
    folder.mkdir()
    sides = evidence("champion", 0.0), evidence("challenger", 0.1)
    settings = GateSettings(policy=str(policy))

    def said(rival: str = "7") -> dict[str, Any]:
        return decide.fn(*sides, folder, settings, "first", 1, rival)

    policy.write_text(text.format("strict", "better", 0))
    assert said()["decision"] != "promote"
    policy.write_text(text.format("lax", "not_worse", 9))
    assert said()["decision"] == "promote" and said()["policy"] == "lax"
    assert len(list(folder.glob("decision-*.json"))) == 2
    other = said("8")
    assert other["compared_with"] == "8" and other["report"] != said()["report"]
    assert said()["compared_with"] == "7" and len(list(folder.glob("decision-*.json"))) == 3


def judged(
    state: Path, name: str, bits: float, meanwhile: str | None = None, **settings: Any
) -> dict[str, Any]:
    """What the gate makes of a model that is worse than the champion by `bits`.

    A person promotes the version `meanwhile` between comparison and promotion.
    """
    export = state / "runs" / name / "export"
    export.mkdir(parents=True, exist_ok=True)
    (export / "config.json").write_text("{}")
    gate, shared = GateSettings(**settings), Shared()
    standing = registry("headrace").current()
    sides = evidence("champion", 0.0), evidence(name, bits)
    version = standing.number if standing else None
    decision = decide.fn(*sides, export.parent, gate, "first", 1, version)
    if meanwhile:
        registry("headrace").decide(meanwhile, True, "A. Lead", "could not wait")
    return {**promote.fn(str(export), str(state / "releases/r"), decision, gate, shared, {})}


def test_the_gate_moves_the_champion_or_leaves_it_to_a_person(state: Path) -> None:
    models = registry("headrace")
    made = judged(state, "one", -0.5)
    assert (made["version"], made["champion"]) == ("1", "1")
    assert made["moved"] and not made["waiting"]
    made = judged(state, "two", 0.5, promote="manual")
    assert not made["moved"] and not made["waiting"], "a refusal waits for nobody"
    made = judged(state, "three", -0.5, promote="manual")
    assert (made["version"], made["champion"]) == ("3", "1")
    assert made["waiting"] and not made["moved"]
    assert [v.number for v in models.waiting()] == ["3"]
    waits = models.waiting()[0].tags
    assert waits["gate_decision"] == "promote" and waits["parent_version"] == "1"
    assert (found := models.current("challenger")) and found.number == "3"
    models.decide("3", True, "A. Lead", "reads better")
    again = judged(state, "three", -0.5, promote="manual")
    assert again["moved"] and not again["waiting"] and again["champion"] == "3"


def test_moved_means_that_it_is_the_champion_now(state: Path) -> None:
    models = registry("headrace")
    first = judged(state, "one", -0.5)
    assert first["moved"] and not first["decided_before"]
    second = judged(state, "two", -0.5)
    assert second["moved"] and second["champion"] == "2"
    models.rollback("A. Lead", "slower")
    again = judged(state, "two", -0.5)
    assert (again["moved"], again["champion"]) == (False, "1")
    assert again["decided_before"] and not again["waiting"]
    assert not judged(state, "three", 0.5)["decided_before"], "the gate itself refused"


@pytest.mark.parametrize("promote", ["auto", "manual"])
def test_a_person_who_decides_meanwhile_is_no_fault_of_the_run(state: Path, promote: str) -> None:
    models = registry("headrace")
    judged(state, "one", -0.5)
    judged(state, "two", 0.5)
    made = judged(state, "three", -0.5, meanwhile="2", promote=promote)
    assert (made["version"], made["champion"], made["moved"]) == ("3", "2", False)
    assert made["overtaken"] and made["decision"] == "inconclusive"
    assert made["reasons"][0] == (
        "the champion is version 2 by now, compared was version 1: run it again"
    )
    assert not made["waiting"] and not made["decided_before"] and models.waiting() == []
    assert models.version("3").tags["gate_decision"] == "promote", "what the gate said"
    assert not judged(state, "four", -0.5)["overtaken"]


def test_the_gates_run_has_its_pages_and_plots(state: Path) -> None:
    made = judged(state, "one", -0.5)
    client = tracking().client
    files = {
        f.path for place in ("", "plots") for f in client.list_artifacts(made["run_id"], place)
    }
    assert {"decision.json", "gate.html", "model"} <= files
    assert [f for f in files if f.startswith("plots/") and f.endswith(".svg")]
    tags = client.get_run(made["run_id"]).data.tags
    assert tags["gate_decision"] == "promote" and tags["folder"] == "runs/one"


def test_an_evaluation_is_a_run_with_its_figures_and_text(
    state: Path,
    tmp_path: Path,
    champion: Callable[..., str],
    release: Callable[..., str],
) -> None:
    said = (f"The court of {i} heard the case and put it off." for i in count())
    heldout = (t for t in said if is_heldout(blake2b(t.encode(), digest_size=16).hexdigest()))
    texts = list(islice(heldout, 3))
    corpus = release("r" * 8, texts)
    manifest = Path(corpus) / "manifest.json"
    totals = {"read": 3, "kept": 3}
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "totals": totals}))
    champion("ppo-1", corpus, model=True)
    (tmp_path / "suite.jsonl").write_text(json.dumps({"text": texts[0], "lang": "en"}) + "\n")
    before, client = milliseconds(), tracking().client
    own = evaluate_model.fn("champion", None, Shared())
    given = evaluate_model.fn("champion", str(tmp_path / "suite.jsonl"), Shared())
    assert own["run_id"] != given["run_id"]
    for answer in (own, given):
        run = client.get_run(answer["run_id"])
        figure = answer["metrics"]["bits_per_byte"]["value"]
        assert run.data.metrics["bits_per_byte.value"] == pytest.approx(figure)
        assert run.data.tags["stage"] == "evaluate"
        assert before <= run.info.start_time < run.info.end_time
    (text,) = client.get_run(own["run_id"]).inputs.dataset_inputs
    assert text.dataset.digest == "r" * 8
    assert client.get_run(given["run_id"]).data.tags["suite"].endswith("suite.jsonl")
    assert evaluate_model.fn("champion", None, Shared())["run_id"] == own["run_id"]

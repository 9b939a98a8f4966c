import json
from collections.abc import Callable
from hashlib import blake2b
from itertools import count, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headrace.infra import releases
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import InputError, UsageError, ValidationError
from headrace.infra.lineage import is_heldout
from headrace.infra.tracking.runs import milliseconds
from headrace.tasks.gate.evaluation import (
    evaluate_model,
    heldout_documents,
    read_suite,
    release_folder,
)
from headrace.tasks.mlflow_log import tracking


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
    assert own.run_id != given.run_id
    for answer in (own, given):
        run = client.get_run(str(answer.run_id))
        figure = answer.bits.value
        assert run.data.metrics["bits_per_byte.value"] == pytest.approx(figure)
        assert run.data.tags["stage"] == "evaluate"
        assert before <= run.info.start_time < run.info.end_time
    (text,) = client.get_run(str(own.run_id)).inputs.dataset_inputs
    assert text.dataset.digest == "r" * 8
    assert client.get_run(str(given.run_id)).data.tags["suite"].endswith("suite.jsonl")
    assert evaluate_model.fn("champion", None, Shared()).run_id == own.run_id

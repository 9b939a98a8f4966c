"""A whole round on a tiny model: what it writes, that it resumes to the bit, and that it holds."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from kill import Killed

from headrace.infra import storage
from headrace.infra.errors import InputError, UsageError
from headrace.tasks.curves import plotted
from headrace.training import checkpoint
from headrace.training.incremental.ewc import ewc, identity
from headrace.training.incremental.ewc_objective import EWC
from headrace.training.incremental.round_data import prepare
from headrace.training.incremental.settings import (
    CourseSettings,
    EWCJob,
    EWCSettings,
    MaterialSettings,
)
from headrace.training.moe import export
from headrace.training.results import EWCResult
from headrace.training.settings import (
    CheckpointSettings,
    EvaluateSettings,
    OptimizerSettings,
)

SETTINGS = EWCSettings(
    material=MaterialSettings(tokens=5120, fisher_tokens=512),
    course=CourseSettings(
        optimizer=OptimizerSettings(muon_lr=0.01, adamw_lr=5e-3),
        check=5,
        checkpoint=CheckpointSettings(every=4),
    ),
)


def job(champion: str, corpora: dict[str, str], output: Path, **changes: Any) -> EWCJob:
    return EWCJob(
        model=champion,
        new=(corpora["new"],),
        old=(corpora["old"],),
        output=str(output),
        lineage={"release_id": "new"},
        **{"settings": SETTINGS, "seed": 5, **changes},
    )


@pytest.fixture(scope="module")
def finished(
    champion: str, corpora: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[EWCJob, EWCResult]:
    task = job(champion, corpora, tmp_path_factory.mktemp("round"))
    return task, ewc(task)


def test_answer_and_folder(finished: tuple[EWCJob, EWCResult]) -> None:
    task, got = finished
    folder = Path(task.output)
    new = got.metrics.new
    assert new.plain is not None and new.after < new.before - 0.1
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines] == list(range(1, got.steps + 1))
    assert lines[0]["penalty"] == 0 and lines[-1]["penalty"] > 0
    assert all(plotted("ewc") <= x.keys() for x in lines)
    for x in lines:  # six rows of new text, two of old
        assert x["loss"] == pytest.approx((6 * x["new_loss"] + 2 * x["replay_loss"]) / 8, rel=1e-5)
    plain = [json.loads(x) for x in (folder / "plain/metrics.jsonl").read_text().splitlines()]
    assert all(x["loss"] == x["new_loss"] and "replay_loss" not in x for x in plain)
    as_json: Any = got.as_json()
    for kind in ("new", "old"):
        for when, value in as_json["metrics"][kind].items():
            table = pq.read_table(as_json["evaluation"][kind][when])
            nats, size = (table[c].to_numpy().sum() for c in ("nats", "bytes"))
            assert value == pytest.approx(nats / size / math.log(2))
            assert table.num_rows == as_json["documents"][kind]
    assert json.loads((folder / "export" / "lineage.json").read_text()) == {"release_id": "new"}
    assert export.load(got.export).config == export.load(task.model).config
    assert math.isfinite(got.measures["new.order_gain"])
    assert export.chat_format(got.export) is None, "a champion that only continues text"


def test_rows_of_training_fisher_and_champion_see_each_document_apart(
    champion: str, corpora: dict[str, str], tmp_path: Path, watch: Any
) -> None:
    tokenizer = export.load_tokenizer(champion)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"say {n}"}) + "\n" for n in range(48)))
    task = job(champion, corpora, tmp_path / "o", prompts=str(prompts), compare_plain=True)
    settings = SETTINGS.material.model_copy(update={"tokens": 1024})
    task = task.model_copy(update={"settings": SETTINGS.model_copy(update={"material": settings})})
    # Answers of an untrained champion seldom end: the cache stands for one that was aligned.
    said = [[256, 7, 7, 7, 7], [256, 8, 8, 9]] * 40
    storage.write_json(tmp_path / "o" / "dialogues.json", said)
    length = export.load_config(champion).max_position_embeddings
    material = prepare(task.new, task.old, tokenizer, length, settings, task.seed, said)
    assert material.answer_rows == 1
    eos, fisher = tokenizer.eos_token_id, np.concatenate([b.numpy() for b in material.fisher])
    seen = watch(np.concatenate([material.batches.reshape(-1, length), fisher]), eos)
    got = ewc(task)
    assert got.steps == len(material.batches)
    # It answers in the chat format, even if the champion's export said nothing of it yet.
    chat = export.chat_format(got.export)
    assert chat is not None and chat.stops == (256, 260)

    def several(rows: np.ndarray) -> int:
        number = (rows.reshape(-1, length) == eos).cumsum(1)
        return int((number[:, -1] > number[:, 0]).sum())

    batches = material.batches
    again = several(batches[:, -1:])  # by the champion, which teaches them
    plain = several(batches[:, : material.new_rows])
    assert seen.apart == several(batches) + again + plain + several(fisher) and not seen.mixed
    assert again and plain and several(fisher)


def test_the_chat_format_of_the_champion_is_kept(
    champion: str, corpora: dict[str, str], tmp_path: Path
) -> None:
    own = export.ChatFormat("{{ messages[0]['content'] }}", (256, 257))
    card = export.Card(stage="ppo")
    aligned = export.save(export.load(champion), tmp_path / "aligned", champion, card, own)
    few = SETTINGS.material.model_copy(update={"tokens": 512})
    task = job(str(aligned), corpora, tmp_path / "o", compare_plain=False,
               settings=SETTINGS.model_copy(update={"material": few}))  # fmt: skip
    assert export.chat_format(ewc(task).export) == own


def test_finished_round_answers_at_once(finished: tuple[EWCJob, EWCResult]) -> None:
    task, got = finished
    assert ewc(task) == got.model_copy(update={"resumed_from": got.steps})
    with pytest.raises(UsageError, match="other data or settings"):
        ewc(task.model_copy(update={"seed": 6}))


def test_what_decides_no_weight_changes_no_byte_and_trains_nothing_again(
    finished: tuple[EWCJob, EWCResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, want = finished
    judging = EvaluateSettings(documents=6, max_bytes=300)
    other = SETTINGS.model_copy(
        update={
            "material": SETTINGS.material.model_copy(update={"heldout": judging}),
            "course": SETTINGS.course.model_copy(
                update={"checkpoint": CheckpointSettings(every=3, keep=1)}
            ),
        }
    )
    asked = task.model_copy(update={"settings": other, "compare_plain": False})
    assert identity(asked) == identity(task)
    made = ewc(asked.model_copy(update={"output": str(tmp_path / "o")}))
    for name in ("export/model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "o" / name).read_bytes() == (Path(task.output) / name).read_bytes()
    assert made.course == want.course and made.metrics.new.plain is None
    # Asked of a finished round: judged again on those documents, with no step of training.
    copy = tmp_path / "copy"
    shutil.copytree(task.output, copy)
    with monkeypatch.context() as patch:
        patch.setattr(EWC, "step", None)
        again = ewc(asked.model_copy(update={"output": str(copy)}))
        assert again.documents.old == 6 and again.resumed_from == again.steps
        assert again.metrics == made.metrics != want.metrics
        back = ewc(task.model_copy(update={"output": str(copy)}))
        assert back.metrics == want.metrics
    # Plain fine-tuning that was left out is all that is trained when it is asked for.
    plain = ewc(asked.model_copy(update={"output": str(tmp_path / "o"), "compare_plain": True}))
    assert plain.metrics.new.plain is not None
    assert plain.metrics.new.after == made.metrics.new.after


@pytest.mark.parametrize("fatal", [7, 27])
def test_killed_round_ends_with_the_same_bytes(
    finished: tuple[EWCJob, EWCResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fatal: int,
) -> None:
    task, want = finished
    again = task.model_copy(update={"output": str(tmp_path)})
    step = EWC.step
    taken = 0

    def dies(self: EWC, *args: Any) -> dict[str, float]:
        nonlocal taken
        taken += 1
        if taken == fatal:
            raise Killed
        return step(self, *args)

    monkeypatch.setattr(EWC, "step", dies)
    with pytest.raises(Killed):
        ewc(again)
    monkeypatch.undo()
    got = ewc(again)
    assert got.resumed_from == min(want.steps, (fatal - 1) // 4 * 4)
    assert got.metrics == want.metrics and got.course == want.course
    for name in (
        "export/model.safetensors",
        "metrics.jsonl",
        "evaluation/200x1024/old_plain.parquet",
    ):
        assert (tmp_path / name).read_bytes() == (Path(task.output) / name).read_bytes(), name


def test_broken_checkpoint_is_passed_over(
    finished: tuple[EWCJob, EWCResult], tmp_path: Path
) -> None:
    task, want = finished
    shutil.copytree(task.output, tmp_path / "copy")
    copy = tmp_path / "copy"
    (copy / "result.json").unlink()
    newest = max((copy / "checkpoints").iterdir())
    (newest / "model.safetensors").write_bytes(b"half")
    assert checkpoint.latest(copy / "checkpoints", _identity(newest)) is not None
    # The states of earlier checks went when the round had ended: the round is made again.
    shutil.rmtree(copy / "checkpoints")
    got = ewc(task.model_copy(update={"output": str(copy)}))
    assert got.metrics == want.metrics


def _identity(folder: Path) -> str:
    return str(json.loads((folder / "state.json").read_text())["identity"])


KNOWING = MaterialSettings(tokens=12_000, passes=9, fisher_tokens=2048)


def test_penalty_alone_holds_old_text(
    trained: str, corpora: dict[str, str], tmp_path: Path
) -> None:
    """Without replay, and before any state is chosen: λ trades new text against old."""
    last = {}
    for strength in (0.0, 1e4):
        settings = SETTINGS.model_copy(
            update={"strength": strength, "material": KNOWING.model_copy(update={"replay": 0.0})}
        )
        task = job(trained, corpora, tmp_path / str(strength), settings=settings,
                   compare_plain=False)  # fmt: skip
        got = ewc(task)
        assert got.metrics.new.plain is None
        first, *_, end = got.course.checks
        last[strength] = (end.new - first.new, end.old - first.old)
    assert last[0.0][0] < last[1e4][0] < 0, last
    assert last[1e4][1] < 0.3 * last[0.0][1], last


def test_a_round_keeps_what_plain_fine_tuning_forgets(
    trained: str, corpora: dict[str, str], tmp_path: Path
) -> None:
    """From a champion that knows the old text well, so that there is something to forget."""
    settings = SETTINGS.model_copy(
        update={
            "material": KNOWING,
            "course": SETTINGS.course.model_copy(update={"forgetting": 0.02}),
        }
    )
    got: Any = ewc(job(trained, corpora, tmp_path, settings=settings)).metrics.as_json()
    gain = {w: got["new"]["before"] - got["new"][w] for w in ("after", "plain")}
    loss = {w: got["old"][w] - got["old"]["before"] for w in ("after", "plain")}
    assert gain["plain"] > 0.5 and loss["plain"] > 0.2, (gain, loss)
    assert gain["after"] > 0.25 * gain["plain"], (gain, loss)
    # Validation text is a sample: what it allows, held-out text may pass by a little.
    assert loss["after"] < 0.04 and loss["after"] < 0.05 * loss["plain"], (gain, loss)


def test_no_champion(corpora: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError):
        ewc(job(str(tmp_path / "none"), corpora, tmp_path / "out"))

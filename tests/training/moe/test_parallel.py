"""Two processes against one: the layer, the whole run, and going on with fewer.

The layer is tested by this file as a job: both ranks run `work`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from as_module import as_module
from torch import Tensor

from headrace.infra import storage
from headrace.infra.configuration.settings import Settings
from headrace.infra.errors import UsageError
from headrace.infra.subprocess_jobs import job_main, run_job
from headrace.training.callbacks.metrics import read
from headrace.training.distributed import Ranks
from headrace.training.moe import export
from headrace.training.moe.config import MoEConfig
from headrace.training.moe.experts import Experts
from headrace.training.moe.model import MoEForCausalLM
from headrace.training.optimizer import MuonAdamW
from headrace.training.pretrain import PretrainJob, pretrain
from headrace.training.settings import OptimizerSettings, PretrainSettings

STEPS = 20
MODULE = "layer_under_test"
CONFIG = MoEConfig(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=2,
    head_dim=8,
    n_routed_experts=4,
    num_experts_per_tok=2,
    moe_intermediate_size=8,
)


class Job(Settings):
    """The layer's test has nothing to set."""


def compare(experts: Experts, divided: Any, chosen: Tensor, ranks: Ranks) -> list[float]:
    """Largest differences of output and gradients; `chosen` (N, k) of the whole batch."""
    torch.manual_seed(2)
    x, down = torch.randn(len(chosen), 16), torch.randn(len(chosen), 16)
    weights = torch.rand(chosen.shape)

    def run(layer: Any, *inputs: Tensor) -> list[Tensor]:
        x, weights, chosen, down = inputs
        x, weights = x.requires_grad_(), weights.requires_grad_()
        out = layer(x, chosen, weights)
        leaves = [x, weights, layer.gate_up_proj, layer.down_proj]
        return [out.detach(), *torch.autograd.grad((out * down).sum(), leaves)]

    want = run(experts, x.clone(), weights.clone(), chosen, down)
    got = run(divided, *(ranks.part(t) for t in (x, weights, chosen, down)))
    together = [ranks.whole(g) for g in got]
    if not ranks.first:
        return []
    return [float((g - w).abs().max()) for g, w in zip(together, want, strict=True)]


def moved(divided: Any, chosen: Tensor, ranks: Ranks) -> list[bool]:
    """Which of all experts four steps of Muon move; `chosen` (N, k) of the whole batch."""
    weights = list(divided.parameters())
    optimizer = MuonAdamW(
        [{"params": weights, "kind": "muon", "parts": 1, "peak": 0.1, "lr": 0.1}],
        OptimizerSettings(weight_decay=0.1),
    )
    began = [w.detach().clone() for w in weights]
    for _ in range(4):
        x, shares = torch.randn(len(chosen), 16), torch.rand(chosen.shape)
        divided(*(ranks.part(t) for t in (x, chosen, shares))).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    both = [(w.detach() != b).flatten(1).any(1) for w, b in zip(weights, began, strict=True)]
    return ranks.whole(torch.stack(both, 1)).any(1).tolist()


def work(_job: Job) -> dict[str, Any]:
    from headrace.training.moe import parallel

    ranks = Ranks.current()
    ranks.meet()
    torch.manual_seed(1)
    model = MoEForCausalLM(CONFIG)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    layer: Any = model.model.layers[1]
    experts = layer.mlp.experts
    assert isinstance(experts, Experts)
    parallel.divide(model, ranks)
    divided = layer.mlp.experts
    anywhere = torch.rand(24, 4).topk(2)[1]
    answer = {
        "parameters": [list(p.shape) for p in divided.parameters()],
        "anywhere": compare(experts, divided, anywhere, ranks),
        "first rank's experts alone": compare(experts, divided, anywhere % 2, ranks),
        "last expert alone": compare(experts, divided, anywhere.clamp(min=3), ranks),
    }
    parallel.unite(model, ranks)
    after = model.state_dict()
    answer["united"] = after.keys() == before.keys() and all(
        torch.equal(after[n], t) for n, t in before.items()
    )
    answer["moved"] = moved(divided, anywhere.clamp(max=2), ranks)
    return answer


def test_divided_experts_do_as_all_in_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", as_module(__file__, MODULE, tmp_path))
    said: dict[str, Any] = run_job(MODULE, Job(), tmp_path / "f", processes=2)
    assert said.pop("parameters") == [[2, 16, 16], [2, 16, 8]]
    assert said.pop("moved") == [True, True, True, False], "the last expert had no token"
    assert said.pop("united")
    assert len(said) == 3
    for which, differences in said.items():
        assert max(differences) < 1e-6, which


def job(data: Path, output: Path, **changed: Any) -> PretrainJob:
    settings = {"preset": "test", "steps": STEPS, "checkpoint": {"every": 10}, "heldout_every": 10}
    return PretrainJob(
        data=str(data),
        output=str(output),
        settings=PretrainSettings.model_validate(settings | changed),
        seed=7,
    )


def by_two(data: Path, output: Path, **changed: Any) -> dict[str, Any]:
    return run_job(
        "headrace.training.pretrain", job(data, output, processes=2, **changed), output, 2
    )


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, shards_folder: Path) -> tuple[Path, Any]:
    output = tmp_path_factory.mktemp("one") / "run"
    return output, pretrain(job(shards_folder, output)).as_json()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, shards_folder: Path) -> tuple[Path, Any]:
    output = tmp_path_factory.mktemp("two") / "run"
    return output, by_two(shards_folder, output)


def same_course(a: Path, b: Path) -> None:
    """Every step's figures, the held-out ones and the exported weights agree to rounding."""
    lines = [read(folder / "metrics.jsonl") for folder in (a, b)]
    assert [len(x) for x in lines] == [STEPS, STEPS]
    for x, y in zip(*lines, strict=True):
        assert abs(x["loss"] - y["loss"]) < 1e-5, x["step"]
        assert abs(x["grad_norm"] - y["grad_norm"]) < 1e-5, x["step"]
        assert x["expert_load"] == pytest.approx(y["expert_load"], rel=0.02)
        assert x.get("heldout_loss") == pytest.approx(y.get("heldout_loss"), abs=1e-5)
    assert "heldout_loss" in lines[0][-1]
    weights = [export.read_tensors(folder / "export" / export.WEIGHTS) for folder in (a, b)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], atol=1e-3, rtol=0)


def tables(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all that the last checkpoint holds."""
    last = folder / "checkpoints" / f"step-{STEPS:08d}"
    return {
        f"{kind}/{name}": tuple(tensor.shape)
        for kind in ("model", "optimizer", "random")
        for name, tensor in export.read_tensors(last / f"{kind}.safetensors").items()
    }


def test_two_processes_train_as_one(one: tuple[Path, Any], two: tuple[Path, Any]) -> None:
    same_course(one[0], two[0])
    rounded = ("loss", "heldout_loss", "heldout_bits_per_byte", "tokens_per_second", "export")
    alike = [{k: v for k, v in x[1].items() if k not in rounded} for x in (one, two)]
    assert alike[0] == alike[1]
    assert storage.read_json(two[0] / "result.json") == two[1]


def test_a_checkpoint_tells_nothing_of_the_ranks(
    one: tuple[Path, Any], two: tuple[Path, Any]
) -> None:
    assert tables(one[0]) == tables(two[0])
    assert any(
        shape[0] == 8 for n, shape in tables(two[0]).items() if n.endswith("experts.down_proj")
    )


def interrupted(done: Path, copy: Path) -> Path:
    """The run folder as it was at its checkpoint before the last."""
    shutil.copytree(done, copy)
    shutil.rmtree(copy / "export")
    shutil.rmtree(copy / "checkpoints" / f"step-{STEPS:08d}")
    (copy / "result.json").unlink()
    return copy


def test_one_process_goes_on_where_two_were(
    one: tuple[Path, Any], two: tuple[Path, Any], shards_folder: Path, tmp_path: Path
) -> None:
    output = interrupted(two[0], tmp_path / "run")
    assert pretrain(job(shards_folder, output)).resumed_from == 10
    same_course(one[0], output)


@pytest.mark.slow
def test_two_processes_go_on_where_one_was(
    one: tuple[Path, Any], shards_folder: Path, tmp_path: Path
) -> None:
    output = interrupted(one[0], tmp_path / "run")
    assert by_two(shards_folder, output)["resumed_from"] == 10
    same_course(one[0], output)


RUN = """
import sys
from pathlib import Path
from headrace.infra.errors import HeadraceError
from headrace.infra.subprocess_jobs import run_job
from headrace.training.pretrain import PretrainJob
job = PretrainJob.model_validate_json(sys.argv[1])
try:
    run_job("headrace.training.pretrain", job, Path(job.output), 2)
except HeadraceError as error:
    print(error.code, error.message)
"""


def test_a_process_that_is_killed_ends_the_run_plainly(shards_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    asked = job(shards_folder, output, steps=100_000).model_dump_json()
    with subprocess.Popen(
        [sys.executable, "-c", RUN, asked], stdout=subprocess.PIPE, text=True
    ) as parent:
        try:
            while len(read(output / "metrics.jsonl")) < 2 and parent.poll() is None:
                time.sleep(0.1)
            ours = [p for p in psutil.process_iter(["cmdline", "environ"]) if belongs(p, output)]
            (second,) = (p for p in ours if (p.info["environ"] or {}).get("RANK") == "1")
            second.kill()
            said, _ = parent.communicate(timeout=120)
        finally:
            parent.kill()
    assert said.startswith("1 headrace.training.pretrain was ended: one of its 2 processes")
    assert not any(p.is_running() for p in ours)


def belongs(process: psutil.Process, output: Path) -> bool:
    return str(output / "job.json") in (process.info["cmdline"] or [])


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"rows": 5}, "5 rows"), ({"rows": 6}, "8 experts can't be divided evenly among 3")],
)
def test_what_does_not_divide_evenly_is_refused(
    changed: dict[str, int],
    said: str,
    shards_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UsageError, match=said):
        pretrain(job(shards_folder, tmp_path / "o", **changed))


if __name__ == "__main__":
    job_main(Job, work)

"""Which rank a process is, how ranks meet, and that no stranger takes part.

Ranks are tested by this file as a job: each runs `work`.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import torch.distributed as dist
from another_account import AS_ANOTHER, POSSIBLE
from as_module import as_module

from headrace.infra import storage
from headrace.infra.configuration.settings import Settings
from headrace.infra.errors import HeadraceError
from headrace.infra.subprocess_jobs import MEETING, job_main
from headrace.training.distributed import ONE, Ranks, divided
from headrace.training.engine import Engine
from headrace.training.optimizer import build_optimizer
from headrace.training.settings import OptimizerSettings

MODULE = "ranks_under_test"
ROUNDS = 200


class Job(Settings):
    folder: str
    """Where a rank says that it is ready, and waits for a file called go."""


def work(job: Job) -> dict[str, Any]:
    """Train two steps, then add up numbers while others try to take part."""
    ranks, folder = Ranks.current(), Path(job.folder)
    model = torch.nn.Linear(3, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    with Engine(model, build_optimizer(model, OptimizerSettings()), ranks=ranks) as engine:
        for _ in range(2):
            engine.step(model(torch.ones(1, 3)).sum())
        doors = [
            c.laddr[:2]
            for c in psutil.Process().net_connections("inet")
            if c.status == psutil.CONN_LISTEN
        ]
        storage.write_json(folder / f"rank-{ranks.rank}.json", doors)
        while not (folder / "go").exists():
            time.sleep(0.05)
        group = dist.new_group(list(range(ranks.size)))  # a further meeting
        added = torch.zeros(1)
        for i in range(ROUNDS):
            one = torch.tensor([float(i * (ranks.rank + 1))])
            dist.all_reduce(one, group=group)
            added += one
    store = dist.distributed_c10d._get_default_store()
    return {
        "added": added.item(),
        "weights": model.weight.tolist(),
        "store": type(getattr(store, "underlying_store", store)).__name__,
        "doors": doors,
    }


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every account can enter, as pytest's are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("size", [1, 2])
def test_ranks_open_no_port_but_on_loopback_and_take_nothing_from_strangers(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setenv("PYTHONPATH", as_module(__file__, MODULE, tmp_path))
    # A shell for another kind of run names the machine's other addresses.
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth0")
    (shared / "f").mkdir()
    (shared / "f").chmod(0o755)
    # In its own process, as a command is, and not in a thread of this one.
    code = (
        "import json, sys; from pathlib import Path; "
        "from headrace.infra.subprocess_jobs import run_job; "
        f"from {MODULE} import Job; folder, run, size = sys.argv[1:]; "
        f"print(json.dumps(run_job('{MODULE}', Job(folder=folder), Path(run), int(size))))"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(shared / "f"), str(size)]
    runner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = [tmp_path / f"rank-{r}.json" for r in range(size)]
    try:
        while not all(f.exists() for f in said) and runner.poll() is None:
            time.sleep(0.1)
        doors = [door for f in said for door in storage.read_json(f)]
        assert {ip for ip, _ in doors} <= {"127.0.0.1"}
        strangers = [socket.create_connection(door, timeout=5) for door in doors]
        for i, stranger in enumerate(strangers):
            stranger.sendall(PICKLE if i % 2 else bytes(4096))
        if size == 2:
            _another_account_is_kept_from(shared / "f" / ".ranks" / "store")
    finally:
        (tmp_path / "go").touch()
        out, _ = runner.communicate(timeout=300)
    answer = json.loads(out.splitlines()[-1])
    assert answer["added"] == sum(i * (r + 1) for i in range(ROUNDS) for r in range(size))
    assert "TCP" not in answer["store"]
    assert not (tmp_path / "ran").exists()


PICKLE = b"cposix\nsystem\n(S'touch ran'\ntR."
"""Runs a command where it is unpickled."""


def _another_account_is_kept_from(store: Path) -> None:
    assert store.exists() and store.parent.stat().st_mode & 0o077 == 0
    if POSSIBLE:
        run = store.parent.parent
        assert subprocess.run([*AS_ANOTHER, "ls", run], capture_output=True).returncode == 0
        for command in (["cat", str(store)], ["touch", str(store.with_name("x"))]):
            seen = subprocess.run([*AS_ANOTHER, *command], capture_output=True, text=True)
            assert seen.returncode != 0 and "Permission denied" in seen.stderr


def test_a_group_of_one_needs_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", MEETING):
        monkeypatch.delenv(name, raising=False)
    model = torch.nn.Linear(3, 1)
    with Engine(model, build_optimizer(model, OptimizerSettings())) as engine:
        assert engine.step(model(torch.ones(1, 3)).sum()) > 0
    assert dist.get_world_size() == 1 and "LOCAL_RANK" not in os.environ


def test_a_stranger_among_the_peers_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.infra.net.peers.strangers", lambda: {os.getuid() + 4_000_000})
    ONE.check_peers()  # alone, nothing is exchanged
    with pytest.raises(HeadraceError, match=f"connected .*: {os.getuid() + 4_000_000}"):
        Ranks(0, 2).check_peers()


def test_the_launcher_says_which_rank_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert Ranks.current() == ONE and ONE.first
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert Ranks.current() == Ranks(1, 4) and not Ranks.current().first


def test_the_parts_are_the_whole_in_order() -> None:
    whole = torch.arange(24.0).view(8, 3)
    parts = [Ranks(r, 4).part(whole) for r in range(4)]
    assert all(p.shape == (2, 3) for p in parts)
    assert torch.equal(torch.cat(parts), whole)
    parts[0].zero_()  # a part is a rank's own
    assert whole[0, 1] == 1


def test_one_process_talks_to_nobody() -> None:
    x = torch.arange(3.0)
    assert ONE.part(x) is x and ONE.whole(x) is x and ONE.total(x) is x
    assert ONE.mean(0.1) == 0.1


def test_only_marked_parameters_are_divided() -> None:
    p = torch.nn.Parameter(torch.zeros(2))
    assert not divided(p)
    setattr(p, "allreduce", False)  # noqa: B010 (DeepSpeed's mark)
    assert divided(p)


if __name__ == "__main__":
    job_main(Job, work)

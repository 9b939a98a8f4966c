"""An export is a model that MLflow loads and serves, and stays one that transformers loads."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from headrace.infra import storage
from headrace.infra.net.http_client import answers
from headrace.infra.net.ports import free_port
from headrace.infra.registry.versions import Registry
from headrace.infra.state.state_dir import Home
from headrace.infra.tracking import mlflow_model
from headrace.infra.tracking.runs import Tracking

TEXT = "The court decided that the river belongs to the town and the town to the river"


def export(folder: Path, template: str | None = None) -> Path:
    """An untrained model with its tokenizer, as the stages of training leave one."""
    import tiny
    import torch
    from transformers import Glm4MoeConfig, Glm4MoeForCausalLM

    core = tiny.bpe_core([TEXT], 300, [tiny.END, tiny.PAD, *tiny.CHAT])
    tokenizer = tiny.fast(core, tiny.CHAT)
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
        "intermediate_size": 64, "n_routed_experts": 4, "num_experts_per_tok": 2,
        "moe_intermediate_size": 16, "max_position_embeddings": 64, "eos_token_id": 0,
        "pad_token_id": 1,
    }  # fmt: skip
    Glm4MoeForCausalLM(Glm4MoeConfig(**shape)).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    if template:
        said = storage.read_json(folder / "tokenizer_config.json")
        storage.write_json(folder / "tokenizer_config.json", {**said, "chat_template": template})
    (folder / "lineage.json").write_text("{}")
    return folder


TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("exports") / "runs"
    return {
        "base": export(root / "base" / "export"),
        "chat": export(root / "chat" / "export", TEMPLATE),
    }


def champion(home: Path, folder: Path) -> Tracking:
    """A store whose model `headrace` has this export as its champion."""
    store = Tracking(Home(home))
    run = store.start_run("gate", {})
    store.finish(run)
    models = Registry(store, "headrace")
    version = models.register(run, folder, str(home / "releases" / "r"), {})
    models.move_champion(version, None, "gate", "better", run)
    return store


def test_the_champion_loads_with_its_own_logits(
    exports: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    import torch
    from transformers import AutoModelForCausalLM

    store = champion(tmp_path / "home", exports["base"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    pipe: Any = mlflow.transformers.load_model("models:/headrace@champion")
    ids = pipe.tokenizer(TEXT, return_tensors="pt")["input_ids"]
    own = AutoModelForCausalLM.from_pretrained(exports["base"])
    with torch.no_grad():
        assert torch.equal(pipe.model(ids).logits, own(ids).logits)
    assert pipe.tokenizer.decode(ids[0]) == TEXT
    asked = mlflow.pyfunc.load_model("models:/headrace@champion")
    said = asked.predict({"prompt": TEXT, "max_tokens": 4})
    assert said[0]["object"] == "text_completion"
    assert said[0]["usage"]["completion_tokens"] <= 4


@pytest.mark.parametrize("kind", ["base", "chat"])
def test_weights_are_no_second_copy_and_the_export_stays_one(
    exports: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    from transformers import AutoModelForCausalLM

    before = {p.name: p.read_bytes() for p in exports[kind].iterdir()}
    folder = exports[kind].parent / "model"
    for _ in range(2):  # the second replaces the first
        mlflow_model.lay_out(exports[kind], folder, "m")
    assert {p.name: p.read_bytes() for p in exports[kind].iterdir()} == before
    weights = "model.safetensors"
    assert os.path.samefile(folder / weights, exports[kind] / weights)
    assert not (folder / weights).stat().st_mode & 0o222
    assert {n: (folder / n).read_bytes() for n in before} == before
    AutoModelForCausalLM.from_pretrained(folder)
    assert [p.name for p in folder.parent.iterdir() if p.name.startswith(".")] == []
    task = "llm/v1/chat" if kind == "chat" else "llm/v1/completions"
    assert f"inference_task: {task}" in (folder / mlflow_model.MLMODEL).read_text()


@pytest.mark.server
@pytest.mark.parametrize("kind", ["base", "chat"])
def test_the_champion_is_served_by_mlflows_own_command(
    exports: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    store, port = champion(tmp_path / "home", exports[kind]), free_port()
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/headrace@champion",
        "--env-manager", "local", "--port", str(port),
    ]  # fmt: skip
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # MLflow calls `uvicorn`
    own = {"MLFLOW_TRACKING_URI": store.uri, "OMP_NUM_THREADS": "1", "PATH": path}
    env = {**os.environ, **own}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + 240
        while not answers(f"http://127.0.0.1:{port}/ping"):
            assert server.poll() is None and time.monotonic() < end, (tmp_path / "log").read_text()
            time.sleep(0.5)
        # The input that lies beside the model is one that it takes.
        (run,) = {v.run_id for v in store.client.search_model_versions("name='headrace'")}
        model = store.home.root / "mlartifacts" / run / "artifacts" / "model"
        body = (model / "serving_input_example.json").read_bytes()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"content-type": "application/json"}
        )
        said = json.load(urllib.request.urlopen(request, timeout=120))
        said = said[0] if isinstance(said, list) else said
        assert said["object"] == ("chat.completion" if kind == "chat" else "text_completion")
        assert isinstance(said["choices"][0].get("text", ""), str) and said["usage"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)

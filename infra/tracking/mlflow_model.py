"""The files that make an export an MLflow model, of the flavor `transformers`.

They lie beside the export's own, which stay loadable by transformers alone:

    MLmodel  requirements.txt  python_env.yaml  input_example.json  components/tokenizer/

An aligned export answers chats (`llm/v1/chat`, the messages of OpenAI's API); any other continues
a prompt (`llm/v1/completions`).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, JsonValue

from headrace.infra import storage
from headrace.infra.json_types import Json

MLMODEL = "MLmodel"
WEIGHTS = ".safetensors"
REQUIRED = ("mlflow", "transformers", "torch", "safetensors", "tokenizers")
"""Packages that loading and serving a model takes."""
NEW_TOKENS = 64
"""Length of an answer where a request names none; `headrace generate` has the same."""
_EXAMPLE = "The court decided"
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


class _Config(BaseModel):
    """What MLmodel says of an export's config.json."""

    architectures: tuple[str, ...] | None = None
    dtype: str | None = "float32"


def lay_out(export: Path, folder: Path, name: str) -> None:
    """Lay an export out in `folder` as an MLflow model, whole or not at all.

    Weights become hard links where the disk allows, so that there is no second copy of them;
    they can't be written to afterwards, since a change of one would be a change of both.

    Args:
        export: an export folder; nothing in it is changed but the write permission of weights.
        folder: replaced if it is there.
        name: what answers of the model say that they come from.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        for path in sorted(export.iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue
            (_link if path.suffix == WEIGHTS else shutil.copyfile)(path, temporary / path.name)
        describe(temporary, name)
        shutil.rmtree(folder, ignore_errors=True)
        storage.publish(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _link(path: Path, to: Path) -> None:
    try:
        path.chmod(path.stat().st_mode & ~0o222)
        os.link(path, to)
    except OSError:  # another disk, or one without links
        shutil.copyfile(path, to)


def describe(folder: Path, name: str) -> None:
    """Write what makes the export in `folder` an MLflow model; MLmodel comes last."""
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import llm

    config = _Config.model_validate(_json(folder / "config.json"))
    chat = _has_template(folder)
    task = "llm/v1/chat" if chat else "llm/v1/completions"
    signature = (
        ModelSignature(llm.CHAT_MODEL_INPUT_SCHEMA, llm.CHAT_MODEL_OUTPUT_SCHEMA)
        if chat
        else ModelSignature(llm.COMPLETIONS_MODEL_INPUT_SCHEMA, llm.COMPLETIONS_MODEL_OUTPUT_SCHEMA)
    )
    model: Any = Model(signature=signature, metadata={"task": task})
    versions = {package: metadata.version(package).split("+")[0] for package in REQUIRED}
    model.add_flavor(
        "transformers",
        transformers_version=versions["transformers"],
        code=None,
        task="text-generation",
        inference_task=task,
        instance_type="TextGenerationPipeline",
        pipeline_model_type=(config.architectures or ("AutoModelForCausalLM",))[0],
        source_model_name=name,
        model_binary=".",
        torch_dtype=config.dtype,
        components=["tokenizer"],
        tokenizer_type="PreTrainedTokenizerFast",
    )
    pyfunc.add_to_model(
        model,
        loader_module="mlflow.transformers",
        python_env="python_env.yaml",
        model_config={"max_new_tokens": NEW_TOKENS},
    )
    tokenizer = folder / "components" / "tokenizer"
    tokenizer.mkdir(parents=True, exist_ok=True)
    for file in _TOKENIZER:
        if (folder / file).exists():
            shutil.copyfile(folder / file, tokenizer / file)
    model.saved_input_example_info = _write_example(folder, chat)
    model.model_size_bytes = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    pins = "".join(f"{package}=={version}\n" for package, version in versions.items())
    storage.write_bytes(folder / "requirements.txt", pins.encode())
    environment = {
        "python": platform.python_version(),
        "build_dependencies": ["pip"],
        "dependencies": ["-r requirements.txt"],
    }
    storage.write_bytes(folder / "python_env.yaml", yaml.safe_dump(environment).encode())
    storage.write_bytes(folder / MLMODEL, model.to_yaml().encode())


def _json(path: Path) -> dict[str, JsonValue]:
    """Return what a file of an export says, nothing where it is missing."""
    return storage.read_json(path) if path.exists() else {}


def _has_template(folder: Path) -> bool:
    settings = _json(folder / "tokenizer_config.json")
    return "chat_template" in settings or (folder / "chat_template.jinja").exists()


def _write_example(folder: Path, chat: bool) -> dict[str, str]:
    """Write an input as a request has it; what MLmodel says of it."""
    prompt: dict[str, Json] = (
        {"messages": [{"role": "user", "content": _EXAMPLE}]} if chat else {"prompt": _EXAMPLE}
    )
    text = json.dumps({**prompt, "max_tokens": NEW_TOKENS}).encode()
    names = {
        "artifact_path": "input_example.json",
        "serving_input_path": "serving_input_example.json",
    }
    for name in names.values():
        storage.write_bytes(folder / name, text)
    return {**names, "type": "json_object"}

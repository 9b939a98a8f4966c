"""Export in Hugging Face's format (Glm4MoeForCausalLM), and loading it back."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch
from pydantic import Field
from torch import Tensor

from headrace.infra import storage
from headrace.infra.configuration.settings import Settings
from headrace.infra.errors import InputError
from headrace.training.moe import hf_config
from headrace.training.moe.config import MoEConfig
from headrace.training.moe.model import MoEForCausalLM, count_parameters

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

WEIGHTS = "model.safetensors"


class Card(Settings):
    """What the model card says."""

    stage: str
    """How the model was made: pretrain, sft, ppo, ewc."""
    lineage: dict[str, Any] = Field(default_factory=dict)
    """Where it comes from: release_id, parent, code_version, seed …; written to lineage.json."""
    metrics: dict[str, Any] = Field(default_factory=dict)
    """Figures worth a line in the card."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the training."""


@dataclass(frozen=True)
class ChatFormat:
    """How an aligned model is talked to."""

    template: str
    """Jinja, of the tokenizer's `chat_template`."""
    stops: tuple[int, ...]
    """Ids of the tokens that end an answer."""


def to_hf_tensors(model: MoEForCausalLM) -> dict[str, Tensor]:
    """Rename the weights to those of the published format: an expert's matrices one by one."""
    out: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        if name.endswith("experts.gate_up_proj"):
            base = name.removesuffix("gate_up_proj")
            for e, both in enumerate(tensor):
                gate, up = both.chunk(2)
                out[f"{base}{e}.gate_proj.weight"] = gate.contiguous()
                out[f"{base}{e}.up_proj.weight"] = up.contiguous()
        elif name.endswith("experts.down_proj"):
            base = name.removesuffix("down_proj")
            for e, down in enumerate(tensor):
                out[f"{base}{e}.down_proj.weight"] = down.contiguous()
        else:
            out[name] = tensor.contiguous()
    return out


def from_hf_tensors(config: MoEConfig, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of `MoEForCausalLM` from the published names (the inverse of the above).

    Layers behind the last one, which guess further tokens ahead, are left out.
    """
    layers = {f"{n}" for n in range(config.num_hidden_layers)}
    out = {
        n: t
        for n, t in tensors.items()
        if ".mlp.experts." not in n
        and not (n.startswith("model.layers.") and n.split(".")[2] not in layers)
    }
    for layer in range(config.first_k_dense_replace, config.num_hidden_layers):
        base = f"model.layers.{layer}.mlp.experts."
        each = range(config.n_routed_experts)
        out[base + "gate_up_proj"] = torch.stack(
            [
                torch.cat([tensors[f"{base}{e}.{part}_proj.weight"] for part in ("gate", "up")])
                for e in each
            ]
        )
        out[base + "down_proj"] = torch.stack(
            [tensors[f"{base}{e}.down_proj.weight"] for e in each]
        )
    if config.tie_word_embeddings:
        out["lm_head.weight"] = out["model.embed_tokens.weight"]
    return out


def _token_ids(tokenizer_dir: Path) -> dict[str, int]:
    tokenizer = load_tokenizer(tokenizer_dir)
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return {k: int(v) for k, v in ids.items() if v is not None}


_CHAT = """
## Chat
The tokenizer has a chat template: `tokenizer.apply_chat_template(messages,
add_generation_prompt=True)` gives the ids of training, and `generate()` stops where an answer ends.
User and assistant take turns; there is no system role. A message that spells out a special token is
refused by the template; a plain `tokenizer(text)` reads it as that token unless it is
called with `split_special_tokens=True`.
"""


def _card(model: MoEForCausalLM, card: Card, chat: ChatFormat | None) -> str:
    total, active = count_parameters(model.config)
    figures = {"total parameters": f"{total:,}", "active parameters": f"{active:,}", **card.metrics}
    shown = {k: f"{v:.3f}" if isinstance(v, float) else v for k, v in figures.items()}
    rows = "\n".join(f"| {k} | {v} |" for k, v in shown.items())
    lineage = "\n".join(f"- {k}: {v}" for k, v in sorted(card.lineage.items()))
    return f"""---
library_name: transformers
pipeline_tag: text-generation
language: [zh, en]
---
# A headrace model, stage {card.stage}

A small decoder with a mixture of experts, made by headrace; class Glm4MoeForCausalLM.

| figure | value |
|---|---|
{rows}
{_CHAT if chat else ""}
## Lineage
{lineage or "- none given"}

## Settings
```json
{json.dumps(card.settings, indent=1, sort_keys=True, default=str)}
```

## Limits
A model of this size continues text; it knows no facts. The release that the lineage names has the
text that it was trained on, with sources and licenses.
"""


def save(
    model: MoEForCausalLM,
    folder: Path | str,
    tokenizer_dir: Path | str,
    card: Card,
    chat: ChatFormat | None = None,
) -> Path:
    """Write an export folder beside its place and rename it, so that it is whole or absent.

    Args:
        model: what is exported.
        folder: where to; an export that is there already is replaced.
        tokenizer_dir: where the tokenizer's files are.
        card: what the model card says.
        chat: the format that an aligned model answers in; None: the export continues text, and has
            no chat template even if the tokenizer came with one.
    """
    folder, tokenizer_dir = Path(folder), Path(tokenizer_dir)
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_tensors(to_hf_tensors(model), temporary / WEIGHTS)
    ids: dict[str, Any] = _token_ids(tokenizer_dir)
    if chat:
        ids["eos_token_id"] = list(chat.stops)
    storage.write_json(temporary / "config.json", model.config.to_hf() | ids)
    storage.write_json(
        temporary / "generation_config.json",
        {**ids, "do_sample": True, "temperature": 0.8, "top_p": 0.95},
    )
    storage.write_json(temporary / "lineage.json", card.lineage)
    storage.write_bytes(temporary / "README.md", _card(model, card, chat).encode())
    copy_tokenizer(tokenizer_dir, temporary, chat)
    publish_folder(temporary, folder)
    return folder


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors durably; the same tensors give the same bytes."""
    storage.write_bytes(path, safetensors.torch.save(tensors, metadata={"format": "pt"}))


def copy_tokenizer(tokenizer_dir: Path, folder: Path, chat: ChatFormat | None = None) -> None:
    """Copy the tokenizer's files into an export, with the template of `chat` or none."""
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (tokenizer_dir / name).exists():
            shutil.copyfile(tokenizer_dir / name, folder / name)
    settings = folder / "tokenizer_config.json"
    said: dict[str, Any] = storage.read_json(settings) if settings.exists() else {}
    said.pop("chat_template", None)
    storage.write_json(settings, said | ({"chat_template": chat.template} if chat else {}))


def chat_format(
    folder: Path | str, tokenizer: PreTrainedTokenizerFast | None = None
) -> ChatFormat | None:
    """Return the chat format of an export; None where it only continues text.

    Args:
        folder: the export.
        tokenizer: its tokenizer, where it is loaded already.

    Raises:
        InputError: there is no tokenizer.
    """
    tokenizer = load_tokenizer(folder) if tokenizer is None else tokenizer
    if not isinstance(tokenizer.chat_template, str):
        return None
    path = Path(folder) / "generation_config.json"
    said = storage.read_json(path).get("eos_token_id") if path.exists() else None
    stops = said if isinstance(said, list) else [tokenizer.eos_token_id if said is None else said]
    return ChatFormat(tokenizer.chat_template, tuple(stops))


def publish_folder(temporary: Path, folder: Path) -> None:
    """Rename a finished folder into place, over an older one."""
    if folder.exists():
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        folder.replace(old)
        temporary.replace(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        storage.publish(temporary, folder)


def load_config(folder: Path | str) -> MoEConfig:
    """Load the shape of an exported model.

    Raises:
        InputError: no export is there, it is of another class, or it has a field that isn't
            implemented.
    """
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder}: no readable model export ({type(error).__name__} on config.json)",
            "give the export folder of a run",
        ) from None
    if not isinstance(config, dict):
        raise InputError(f"{path}: not a JSON object", "give an export made by headrace")
    return hf_config.read(config, str(path))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file.

    Raises:
        InputError: the file is missing or broken.
    """
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path}: {first}", "make the export again") from None


def broken_weights(folder: Path | str) -> list[str]:
    """Names of the tensors of an export that hold NaN or an infinity, ascending.

    Text that is scored need not touch them: an expert may get none of its tokens.

    Raises:
        InputError: the file is missing or broken.
    """
    tensors = read_tensors(Path(folder) / WEIGHTS)
    return sorted(n for n, t in tensors.items() if not torch.isfinite(t).all())


def _tied(head: Tensor, embedding: Tensor) -> bool:
    """Whether the two are one tensor, except for NaN and infinity, which `broken_weights` names."""
    if head.shape != embedding.shape:
        return False
    same = (head == embedding) | ~head.isfinite() | ~embedding.isfinite()
    return bool(same.all())


def load(folder: Path | str) -> MoEForCausalLM:
    """Load the exported model, float32, in evaluation mode.

    Raises:
        InputError: no export is there, it is of another class, or tensors are missing.
    """
    folder = Path(folder)
    config = load_config(folder)
    with torch.device("meta"):
        model = MoEForCausalLM(config)
    tensors = read_tensors(folder / WEIGHTS)
    embedding = tensors.get("model.embed_tokens.weight", torch.empty(0))
    head = tensors.get("lm_head.weight", embedding)
    if config.tie_word_embeddings and not _tied(head, embedding):
        raise InputError(
            f"{folder / WEIGHTS}: lm_head.weight differs from model.embed_tokens.weight, and "
            "config.json has tie_word_embeddings = true",
            "transformers reads such a model untied: set tie_word_embeddings to false",
        )
    try:
        state = from_hf_tensors(config, tensors)
        model.load_state_dict(state, assign=True)
    except (KeyError, RuntimeError) as error:
        said = "; ".join(x.strip() for x in str(error).splitlines()[:2])
        raise InputError(
            f"{folder / WEIGHTS} does not fit its config.json: {said}", "make the export again"
        ) from None
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    for router in model.routers():
        router.load = torch.zeros(config.n_routed_experts, dtype=torch.int64)
    return model.requires_grad_(True).float().eval()


def load_tokenizer(folder: Path | str) -> PreTrainedTokenizerFast:
    """Load the tokenizer of an export or of a token folder's `tokenizer/`.

    Raises:
        InputError: none is there.
    """
    from transformers import PreTrainedTokenizerFast

    try:
        tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(
            str(folder),
            local_files_only=True,  # nosec B615 # local files only
        )
        return tokenizer
    except (OSError, ValueError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise InputError(f"{folder}: no tokenizer: {first}", "give an export folder") from None

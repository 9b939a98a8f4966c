"""A language model's body with a scalar head: the reward model.

The score of an answer is the head's output on two states side by side: the mean over the answer's
tokens, which shows faults wherever they are, and that of the last token, `<|end|>`, which shows how
it ends. (Ouyang et al. 2022 use the last alone; a small model misses there what lies far back.)

Saved as a folder of its own kind: config.json (the body's configuration), model.safetensors (body,
head and scale), tokenizer files, lineage.json and README.md. Nothing is pickled.

Shapes: B answers, T tokens, D width.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from headrace.infra import storage
from headrace.infra.errors import InputError
from headrace.training.moe import export
from headrace.training.moe.config import MoEConfig
from headrace.training.moe.model import MoEForCausalLM

ARCHITECTURE = "HeadraceRewardModel"


class ScalarModel(nn.Module):
    """A body and a linear head with one output.

    Raw scores are log odds: the difference of two answers' scores is that of the first being
    preferred (Bradley and Terry). `mean` and `std` bring them to a scale that doesn't depend on the
    model, for stages that train on scores.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: MoEForCausalLM) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(2 * backbone.config.hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))

    @property
    def config(self) -> MoEConfig:
        """The body's configuration."""
        return self.backbone.config

    def states(self, ids: Tensor) -> Tensor:
        """Return the body's states (B, T, D)."""
        return self.backbone.hidden(ids)

    def pooled(self, states: Tensor, start: Tensor, last: Tensor) -> Tensor:
        """Raw scores (B,) from the body's states (B, T, D) of answers from `start` to `last`."""
        positions = torch.arange(states.shape[1], device=states.device)
        inside = (positions >= start[:, None]) & (positions <= last[:, None])
        share = inside.to(states.dtype) / inside.sum(1, keepdim=True)
        mean = torch.einsum("bt,btd->bd", share, states)
        end = states[torch.arange(len(states), device=states.device), last]
        scores: Tensor = self.head(torch.cat([mean, end], dim=1))
        return scores.squeeze(-1)

    def forward(self, ids: Tensor, start: Tensor, last: Tensor) -> Tensor:
        """Raw scores (B,) of dialogues `ids` (B, T) with answers from `start` to `last` (B,)."""
        return self.pooled(self.states(ids), start, last)

    def scaled(self, raw: Tensor) -> Tensor:
        """Raw scores in standard deviations of the training pairs' scores, 0 at their mean."""
        return (raw - self.mean) / self.std


def save(
    model: ScalarModel,
    folder: Path,
    tokenizer_dir: Path,
    lineage: Mapping[str, JsonValue],
    metrics: Mapping[str, JsonValue],
) -> Path:
    """Write the export folder of a reward model: whole or absent, never half."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    # Tied weights are one tensor; the output head of the language model is not part of this one.
    tensors = {
        n: t.contiguous() for n, t in model.state_dict().items() if ".lm_head." not in f".{n}"
    }
    export.save_tensors(tensors, temporary / export.WEIGHTS)
    config = {
        "architectures": [ARCHITECTURE],
        "model_type": "headrace_reward",
        "backbone": model.config.model_dump(),
    }
    storage.write_json(temporary / "config.json", config)
    storage.write_json(temporary / "lineage.json", lineage)
    figures = "\n".join(f"| {k} | {v} |" for k, v in metrics.items() if not isinstance(v, dict))
    origin = "\n".join(f"- {k}: {v}" for k, v in sorted(lineage.items()))
    card = (
        "# A headrace reward model\n\nScores answers; load with "
        "`headrace.training.rlhf.reward_trainer.load_reward`. Not a language model.\n\n"
        f"| figure | value |\n|---|---|\n{figures}\n\n## Lineage\n{origin or '- none given'}\n"
    )
    storage.write_bytes(temporary / "README.md", card.encode())
    export.copy_tokenizer(tokenizer_dir, temporary)
    export.publish_folder(temporary, folder)
    return folder


def load(folder: Path) -> ScalarModel:
    """Load the reward model of an export folder, float32, in evaluation mode.

    Raises:
        InputError: none is there, or it is of another kind.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder}: no readable reward model ({type(error).__name__} on config.json)",
            "give the export folder of `headrace align reward`",
        ) from None
    if not isinstance(config, dict) or config.get("model_type") != "headrace_reward":
        raise InputError(
            f"{path}: not a reward model", "give the export folder of `headrace align reward`"
        )
    model = ScalarModel(MoEForCausalLM(MoEConfig.model_validate(config["backbone"])))
    tensors = export.read_tensors(folder / export.WEIGHTS)
    wanted = {n for n in model.state_dict() if ".lm_head." not in f".{n}"}
    if wanted != set(tensors):
        odd = sorted(wanted ^ set(tensors))[:3]
        raise InputError(
            f"{folder / export.WEIGHTS}: tensors missing or too many: {', '.join(odd)}",
            "train the reward model again",
        )
    try:
        model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise InputError(
            f"{folder / export.WEIGHTS} does not fit its config.json: {str(error).splitlines()[0]}",
            "train the reward model again",
        ) from None
    return model.eval()

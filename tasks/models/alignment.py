"""Alignment in the chain: the data derived from the release, and what the three stages gave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.infra import storage
from headrace.infra.configuration.settings import Shared
from headrace.infra.lineage import code_version
from headrace.tasks.task import relative, run_folder, step
from headrace.training.rlhf.data.derive import derive
from headrace.training.rlhf.settings import AlignSettings


@step("derive alignment data")
def derive_data(release: dict[str, Any], settings: AlignSettings, shared: Shared) -> dict[str, Any]:
    """The data folders of the three stages."""
    identity = [
        release["release_id"],
        settings.derive.model_dump(),
        shared.seed,
        code_version("training"),
    ]
    folder = run_folder("derive", identity)
    return {**derive(release["release"], str(folder), settings.derive, shared.seed)}


def aligned_model(
    data: dict[str, Any], sft: dict[str, Any], reward: dict[str, Any], ppo: dict[str, Any]
) -> dict[str, Any]:
    """The last stage's export, with what the gate needs to judge its successors by.

    {`export`, `folder`, `stages` {name: answer}, `tags`}; the tags go with the model version, so
    that a later gate finds the reward model and the prompts.
    """
    prompts = storage.join(data["ppo"]["data"], "heldout.jsonl")
    return {
        "export": ppo["export"],
        "folder": Path(ppo["export"]).parent,
        "stages": {"sft": sft, "reward": reward, "ppo": ppo},
        "tags": {
            "release_id": data["release_id"],
            "reward": relative(reward["export"]),
            "prompts": relative(prompts),
        },
    }

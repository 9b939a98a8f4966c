"""Alignment in the chain: the data derived from the release, and what the three stages gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace.infra.artifacts import Artifact, Inputs, Model, Record, Release, produce
from headrace.infra.configuration.settings import Shared
from headrace.tasks.gate.promotion import Candidate
from headrace.tasks.task import relative, step
from headrace.training.rlhf.data.derive import derive
from headrace.training.rlhf.settings import AlignSettings


class Parts(Record):
    """Examples of a stage, by part."""

    train: int
    heldout: int


class AlignmentData(Artifact):
    """Examples for the stages of alignment, derived from a release: a folder per stage."""

    RECORD = "manifest.json"
    VIEW = True

    release_id: str
    counts: Mapping[str, Parts]

    def examples(self, stage: str) -> str:
        """Folder of a stage's examples."""
        return str(Path(self.folder) / stage)

    @property
    def prompts(self) -> str:
        """Held-out prompts, which judge a model's successors."""
        return str(Path(self.examples("ppo")) / "heldout.jsonl")

    def parts(self) -> tuple[str, ...]:
        """Return the examples."""
        folders = [Path(self.examples(stage)) for stage in self.counts]
        return tuple(str(f / n) for f in folders for n in ("train.jsonl", "heldout.jsonl"))


@dataclass(frozen=True)
class Aligned:
    """The models of the stages, and the data that they were made of."""

    stages: Mapping[str, Model]
    data: AlignmentData

    @property
    def model(self) -> Model:
        """The last stage's, which the gate judges."""
        return self.stages["ppo"]

    def candidate(self, release: Release) -> Candidate:
        """Return the model as the gate promotes it.

        The tags go with the version, so that a later gate finds the reward model and the prompts.
        """
        tags = {
            "release_id": self.data.release_id,
            "reward": relative(self.stages["reward"].export),
            "prompts": relative(self.data.prompts),
        }
        return Candidate(self.model.export, release.folder, tags)


@step("derive alignment data")
def derive_data(release: Release, settings: AlignSettings, shared: Shared) -> AlignmentData:
    """Derive the examples of the three stages."""
    decides = (release.id, settings.derive.model_dump(), shared.seed)

    def make(folder: Path) -> AlignmentData:
        derive(release.folder, str(folder), settings.derive, shared.seed)
        return AlignmentData.load(folder)

    inputs = Inputs.deciding("derive", *decides, parents=(release.ref,))
    return produce(AlignmentData, inputs, make)

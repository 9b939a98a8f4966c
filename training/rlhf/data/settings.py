"""Settings of the data that alignment is derived from."""

from __future__ import annotations

from pydantic import Field, model_validator

from headrace.infra.configuration.setting_faults import SettingError
from headrace.infra.configuration.settings import Settings


class DeriveSettings(Settings):
    """How much alignment data is taken from a release, and how long its texts are."""

    sft: int = Field(default=6000, ge=1)
    """Most pairs of prompt and response for supervised fine-tuning."""
    reward: int = Field(default=5000, ge=1)
    """Most preference pairs for the reward model."""
    ppo: int = Field(default=3000, ge=1)
    """Most prompts for PPO."""
    heldout: int = Field(default=240, ge=1)
    """Most held-out items of each stage."""
    per_document: int = Field(default=6, ge=1)
    """Most items taken from one document."""
    max_beginning_bytes: int = Field(default=150, ge=1)
    """Longest beginning of a text that a prompt quotes, in bytes of UTF-8."""
    max_response_bytes: int = Field(default=110, ge=1)
    """Longest response in bytes of UTF-8, so that it fits into a rollout."""
    min_items: int = Field(default=16, ge=1)
    """Fewest items of a stage, of its training or of its held-out part, that are enough."""

    @model_validator(mode="after")
    def _enough_is_possible(self) -> DeriveSettings:
        for name in ("sft", "reward", "ppo", "heldout"):
            if getattr(self, name) < self.min_items:
                raise SettingError(
                    f"{name} {getattr(self, name)} is below min_items {self.min_items}: "
                    "no text could give enough",
                    f"raise {name}, or lower min_items",
                )
        return self

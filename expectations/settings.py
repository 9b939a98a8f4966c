"""Settings of the drift test, apart from its kernels: a slip in one is reported at once."""

from __future__ import annotations

import math

from pydantic import Field, model_validator

from headrace.infra.configuration.setting_faults import SettingError
from headrace.infra.configuration.settings import Settings


class DriftSettings(Settings):
    """When a window counts as drifted."""

    alpha: float = Field(default=0.005, gt=0, le=1)
    """Largest family-wise p-value of an alert, that is the most false alarms a window."""
    minimum_effect: float = Field(default=0.06, ge=0, le=1)
    """Smallest share of the window that must differ for an alert, between 0 and 1."""
    minimum_loss_rise: float = Field(default=0.05, ge=0)
    """Smallest rise of the champion's loss for an alert, in bits per byte."""
    minimum_documents: int = Field(default=20, ge=2)
    """Fewer documents than this on either side can't be compared."""
    permutations: int = Field(default=1999, ge=1)
    """Rearrangements of the labels; the p-value is at least 1 / (permutations + 1)."""
    max_reference: int = Field(default=4000, ge=2)
    """Documents of the reference that are looked at, a seeded sample of them."""
    max_window: int = Field(default=2000, ge=2)
    """Documents of the window that are looked at, a seeded sample of them."""
    max_bytes: int = Field(default=2048, ge=1)
    """Bytes of a document that are used."""
    dimensions: int = Field(default=1024, ge=1)
    """Length of a text's vector."""
    neighbours: int = Field(default=20, ge=1)
    """Nearest neighbours of a document that are counted."""
    directions: int = Field(default=16, ge=1)
    """Leading directions of the text vectors that are compared."""
    taught_windows: int = Field(default=5, ge=0)
    """Windows that the champion was taught last, which a window is compared with as well."""
    scored_documents: int = Field(default=200, ge=0)
    """Documents of the window whose loss under the champion is measured; 0: none."""

    @model_validator(mode="after")
    def _an_alert_is_possible(self) -> DriftSettings:
        least = 1 / (self.permutations + 1)
        if self.alpha < least:
            raise SettingError(
                f"alpha {self.alpha:g} is below {least:.2g}, the least p-value of "
                f"{self.permutations} permutations: nothing could raise an alert",
                f"set permutations to {math.ceil(1 / self.alpha) - 1} or more",
            )
        for name in ("max_reference", "max_window"):
            if getattr(self, name) < self.minimum_documents:
                raise SettingError(
                    f"{name} {getattr(self, name)} is below minimum_documents "
                    f"{self.minimum_documents}: nothing could be compared",
                    f"raise {name}, or lower minimum_documents",
                )
        return self

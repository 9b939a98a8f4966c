"""The stages of alignment in words: what each is judged by, and what its gain says.

Light to import: a command's last screen needs no more.
"""

from __future__ import annotations

from headrace.infra.artifacts import Gain
from headrace.training.rlhf.stages import STAGES


def measured_by(name: str) -> str:
    """Return what a stage is judged by, in words; the name itself of a metric of no known stage."""
    words = {stage.measure: stage.measured_by for stage in STAGES.values()}
    return words.get(name, name)


def verdict(gain: Gain) -> str:
    """Return what the interval of a stage's gain says: better, worse, or not shown."""
    if gain.low is None or gain.high is None:
        return "too few to tell"
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "not shown"

"""The stages of alignment in words: what each is judged by, and what its gain says.

Light to import: a command's last screen needs no more.
"""

from __future__ import annotations

from headrace.infra.artifacts import Gain

MEASURES = {
    "bits_per_byte": "bits per byte of responses",
    "pairwise_accuracy": "pairs in the right order",
    "gold_pass": "answers that pass the gold rule",  # nosec B105 # a metric
}
"""What the stages of alignment are judged by, in words."""


def verdict(gain: Gain) -> str:
    """What the interval of a stage's gain says: better, worse, or not shown."""
    if gain.low is None or gain.high is None:
        return "too few to tell"
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "not shown"

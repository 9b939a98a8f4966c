"""What levels declare, put together."""

import pyarrow as pa

from headrace.infra.level_facts import AFTER_LEVELS, Count, Label, LevelFacts, Score, places, scores
from headrace.infra.schemas import documents_file, rejected_file, scored

TONE = Score("tone", title="Tone", meaning="tone", threshold="targets", per="domain")
LEVELS = (
    LevelFacts("form", (), ("blank",)),
    LevelFacts("tone", (TONE, Label("mood", ("good", "bad")), Count("jokes")), ("flat",)),
)


def test_places_are_the_levels_and_what_comes_after_them() -> None:
    assert places(LEVELS) == ("form", "tone", *AFTER_LEVELS)


def test_scores_are_found_among_other_columns() -> None:
    assert scores(LEVELS) == (TONE,) and TONE.excess == "over_target"


def test_columns_of_levels_stand_between_those_of_every_record() -> None:
    names = scored(LEVELS).names
    at = names.index("tone")
    assert names[at - 1 : at + 4] == ["content_hash", "tone", "mood", "jokes", "created"]
    types = [scored(LEVELS).field(name).type for name in ("tone", "mood", "jokes")]
    assert types == [pa.float32(), pa.string(), pa.int32()]
    assert not {"lang", "domain"} & {*documents_file(LEVELS).names}
    assert rejected_file(LEVELS).names == [*names, "reason", "detail"]

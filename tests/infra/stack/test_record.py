import json

from headrace.infra.stack import record
from headrace.infra.stack.pools import PoolsSettings
from headrace.infra.stack.record import Record
from headrace.infra.state.state_dir import home

BEGUN = {"home": "/h", "mark": "m", "ready": False}


def written() -> dict[str, object]:
    kept: dict[str, object] = json.loads(record.path(home()).read_bytes())
    return kept


def test_what_was_not_set_is_not_written() -> None:
    record.write(home(), Record.model_validate(BEGUN))
    assert written() == BEGUN


def test_defaults_of_today_are_written_down_and_other_versions_keys_stay() -> None:
    known = Record.model_validate({**BEGUN, "added_later": [1]})
    record.write(home(), known.model_copy(update={"ready": True, "pools": PoolsSettings()}))
    assert written() == {
        **BEGUN, "ready": True, "added_later": [1], "pools": PoolsSettings().model_dump(),
    }  # fmt: skip

from pathlib import Path

import pytest

from headrace.infra.errors import ValidationError
from headrace.infra.state.state_dir import home
from headrace.tasks.configuration.settings import RetrainVerb
from headrace.tasks.mlflow_log import registry, tracking
from headrace.tasks.retraining.round_start import one_round, unfinished_round


def promoted(name: str, before: str | None, parent: str | None) -> str:
    """A champion of the model `headrace`."""
    models, store = registry("headrace"), tracking()
    export = home().runs / name / "export"
    export.mkdir(parents=True)
    (export / "config.json").write_text("{}")
    run = store.start_run(name, {})
    store.finish(run)
    version = models.register(run, export, "/r", {"parent_version": parent})
    models.move_champion(version, before, "gate", "better", run)
    return version


def test_a_round_that_was_killed_starts_where_it_started(state: Path) -> None:
    settings = RetrainVerb()
    one = promoted("one", None, None)
    windows = [str(state / name) for name in "ab"]
    for window in windows:
        Path(window).write_text('{"text": "one"}\n')

    def killed() -> str:
        with pytest.raises(KeyboardInterrupt), one_round(windows, settings) as version:
            raise KeyboardInterrupt
        return version

    assert killed() == one and unfinished_round(["/c", *reversed(windows)], settings) == windows
    assert unfinished_round(windows[:1], settings) == []
    other = RetrainVerb.model_validate({"model": {"name": "other"}})
    assert unfinished_round(windows, other) == [], "another model's round"
    two = promoted("two", one, one)  # by the first try, which was killed before its end
    assert killed() == one
    three = promoted("three", two, two)
    assert killed() == three, "another champion is to be beaten then"
    with one_round(windows, settings) as version:
        assert version == three
    assert unfinished_round(windows, settings) == []
    killed()
    with one_round(["/another"], settings):
        pass
    assert unfinished_round(windows, settings) == [], "its champion may be champion no more"
    killed()
    Path(windows[0]).unlink()
    assert unfinished_round(windows, settings) == [], "it can't go on"
    with pytest.raises(ValidationError), one_round(windows, settings):
        raise ValidationError("the window is damaged")
    assert unfinished_round(windows, settings) == []


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b'{"model": 1}', b"\xff", None])
def test_a_damaged_record_of_a_round_is_set_aside(content: bytes | None, state: Path) -> None:
    settings, rounds = RetrainVerb(), state / "windows" / "rounds"
    version = promoted("one", None, None)
    window = state / "a"
    window.write_text('{"text": "one"}\n')
    with pytest.raises(KeyboardInterrupt), one_round([str(window)], settings):
        raise KeyboardInterrupt
    (own,) = rounds.iterdir()
    for path in (own, rounds / "stray.json"):
        path.unlink(missing_ok=True)
        path.mkdir() if content is None else path.write_bytes(content)
    assert unfinished_round([str(window)], settings) == [] and not list(rounds.iterdir())
    with one_round([str(window)], settings) as again:
        assert again == version
    assert len(list((home().quarantine / "windows" / "rounds").iterdir())) == 2

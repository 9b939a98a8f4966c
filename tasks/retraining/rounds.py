"""Rounds of retraining: each is one file, from its beginning to what became of it.

    HOME/windows/rounds/<id>.json         a round that is under way, or has closed windows
    HOME/windows/rounds/ended/<id>.json   an ended one whose windows, if any, settled.jsonl lists

What became of a round is one write of its file, for all of its windows at once. A kill before it
leaves the round under way: the next try on the same windows resumes it, from the same version of
the model. A window is closed by a round that came to a result: no other is begun on it unasked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from pydantic import AliasChoices, Field

from headrace.infra import storage
from headrace.infra.errors import InputError, UsageError, ValidationError
from headrace.infra.files import quarantine
from headrace.infra.files.quarantine import Instant
from headrace.infra.lineage import digest
from headrace.infra.registry.versions import Version
from headrace.infra.state.state_dir import home
from headrace.tasks.mlflow_log import registry
from headrace.tasks.retraining.records import (
    Record,
    absolute,
    has_old_round,
    is_of_inbox,
    relative,
)
from headrace.tasks.retraining.window import is_there


class State(StrEnum):
    """Where a round stands. Those of a result are also names of Prefect's states of a run."""

    UNDER_WAY = "UnderWay"
    PROMOTED = "Promoted"
    REFUSED = "Refused"
    """By the gate, or since the window is damaged."""
    WAITING = "Waiting"
    """For a person to decide on the new version."""
    DECIDED = "Decided"
    """A person had decided on that version before."""
    NO_DRIFT = "NoDrift"
    CACHED = "Cached"
    """The champion knows the text."""
    UNREADABLE = "Unreadable"
    OVERTAKEN = "Overtaken"
    """Another champion came in meanwhile, which is to be beaten now."""
    ABANDONED = "Abandoned"
    """It can't be resumed: something of it was refused, or another round has ended since."""


_RESULTS = frozenset({State.PROMOTED, State.REFUSED, State.WAITING, State.DECIDED, State.NO_DRIFT})
TRANSITIONS: Mapping[State | None, frozenset[State]] = {
    None: frozenset({State.UNDER_WAY, State.CACHED, State.UNREADABLE, State.REFUSED}),
    State.UNDER_WAY: _RESULTS | {State.OVERTAKEN, State.ABANDONED},
}
"""States that may follow each; None: there is no round yet. All others are final."""
CLOSING = _RESULTS | {State.CACHED, State.UNREADABLE}
"""States after which no round is begun unasked on the windows that it closes."""


class Round(Record):
    """A round on one or more windows."""

    id: str = Field(default="", exclude=True)
    """Name of its file."""
    model: str
    windows: tuple[str, ...] = Field(strict=False)
    """Relative to the state folder, where they lie inside."""
    champion: str | None = Field(default=None, validation_alias=AliasChoices("champion", "version"))
    """Version that it starts from; None: it ended before it began."""
    state: State = Field(default=State.UNDER_WAY, strict=False)
    closes: bool = False
    """Whether its result closes its windows: a deployment asked for it, not a person's command."""
    time: Instant | None = None
    """When it came to its state."""

    @property
    def places(self) -> list[str]:
        """Its windows, by their absolute names."""
        return [absolute(w) for w in self.windows]

    @property
    def closed(self) -> list[str]:
        """The windows that it has closed."""
        return self.places if self.closes and self.state in CLOSING else []

    @property
    def is_under_way(self) -> bool:
        """Whether it can be resumed."""
        return self.state is State.UNDER_WAY

    def to(self, state: State) -> Round:
        """Store that it came to another state.

        Raises:
            ValueError: that state can't follow.
        """
        if state not in TRANSITIONS.get(self.state, frozenset()):
            raise ValueError(f"a round that is {self.state} can't become {state}")
        return _store(self.model_copy(update={"state": state}))


def _folder() -> Path:
    return home().windows / "rounds"


def _place(id: str) -> Path:
    return _folder() / f"{id}.json"


def _store(round_: Round) -> Round:
    now = datetime.now(UTC).isoformat()
    stored = round_.model_copy(update={"time": now})
    storage.write_json(_place(stored.id), stored.model_dump(mode="json"))
    return stored


def _new(state: State, model: str, windows: Sequence[str], champion: str | None, closes: bool
         ) -> Round:  # fmt: skip
    if state not in TRANSITIONS[None]:
        raise ValueError(f"no round begins as {state}")
    names = tuple(relative(w) for w in windows)
    id = digest([model, sorted(names), datetime.now(UTC).isoformat()])[:12]
    return _store(
        Round(id=id, model=model, windows=names, champion=champion, state=state, closes=closes)
    )


def stored() -> list[Round]:
    """Return the rounds that are under way or have closed windows; a damaged file is set aside."""
    files = quarantine.read_all(sorted(_folder().glob("*.json")), Round.model_validate)
    return [round_.model_copy(update={"id": path.stem}) for path, round_ in files]


def under_way(model: str) -> list[Round]:
    """Return the rounds on a model that can be resumed."""
    return [r for r in stored() if r.model == model and r.is_under_way]


def closed_windows() -> set[str]:
    """Return the windows that rounds have closed, apart from those that settled.jsonl lists."""
    return {window for r in stored() for window in r.closed}


def is_closed(window: str, closed: Set[str]) -> bool:
    """Whether a round has closed a window of an inbox; `closed` are all `closed_windows`."""
    return is_of_inbox(window) and (window in closed or has_old_round(window))


def close(window: str, state: State, model: str) -> None:
    """Record that no round is to be begun on a window unasked, without one having been made."""
    if is_of_inbox(window):
        _new(state, model, [window], None, True)


class Attempt:
    """A try of a round: set `state` to what it came to."""

    def __init__(self, champion: str) -> None:
        self.champion = champion
        """The version that it starts from."""
        self.state = State.ABANDONED


@contextmanager
def one_round(
    windows: Sequence[str], model: str, champion: str | None = None, closes: bool = False
) -> Iterator[Attempt]:
    """Begin a round on windows, or resume the one that is under way, and store how it ends.

    A kill may come between the promotion and its record, and the new champion would have nothing
    to learn from the window: a further try starts from the version that the first started from.

    Args:
        windows: names of all of its windows.
        model: name of the registered model.
        champion: version to start from; None: the champion, or that of the first try.
        closes: whether its result closes its windows.

    Raises:
        UsageError: there is no champion yet.
    """
    round_ = _begin(windows, model, champion, closes)
    attempt = Attempt(str(round_.champion))
    try:
        yield attempt
    except (InputError, UsageError, ValidationError):
        archive([round_.to(State.ABANDONED)])  # it came to no promotion
        raise
    ended = [round_.to(attempt.state)]
    # The champion may be another now: no other try can continue from where it began.
    ended += [other.to(State.ABANDONED) for other in under_way(model)]
    archive(ended)


def _begin(windows: Sequence[str], model: str, champion: str | None, closes: bool) -> Round:
    now = registry(model).champion()
    same = [r for r in under_way(model) if set(r.places) == set(windows)]
    if not same:
        return _new(State.UNDER_WAY, model, windows, champion or now.number, closes)
    first = same[0].model_copy(update={"closes": closes})
    if champion is None and first.champion != _parent(now):
        # Another champion may have come in since, and is to be beaten then.
        champion = now.number
    return _store(first.model_copy(update={"champion": champion or first.champion}))


def _parent(version: Version) -> str | None:
    return version.tags.get("parent_version")


def unfinished_round(windows: Sequence[str], model: str) -> list[str]:
    """Return the windows of a round that was killed, if all of them are among `windows`; or none.

    One that can't be resumed is abandoned: a window of it is closed, or can't be read any more.
    """
    closed = closed_windows()
    for round_ in under_way(model):
        own, is_asked = round_.places, set(round_.places) <= set(windows)
        is_done = any(is_closed(w, closed) for w in own)
        if is_asked and not is_done and all(map(is_there, own)):
            return own
        if is_asked or (is_done and round_.closes):
            archive([round_.to(State.ABANDONED)])
    return []


def archive(rounds: Iterable[Round], listed: Set[str] = frozenset()) -> None:
    """Put ended rounds away that close no window of an inbox, except those of `listed`."""
    for round_ in rounds:
        if not any(is_of_inbox(w) and w not in listed for w in round_.closed):
            ended = _folder() / "ended"
            ended.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # another process was quicker
                _place(round_.id).rename(ended / _place(round_.id).name)

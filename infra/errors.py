"""What can go wrong, as the exit codes of the contract: each error says what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict

from headrace.infra.visible import visible

if TYPE_CHECKING:  # the errors are imported everywhere, and pydantic takes its time
    from headrace.infra.json_types import Json


class Fault(TypedDict):
    """An error as it crosses a process border."""

    kind: str
    code: int
    message: str
    hint: str
    counts: Mapping[str, Json]


class HeadraceError(Exception):
    """A fault that a user can act on: `message` says what and where, `hint` what to do.

    Both are one line whatever names and texts they quote (see `visible`). `counts` carries the
    figures known so far (the ledger's, say) into the JSON of the command.
    """

    code = 1

    def __init__(
        self, message: str, hint: str = "", counts: Mapping[str, Json] | None = None
    ) -> None:
        self.message, self.hint, self.counts = visible(message), visible(hint), counts or {}
        super().__init__(self.message)

    def as_json(self) -> Fault:
        """Return the error as it crosses a process border; `of_json` is the inverse."""
        return {
            "kind": type(self).__name__,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "counts": self.counts,
        }


class DeadlineError(HeadraceError):
    """The time that a job was given is over; the same command resumes."""


class ResourceError(HeadraceError):
    """The machine has run out of something (disk, memory, open files): trying again won't help."""


class UsageError(HeadraceError):
    """Wrong use or configuration (also: no champion yet)."""

    code = 2


class AtWorkError(UsageError):
    """A command or a flow is at work where nothing may be."""


class InputError(HeadraceError):
    """Input that can't be read: a missing path, or too many unreadable records."""

    code = 3


class UnansweredError(InputError):
    """Storage or a disk doesn't answer: its content may be right, and a later try may read it."""


class UnreadableError(InputError):
    """Too many records are unreadable: it is the text itself, and a second try won't help."""


class GoneError(InputError):
    """Text that was there has been taken away or changed: it will not come back by itself."""


class ValidationError(HeadraceError):
    """An expectation failed, or there is too little text for it."""

    code = 4


class NoTextError(ValidationError):
    """No record of an input has text: it is the input or its fields' names, no second try helps."""


class DamagedWindowError(ValidationError):
    """A window leaves too little text, or too small a share of it, to learn from."""


class NotPromotedError(HeadraceError):
    """The gate's decision is reject or inconclusive."""

    code = 5


def of_json(fault: Fault) -> HeadraceError:
    """Return the error that `as_json` wrote down, of the same class."""
    kind = _KINDS.get(fault["kind"], HeadraceError)
    return kind(fault["message"], fault["hint"], fault["counts"])


_KINDS: dict[str, type[HeadraceError]] = {
    kind.__name__: kind
    for kind in globals().values()
    if isinstance(kind, type) and issubclass(kind, HeadraceError)
}

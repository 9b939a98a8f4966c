"""What can go wrong, as the exit codes of the contract: each error says what to do about it."""

from __future__ import annotations

from typing import Any


class HeadraceError(Exception):
    """A fault that a user can act on: `message` says what and where, `hint` what to do.

    `counts` carries the figures known so far (the ledger's, say) into the JSON of the command.
    """

    code = 1

    def __init__(self, message: str, hint: str = "", counts: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message, self.hint, self.counts = message, hint, counts or {}


class DeadlineError(HeadraceError):
    """The time that a job was given is over; it can be gone on with."""


class UsageError(HeadraceError):
    """Wrong use or configuration (also: no champion yet)."""

    code = 2


class InputError(HeadraceError):
    """Input that can't be read: a missing path, or too many unreadable records."""

    code = 3


class UnreadableError(InputError):
    """Too many records are unreadable: it is the text itself, and no second try mends it."""


class GoneError(InputError):
    """Text that was there has been taken away or changed: it will not come back by itself."""


class ValidationError(HeadraceError):
    """An expectation failed, or there is too little text to go on."""

    code = 4


class NoTextError(ValidationError):
    """No record of an input has text: it is the input or its fields' names, no second try helps."""


class DamagedWindowError(ValidationError):
    """A window leaves too little text, or too small a share of it, to learn from."""


class NotPromotedError(HeadraceError):
    """The gate's decision is reject or inconclusive."""

    code = 5


class DriftError(HeadraceError):
    """Drift was found, and the caller asked for an exit code."""

    code = 6


BY_CODE: dict[int, type[HeadraceError]] = {
    c.code: c
    for c in (HeadraceError, UsageError, InputError, ValidationError, NotPromotedError, DriftError)
}

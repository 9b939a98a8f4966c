"""Files of the state folder that hold something else than they should: set aside, never fatal.

A power cut, a full disk or a person can leave any bytes in a small record. What can't be read is
moved to `quarantine/` in the state folder, under the path that it had, and a warning names it; the
command continues as if the file weren't there.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, JsonValue, ValidationError

from headrace.infra import storage
from headrace.infra.state.state_dir import home

logger = logging.getLogger(__name__)
T = TypeVar("T")
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What parsing and checking raise on content that is not what it should be."""
_NO_FILE = (errno.EISDIR, errno.EINVAL, errno.ELOOP, errno.ENOTDIR)
"""What opening raises where a folder, a pipe or a circle of links stands at the place of a file."""
MOST_BYTES = 256 << 20
"""A larger file is no record: a list of a million files has about this size."""


def _instant(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time without its zone")
    return text


Instant = Annotated[str, AfterValidator(_instant)]
"""A field of a record: a time as `datetime.isoformat` writes it, with its zone."""


def set_aside(path: Path, why: str) -> None:
    """Move a file to the quarantine and warn; what can't be moved is left, with a warning too."""
    place = _place(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    except FileNotFoundError:
        return  # another process was quicker
    except OSError as error:
        logger.warning("%s is skipped: %s; it can't be moved (%s)", path, why, error.strerror)
        return
    logger.warning("%s is skipped: %s; it was moved to %s", path, why, place)


def _place(path: Path) -> Path:
    """Return a free name in the quarantine, below the folder that the file was in."""
    here = home()
    if path.is_relative_to(here.root):
        place = here.quarantine / path.relative_to(here.root)
    else:
        place = path.with_name(here.quarantine.name) / path.name
    number = 0
    while os.path.lexists(place):
        number += 1
        place = place.with_name(f"{path.name}.{number}")
    return place


def read(path: Path, check: Callable[[Any], T]) -> T | None:
    """Return the checked content of a JSON file; None if there is none, or it was set aside.

    Args:
        path: a file of the state folder.
        check: makes the value of the JSON, and raises (ValueError, KeyError, TypeError, …) where
            that isn't what it should be.

    Raises:
        OSError: the disk fails.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{storage.odd(found.st_mode)}, no file")
        if found.st_size > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES >> 20} MB")
        return check(storage.read_json(path))
    except FileNotFoundError:
        if path.is_symlink():
            set_aside(path, "a link to nothing")
    except PermissionError:
        logger.warning("%s is skipped: this account may not read it", path)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        set_aside(path, "no regular file")
    except _DAMAGE as error:
        set_aside(path, f"not a record of its kind ({_first_words(error)})")
    return None


def read_all(paths: Iterable[Path], check: Callable[[Any], T]) -> list[tuple[Path, T]]:
    """`read` of several files: those that hold what they should, in the order given."""
    found = ((path, read(path, check)) for path in paths)
    return [(path, value) for path, value in found if value is not None]


def as_object(value: object) -> dict[str, JsonValue]:
    """Return a check that takes any JSON object.

    Raises:
        TypeError: it is another JSON value.
    """
    if not isinstance(value, dict):
        raise TypeError("no JSON object")
    return value


def contents() -> Iterator[Path]:
    """Return the files in the quarantine."""
    for folder, _, names in os.walk(home().quarantine):
        yield from (Path(folder, name) for name in names)


def _first_words(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False)[0]
        return ": ".join([".".join(map(str, first["loc"])), first["msg"]]).lstrip(": ")
    return " ".join(str(error).split())[:160] or type(error).__name__

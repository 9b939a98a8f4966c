"""The state folder is its owner's alone; published files have the modes that the user wants.

Every process of headrace begins with `begin`: from then on what it makes is its owner's alone.
`settle` and `make_folder` give what lies outside the state folder the modes that the user's own
umask asks for, so that a release in a shared folder can be read by those it is shared with.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from headrace.infra.errors import UsageError
from headrace.infra.state.owner import other_owner
from headrace.infra.state.state_dir import Home, home

UMASK = "HEADRACE_UMASK"
"""Environment variable: the user's own umask, in octal digits."""
_OWN = (
    "packages", "sources", "releases", "tokens", "runs", "mlflow.db", "mlartifacts", "prefect",
    "audit.jsonl", "latest.json", "outbox", "inbox", "windows", "stack", "logs", "spark", "java",
    ".trash", ".work",
)  # fmt: skip
"""What headrace has left in state folders before they were closed."""
_DATA = frozenset(
    ("inbox", "outbox", "windows", "releases", "tokens", "runs", "mlflow.db", "mlartifacts",
     "audit.jsonl", "deploy.json", "deployed.json", "registry.json", "alerts.jsonl",
     "quarantine", "latest.json")
)  # fmt: skip
"""What a person may have put into a state folder before headrace worked in it."""
_MARKS = ("logs/headrace.log", "stack/id")
"""Files by which a folder is known to be a state folder: every command and every stack has left
one."""


def begin(home: Home) -> None:
    """Make what this process and its children write the owner's alone, and close the state folder.

    Raises:
        UsageError: the state folder is another account's, or one that is used for other things.
    """
    before = os.umask(0o077)
    os.environ.setdefault(UMASK, f"{before:03o}")
    close(home.root)


def close(root: Path) -> None:
    """Take everybody else's rights from a state folder that still grants some.

    Only an empty folder, one that headrace has worked in, and one of nothing but its data is
    closed: any other may be there for others.

    Raises:
        UsageError: it is another account's, or used for other things.
    """
    try:
        found = root.stat()
    except OSError:
        return  # it isn't there yet, or whoever needs it says what is wrong
    if not stat.S_ISDIR(found.st_mode):
        return
    if (whose := other_owner(root)) is not None:
        # What root made in it, its owner couldn't read.
        raise UsageError(
            f"the state folder {root} can't be used: it belongs to {whose}",
            f"run it as {whose}, or set HEADRACE_HOME to a folder of your own",
        )
    if not found.st_mode & 0o077:
        return
    shared = found.st_mode & stat.S_ISVTX or str(root) in ("/", os.path.expanduser("~"))
    if shared or not (_is_laid_out(root) or _is_marked(root)):
        raise UsageError(
            f"the state folder {root} can't be used: it is open to other accounts and has "
            "files that headrace did not make",
            "set HEADRACE_HOME to a separate folder; or, if everything in this one is yours, "
            f"close it: chmod 700 {root}",
        )
    root.chmod(stat.S_IMODE(found.st_mode) & 0o700)
    for name in _OWN:
        _close_below(root / name)


def _is_laid_out(root: Path) -> bool:
    """Whether a folder is empty, or holds nothing but data of headrace."""
    return all(path.name in _DATA for path in root.iterdir())


def _is_marked(root: Path) -> bool:
    """Whether headrace has worked in a folder, as this account."""
    for name in _MARKS:
        try:
            found = (root / name).lstat()
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid():
            return True
    return False


def _close_below(path: Path) -> None:
    """Take others' rights from a file, or a folder and all below; links are not followed."""
    todo = [path]
    while todo:
        place = todo.pop()
        try:
            mode = place.lstat().st_mode
            if stat.S_ISLNK(mode):
                continue
            if mode & 0o077:
                place.chmod(stat.S_IMODE(mode) & 0o700)
            if stat.S_ISDIR(mode):
                todo += place.iterdir()
        except OSError:
            continue  # it went meanwhile, or is another account's


def passed_on() -> dict[str, str]:
    """Return what a process elsewhere needs in its environment to know the user's own umask."""
    return {UMASK: f"{_umask():03o}"}


def _umask() -> int:
    """Return the user's own umask."""
    try:
        return int(os.environ[UMASK], 8)
    except (KeyError, ValueError):
        pass
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("\nUmask:")[2].split()[0], 8)
    except (OSError, ValueError, IndexError):
        return 0o022


def umask_for(place: Path) -> int:
    """Return the umask of a process that writes its results to `place`."""
    return 0o077 if _is_private(place) else _umask()


def _is_private(path: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(home().root))


def settle(temporary: Path, path: Path) -> None:
    """Give a finished file or folder the modes that its place `path` asks for.

    What was made read-only stays so.
    """
    if _is_private(path):
        return
    mask = _umask()
    for place in (temporary, *(temporary.rglob("*") if temporary.is_dir() else ())):
        if not place.is_symlink():
            writable = 0o777 if place.stat().st_mode & 0o200 else 0o555
            place.chmod((0o777 if place.is_dir() else 0o666) & writable & ~mask)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, with the modes that its place asks for."""
    missing = []
    for place in (path, *path.parents):
        if place.exists():
            break
        missing.append(place)
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        if not _is_private(place):
            place.chmod(0o777 & ~_umask())
    if not path.is_dir():
        path.mkdir(exist_ok=True)  # raises: a file stands in its way

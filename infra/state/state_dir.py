"""Where the state lives: HEADRACE_HOME, by default `.headrace/` in the working directory."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The folders of one state folder. Paths are absolute; nothing is created by asking."""

    root: Path

    @property
    def packages(self) -> Path:
        """Archives of the pinned packages that ship text, checked by hash."""
        return self.root / "packages"

    @property
    def sources(self) -> Path:
        """The records read from those archives, as JSON Lines."""
        return self.root / "sources"

    @property
    def tokens(self) -> Path:
        """Packed token shards, one folder a release and tokenizer."""
        return self.root / "tokens"

    @property
    def runs(self) -> Path:
        """Run folders of every stage: checkpoints, metrics, export, reports."""
        return self.root / "runs"

    @property
    def logs(self) -> Path:
        """Log files, with the traces that the user's screen is spared."""
        return self.root / "logs"

    @property
    def outbox(self) -> Path:
        """Alerts that wait for the server."""
        return self.root / "outbox"

    @property
    def inbox(self) -> Path:
        """Where new text is put for the monitor, unless another place is configured."""
        return self.root / "inbox"

    @property
    def windows(self) -> Path:
        """Windows that were made of an inbox, and the verdicts on them."""
        return self.root / "windows"

    @property
    def audit(self) -> Path:
        """The hash-chained file of recorded decisions."""
        return self.root / "audit.jsonl"

    @property
    def stack(self) -> Path:
        """What the local stack keeps of itself."""
        return self.root / "stack"

    @property
    def trash(self) -> Path:
        """What `gc` has taken out and not deleted yet."""
        return self.root / ".trash"

    @property
    def quarantine(self) -> Path:
        """Records that could not be read, under the paths that they had."""
        return self.root / "quarantine"

    @property
    def mlflow_uri(self) -> str:
        """The tracking store: SQLite in the state folder."""
        return f"sqlite:///{self.root / 'mlflow.db'}"

    def begun(self) -> bool:
        """Whether anything is here: also what is no folder, or can't be read, which is a fault."""
        try:
            return any(self.root.iterdir())
        except FileNotFoundError:
            above = next(p for p in (self.root, *self.root.parents) if os.path.lexists(p))
            return above == self.root or not above.is_dir()
        except OSError:
            return True

    def free_bytes(self) -> int:
        """Room on the disk that it lies on, or will lie on."""
        place = self.root
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    def relative(self, path: Path | str) -> str:
        """`path` relative to the state folder where it lies inside, so that a copy works as one.

        Also where it leads inside through a link.
        """
        for place in (Path(path), Path(os.path.realpath(path))):
            if place.is_relative_to(self.root):
                return str(place.relative_to(self.root))
        return str(path)

    def resolve(self, path: str) -> Path:
        """Return the inverse of `relative`."""
        return self.root / path


def home() -> Home:
    """Return the state folder of this process; one path, by whatever links it was named."""
    return Home(Path(os.path.realpath(os.environ.get("HEADRACE_HOME") or ".headrace")))

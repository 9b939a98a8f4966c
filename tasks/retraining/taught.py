"""What a champion was taught since its first corpus: its windows' releases, the newest last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headrace.infra import releases, storage
from headrace.infra.errors import UsageError
from headrace.infra.registry.versions import Registry, Version


@dataclass(frozen=True)
class Taught:
    """A window that a champion learned."""

    release: str
    tokens: int | None
    """Tokens that its round trained on; None where that is not known any more."""

    @property
    def name(self) -> str:
        """The release's id."""
        return Path(self.release).name


def history(
    champion: Version, models: Registry, most: int
) -> tuple[list[str], list[str], tuple[Taught, ...]]:
    """Return a champion's corpus, its part before any retraining, and the last windows taught.

    Releases of the corpus that came before the first round of retraining are no windows: they are
    what the first model was trained on. Of the windows the last `most` are given, in the order in
    which they were taught.
    """
    tokens, corpus = _rounds(champion, models), releases.lineage(champion.release)
    found = [r for r in corpus if Path(r).name in tokens]
    taught = tuple(Taught(r, tokens[Path(r).name]) for r in (found[-most:] if most else []))
    return corpus, [r for r in corpus if Path(r).name not in tokens], taught


def _rounds(champion: Version, models: Registry) -> dict[str, int | None]:
    """Return each round's release that led to a champion, and the tokens that it trained on."""
    tokens: dict[str, int | None] = {}
    version: Version | None = champion
    while version is not None:
        parent = _parent(version, models)
        # The first model of another chain has a champion before it too, but not its corpus.
        if parent is None or releases.manifest(version.release).get("parent") != _name(parent):
            break
        tokens[_name(version)] = _tokens(version.export)
        version = parent
    return tokens


def weights(taught: tuple[Taught, ...], documents: list[int]) -> list[float]:
    """Return each window's share of what was taught.

    By tokens, or by documents where not all have a number of tokens.
    """
    known = [t.tokens for t in taught if t.tokens]
    return [float(n) for n in (known if len(known) == len(taught) else documents)]


def _name(version: Version) -> str:
    return Path(version.release).name


def _parent(version: Version, models: Registry) -> Version | None:
    number = version.tags.get("parent_version")
    try:
        return models.version(number) if number else None
    except UsageError:  # it was deleted
        return None


def _tokens(export: Path) -> int | None:
    """Tokens of the round that made an export."""
    result = export.parent / "result.json"
    found = storage.read_json(result).get("tokens") if result.exists() else None
    return int(found) if found else None

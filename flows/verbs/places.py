"""Places that a person named, refused before any work where they can't be used."""

from __future__ import annotations

from headrace.infra import storage


def there(value: str) -> str:
    """A URI of text, refused before any work where nothing is there."""
    from headrace.infra.files.walk import expand

    expand(value)
    return storage.display(value)


def release_folder(value: str) -> str:
    """The release that a folder is or holds the newest of, refused before any work."""
    from headrace.infra import releases

    folder = releases.newest(storage.display(value))
    releases.manifest(folder)
    return folder

"""Settings of a curation: what is read, what each level asks for, what a release is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, JsonValue, create_model, field_validator

from headrace.infra.configuration.setting_faults import SettingError
from headrace.infra.configuration.setting_tree import values
from headrace.infra.configuration.settings import Settings, SparkSettings
from headrace.spark_jobs.language_codes import KNOWN
from headrace.spark_jobs.levels import LEVELS
from headrace.spark_jobs.levels.base import Level, S

Field_ = Literal["text", "id", "source", "lang", "domain", "created", "metadata"]
FIELDS: tuple[Field_, ...] = ("text", "id", "source", "lang", "domain", "created", "metadata")
"""Fields of an input record that headrace knows; all others are kept in `metadata`."""


class Source(Settings):
    """An input: a file, a folder or a glob."""

    uri: str
    """Where it is."""
    identity: str | None = None
    """What stands for the URI in `source`, in the manifest and in the release id (such as
    `pypi:NAME==VERSION/PATH`); files below a folder add their path to it."""
    licence: str = ""
    """What its text may be used for, where that is known; stands in the manifest and the report."""


class InputSettings(Settings):
    """How input is read."""

    fields: dict[Field_, str] = Field(default_factory=dict)
    """Names that the input uses instead of headrace's own, as `{text: content}`."""
    languages: tuple[str, ...] = ("zh", "en")
    """Languages that are kept; others are rejected at format."""
    max_record_bytes: int = Field(default=64_000_000, ge=1, le=1_000_000_000)
    """A longer record is unreadable."""
    max_unreadable: float = Field(default=0.05, ge=0, le=1)
    """The share of unreadable records, or bytes, above which nothing is published."""

    @field_validator("languages")
    @classmethod
    def _are_known(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        if not languages:
            raise SettingError("no language: every record would be rejected", "write [zh, en]")
        unknown = [name for name in languages if name not in KNOWN]
        if not unknown:
            return languages
        from headrace.spark_jobs.language_names import code_meant

        meant = [name if name in KNOWN else code_meant(name) for name in languages]
        codes = ", ".join(dict.fromkeys(filter(None, meant)))
        raise SettingError(
            f"no language has the code {' or '.join(map(repr, unknown))}",
            f"write [{codes}]" if None not in meant
            else "write codes of ISO 639-1, such as [zh, en, fr, ja]",
        )  # fmt: skip

    @field_validator("fields")
    @classmethod
    def _have_names(cls, fields: dict[Field_, str]) -> dict[Field_, str]:
        for ours, theirs in fields.items():
            if not theirs:
                raise SettingError(f"{ours} has an empty name", f"write {{{ours}: NAME}}")
        return fields


class DedupSettings(Settings):
    """What counts as a duplicate."""

    enabled: bool = True
    """Whether duplicates are removed."""
    threshold: float = Field(default=0.8, gt=0, le=1)
    """Estimated Jaccard similarity of two records' n-grams from which they are near duplicates."""


class _Read(Settings):
    input: InputSettings = InputSettings()


if TYPE_CHECKING:
    _Judged = _Read
else:
    _sections = {level.name: level.section or level.settings for level in LEVELS}
    _Judged = create_model(
        "_Judged",
        __base__=_Read,
        __module__=__name__,
        **{name: (section, section()) for name, section in _sections.items()},
    )


class CurateSettings(_Judged):
    """Everything that decides what a release holds: besides what is below, a section per level."""

    dedup: DedupSettings = DedupSettings()
    rules: tuple[str, ...] = ()
    """Extra rule sets by name; none is built yet."""

    @field_validator("rules")
    @classmethod
    def _no_rule_sets_yet(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            raise ValueError(f"no rule set named {value[0]}; none is built yet")
        return value

    def of(self, level: Level[S]) -> S:
        """Return what a level is called with: its section, and the languages that are kept."""
        section = getattr(self, level.name)
        if isinstance(section, level.settings):
            return section
        fields = dict(values(section))
        return level.settings.model_validate({**fields, "languages": self.input.languages})


class CurateJob(Settings):
    """One curation."""

    inputs: tuple[Source, ...] = Field(min_length=1)
    output: str
    """Where `releases/` and `latest.json` are."""
    parent: str | None = None
    """Folder of the release whose child this one is, under the same output."""
    settings: CurateSettings = CurateSettings()
    spark: SparkSettings = SparkSettings()
    seed: int = 20260101

    def config(self) -> dict[str, JsonValue]:
        """Return the settings that decide what is kept, as JSON: part of the release's identity."""
        settings = self.settings.model_dump(mode="json")
        del settings["input"]["max_unreadable"]
        return {**settings, "seed": self.seed}

"""What headrace is about, as types: releases, token sets, models, and what is decided on them.

An artifact is a finished piece of work in a folder. It is frozen, names what it was made of
(`parents`), and is read with `load`. Releases, token sets and decisions are views of files with a
layout of their own (manifest.json, decision.json); the others are stored as one JSON file, the
record, beside the files that belong to them.

`produce` finds an artifact again, or makes it:

    HOME/runs/<stage>-<digest>/inputs.json      what it is made of, written first
    HOME/runs/<stage>-<digest>/<record>.json    the artifact, written last
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from headrace.infra import releases, storage
from headrace.infra.errors import UsageError
from headrace.infra.files import quarantine
from headrace.infra.json_types import Json
from headrace.infra.lineage import code_version, digest
from headrace.infra.state.state_dir import home

Kind = Literal["release", "tokens", "run"]
"""Folders of the state folder that artifacts lie in: releases/, tokens/ and runs/."""
Verdict = Literal["promote", "reject", "inconclusive"]
INPUTS = "inputs.json"
"""File of a run folder that names what its artifact is made of."""


class Record(BaseModel):
    """A frozen part of an artifact. Fields that a later version added are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def as_json(self) -> dict[str, JsonValue]:
        """Return the value as JSON: fields that were never given are left out."""
        return self.model_dump(mode="json", exclude_unset=True)


class Ref(Record):
    """A folder of the state folder that something was made of."""

    kind: Kind
    id: str
    """Name of the folder."""


def refs(*places: str | Path | None) -> tuple[Ref, ...]:
    """Return the folders of the state folder that some files or folders lie in, and no others."""
    kinds: dict[str, Kind] = {"releases": "release", "tokens": "tokens", "runs": "run"}
    out: dict[Ref, None] = {}
    for place in places:
        inside = Path(home().relative(place)) if place else Path()
        if len(inside.parts) > 1 and (kind := kinds.get(inside.parts[0])):
            out.setdefault(Ref(kind=kind, id=inside.parts[1]))
    return tuple(out)


class Artifact(Record):
    """A finished piece of work."""

    RECORD: ClassVar[str] = "artifact.json"
    """File that it is stored as, unless `Inputs.record` names another."""
    VIEW: ClassVar[bool] = False
    """Whether the work itself writes that file, with more in it."""

    id: str = Field(default="", exclude=True)
    """Names what decides it: the same work has the same id."""
    folder: str = Field(default="", exclude=True)
    """Where it lies: a path, or the URI of a folder on S3. Not stored, so that a copy works."""
    record: str = Field(default="", exclude=True)
    """Name of its file there."""
    parents: tuple[Ref, ...] = ()
    """What it was made of."""
    of: str | None = None
    """Run folder that it only measures, and is removed with."""
    run_id: str | None = Field(default=None, exclude=True)
    """Its run in MLflow."""

    @classmethod
    def load(cls, folder: str | Path, record: str | None = None) -> Self:
        """Load the artifact in a folder.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the record is damaged.
        """
        name = record or cls.RECORD
        value = storage.read_json(storage.join(str(folder), name))
        return cls.model_validate(value).at(str(folder), name)

    def whole(self) -> Self:
        """Return the artifact, whose files are all there.

        Raises:
            ValueError: one is missing.
        """
        if missing := [f for f in self.parts() if not storage.exists(f)]:
            raise ValueError(f"{missing[0]} is missing")
        return self

    def at(self, folder: str, record: str) -> Self:
        """Return the same artifact, placed in a folder."""
        place = {"folder": folder, "record": record, "id": self.id or Path(folder).name}
        return self.model_copy(update=place)

    def parts(self) -> tuple[str, ...]:
        """Files without which it is damaged, besides the record."""
        return ()

    @property
    def path(self) -> str:
        """The record."""
        return storage.join(self.folder, self.record)

    @property
    def ref(self) -> Ref:
        """What others name it by: the folder that it lies in."""
        return Ref(kind="run", id=Path(self.folder).name)


@dataclass(frozen=True)
class Inputs:
    """What decides a piece of work, hence where its artifact lies.

    Content and settings only, no paths: a copy of a state folder finds its own work.
    """

    folder: Path
    record: str | None = None
    """File of the artifact; None: the usual one of its kind."""
    parents: tuple[Ref, ...] = ()
    of: Ref | None = None
    """Run that is only measured: the result is removed with it."""

    @classmethod
    def deciding(
        cls,
        stage: str,
        *decides: Json,
        parents: Sequence[Ref] = (),
        of: Ref | None = None,
        code: Sequence[str] = ("training",),
        record: str | None = None,
    ) -> Inputs:
        """Return inputs of work in its own run folder.

        Args:
            stage: what is done; the folder's name begins with it.
            decides: all that the result depends on.
            parents: what the result is made of.
            of: run that is only measured.
            code: packages whose code does the work.
            record: file of the artifact; None: the usual one of its kind.
        """
        key = digest([decides, [code_version(name) for name in code]])[:12]
        return cls(home().runs / f"{stage}-{key}", record, tuple(parents), of)

    @property
    def id(self) -> str:
        """Name of the folder."""
        return self.folder.name


A = TypeVar("A", bound=Artifact)


def produce(kind: type[A], inputs: Inputs, make: Callable[[Path], A]) -> A:
    """Return the artifact that these inputs decide: loaded where it is finished, else made.

    A kill at any moment leaves either no record, so that the work is done again, or all of it. A
    record that can't be read, or whose files are missing, is set aside and made again.

    Args:
        kind: type of the artifact.
        inputs: what decides it.
        make: does the work. Files of the artifact go into the folder that it is given, which need
            not be there yet.
    """
    found = find(kind, inputs)
    if found is None:
        begin(inputs)
        made = make(inputs.folder)
        store(made, inputs)
        found = made if made.VIEW else kind.load(inputs.folder, inputs.record)
    return found


def find(kind: type[A], inputs: Inputs) -> A | None:
    """Return the finished artifact that these inputs decide, None where it is yet to be made."""
    folder, record = inputs.folder, inputs.record or kind.RECORD

    def check(value: object) -> A:
        return kind.model_validate(value).at(str(folder), record).whole()

    return quarantine.read(folder / record, check)


def begin(inputs: Inputs) -> None:
    """Note what the folder of a piece of work is made of, before the work."""
    if inputs.parents or inputs.of:
        parents: list[Json] = [p.as_json() for p in inputs.parents]
        noted: dict[str, Json] = {"parents": parents}
        if inputs.of:
            noted["of"] = inputs.of.id
        storage.write_json(inputs.folder / INPUTS, noted)


def store(artifact: Artifact, inputs: Inputs) -> None:
    """Write the record of a finished piece of work."""
    if artifact.VIEW:
        return
    if inputs.parents:
        artifact = artifact.model_copy(update={"parents": inputs.parents})
    if inputs.of:
        artifact = artifact.model_copy(update={"of": inputs.of.id})
    storage.write_json(inputs.folder / (inputs.record or artifact.RECORD), artifact.as_json())


class FileNote(Record):
    """An input file that needs attention."""

    uri: str
    why: str


class FileNotes(Record):
    """How many input files need attention, and the first of them."""

    count: int = 0
    first: tuple[FileNote, ...] = ()

    NAMED: ClassVar[int] = 100
    """Files that `first` has at most."""

    @classmethod
    def of(cls, notes: Sequence[releases.FileNote]) -> FileNotes:
        """Return notes on files, each with `uri` and `why`."""
        first = tuple(FileNote.model_validate(note) for note in notes[: cls.NAMED])
        return cls(count=len(notes), first=first)


class Totals(Record):
    """The records of a release: read = kept + rejected + unreadable."""

    read: int
    kept: int
    rejected: dict[str, int]
    """By level."""
    unreadable: int
    repaired: int = 0

    @property
    def rejects(self) -> int:
        """Records rejected at any level."""
        return sum(self.rejected.values())

    @property
    def add_up(self) -> bool:
        """Whether every record is accounted for."""
        return self.read == self.kept + self.rejects + self.unreadable


class Release(Artifact):
    """A curated corpus, or a window's part of one. The folder is a release's of the contract."""

    RECORD: ClassVar[str] = "manifest.json"
    VIEW: ClassVar[bool] = True

    totals: Totals
    input_bytes: int
    parent: str | None = None
    """Release that it continues."""
    unreadable_files: FileNotes = FileNotes()
    noted_files: FileNotes = FileNotes()
    """Files that aren't what their names say."""
    left_out: FileNotes = FileNotes()

    @classmethod
    def load(cls, folder: str | Path, record: str | None = None) -> Self:
        """Load the release in a folder.

        Raises:
            InputError: the folder is not a finished release.
        """
        manifest = releases.manifest(str(folder))
        inputs, parent = manifest["inputs"], manifest.get("parent")
        return cls(
            id=manifest["release_id"],
            folder=storage.display(str(folder)),
            record=cls.RECORD,
            parents=(Ref(kind="release", id=parent),) if parent else (),
            totals=Totals.model_validate(manifest["totals"]),
            input_bytes=sum(i["bytes"] for i in inputs),
            parent=parent,
            unreadable_files=FileNotes.of(
                [{"uri": i["uri"], "why": i["error"]} for i in inputs if "error" in i]
            ),
            noted_files=FileNotes.of(
                [{"uri": i["uri"], "why": i["note"]} for i in inputs if "note" in i]
            ),
            left_out=FileNotes.of(list(manifest.get("left_out", []))),
        )

    @property
    def ref(self) -> Ref:
        """What others name it by."""
        return Ref(kind="release", id=self.id)

    @property
    def report(self) -> str:
        """Its page."""
        return storage.join(self.folder, "report.html")

    def corpus(self) -> list[str]:
        """Folders of the release and its ancestors, oldest first.

        Raises:
            InputError: an ancestor is gone.
        """
        return releases.lineage(self.folder)


class ListedFile(Record):
    """A file of a manifest."""

    path: str
    bytes: int


class TokenSet(Artifact):
    """Packed token shards of a corpus, with their tokenizer."""

    RECORD: ClassVar[str] = "manifest.json"
    VIEW: ClassVar[bool] = True

    release_id: str
    tokens: int
    heldout_tokens: int
    vocabulary: int
    sequence_length: int
    tokenizer: Mapping[str, str] = Field(default_factory=dict)
    files: tuple[ListedFile, ...]
    reused: bool = Field(default=True, exclude=True)
    """Whether it was there before."""

    @classmethod
    def load(cls, folder: str | Path, record: str | None = None) -> Self:
        """Load the token shards in a folder.

        Raises:
            UsageError: the folder holds none.
        """
        cls.require(folder)
        return super().load(storage.display(str(folder)))

    @classmethod
    def require(cls, folder: str | Path) -> None:
        """Raise unless a folder holds finished token shards.

        Raises:
            UsageError: it holds none.
        """
        place = storage.display(str(folder))
        if not storage.exists(storage.join(place, cls.RECORD)):
            raise UsageError(
                f"{place}: no token shards (no manifest.json)",
                "give the folder that `headrace tokenize` wrote",
            )

    def parts(self) -> tuple[str, ...]:
        """Return the shards.

        Raises:
            ValueError: one is missing, or shorter than it was.
        """
        if wrong := releases.damaged(
            self.folder, [{"path": f.path, "bytes": f.bytes} for f in self.files]
        ):
            raise ValueError(wrong[0])
        return ()

    @property
    def ref(self) -> Ref:
        """What others name it by."""
        return Ref(kind="tokens", id=self.id)

    @property
    def tokenizer_folder(self) -> str:
        """The tokenizer's files."""
        return storage.join(self.folder, "tokenizer")


class Lineage(Record):
    """What an export says of its origin (`export/lineage.json`); None where it says nothing."""

    model_config = ConfigDict(frozen=True, extra="allow")

    FILE: ClassVar[str] = "lineage.json"

    release_id: str | None = None
    releases: tuple[str, ...] | None = None
    """Its corpus, where it learned more than one release; oldest first."""
    parent_version: str | None = None
    """Version of the registered model that it was retrained from."""
    tokenizer: str | None = None
    """SHA-256 of the tokenizer."""
    code_version: str | None = None
    reward: str | None = None
    """Reward model that judges its successors, relative to the state folder."""
    prompts: str | None = None
    """Held-out prompts that it is judged on, relative to the state folder."""

    @classmethod
    def of(cls, export: str | Path) -> Lineage:
        """Lineage of an export, empty where it has none."""
        path = Path(export) / cls.FILE
        return cls.model_validate(storage.read_json(path)) if path.exists() else cls()

    def with_(self, **fields: Json) -> Lineage:
        """Return the same lineage with other fields."""
        return Lineage.model_validate({**self.as_json(), **fields})


class Pretraining(Record):
    """Figures of a pretraining."""

    model_config = ConfigDict(frozen=True, extra="allow")

    steps: int
    tokens: int
    loss: float
    tokens_per_second: float
    total_parameters: int
    active_parameters: int
    resumed_from: int = 0
    """Step at which the last call began."""


class Gain(Record):
    """What a stage of alignment is worth on held-out prompts; other figures come beside these."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = "metric"
    """Measure that decides."""
    before: float
    after: float
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    """Bounds of the gain (95 % interval); None: too few prompts."""
    n: int | None = None


class Change(Record):
    """Bits per byte of held-out text before and after a retraining, and of plain fine-tuning."""

    before: float
    after: float
    plain: float | None = None


class Retraining(Record):
    """Figures of a round of retraining."""

    model_config = ConfigDict(frozen=True, extra="allow")

    steps: int
    tokens: int
    metrics: dict[str, Change]
    """By `new` and `old` text."""
    measures: dict[str, float | None] = Field(default_factory=dict)
    """Figures that the gate's guards bound, of the retrained model."""
    judged_on: str
    """Folder of the scores below `evaluation/`, named by how documents were sampled."""


class Model(Artifact):
    """A trained model: pretrained, aligned (sft, reward, ppo) or retrained (ewc)."""

    RECORD: ClassVar[str] = "model.json"

    stage: str
    pretraining: Pretraining | None = None
    gain: Gain | None = None
    retraining: Retraining | None = None

    def scores(self, text: str, when: str) -> str:
        """Scores of the documents of a kind of text, `before` or `after` a retraining."""
        assert self.retraining is not None, "it was retrained"
        folder = Path(self.folder) / "evaluation" / self.retraining.judged_on
        return str(folder / f"{text}_{when}.parquet")

    @property
    def export(self) -> str:
        """Folder that transformers loads."""
        return str(Path(self.folder) / "export")

    @property
    def lineage(self) -> Lineage:
        """What the export says of its origin."""
        return Lineage.of(self.export)

    def parts(self) -> tuple[str, ...]:
        """Return the export's configuration and weights."""
        return tuple(str(Path(self.export) / n) for n in ("config.json", "model.safetensors"))


class Figure(Record):
    """A metric of a model on documents, with its interval."""

    value: float | None
    """None: a score isn't finite."""
    low: float | None
    high: float | None
    """None: too few documents for an interval."""
    n: int


class Evaluation(Artifact):
    """A model's, or a baseline's, scores of documents."""

    RECORD: ClassVar[str] = "evaluation.json"

    metrics: dict[str, Figure]
    """`bits_per_byte`, `bits_per_byte.lang=zh` …"""
    table: str | None = "documents.parquet"
    """Parquet file of the scores of each document; None: they aren't kept."""
    export: str = Field(default="", exclude=True)
    """Export that was evaluated, where a user named it."""

    @property
    def documents(self) -> str:
        """Path of the scores of each document."""
        assert self.table is not None, "scores are kept of what is compared"
        return str(Path(self.folder) / self.table)

    def figures(self) -> dict[str, JsonValue]:
        """Return the metrics as JSON."""
        return {name: figure.as_json() for name, figure in self.metrics.items()}

    @property
    def bits(self) -> Figure:
        """Bits per byte of all documents."""
        return self.metrics["bits_per_byte"]

    def parts(self) -> tuple[str, ...]:
        """Return the scores of each document."""
        return (self.documents,) if self.table else ()


class Compared(Record):
    """A metric of the gate: challenger against champion. `difference` is challenger - champion."""

    champion: float | None = None
    challenger: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    se: float | None = None
    p: float | None = None
    margin: float = 0.0
    verdict: str
    n: int
    power: float | None = None
    """Smallest difference that this evaluation could have shown."""
    direction: Literal["lower", "higher"] = "lower"
    require: Literal["better", "not_worse"] = "better"
    note: str | None = None
    """Why there is no verdict."""
    p_loss: float | None = None
    """Of a slice: p of no loss beyond its margin, adjusted for the number of slices."""
    label: str | None = None
    unit: str | None = None
    judge: Literal["interval", "estimate"] | None = None
    against: str | None = None
    """Whose values it is compared with."""


class GuardResult(Record):
    """A bound on one figure of the challenger."""

    value: float | None
    low: float | None = None
    high: float | None = None
    label: str = ""
    ok: bool | None
    """None: not measured."""
    note: str | None = None


class Decision(Artifact):
    """The gate's decision on a challenger, with its evidence: decision.json of the contract."""

    RECORD: ClassVar[str] = "decision.json"

    decision: Verdict
    policy: str
    champion: str
    challenger: str
    metrics: dict[str, Compared]
    slices: dict[str, dict[str, Compared]] = Field(default_factory=dict)
    power: dict[str, float | None] = Field(default_factory=dict)
    guards: dict[str, GuardResult] = Field(default_factory=dict)
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
    confidence: float
    resamples: int
    seed: int
    data: dict[str, str] = Field(default_factory=dict)
    """Ids of the documents, by kind of text."""
    compared_with: str | None = None
    """Version that was champion; None: there was none."""

    @property
    def variant(self) -> str:
        """Tells decisions in one folder apart: empty for the first by a shipped policy."""
        return self.record.removeprefix("decision").removesuffix(".json")

    @property
    def report(self) -> str:
        """Its page."""
        return str(Path(self.folder) / f"gate{self.variant}.html")

    def parts(self) -> tuple[str, ...]:
        """Return the page."""
        return (self.report,)

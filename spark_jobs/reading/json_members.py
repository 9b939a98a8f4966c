"""Many JSON objects at once: the values of some keys, all other members, and what was repaired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.infra import arrow
from headrace.infra.arrow import Binaries, Strings
from headrace.spark_jobs.kernels import json_objects as kernel
from headrace.spark_jobs.kernels.utf8 import Bytes
from headrace.spark_jobs.reading.json_repair import UnreadableJsonError, repair

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def slices(strings: Strings | Binaries) -> tuple[Bytes, Integers, Integers]:
    """(buffer, starts, stops) of N strings or binaries with 32-bit offsets; a null is empty."""
    if not len(strings):  # an empty array may have no buffers at all
        return np.zeros(1, np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64)
    _, positions, data = strings.buffers()
    short = arrow.numbers(positions, np.int32)
    offsets = short[strings.offset : strings.offset + len(strings) + 1].astype(np.int64)
    return arrow.numbers(data, np.uint8), offsets[:-1], offsets[1:]


def _array(data: Bytes, offsets: npt.NDArray[np.int32], valid: Mask | None = None) -> Strings:
    """Strings over a buffer; null where not `valid`."""
    bitmap = None if valid is None or valid.all() else pa.array(valid).buffers()[1]
    return pa.StringArray.from_buffers(
        offsets.size - 1, pa.py_buffer(offsets.data), pa.py_buffer(data.data), bitmap
    )


@dataclass
class Objects:
    """N JSON objects."""

    data: Bytes
    kind: npt.NDArray[np.int8]
    """(N, names) what each key has, as `kernels.json_objects` names it."""
    start: Integers
    stop: Integers
    """(N, names) where the values are in `data`."""
    rest: Strings
    """All other members without braces, as they were written; "" where there are none."""
    repairs: dict[int, Counter[str]] = field(default_factory=dict)
    """What was repaired in an object, and how often."""
    errors: dict[int, str] = field(default_factory=dict)
    """Why a text can't be read as an object; it has no members here."""

    def filter(self, good: Mask) -> Objects:
        """Return the objects where `good`."""
        place = np.cumsum(good) - 1
        return Objects(
            self.data,
            self.kind[good],
            self.start[good],
            self.stop[good],
            self.rest.filter(pa.array(good)),
            {int(place[k]): found for k, found in self.repairs.items() if good[k]},
            {int(place[k]): error for k, error in self.errors.items() if good[k]},
        )

    def has(self, name: int, *kinds: int) -> Mask:
        """(N,) whether the value of a key is of one of these kinds."""
        return np.isin(self.kind[:, name], kinds)

    def strings(self, name: int) -> Strings:
        """Return the strings under a key, null where it has none."""
        have = self.has(name, kernel.STRING, kernel.ESCAPED)
        escaped = self.has(name, kernel.ESCAPED)
        return self._copies(self.start[:, name] + 1, self.stop[:, name] - 1, have, escaped)

    def raw(self, name: int, have: Mask) -> Strings:
        """Return the values under a key as they were written, null where not `have`."""
        return self._copies(
            self.start[:, name], self.stop[:, name], have, np.zeros(have.size, np.bool_)
        )

    def _copies(self, start: Integers, stop: Integers, have: Mask, escaped: Mask) -> Strings:
        start, stop = np.where(have, start, 0), np.where(have, stop, 0)
        return _array(*kernel.copies(self.data, start, stop, escaped), have)


def read(
    data: Bytes,
    start: Integers,
    stop: Integers,
    names: Sequence[str] = (),
    typed: Collection[str] = (),
    valid: Mask | None = None,
) -> Objects:
    """Read the objects that stand in N slices of a buffer.

    Args:
        data: the buffer.
        start: (N,) where the slices start.
        stop: (N,) where they end.
        names: keys whose values are asked for, all different.
        typed: see `json_repair.repair`.
        valid: (N,) whether a slice is UTF-8; None: all are.
    """
    found = kernel.scan(data, start, stop if valid is None else np.where(valid, stop, start), names)
    objects = Objects(
        data, found.kind, found.start, found.stop, _array(found.rest, found.rest_offsets)
    )
    good, written = [], []
    for at in np.flatnonzero(~found.sound).tolist():
        try:
            repaired = repair(data[start[at] : stop[at]].tobytes(), typed)
        except UnreadableJsonError as error:
            objects.errors[at] = str(error)
            continue
        good.append(at)
        written.append(repaired.text.encode())
        if repaired.repairs:
            objects.repairs[at] = repaired.repairs
    if good:
        _put(objects, np.array(good), written, names)
    return objects


def _put(objects: Objects, at: Integers, texts: list[bytes], names: Sequence[str]) -> None:
    """Take the repaired texts of the objects `at` in, behind all others in the buffer."""
    ends = np.cumsum([len(t) for t in texts])
    more = np.frombuffer(b"".join(texts), np.uint8)
    found = kernel.scan(more, ends - [len(t) for t in texts], ends, names, checked=True)
    first = objects.data.size
    objects.data = np.concatenate([objects.data, more])
    objects.kind[at] = found.kind
    objects.start[at] = found.start + first
    objects.stop[at] = found.stop + first
    mask = np.zeros(len(objects.rest), np.bool_)
    mask[at] = True
    objects.rest = pc.replace_with_mask(
        objects.rest, pa.array(mask), _array(found.rest, found.rest_offsets)
    )

"""A stage: numbered pieces of work spread over Spark, resumable, with progress and plain errors."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from headrace.infra import console, faults
from headrace.infra.errors import HeadraceError, InputError, of_json
from headrace.infra.files import address_space

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_POLL_SECONDS = 1.0
MOST_PARTITIONS = 4096
WORKER_BYTES = 8 << 30
"""Address space that the work on a partition may take beside what its process has when it begins:
enough for Arrow, NumPy and Numba with the largest page that Parquet allows, and far from what a
hostile file can ask for."""


def _one_thread() -> None:
    """Spark has a process a core: libraries in it must not start threads for all cores."""
    import numba

    pa.set_cpu_count(1)
    numba.set_num_threads(1)


def _each(
    batches: Iterable[pa.RecordBatch],
    work: Callable[[int], None],
    numbers: Sequence[int],
    memory: int,
) -> Iterator[pa.RecordBatch]:
    _one_thread()
    for batch in batches:
        for at in map(int, batch.column(0).to_numpy()):
            fault: HeadraceError | None = None
            try:
                with address_space.at_most(memory):
                    work(numbers[at])
            except HeadraceError as error:
                fault = error
            except MemoryError as error:
                fault = InputError(
                    f"piece {numbers[at]} of the input needs more than {memory >> 20:,} MB of "
                    f"memory: {error or 'no more is to be had'}",
                    "lower input.max_record_bytes, or leave the longest files out",
                )
            except (
                Exception
            ) as error:  # Spark may try again; the driver reads what it is in the end
                raise faults.carried(error) from error
            if fault is not None:
                said = json.dumps(fault.as_json(), default=str)
                yield pa.RecordBatch.from_pydict({"fault": [said]})
                return


def run(
    spark: SparkSession,
    name: str,
    numbers: Sequence[int],
    work: Callable[[int], None],
    partitions: int | None,
    finished: Callable[[], int],
    unit: str,
    memory: int = WORKER_BYTES,
) -> None:
    """Do `work(n)` for all `numbers` in Spark's Python workers.

    Args:
        spark: the session.
        name: of the stage, as the user sees it.
        numbers: what is still to be done.
        work: picklable; writes its result to storage, atomically.
        partitions: number of Spark partitions, None for one per piece.
        finished: counts the pieces whose result is on storage, earlier ones included.
        unit: what a piece is called.
        memory: address space that a piece may take (bytes).

    Raises:
        HeadraceError: the first error of the kind that a user can act on.
    """
    before = finished()
    with console.Progress(name, before + len(numbers), unit) as progress:
        progress.advance(before)
        if not numbers:
            return
        stop = threading.Event()

        def watch() -> None:
            pause = _POLL_SECONDS
            while not stop.wait(pause):
                begun = time.monotonic()
                if (more := finished() - progress.done) > 0:
                    progress.advance(more)
                # Listing many thousands of results takes long: at most a tenth of the time.
                pause = max(_POLL_SECONDS, 10 * (time.monotonic() - begun))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        parts = partitions or min(len(numbers), MOST_PARTITIONS)
        frame = spark.range(0, len(numbers), 1, parts)
        try:
            found = frame.mapInArrow(
                lambda batches: _each(batches, work, numbers, memory), "fault string"
            ).collect()
        except Exception as error:
            raise faults.explained(error) from error
        finally:
            stop.set()
            watcher.join()
        if found:
            raise of_json(json.loads(found[0].fault))
        progress.advance(max(0, before + len(numbers) - progress.done))

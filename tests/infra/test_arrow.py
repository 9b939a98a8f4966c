"""Calls of pyarrow that its stubs don't describe."""

from typing import Any

import numpy as np
import pyarrow as pa

from headrace.infra import arrow


def test_strings_are_joined_one_by_one() -> None:
    names = pa.array(["a", None, "c"])
    assert arrow.join("<", names, ">", "").to_pylist() == ["<a>", None, "<c>"]
    parts = [pa.array(["a", "b"]), pa.array([None, "c"])]
    assert arrow.join(*parts, "-", null_handling="skip").to_pylist() == ["a", "b-c"]


def test_numbers_of_a_buffer_are_not_copied() -> None:
    values = pa.array([1, 2, 3], pa.int32())
    numbers = arrow.numbers(values.buffers()[1], np.int32)
    assert numbers[:3].tolist() == [1, 2, 3] and not numbers.flags.owndata
    assert arrow.numbers(None, np.uint8).tolist() == [0]


def test_null_gets_a_value() -> None:
    assert arrow.fill_null(pa.array([None, "x"]), "y").to_pylist() == ["y", "x"]
    assert arrow.integers(pa.array([None, 7], pa.int8()), null=-1).tolist() == [-1, 7]
    assert arrow.byte_lengths(pa.array(["水", None])).tolist() == [3, 0]


def test_runs_are_written_out() -> None:
    runs: Any = pa.RunEndEncodedArray.from_arrays(
        pa.array([2, 3], pa.int32()), pa.array(["a", "b"])
    )
    assert arrow.run_end_decode(runs).to_pylist() == ["a", "a", "b"]


def test_mask_is_boolean() -> None:
    assert arrow.mask(pa.array([True, False])).tolist() == [True, False]

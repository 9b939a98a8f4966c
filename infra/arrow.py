"""Calls of pyarrow with the types that they really take and return: its stubs are narrower."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Strings: TypeAlias = "pa.Array[Any]"
"""An array of pa.string()."""
Binaries: TypeAlias = "pa.Array[Any]"
"""An array of pa.binary()."""
_Number = TypeVar("_Number", bound=np.generic)


def numbers(buffer: pa.Buffer | None, kind: type[_Number]) -> npt.NDArray[_Number]:
    """Return the numbers in a buffer, which is not copied; one zero where there is none."""
    if buffer is None or not buffer.size:
        return np.zeros(1, kind)
    return np.frombuffer(cast(memoryview, buffer), kind)


def join(
    *parts: Strings | str, null_handling: Literal["emit_null", "skip"] = "emit_null"
) -> Strings:
    """Join N strings element by element; plain text stands in each, and the last part between.

    Args:
        parts: at least one array of strings among them.
        null_handling: whether a null makes the result null or is left out.
    """
    kernel: Any = pc.binary_join_element_wise
    joined: Strings = kernel(*parts, null_handling=null_handling)
    return joined


def fill_null(values: pa.Array[Any], value: str | bytes | int | float) -> pa.Array[Any]:
    """Return the values, and `value` where one is null."""
    kernel: Any = pc.fill_null
    filled: pa.Array[Any] = kernel(values, value)
    return filled


def run_end_decode(values: pa.RunEndEncodedArray[Any, Any]) -> pa.Array[Any]:
    """Return the values of a run-end encoded array, one per row."""
    decoded: pa.Array[Any] = pc.call_function("run_end_decode", [values])
    return decoded


def integers(values: pa.Array[Any], null: int = 0) -> npt.NDArray[np.int64]:
    """(N,) the integers of an array, `null` where one is null."""
    return fill_null(values.cast(pa.int64()), null).to_numpy()


def byte_lengths(values: pa.Array[Any]) -> npt.NDArray[np.int64]:
    """(N,) bytes of N strings or binaries, 0 of a null."""
    kernel: Any = pc.binary_length
    return integers(kernel(values))


def mask(values: pa.Array[Any]) -> npt.NDArray[np.bool_]:
    """(N,) the Booleans of an array without nulls."""
    return np.asarray(values.to_numpy(zero_copy_only=False), np.bool_)

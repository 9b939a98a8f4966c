"""What a reader of strict JSON takes, as tests hold it against what was written."""

import json
import math
from decimal import Decimal
from typing import Any


def strict(text: str) -> Any:
    """The value of strict JSON: no constants, no key twice; numbers exact.

    Raises:
        ValueError: it is not strict.
    """

    def refuse(word: str) -> None:
        raise ValueError(word)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("a key twice")
        return dict(pairs)

    def number(word: str) -> Decimal:
        if math.isinf(float(word)):
            raise ValueError(word)
        return Decimal(word)

    value = json.loads(
        text, parse_constant=refuse, object_pairs_hook=once, parse_float=number, parse_int=number
    )
    json.dumps(value, ensure_ascii=False, default=str).encode()  # no half of a pair either
    return value

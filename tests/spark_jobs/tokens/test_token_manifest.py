"""The manifest of token shards."""

import pytest

from headrace.infra.errors import ValidationError
from headrace.spark_jobs.tokens.token_manifest import Totals


def test_text_that_fills_no_row_is_refused() -> None:
    Totals(tokens=8).check("train", 8)
    with pytest.raises(ValidationError, match="held-out part of the corpus is 1 documents of 9"):
        Totals(documents=1, document_bytes=9).check("heldout", 8)

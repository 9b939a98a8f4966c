import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headrace.spark_jobs.curate import inventory_job
from headrace.spark_jobs.reading.fields import Field, fields_of, suggestion
from headrace.spark_jobs.settings import Source


def fields(*paths: Path) -> list[Field]:
    files = inventory_job.list_inputs([Source(uri=str(p)) for p in paths])
    return fields_of([inventory_job.survey(f, 0, 1 << 20)[0] for f in files])


def test_the_most_common_field_comes_first_whatever_the_format(tmp_path: Path) -> None:
    rows = [{"body": "long text", "b": 1}, {"body": "long text"}]
    lines = "\n".join(map(json.dumps, rows)).encode()
    want = [Field("body", 2, 18), Field("b", 1, 0)]
    for name, data in [
        ("a.jsonl", lines),
        ("b.jsonl.gz", gzip.compress(lines + b"\nnonsense\n[]\n")),
        ("c.json", json.dumps(rows, indent=1).encode()),
        ("d.jsonl", lines.replace(b"\n", b"\r")),
        ("e.jsonl", lines.decode().encode("utf-16")),
    ]:
        (tmp_path / name).write_bytes(data)
        assert fields(tmp_path / name) == want


def test_columns_are_counted_without_reading_a_value(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1, 2], "body": ["x" * 500, "y"]}), tmp_path / "a.parquet")
    body, n = fields(tmp_path / "a.parquet")
    assert (body.name, body.records, n.characters) == ("body", 2, 0) and body.characters > 0


def test_a_column_called_text_is_seen_where_another_was_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1, 2], "text": ["x" * 500, "y"]}), tmp_path / "a.parquet")
    assert suggestion(fields(tmp_path / "a.parquet")) == "text"


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
    | st.sampled_from(["null", "Yes", "on", "y", "content", "the-text", "1", "a: b", "a.b", "正文"])
)
def test_the_suggestion_is_yaml_that_means_the_field(name: str) -> None:
    said = suggestion([Field("n", 9, 0), Field(name, 3, 50)])
    assert yaml.safe_load(f"{{text: {said}}}") == {"text": name}


def test_no_field_of_text_gives_no_suggestion() -> None:
    assert suggestion([Field("n", 9, 0)]) == suggestion([]) == "NAME"

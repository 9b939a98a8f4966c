"""Duplicates in Spark DataFrames: for as many records as there are disks.

Components grow by large-star and small-star steps (Kiveris and others 2014, "Connected components
in MapReduce and beyond"), so nothing is gathered on the driver.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from headrace.spark_jobs.kernels.minhash import Matcher, unpacked

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

KEYS = (
    "doc long, id string, content_hash string, passed boolean, score float, length int, "
    "bands array<long>, signature binary"
)
"""Columns of the DataFrames that come in; a negative `doc` is an ancestor's document."""


def _match(batches: Iterable[pa.RecordBatch], threshold: float) -> Iterator[pa.RecordBatch]:
    """Pairs of similar records from rows sorted by band."""
    matcher = Matcher(threshold)
    for batch in batches:
        u, v = matcher.match(
            batch.column("band").to_numpy(),
            batch.column("doc").to_numpy(),
            unpacked(batch.column("signature")),
        )
        yield pa.RecordBatch.from_arrays([pa.array(u), pa.array(v)], ["u", "v"])


def _rank() -> list[Column]:
    """Return the order in which the first record of several alike stays."""
    from pyspark.sql import functions as F

    return [F.col("doc") >= 0, -F.col("score"), -F.col("length"), F.col("id"), F.col("doc")]


def components(edges: DataFrame) -> DataFrame:
    """(doc, root) of every record in an edge: root is the smallest number of its component.

    Args:
        edges: DataFrame (u, v) of joined pairs, not empty.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    def smallest_of(frame: DataFrame) -> DataFrame:
        return frame.withColumn("m", F.min("v").over(Window.partitionBy("u")))

    def cut(frame: DataFrame) -> tuple[DataFrame, tuple[int, ...]]:
        """Return the frame without its history, and what tells it from another one."""
        done = frame.localCheckpoint()
        sums = done.agg(F.count("*"), F.sum(F.xxhash64("u", "v") % 1_000_003)).first()
        return done, tuple(sums or ())

    ends = edges.select(F.greatest("u", "v").alias("u"), F.least("u", "v").alias("v"))
    stars, after = cut(ends.distinct())
    before: tuple[int, ...] | None = None
    while after != before:
        before = after
        # Every neighbour above u goes to the smallest of u and its neighbours ...
        both = stars.selectExpr("inline(array(struct(u, v), struct(v AS u, u AS v)))")
        large = smallest_of(both).where("v > u").selectExpr("v AS u", "least(u, m) AS v")
        # ... then u and every neighbour below it to the smallest of those.
        small = smallest_of(large.distinct()).selectExpr(
            "explode(filter(array(u, v), x -> x <> m)) AS u", "m AS v"
        )
        stars, after = cut(small.distinct())
    return stars.selectExpr("u AS doc", "v AS root").union(
        stars.selectExpr("v AS doc", "v AS root").distinct()
    )


def _near(unique: DataFrame, threshold: float) -> DataFrame | None:
    """(doc, kept) of near duplicates among unique texts; None where there are none."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    banded = unique.select("doc", F.explode("bands").alias("band"))
    shared = (
        banded.groupBy("band")
        .agg(F.collect_list("doc").alias("docs"))
        .where("size(docs) > 1")
        .select("band", F.explode("docs").alias("doc"))
    )
    rows = (
        shared.join(unique.select("doc", "id", "score", "length", "signature"), "doc")
        .repartition("band")
        .sortWithinPartitions("band", *_rank())
        .select("band", "doc", "signature")
    )
    edges = rows.mapInArrow(
        partial(_match, threshold=threshold), "u long, v long"
    ).localCheckpoint()
    if edges.isEmpty():
        return None
    members = components(edges).join(unique.select("doc", "id", "score", "length"), "doc")
    order = Window.partitionBy("root").orderBy(*_rank())
    placed = members.withColumn("kept", F.first("id").over(order)).withColumn(
        "place", F.row_number().over(order)
    )
    return placed.where("place > 1 AND doc >= 0").select("doc", "kept")


def repeated_ids(keys: DataFrame) -> int:
    """How many records have the id of another record with another text."""
    from pyspark.sql import functions as F

    texts = keys.groupBy("id").agg(F.count_distinct("content_hash").alias("texts"))
    total = texts.agg(F.sum(F.col("texts") - 1)).first()
    return int(total[0] or 0) if total else 0


def find(keys: DataFrame, threshold: float) -> DataFrame:
    """DataFrame (doc, reason, detail) of the duplicates among records that passed.

    Args:
        keys: DataFrame of KEYS.
        threshold: estimated similarity from which two texts are near duplicates.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    same = Window.partitionBy("content_hash").orderBy(*_rank())
    placed = (
        keys.where("passed")
        .withColumn("place", F.row_number().over(same))
        .withColumn("first", F.first("doc").over(same))
        .withColumn("kept", F.first("id").over(same))
        .persist()
    )
    near = _near(placed.where("place = 1"), threshold)
    exact = placed.where("place > 1 AND doc >= 0")
    if near is None:
        return exact.selectExpr("doc", "'duplicate.exact' AS reason", "kept AS detail")
    near = near.persist()
    # A copy of a record that itself goes is a copy of the one that stays.
    moved = near.selectExpr("doc AS first", "kept AS moved")
    return (
        exact.join(moved, "first", "left")
        .selectExpr("doc", "'duplicate.exact' AS reason", "coalesce(moved, kept) AS detail")
        .union(near.selectExpr("doc", "'duplicate.near' AS reason", "kept AS detail"))
    )

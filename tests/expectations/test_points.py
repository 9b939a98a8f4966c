"""Points: the same directions by either matrix, and who is nearest to whom."""

import numpy as np

from headrace.expectations.points import leading, nearest
from headrace.expectations.two_sample import Units, blocks, units_of


def single(reference: int, window: int) -> Units:
    return units_of(blocks(reference, 1), blocks(window, 1), 9, 0)


def test_leading_directions_are_the_same_by_either_matrix() -> None:
    """Few points are decomposed by their products with each other: the same coordinates."""
    draw = np.random.default_rng(1)
    points = (draw.normal(size=(60, 5)) @ draw.normal(size=(5, 40))).astype(np.float32)
    wide = np.hstack([points, np.zeros((60, 40), np.float32)])
    (narrow, deviations), (few, same) = leading(points, 4), leading(wide, 4)
    assert narrow.shape == few.shape == (60, 4)
    assert np.allclose(np.abs(narrow), np.abs(few), atol=1e-6)
    assert np.allclose(deviations, same) and np.allclose(narrow.std(axis=0), 1)
    centered = points - points.mean(axis=0)
    assert np.allclose(deviations, np.linalg.svd(centered)[1][:4] / np.sqrt(60), rtol=1e-4)


def test_nearest_are_the_most_similar_others() -> None:
    points = np.array([[3, 0], [3, 1], [0, 3], [0, 2], [3, 0]], np.float32)
    near = [set(row) for row in nearest(points, single(3, 2), (1, 1), 2, 0).tolist()]
    assert near == [{1, 4}, {0, 4}, {1, 3}, {1, 2}, {0, 1}]


def test_a_run_is_one_neighbor_and_its_own_documents_are_none() -> None:
    """Window: five runs of four equal documents; each run can give one neighbor only."""
    draw = np.random.default_rng(2)
    window = np.repeat(draw.integers(-9, 9, (5, 16)), 4, axis=0)
    points = np.vstack([draw.integers(-9, 9, (30, 16)), window]).astype(np.float32)
    units = units_of(blocks(30, 1), blocks(20, 4), 9, 0)
    near = nearest(points, units, (1, 4), 10, 0)
    for i, row in enumerate(near):
        others = units.of[row]
        assert len(set(others)) == len(row), "two neighbors of one run"
        assert units.of[i] not in others
        if i >= 30:
            beside = row[row >= 30]
            assert (np.abs(beside - i) > 6).all(), "a neighbor in the order"


def test_with_few_units_there_are_fewer_neighbors() -> None:
    points = np.random.default_rng(3).integers(-9, 9, (40, 8)).astype(np.float32)
    units = units_of(blocks(20, 5), blocks(20, 10), 9, 0)
    near = nearest(points, units, (5, 10), 20, 0)
    assert 1 <= near.shape[1] < 6 and near.min() >= 0

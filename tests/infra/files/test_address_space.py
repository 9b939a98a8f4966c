"""A limit of the address space: what is above it fails, what was before it comes back."""

import resource

import numpy as np
import pytest

from headrace.infra.files import address_space


def test_what_is_above_the_limit_fails_as_an_error() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with address_space.at_most(256 << 20):
        assert np.ones(8 << 20, np.uint8).size
        with pytest.raises(MemoryError):
            np.empty(1 << 30, np.uint8)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert np.empty(1 << 30, np.uint8).size


def test_a_lower_limit_stays_and_comes_back_after_an_error() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with address_space.at_most(512 << 20):
        low = resource.getrlimit(resource.RLIMIT_AS)
        seen = []

        def fail() -> None:
            seen.append(resource.getrlimit(resource.RLIMIT_AS))
            raise ValueError("x")

        with pytest.raises(ValueError, match="x"), address_space.at_most(8 << 30):
            fail()
        assert seen == [low]
        assert resource.getrlimit(resource.RLIMIT_AS) == low
    assert resource.getrlimit(resource.RLIMIT_AS) == before

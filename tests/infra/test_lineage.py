from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.lineage import HELDOUT_MODULUS, code_version, digest, is_heldout


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict[str, int | str]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


def test_another_value_is_another_id() -> None:
    assert digest({"a": 1}) != digest({"a": 2}) and len(digest(0)) == 32


def test_code_of_another_layer_does_not_count() -> None:
    assert code_version("spark_jobs") != code_version("training")
    assert code_version("training") == code_version("training")


@given(st.integers(0, 2**128 - 1))
def test_held_out_is_the_hash_modulo_fifty(n: int) -> None:
    assert is_heldout(f"{n:032x}") == (n % HELDOUT_MODULUS == 0)

"""Whose decisions move a model's champion, on a server that several folders use."""

from pathlib import Path

import pytest

from headrace.infra import audit
from headrace.infra.registry import model_owner
from headrace.infra.state import owner
from headrace.infra.state.state_dir import Home
from headrace.infra.tracking.runs import Tracking


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Tracking, Home, Home]:
    uri = f"sqlite:///{tmp_path / 'theirs.db'}"
    store = Tracking(Home(tmp_path / "a"), uri, own=False)
    store.client.create_registered_model("m")
    return store, store.home, Home(tmp_path / "b")


def test_a_model_has_no_owner_before_a_first_decision(folders: tuple[Tracking, Home, Home]) -> None:
    store, first, second = folders
    model_owner.claim(store.client, "m", first)
    assert model_owner.DECIDED_BY not in store.client.get_registered_model("m").tags
    assert model_owner.other(store.client, "m", second) is None


def test_who_decides_first_owns_it_wherever_its_folder_lies(
    folders: tuple[Tracking, Home, Home], tmp_path: Path
) -> None:
    store, first, second = folders
    audit.append(first.audit, action="promote", model="m", to="1")
    model_owner.claim(store.client, "m", first)
    assert model_owner.other(store.client, "m", first) is None
    assert model_owner.other(store.client, "m", second) == owner.place(first)
    assert str(first.root) in owner.place(first)

    moved = Home(first.root.rename(tmp_path / "moved"))
    assert model_owner.other(store.client, "m", moved) is None
    model_owner.claim(store.client, "m", moved)
    assert model_owner.other(store.client, "m", second) == owner.place(moved)


def test_the_refusal_says_where_and_what_to_do() -> None:
    said = model_owner.refuse("m", "ann@box:/state")
    assert "ann@box:/state" in said.message and "model.name" in said.hint

"""What doctor says of the servers that the environment names."""

from pathlib import Path

import pytest

from headrace.infra.configuration.settings import Shared
from headrace.infra.doctor import examine
from headrace.infra.state.state_dir import home


def checks() -> dict[str, tuple[bool, str]]:
    return {c.name: (c.ok, c.mend) for c in examine(home(), Shared()).checks}


def test_an_active_profile_of_prefect_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    for text in ("", "active = 1", "active = 'x'", "[", "active = 'x'\n[profiles.x]\nA = 1\n"):
        (tmp_path / "profiles.toml").write_text(text)
        assert "prefect profile" not in checks(), text
    (tmp_path / "profiles.toml").write_text(
        "active = 'cloud'\n[profiles.cloud]\nPREFECT_API_URL = 'https://u:s3cr3t@h/api'\n"
    )
    ok, said = checks()["prefect profile"]
    assert ok and "cloud names https://u:***@h/api" in said and "PREFECT_API_URL" in said


@pytest.mark.parametrize(
    ("uri", "ok", "said"),
    [
        ("postgresql://u:s3cr3t@127.0.0.1:1/db", False, "postgresql://u:***@127.0.0.1:1/db can't"),
        ("sqlite:////none/such/mlflow.db", False, "can't be written"),
        ("sqlite:////tmp/other-mlflow.db", True, "named by MLFLOW_TRACKING_URI"),
    ],
)
def test_a_store_that_is_a_database_is_checked_too(
    uri: str, ok: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    found = checks()["mlflow server"]
    assert found[0] == ok and said in found[1] and "s3cr3t" not in str(examine(home(), Shared()))
    assert not Path("/tmp/other-mlflow.db").exists()

import json
from pathlib import Path

from headrace.infra.settings import Shared
from headrace.tasks.training import pretrain_of
from headrace.training.settings import PretrainSettings


def test_a_run_keeps_its_folder_whatever_the_number_of_processes(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"release_id": "r1"}))
    tokens = {"output": str(tmp_path)}
    one, two, other = (
        pretrain_of(tokens, PretrainSettings.model_validate(changed), Shared())
        for changed in ({}, {"processes": 2}, {"steps": 7})
    )
    assert one.output == two.output != other.output
    assert two.settings.processes == 2

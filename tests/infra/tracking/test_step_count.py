from pathlib import Path

from headrace.infra.tracking import step_count


def test_a_stage_writes_down_its_steps_and_others_need_not(tmp_path: Path) -> None:
    assert step_count.read(tmp_path) is None
    step_count.write(tmp_path, 7)
    assert step_count.read(tmp_path) == 7

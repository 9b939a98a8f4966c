"""What a chain says of itself."""

from dataclasses import replace
from pathlib import Path

from made_chain import chain, refused_round


def test_the_models_that_speak_are_those_of_the_stages_and_of_the_round(tmp_path: Path) -> None:
    made = chain(tmp_path)
    assert list(made.exports) == ["pretraining", "SFT", "PPO"]
    again = replace(made, again=refused_round(made.release))
    assert again.exports["retraining"] == str(tmp_path / "ewc" / "export")


def test_a_stage_without_a_gain_is_left_out(tmp_path: Path) -> None:
    assert list(chain(tmp_path).gains) == ["sft", "ppo"]

from pathlib import Path

import pytest

from headrace.infra.errors import UsageError
from headrace.training.moe import export, presets
from headrace.training.moe.model import count_parameters
from headrace.training.moe.presets import Preset, Recipe
from headrace.training.plan import plan
from headrace.training.pretrain import PretrainJob, pretrain
from headrace.training.settings import PretrainSettings


def test_the_large_preset_has_about_175b_parameters_and_22b_active() -> None:
    total, active = count_parameters(presets.moe_175b().model)
    assert (total, active) == (176_716_450_816, 21_002_914_816)


def test_an_unknown_preset_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no preset 'big'"):
        presets.preset("big")


def test_a_preset_is_one_entry(
    tmp_path: Path, shards_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings know it, `headrace plan` counts it, and two steps train its shape."""
    with pytest.raises(ValueError, match="no preset 'tiny'"):
        PretrainSettings(preset="tiny")
    shape = presets.test().model.model_copy(update={"num_hidden_layers": 1, "hidden_size": 32})
    tiny = Preset(model=shape, recipe=Recipe(steps=2, rows=2))
    monkeypatch.setitem(presets.PRESETS, "tiny", lambda: tiny)

    settings = PretrainSettings(preset="tiny")
    assert plan(settings, 1, "h100").total_parameters == count_parameters(shape)[0]
    job = PretrainJob(data=str(shards_folder), output=str(tmp_path), settings=settings, seed=7)
    result = pretrain(job)
    assert result.steps == 2
    config = export.load(Path(result.export)).config
    assert (config.num_hidden_layers, config.hidden_size) == (1, 32)

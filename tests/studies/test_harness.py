"""The harness: who has a use for what, what is shared, and what cannot go together."""

from pathlib import Path

import pytest

from hmrm_lab.config import override
from hmrm_lab.config.sections import FlowConfig
from hmrm_lab.errors import ConfigError
from hmrm_lab.evaluation.summary import flow_of
from hmrm_lab.studies.compare import plan_comparison
from hmrm_lab.studies.harness import harness
from hmrm_lab.studies.inputs import plan_inputs

MESTI = 'input.channels=["mesti"]'
TUNED = ("flow.name=gru_attention", "flow.finetune=true")
NOT_TUNED = (
    "a flow is not fine-tuned beside the picture mesti (run it with --set flow.finetune=false)"
)


def test_a_setting_that_is_right_with_its_companions_is_kept() -> None:
    changes = [MESTI, "augment.motionmix=0", "model.attention=none"]
    found = harness("default", ["hmrm", "meganet"], changes)
    assert found.unused == {"model.attention=none": ["hmrm"]}
    assert {config.input.channels for config in found.configs.values()} == {("mesti",)}
    assert found.left_out == {}


def test_options_of_another_flow_are_kept_beside_what_has_no_use() -> None:
    changes = ["flow.name=farneback", "flow.window_px=21", "model.width=8"]
    found = harness("smoke", ["hmrm", "ststnet"], changes)
    assert found.unused == {"model.width=8": ["ststnet"]}
    assert {config.flow.options["window_px"] for config in found.configs.values()} == {21}


@pytest.mark.parametrize("change", ["training.epoch=1", "training.epochs=0", "flow.nmae=dis"])
@pytest.mark.parametrize("first", ["svm", "lbp_top", "meganet"])
def test_mistyped_settings_are_refused_whoever_takes_part(change: str, first: str) -> None:
    with pytest.raises(ConfigError, match=r"did you mean|training\.epochs"):
        harness("default", [first, "resnet18"], [change])


def test_nobody_is_asked_for_who_takes_no_part() -> None:
    found = harness("default", ["resnet18", "meganet"], [MESTI])
    assert {config.input.channels for config in found.configs.values()} == {("mesti",)}
    assert found.shared.input.channels != ("mesti",)


def test_a_preset_of_pictures_asks_nobody_either(tmp_path: Path) -> None:
    preset = tmp_path / "pictures.toml"
    preset.write_text('[input]\nchannels = ["mesti"]\n', encoding="utf-8")
    found = harness(str(preset), ["resnet18", "hmrm"], [])
    assert list(found.configs) == ["resnet18"]
    assert found.left_out["hmrm"].endswith("(run it with --set augment.motionmix=0)")


def test_a_recipe_that_the_shared_flow_breaks_is_left_out() -> None:
    found = harness("smoke", ["meganet", "meganet_mesti"], TUNED)
    assert found.configs["meganet"].flow.finetune
    assert found.left_out == {"meganet_mesti": NOT_TUNED}
    plan = plan_comparison("smoke", systems=["meganet", "meganet_mesti"], overrides=TUNED)
    assert list(plan.configs["honest"]) == ["meganet"]
    assert plan.left_out == {"meganet_mesti": f"refuses these settings: {NOT_TUNED}"}
    cells = plan_inputs(
        "smoke", systems=["meganet", "meganet_mesti"], inputs=["flow"], overrides=TUNED
    )
    assert list(cells.configs) == [("meganet", "flow")]
    assert cells.left_out == {("meganet_mesti", "flow"): NOT_TUNED}
    with pytest.raises(ConfigError, match="nothing to compare: meganet_mesti refuses"):
        plan_comparison("smoke", systems=["meganet_mesti"], overrides=TUNED)


def test_only_what_is_trained_through_its_flow_is_told_to_be() -> None:
    found = harness("smoke", ["svm", "meganet"], TUNED)
    assert found.unused == {"flow.finetune=true": ["svm"]}
    told = {name: flow_of(config, {"unit": "px"}) for name, config in found.configs.items()}
    assert told == {"svm": "gru_attention", "meganet": "gru_attention, fine-tuned"}
    svm = found.configs["svm"]
    tuned = svm.model_copy(update={"flow": FlowConfig(name="gru_attention", finetune=True)})
    assert flow_of(tuned, {"unit": "px"}) == "gru_attention"


def test_settings_are_whole_as_they_come() -> None:
    found = harness("default", ["hmrm", "svm", "lbp_top", "ammsm", "meganet_mesti"], [])
    for config in found.configs.values():
        assert override(config, []).digest() == config.digest()

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from hmrm_lab.config import (
    ExperimentConfig,
    load_config,
    override,
    parse_override,
    preset_names,
    split_overrides,
)
from hmrm_lab.errors import ConfigError
from hmrm_lab.registry import systems
from hmrm_lab.runtime.store import RunFolder, to_toml


def test_the_paper_preset_is_the_papers_values() -> None:
    config = load_config("paper-literal")
    assert config.model.options["width"] == 192
    assert config.model.options["depth"] == 4
    assert config.model.options["state"] == 16
    assert (config.training.epochs, config.training.lr) == (1000, 5e-4)
    assert (config.training.optimizer, config.training.weight_decay) == ("adamw", 0.01)


def test_every_preset_fits_every_system_and_survives_the_run_folder(tmp_path) -> None:
    for preset in preset_names():
        for system in systems:
            assert load_config(preset, system=system).model.name == system
        config = load_config(preset)
        (tmp_path / "config.toml").write_text(to_toml(config.model_dump(mode="json")))
        assert RunFolder.open(tmp_path).config() == config


def test_layers_later_wins() -> None:
    recipe = load_config("paper-literal", system="ststnet")
    assert recipe.training.lr == 5e-5
    preset = load_config("default", system="ststnet")
    assert preset.training.lr != recipe.training.lr
    assert load_config("default", system="ststnet", overrides=["training.lr=1"]).training.lr == 1


def test_options_of_a_preset_stay_with_the_builder_they_were_meant_for() -> None:
    assert load_config("smoke").data.options["subjects"] == 4
    assert load_config("smoke", data="flowmaps").data.options == {}
    assert load_config("smoke", overrides=["flow.name=tvl1"]).flow.options["warps"] == 5
    both = load_config("smoke", overrides=["flow.warps=3", "flow.name=tvl1"])
    assert both.flow.options["warps"] == 3


def test_overrides_are_split_outside_brackets_and_are_toml_values() -> None:
    table = tomllib.loads(Path(__file__).with_name("overrides.toml").read_text(encoding="utf-8"))
    for text, (path, value) in table["parsed"].items():
        assert parse_override(text) == (path, value)
    for text, parts in table["split"].items():
        assert split_overrides(text) == parts


def test_settings_that_are_refused_are_one_sentence() -> None:
    table = Path(__file__).with_name("refused_settings.toml").read_text(encoding="utf-8")
    for system, cases in tomllib.loads(table).items():
        for words, *overrides in cases:
            with pytest.raises(ConfigError) as caught:
                load_config("default", overrides=[f"model.name={system}", *overrides])
            assert words in str(caught.value)
            assert "\n" not in str(caught.value)


def test_unknown_preset() -> None:
    with pytest.raises(ConfigError, match="did you mean 'default'"):
        load_config("defualt")
    with pytest.raises(ConfigError, match="no such preset file"):
        load_config("absent.toml")


def test_digest_names_the_settings_not_the_run() -> None:
    base = load_config("default")
    assert load_config("default", name="other").digest() == base.digest()
    for change in ("training.lr=0.1", "model.width=128", "flow.phases=both", "input.frames=8"):
        assert load_config("default", overrides=[change]).digest() != base.digest()


def test_settings_of_fine_tuning_name_a_run_only_where_it_happens() -> None:
    base = load_config("default", overrides=["flow.name=gru_attention"])
    assert not base.flow.finetune
    without = [("flow.finetune_lr_scale=0.5",), ("flow.finetune=false", "flow.finetune_side_px=64")]
    for overrides in without:
        changed = load_config("default", overrides=["flow.name=gru_attention", *overrides])
        assert changed.digest() == base.digest()
    tuned = ["flow.name=gru_attention", "flow.finetune=true"]
    digests = {
        load_config("default", overrides=[*tuned, *more]).digest()
        for more in ([], ["flow.finetune_lr_scale=0.5"], ["flow.finetune_side_px=64"])
    }
    assert len(digests | {base.digest()}) == 4
    assert set(base.flow.choice) == {"name", *base.flow.options}


def test_settings_are_frozen() -> None:
    assert ExperimentConfig().evaluation.epoch_rule == "last"
    with pytest.raises(ValidationError):
        load_config("default").training.lr = 1.0  # type: ignore[misc]


def test_the_preset_stays_known_and_names_no_settings(tmp_path) -> None:
    smoke = load_config("smoke", overrides=["training.epochs=800", "data.subjects=30"])
    assert override(smoke, ["training.lr=1e-3"]).preset == "smoke"
    assert smoke.model_copy(update={"preset": "default"}).digest() == smoke.digest()
    path = tmp_path / "mine.toml"
    path.write_text("[training]\nepochs = 3\n")
    assert load_config(str(path)).preset == "mine"
    path.write_text(to_toml(smoke.model_dump(mode="json")))
    assert load_config(str(path)).preset == "smoke", "settings that a run has left"
    for change in (
        lambda text: load_config(overrides=[text]),
        lambda text: override(smoke, [text]),
    ):
        with pytest.raises(ConfigError, match="name it with --preset"):
            change("preset=default")


def test_published_maps_are_not_turned_and_need_a_zero_for_directions() -> None:
    for system in ("hmrm", "mlp"):
        assert load_config(system=system, data="synthetic").augment.rotate_deg == 5
        assert load_config(system=system, data="flowmaps").augment.rotate_deg == 0
    raw = "input.normalise=none"
    still = ("augment.flip=false", "evaluation.tta_flip=false", 'input.channels=["u","v","strain"]')
    refused = [
        ("hmrm", ["augment.rotate_deg=5"], "would mix u and v"),
        ("hmrm", [raw], "magnitude means nothing"),
        ("hmrm", [raw, still[0], still[2]], "evaluation.tta_flip means nothing"),
        ("hmrm", [raw, still[1], still[2]], "augment.flip means nothing"),
        ("mdmo", [raw], "system 'mdmo' means nothing"),
        ("bi_woof", [raw], "system 'bi_woof' means nothing"),
    ]
    for system, changes, words in refused:
        with pytest.raises(ConfigError, match=words):
            load_config(system=system, data="flowmaps", overrides=changes)
        load_config(system=system, data="synthetic", overrides=changes)
    for system, changes in (("hmrm", [raw, *still]), ("ststnet", []), ("svm", [raw])):
        load_config(system=system, data="flowmaps", overrides=changes)

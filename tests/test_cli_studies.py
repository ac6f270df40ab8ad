"""`hmrm ablate`, `hmrm effects` and `hmrm sweep` as a person meets them."""

import json
from pathlib import Path

import pytest
from test_cli import hmrm, refused

from hmrm_lab.studies import study as study_module

QUICK = ("--preset", "smoke", "--jobs", 1, "--set", "training.epochs=1", "--set", "data.clips=8")


def test_ablate_with_variants_of_ones_own(tmp_path: Path) -> None:
    thin = ("--variant", "thin:model.width=8,augment.motionmix=0")
    done = hmrm("ablate", *QUICK, *thin, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    full, changed = json.loads(done.stdout)["variants"]
    assert (full["Variant"], changed["Variant"]) == ("full", "thin")
    assert changed["Model"] == "model.width=8, augment.motionmix=0"
    assert changed["Difference"] == pytest.approx(changed["UF1"] - full["UF1"], abs=1e-6)
    assert full["Difference"] is None
    words = hmrm("ablate", *QUICK, *thin, cwd=tmp_path)
    assert "UF1 minus full" in words.stdout
    assert "flow dis: SMOKE" in words.stdout, "the preset, as it stands"
    assert len(list((tmp_path / "runs").glob("hmrm-*"))) == 2, "finished runs are taken up"


def test_ablate_shows_what_there_is_and_fails_with_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_one = study_module.run_experiment

    def failing(config, **options):  # type: ignore[no-untyped-def]
        if config.model.options["width"] == 8:
            raise ArithmeticError("nothing so thin")
        return run_one(config, **options)

    monkeypatch.setattr(study_module, "run_experiment", failing)
    variants = ("--variant", "thin:model.width=8", "--variant", "unmixed:augment.motionmix=0")
    done = hmrm("ablate", *QUICK, *variants, "--set", "data.subjects=2", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert "thin: " in done.stderr
    assert "nothing so thin" in done.stderr
    full, thin, unmixed = json.loads(done.stdout)["variants"]
    assert thin["UF1"] is None
    assert "FAILED" in thin["Note"]
    assert unmixed["Difference"] == pytest.approx(unmixed["UF1"] - full["UF1"], abs=1e-6)


def test_ablate_another_system(tmp_path: Path) -> None:
    small = ("--set", "model.width=16", "--set", "data.subjects=2")
    other = ("--system", "ammsm_temporal", *small)
    all_tokens = ("--variant", "all tokens:model.ratios=[1,1,1,1]")
    done = hmrm("ablate", *QUICK, *other, *all_tokens, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["system"] == "ammsm_temporal"
    assert [row["Variant"] for row in record["variants"]] == ["full", "all tokens"]
    assert record["variants"][1]["Difference"] is not None
    assert "paper" not in record["caption"]
    assert len(list((tmp_path / "runs").glob("ammsm_temporal-*"))) == 2
    words = hmrm("ablate", *QUICK, *other, *all_tokens, cwd=tmp_path)
    assert "UF1 minus full" in words.stdout
    assert "Paper" not in words.stdout, "it claims nothing of this"


def test_sweep_says_that_it_is_no_result(tmp_path: Path) -> None:
    grid = ("--widths", "8 16", "--depths", "1")
    done = hmrm("sweep", *QUICK, *grid, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not a test result" in done.stdout
    record = json.loads(hmrm("sweep", *QUICK, *grid, "--json", cwd=tmp_path).stdout)
    assert [cell["model.width"] for cell in record["cells"]] == [8, 16]
    assert len(list((tmp_path / record["sweep"] / "cells").iterdir())) == 2


def test_a_search_of_two_aims_and_its_outer_score(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
    over = ("--space", "model.width=8..16:8", "--space", "model.tokens=windows|pixels")
    search = ("--sampler", "nsga2", "--trials", 3, "--population", 2)
    done = hmrm("sweep", *QUICK, *over, *search, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Pareto front of UF1 (up) and parameters (down)" in done.stdout
    assert "Outer score" not in done.stdout
    command = ("sweep", *QUICK, *over, *search, "--unseal")
    record = json.loads(hmrm(*command, "--json", cwd=tmp_path).stdout)
    assert [cell["Trial"] for cell in record["cells"]] == [1, 2, 3], "the trials are taken up"
    best = max(record["cells"], key=lambda cell: cell["UF1"])
    outer = record["outer"]
    assert outer["settings"] == {name: best[name] for name in ("model.width", "model.tokens")}
    assert record["outer_score_seen"] == outer["seen"] == 1
    metrics = json.loads((tmp_path / outer["run"] / "metrics.json").read_text())
    assert outer["parts"]["all subjects"] == metrics["all"]
    again = hmrm(*command, cwd=tmp_path)
    assert "outer score seen 1 time; after the first look it is no longer unseen" in again.stdout
    assert "held-out half, not used for selection  UF1" in again.stdout
    assert outer["first_look"] in again.stdout


def test_a_grid_of_other_settings(tmp_path: Path) -> None:
    over = ("--space", "augment.flip=true|false", "--space", 'input.channels=["u"]|["u", "v"]')
    record = json.loads(hmrm("sweep", *QUICK, *over, "--json", cwd=tmp_path).stdout)
    assert [(cell["augment.flip"], cell["input.channels"]) for cell in record["cells"]] == [
        *((True, '["u"]'), (True, '["u", "v"]')),
        *((False, '["u"]'), (False, '["u", "v"]')),
    ]
    assert record["cells"][0]["Parameters"] < record["cells"][1]["Parameters"]
    assert record["outer_score_seen"] == 0


def test_effects_are_read_on_inner_folds(tmp_path: Path) -> None:
    changes = ("--variant", "thin:model.width=8", "--variant", "same:model.width=16")
    done = hmrm("effects", *QUICK, *changes, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not a test result" in done.stdout
    assert "the same as recipe" in done.stdout
    record = json.loads(hmrm("effects", *QUICK, *changes, "--json", cwd=tmp_path).stdout)
    recipe, thin, same = record["changes"]
    assert thin["Difference"] == pytest.approx(thin["UF1"] - recipe["UF1"], abs=1e-6)
    assert same["UF1"] is None
    assert len(list((tmp_path / record["sweep"] / "cells").iterdir())) == 2


WRONG = (
    (("ablate", *QUICK, "--set", "flow.name=farneback"), "flow.name=farneback would be lost"),
    (("ablate", *QUICK, "--part", "casme"), "unknown part 'casme'"),
    (("ablate", "--preset", "smok"), "did you mean 'smoke'"),
    (("ablate", *QUICK, "--variant", "thin"), "not NAME:key=value"),
    (("ablate", *QUICK, "--variant", "x:model.widht=8"), "did you mean 'width'"),
    (("ablate", *QUICK, "--variant", "x:data.clips=9"), "changes data.clips"),
    (("ablate", *QUICK, "--system", "amsm"), "did you mean 'ammsm'"),
    (("ablate", *QUICK, "--system", "ststnet"), "are not listed"),
    (("effects", *QUICK, "--variant", "x:data.clips=9"), "cannot vary data.clips"),
    (("effects", *QUICK, "--variant", "x:training.lr"), "'training.lr' is not key=value"),
    (("effects", *QUICK, "--variant", 'x:input.channels=["u","w"]'), "input.channels"),
    (("sweep", *QUICK, "--widths", "8 wide"), "widths: '8 wide' are not whole numbers"),
    (("sweep", *QUICK, "--sampler", "tpr"), "did you mean 'tpe'"),
    (("sweep", *QUICK, "--trials", 3), "a grid tries every combination"),
    (("sweep", *QUICK, "--space", "model.width=8..16"), "a grid cannot try all numbers"),
    (("sweep", *QUICK, "--space", "model.width"), "says too little"),
    (("sweep", *QUICK, "--space", "model.widht=8|16"), "did you mean 'width'"),
    (("sweep", *QUICK, "--space", "a=1|2", "--widths", "8"), "name two spaces"),
    (("sweep", *QUICK, "--set", "evaluation.epoch_rule=oracle_test"), "peeks best"),
)


def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    for arguments, message in WRONG:
        assert message in refused(tmp_path, *arguments)

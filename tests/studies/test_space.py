"""Spaces as they are typed, and what a grid and a search make of them."""

import pytest

from hmrm_lab.errors import ConfigError
from hmrm_lab.studies.space import (
    Range,
    chosen,
    grid,
    grid_values,
    in_kind,
    parse_space,
    suggest,
    whole_numbers,
)


def test_ranges_and_values() -> None:
    space = parse_space(
        [
            "training.lr=1e-4..1e-2:log",
            "model.dropout = 0 .. 0.6",
            "model.width=32..128:32",
            "model.depth=1..4",
            "model.tokens=pixels|regions",
            "augment.flip=true|false",
            'input.channels=["u", "v"]|["u", "v", "strain"]',
            "loss.gamma=-1.5..2",
        ]
    )
    assert space == {
        "training.lr": Range(1e-4, 1e-2, log=True),
        "model.dropout": Range(0, 0.6),
        "model.width": Range(32, 128, step=32),
        "model.depth": Range(1, 4),
        "model.tokens": ("pixels", "regions"),
        "augment.flip": (True, False),
        "input.channels": ('["u", "v"]', '["u", "v", "strain"]'),
        "loss.gamma": Range(-1.5, 2),
    }
    assert space["model.depth"].whole
    assert not space["model.dropout"].whole


def test_a_grid_takes_values_and_steps() -> None:
    space = parse_space(["model.width=32..100:32", "model.dropout=0..0.3:0.1", "model.depth=2|1|2"])
    assert grid_values(space) == {
        "model.width": (32, 64, 96),
        "model.dropout": (0, 0.1, 0.2, 0.3),
        "model.depth": (2, 1),
    }
    with pytest.raises(ConfigError, match=r"cannot try all numbers of model\.depth; give a step"):
        grid_values(parse_space(["model.depth=1..4"]))
    points = grid({"model.width": (64, 128, 192), "model.depth": (2, 4)})
    assert len(points) == 6
    assert points[1] == {"model.width": 64, "model.depth": 4}


def test_whole_ends_of_a_fraction_are_a_range_of_fractions() -> None:
    space = parse_space(["model.dropout=0..1", "model.width=8..16", "model.tokens=a|b"])
    kinds = in_kind(space, {"model": {"dropout": 0.4, "width": 64, "tokens": "a"}})
    assert not kinds["model.dropout"].whole
    assert kinds["model.width"].whole
    assert kinds["model.tokens"] == ("a", "b")
    assert in_kind(space, {}) == space


def test_what_cannot_be_read_is_one_sentence() -> None:
    for texts, message in (
        (["model.depth"], "says too little"),
        (["=1|2"], "says too little"),
        (["model.depth=1|"], "a value of '1|' is empty"),
        (["model.depth=1|2", "model.depth=1..2"], "model.depth is given twice"),
        (["training.lr=1..true"], "'true' is not a number"),
        (["training.lr=1..2:lg"], "'lg' is not a number"),
        (["training.lr=2..1"], "range of training.lr is empty"),
        (["training.lr=0..1:log"], "no even logarithms"),
        (["training.lr=0..1:2"], "step of training.lr does not fit"),
    ):
        with pytest.raises(ConfigError) as told:
            parse_space(texts)
        assert message in str(told.value)
    assert whole_numbers("widths", "128 64 64") == (64, 128)
    for text in ("", "64 wide", "0", "1.5"):
        with pytest.raises(ConfigError, match=f"widths: '{text}' are not whole numbers"):
            whole_numbers("widths", text)


def test_what_is_suggested_is_what_is_remembered() -> None:
    optuna = pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
    space = parse_space(["a=0.1..0.75:0.1", "b=1..9:3", "c=x|y", "d=1e-3..1:log", "e=0..5"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        trial = study.ask()
        point = suggest(trial, space)
        study.tell(trial, 0)
        assert chosen(study.trials[-1], space) == point
        assert point["a"] in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
        assert point["b"] in (1, 4, 7)
        assert point["c"] in ("x", "y")
        assert 1e-3 <= point["d"] <= 1
        assert isinstance(point["e"], int)

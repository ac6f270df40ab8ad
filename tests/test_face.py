"""The face: what `import hmrm_lab as lab` offers, that its examples run, and its conventions."""

import doctest
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

import hmrm_lab as lab
from hmrm_lab.errors import ConfigError, InputError

STUB = Path(__file__).parents[1] / "hmrm_lab" / "__init__.pyi"
NAMESPACES = ("plot", "stats", "steps")
FIGURES = {
    f"plot.{name}": value
    for name, value in vars(lab.plot).items()
    if getattr(value, "__module__", "") == "hmrm_lab.api.plot" and not name.startswith("_")
}
SECONDS = 120.0
PAGES = STUB.parents[1] / "docs"


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One folder for the runs of all examples: what one has trained the next takes up."""
    folder = tmp_path_factory.getbasetemp() / "face"
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)


@pytest.fixture
def maps() -> lab.MotionMaps:
    return lab.load("synthetic", preset="smoke").maps()


def test_completion_offers_the_names_of_the_stub() -> None:
    named = re.findall(r"import (\w+) as \1$", STUB.read_text(encoding="utf-8"), re.MULTILINE)
    assert dir(lab) == sorted(named)
    assert len(named) <= 40
    reference = (STUB.parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    assert not [name for name in named if not re.search(rf"lab\.{name}\b", reference)]


def known_to_examples() -> dict[str, object]:
    clips, mlp = lab.load(preset="smoke"), lab.system("mlp", preset="smoke", epochs=1)
    known = {"lab": lab, "clips": clips, "maps": clips.maps(), "mlp": mlp}
    return known | {"result": lab.evaluate(mlp, clips, seeds=1)}


def test_every_example_runs() -> None:
    finder, flags = doctest.DocTestFinder(recurse=False), doctest.IGNORE_EXCEPTION_DETAIL
    runner = doctest.DocTestRunner(optionflags=flags)
    public = {name: getattr(lab, name) for name in dir(lab) if name not in NAMESPACES} | FIGURES
    known = known_to_examples()
    readme = (STUB.parents[1] / "README.md").read_text(encoding="utf-8")
    runner.run(doctest.DocTestParser().get_doctest(readme, {}, "README.md", "README.md", 0))
    lacking = []
    for name, value in public.items():
        found = finder.find(value, name, globs=dict(known))
        lacking += [] if any(test.examples for test in found) else [name]
        for test in found:
            runner.run(test)
    assert not lacking, "no example"
    assert runner.summarize().failed == 0


@pytest.mark.slow
def test_every_example_of_the_namespaces_runs() -> None:
    """A person copies them from the site; each page is one session, from its top to its end."""
    runner, known = doctest.DocTestRunner(), known_to_examples()
    for name in NAMESPACES:
        page = (PAGES / f"api-{name}.md").read_text(encoding="utf-8")
        runner.run(doctest.DocTestParser().get_doctest(page, dict(known), name, name, 0))
    assert runner.summarize().failed == 0


def test_every_name_of_the_namespaces_has_an_entry_and_an_example() -> None:
    offered = {
        f"{name}.{key}": value
        for name in NAMESPACES
        for key, value in vars(getattr(lab, name)).items()
        if key[0] != "_" and inspect.isfunction(inspect.unwrap(value))
    }
    offered = {n: value for n, value in offered.items() if value.__module__[:8] == "hmrm_lab"}
    assert len(offered) > 100
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES.glob("api-*.md"))
    examples = "\n".join(re.findall(r"^(?:>>>|\.\.\.) .*$", pages, re.MULTILINE))
    used = {name for name in offered if re.search(rf"lab\.{name}\(", examples)}
    assert not offered.keys() - used - FIGURES.keys(), "no example"
    assert not [name for name in offered if f"hmrm_lab.{name}\n" not in pages], "no entry"
    assert not [name for name, value in offered.items() if not value.__doc__]


def test_eight_lines_train_on_half_of_the_subjects_and_show_the_rest() -> None:
    names: dict[str, object] = {}
    lines = (
        "import hmrm_lab as lab",
        "clips = lab.load('synthetic', preset='smoke')",
        "flow = lab.flow(clips[0], 'dis')",
        "train, test = clips.maps().split(0.5)",
        "hmrm = lab.system('hmrm', preset='smoke', epochs=2).fit(train)",
        "probabilities = hmrm.predict_proba(test)",
        "result = lab.score(test, probabilities)",
        "figure = lab.plot.confusion(result)",
    )
    exec("\n".join(lines), names)
    assert names["flow"].shape == (2, 224, 224)
    assert names["probabilities"].shape == (8, 3)
    assert names["figure"].layout.title.text == "Confusion"
    assert "epoch rule not known" in names["result"].caption


@pytest.mark.parametrize("name", ["hmrm", "svm"])
def test_cross_val_predict_gives_what_evaluate_gives(maps: lab.MotionMaps, name: str) -> None:
    system = lab.system(name, preset="smoke")
    found = lab.evaluate(system, maps, seeds=[0]).predictions.set_index(["subject", "clip"])
    columns = [f"p_{label}" for label in maps.classes]
    evaluated = found.loc[[key[1:] for key in maps.keys], columns].to_numpy()
    folds = {"groups": maps.subjects, "cv": LeaveOneGroupOut(), "method": "predict_proba"}
    crossed = cross_val_predict(system, maps, maps.y, **folds)
    assert np.array_equal(crossed.astype(np.float64).round(6), evaluated)
    arrays = cross_val_predict(system, maps.X, maps.y, **folds)
    assert arrays.shape == crossed.shape


def test_it_is_an_estimator(maps: lab.MotionMaps) -> None:
    system = lab.system("hmrm", preset="smoke", width=8, epochs=1)
    again = clone(system)
    assert again.get_params() == system.get_params()
    assert again.set_params(depth=2).settings().model.options["depth"] == 2
    assert system.settings().model.options["depth"] == 1
    train, test = maps.split(0.5)
    assert not hasattr(system, "classes_")
    assert system.fit(train).classes_.tolist() == [0, 1, 2]
    assert 0 <= system.score(test, test.y) <= 1
    assert len(system.losses_) == 1
    assert system.network()(system.inputs(test))[0].shape[-1] == 3
    same = clone(system).fit(train).predict_proba(test)
    assert np.array_equal(same, system.predict_proba(test))


def test_a_mistyped_setting_is_told_the_nearest_name() -> None:
    for change in (lambda: lab.system("hmrm", widht=8), lambda: lab.system("hmrn")):
        with pytest.raises(ConfigError, match="did you mean"):
            change()
    with pytest.raises(ConfigError, match="epochs"):
        lab.system("svm", epochs=3)
    with pytest.raises(ConfigError, match=r"training\.lr"):
        lab.system("hmrm", lr="fast")


def test_motion_maps_are_a_torch_data_set(maps: lab.MotionMaps) -> None:
    from torch.utils.data import DataLoader

    batch, labels = next(iter(DataLoader(maps, batch_size=4)))
    assert batch.shape == (4, 3, 28, 28)
    assert labels.tolist() == maps.y[:4].tolist()
    assert len(maps[2:6]) == len(maps[maps.y == 0][:4]) == 4
    assert np.array_equal(np.asarray(maps), maps.X)
    frame = maps.to_frame()
    assert frame["class"].tolist() == [maps.classes[label] for label in maps.y]
    own = lab.MotionMaps.from_arrays(maps.X, maps.y, maps.subjects)
    assert len(set(own.subjects)) == len(set(maps.subjects))
    with pytest.raises(InputError, match="no data set"):
        lab.evaluate("hmrm", own)


def test_k_folds_are_a_run_like_any_other(maps: lab.MotionMaps) -> None:
    result = lab.evaluate(lab.system("mlp", preset="smoke", epochs=1), maps, "kfold:2", seeds=1)
    assert result.predictions["fold"].nunique() == 2
    assert result.table["Protocol"].tolist() == ["kfold:2"]
    assert "protocol kfold:2" in result.caption
    assert not lab.audit(result)["state"].isin(["LEAK", "FAULT"]).any()


def test_a_background_run_is_watched_stopped_and_resumed(maps: lab.MotionMaps) -> None:
    system = lab.system("mlp", preset="smoke", epochs=100)
    with pytest.raises(ConfigError, match="is computed by processes on the CPU; leave out"):
        lab.evaluate(system, maps, seeds=1, out="live", background=True, stack=2)
    result = lab.evaluate(system, maps, seeds=1, out="live", background=True)
    assert result.progress().going
    assert result.wait(SECONDS, folds=1).done >= 1
    result.stop()
    assert result.wait(SECONDS).done == len(result.predictions["fold"].unique())
    assert result.resume().wait(SECONDS).phase == "complete"
    assert len(result.predictions) == len(maps)


def test_nouns_show_themselves(maps: lab.MotionMaps) -> None:
    system = lab.system("hmrm", preset="smoke")
    result = lab.evaluate(system, maps, seeds=[0])
    shown = {
        "16": lab.load("synthetic", preset="smoke"),
        "(3, 28, 28)": maps,
        "faithful": lab.system("ststnet"),
        "kfold:2": lab.Protocol("kfold:2"),
        "UF1": result,
    }
    for words, noun in shown.items():
        assert words in noun._repr_html_()

"""Class schemes and action units: published counts of every data set, and what people write."""

import json
from pathlib import Path

import openpyxl
import pytest
import trees
from conftest import refusal
from test_coding import REFUSED
from test_licensed import check

import hmrm_lab as lab
from hmrm_lab.datasets.audit import audit
from hmrm_lab.datasets.classes import scheme
from hmrm_lab.datasets.recordings.clips import coded_units

NOT_CLAIMED = ("fourdme", "dfme_test_a", "dfme_test_b")
LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in ("casme3", "dfme")]


@pytest.mark.parametrize("name", [*sorted(trees.LAYOUTS.keys() - {"casme3", "dfme"}), *LARGE])
def test_every_scheme_gives_the_published_counts(name: str, tmp_path: Path) -> None:
    root = trees.write_whole(tmp_path, name)
    for classes, counts in trees.LAYOUTS[name]["schemes"].items():
        result = audit(name, root, classes=classes)
        assert (list(result.found), result.complete) == (counts, True), (classes, result.findings)
        assert result.published == (None if name in NOT_CLAIMED else tuple(counts)), classes
        assert result.facts.listed in (result.survey.rows, 267) and result.differences == []


def test_a_difference_is_explained_row_by_row(tmp_path: Path) -> None:
    root = trees.write_whole(tmp_path / "data", "casme2")
    path = root / trees.LAYOUTS["casme2"]["file"]
    book = openpyxl.load_workbook(path)
    for cell, text in {"I2": "hapiness", "I34": "happiness", "H5": "4 7"}.items():
        book.active[cell] = text
    book.save(path)
    (root / "Cropped/sub03/EP002_01f").unlink()
    page = tmp_path / "page.html"
    done = check("casme2", root, "--classes", "casme2-5", "--json", "--html", page)
    result = json.loads(done)
    told = [line.replace(str(path), "") for line in result["differences"]]
    assert [line.partition("; ")[0].strip() for line in told] == [
        *("disgust: 62 of 63", "happiness: 31 of 32"),
        f", row 4: no folder sub03/EP002_01f in {root}/Cropped",
        *("of no known class:", ", row 2: unknown emotion 'hapiness'"),
    ]
    assert told[0].endswith("; rows fewer than published: 1") and told[0] in page.read_text()
    assert result["other_emotions"] == {"sadness": [*range(248, 255)], "fear": [255, 256]}
    units = result["action_units"]
    assert (result["usable"], units["clips"], units["counts"]["AU12"]) == (244, 243, 22)
    (cell,) = (one for one in result["findings"] if one["kind"] == "units")
    assert (cell["row"], cell["left_out"]) == (5, False)
    text = check("casme2", root, "--classes", "casme2-5")
    assert "fear 2 (rows 255, 256)" in text and "AU12 22" in text


def test_the_composite_by_other_classes_takes_the_parts_that_are_there(tmp_path: Path) -> None:
    for name in ("casme2", "samm"):
        trees.write_whole(tmp_path / name, name)
    result = audit("composite", tmp_path, classes="casme2-5")
    assert (len(result.clips), result.published) == (246 + 76, None)
    assert [one.problem for one in result.findings if one.left_out] == ["smic: no folder 'smic'"]
    trees.write_smic(tmp_path / "smic", list(trees.official("smic"))[:2])
    assert len(audit("composite", tmp_path, classes="casme2-5").clips) == 246 + 76
    result = audit("composite", tmp_path, classes="objective-5")
    assert len(result.clips) == 185 + 68
    assert "smic: no clips of the classes" in [one.problem for one in result.findings]


def test_dfme_has_rates_and_action_units_by_row_and_clips_without_a_label(tmp_path: Path) -> None:
    root = trees.write_whole(tmp_path, "dfme_test_a")
    table = lab.load("dfme_test_a", root=root, classes="dfme-7").table()
    assert table["fps"].value_counts().to_dict() == {500.0: 158, 300.0: 158, 200.0: 158}
    assert (table["class"] == "").sum() == 473 and set(table["action units"]) == {"23"}


def test_a_scheme_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("emotion,class,dataset\nhappy,up,\nsad,down,\nOther,down,SAMM\n")
    mine = scheme(str(path))
    assert [mine.label(word) for word in ("Happiness ", "SADNESS", "up")] == [1, 0, 1]
    assert mine.label("others", "samm") == 0
    result = audit("samm", trees.write_whole(tmp_path / "samm", "samm"), classes=str(path))
    assert (result.found, result.published) == ((32, 26), (32, 26))


def test_what_is_wrong_with_a_scheme_is_one_sentence(tmp_path: Path) -> None:
    for content, words in REFUSED["schemes"].items():
        path = tmp_path / "mine.csv"
        path.write_bytes(content.encode("latin-1"))
        told = refusal(scheme, str(path))
        assert words in told and told.startswith(str(path)) and "; " in told, (content, told)
    assert "absent.csv: no such class scheme; check" in refusal(scheme, "absent.csv")


def test_action_units_are_read_as_they_are_written() -> None:
    for cell, units in REFUSED["units"].items():
        if units is False:
            with pytest.raises(ValueError, match="cannot be read"):
                coded_units(cell)
        else:
            assert coded_units(cell) == tuple(units), cell
    assert [coded_units(cell) for cell in ("", "/", "0", "nan", "-")] == [None] * 5

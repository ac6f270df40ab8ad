"""The licensed data sets in their published layouts, errata and all, and `hmrm data check`."""

import json
import os
from pathlib import Path

import pytest
import trees
from conftest import refusal
from test_cli import files_under, printed
from test_coding import REFUSED

from hmrm_lab.config import load_config
from hmrm_lab.datasets.audit import audit
from hmrm_lab.datasets.recordings.findings import RECORDINGS, Survey, megc2019
from hmrm_lab.errors import InputError
from hmrm_lab.preparation import load_flowset
from hmrm_lab.records import ClipKey
from hmrm_lab.registry import datasets
from hmrm_lab.reporting.recording_pages import audit_text


def survey(name: str, root: Path, **options: str) -> Survey:
    return RECORDINGS[name].survey(root, **options)


def marks(found: Survey) -> dict[str, tuple[int, int, int | None, int]]:
    """By clip its label, onset, apex and offset."""
    return {c.key.clip: (c.label, c.onset, c.apex, c.offset) for c in found.clips}


def kinds(found: Survey) -> list[str]:
    return [finding.kind for finding in found.findings]


@pytest.fixture(scope="module")
def composite_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trees.write_composite(tmp_path_factory.mktemp("composite"))


def test_the_composite_is_the_official_list_clip_by_clip(composite_root: Path) -> None:
    clips = datasets["composite"].build(root=composite_root)
    assert [(clip.key, clip.label) for clip in clips] == list(megc2019().items())
    without = [clip for clip in clips if clip.apex is None]
    assert sum(clip.key.dataset == "smic" for clip in without) == 164
    assert [clip.key.clip for clip in without[164:]] == ["028_4_1", "032_3_1"]
    result = audit("composite", composite_root)
    assert result.verdict == "complete: 442 of 442 clips; 166 need an apex (`hmrm prepare`)"
    assert (result.found, len(result.subjects)) == ((250, 109, 83), 68)


def test_a_clip_of_casme2_in_full(tmp_path: Path) -> None:
    row = [1, "EP02_01f", None, 46, 59, 86, None, "12", "happiness"]
    root = trees.write_casme2(tmp_path, [row])
    folder = root / "Cropped" / "sub01" / "EP02_01f"
    trees.write_frames(folder, [*range(30, 46), *range(51, 120)], "reg_img{}.jpg")
    (clip,) = datasets["casme2"].build(root=root)
    assert clip.key == ClipKey("casme2", "sub01", "EP02_01f")
    assert (clip.label, clip.fps, len(clip.frames)) == (1, 200.0, 90)
    assert (clip.onset, clip.apex, clip.offset) == (16, 29, 56)
    assert clip.frames.paths[clip.known_apex].name == "reg_img59.jpg"
    (root / "Cropped").rename(root / "Pictures")
    with pytest.raises(InputError, match=r"no folder of images .* is Cropped/sub01/EP02_01f"):
        survey("casme2", root)


def test_irregular_clip_names_get_the_official_one(tmp_path: Path) -> None:
    trees.write_frames(tmp_path / "Cropped" / "sub03" / "EP01_2", range(46, 51), "img{}.jpg")
    for listed in ("EP1_2", "EP01_02", "ep01_2", "EP01_2 ", "EP01_002"):
        row = [3, listed, None, 46, 48, 50, None, "1", "surprise"]
        trees.write_table(tmp_path / "CASME2-coding.xlsx", [trees.HEADERS["casme2"], row])
        assert list(marks(survey("casme2", tmp_path))) == ["EP01_2"], listed
    trees.write_frames(tmp_path / "Cropped" / "sub03" / "EP01_02", range(46, 51), "img{}.jpg")
    with pytest.raises(InputError, match="no folder sub03/EP01_002"):
        survey("casme2", tmp_path)


def test_raw_and_cropped_and_two_coding_files_side_by_side(tmp_path: Path) -> None:
    rows = trees.casme2_rows()[:2]
    trees.write_casme2(tmp_path, rows)
    trees.write_casme2(tmp_path, rows, images="CASME2-RAW", name="img{:03d}.jpg")
    for images, name in (("", "reg_img46.jpg"), ("CASME2-RAW", "img046.jpg")):
        assert survey("casme2", tmp_path, images=images).clips[0].frames.paths[0].name == name
    with pytest.raises(InputError, match="no such folder"):
        survey("casme2", tmp_path, images="Raw")
    trees.write_table(tmp_path / "mine.csv", [trees.HEADERS["casme2"], rows[1]])
    assert len(survey("casme2", tmp_path).clips) == 2
    assert len(survey("casme2", tmp_path, coding="mine.csv").clips) == 1


def test_errata(tmp_path: Path) -> None:
    clips = ((4, "EP12_01f", "/"), (5, "EP09_05f", 46), (1, "EP19_05f", "/"), (1, "EP19_06f", 46))
    rows = [[who, clip, None, 46, apex, 50, None, "4", "disgust"] for who, clip, apex in clips]
    found = survey("casme2", trees.write_casme2(tmp_path, rows))
    assert kinds(found) == ["protocol", "protocol", "apex_missing", "onset_is_apex"]
    assert [finding.left_out for finding in found.findings] == [True, True, False, False]
    assert marks(found) == {"EP19_05f": (0, 0, None, 4), "EP19_06f": (0, 0, None, 4)}
    with pytest.raises(InputError, match=r"spot the apex first \(`hmrm prepare`\)"):
        _ = found.clips[0].known_apex


def test_subjects_keep_one_spelling(tmp_path: Path) -> None:
    for subject in (6, "6", "006"):
        root = trees.write_samm(tmp_path, [[subject, *trees.samm_rows()[0][1:]]])
        (clip,) = survey("samm", root).clips
        assert clip.key == ClipKey("samm", "006", "006_1_2")
    found = survey("fourdme", trees.write_fourdme(tmp_path / "4dme"))
    assert [clip.key.subject for clip in found.clips] == ["S01", "S01", "S02"]


def test_smic_takes_onset_and_offset_of_the_table(tmp_path: Path) -> None:
    """Of cut clips, and of the long videos around them with two expressions in one."""
    row = [3, "s3_ne_02", None, 105, 110, 150, 160, None, 1, 2, 6, 11, 9, "negative"]
    trees.write_table(tmp_path / "SMIC-HS-E_annotation_2019.xlsx", [trees.HEADERS["smic"], row])
    folder = tmp_path / "HS" / "s03" / "micro" / "negative"
    trees.write_frames(folder / "s3_ne_02", range(100, 120), "image{:06d}.bmp")
    trees.write_frames(folder / "s3_ne_03", range(200, 210), "image{:06d}.bmp")
    for clip in ("s3_ne_02", "s3_po_01"):
        trees.write_frames(tmp_path / "SMIC-HS-E/s03" / clip, range(100, 200), "image{:06d}.bmp")
    found = survey("smic", tmp_path)
    assert marks(found) == {"s03_ne_02": (0, 5, None, 10), "s03_ne_03": (0, 0, None, 9)}
    assert found.findings == []
    found = survey("smic", tmp_path, images="SMIC-HS-E")
    assert marks(found) == {"s03_ne_02": (0, 5, None, 10), "s03_ne_03": (0, 50, None, 60)}
    (finding,) = found.findings
    assert finding.problem.startswith("s03_po_01 is not in the table")


def test_smic_with_apexes(tmp_path: Path) -> None:
    """The table that goes round: apexes, classes as numbers, and paths of somebody's disk."""
    table = Path(__file__).with_name("smic_apex.csv").read_text(encoding="utf-8")
    (tmp_path / "SMIC_apex_all.csv").write_text(table)
    folders = {
        "s03/micro/negative/s3_ne_02": range(100, 200),
        "s03/micro/positive/s3_po_01": range(202, 209),
        "s18/micro/surprise/s18_sur_03": range(300, 310),
        "s03/micro/surprise/s3_sur_02": range(1, 9),
    }
    expected = {"s03_ne_02": (0, 5, 7, 10), "s03_ne_03": (0, 50, 56, 60)}
    expected |= {"s03_po_01": (1, 0, None, 6), "s18_sur_03": (2, 0, 3, 9)}
    told = {4: "no apex is given ('')", 5: "negative in the table, but s18_sur_03 is surprise"}
    told |= {6: "no folder of s04_ne_01", 7: "the subject '5' is not that of s03_sur_01"}
    no_frames = "frames '1.5'..'3' are not those of s03/micro/surprise/s3_sur_02"
    for layout, whole_folder, last in (
        ("SMIC-HS-E", {}, "the onset is '1.5', not a frame number"),
        ("HS", {"s03_sur_02": (2, 0, None, 7)}, no_frames),
    ):
        for name, numbers in folders.items():
            folder = Path(name if layout == "HS" else f"{name[:3]}/{Path(name).name}")
            trees.write_frames(tmp_path / layout / folder, numbers, "image{:06d}.bmp")
        found = survey("smic", tmp_path, images=layout)
        assert marks(found) == expected | whole_folder
        assert {finding.row: finding.problem for finding in found.findings} == told | {8: last}


def test_smic_folders_in_the_wrong_place_and_frames_numbered_anew(tmp_path: Path) -> None:
    root = trees.write_smic(tmp_path, list(trees.official("smic"))[:2])
    micro = root / "HS" / "s01" / "micro"
    for folder in ("positive/s01_ne_09", "positive/s02_po_01", "positive/x", "negative/s1_ne_2"):
        trees.write_frames(micro / folder, range(3), "image{}.bmp")
    found = survey("smic", root)
    assert len(found.clips) == 2
    assert sorted(kinds(found)) == ["duplicate", "label", "label", "naming"]
    trees.write_frames(tmp_path / "b/HS/s03/micro/negative/s3_ne_02", range(1, 7), "{}.bmp")
    rows = ["subject,clip,onset_frame,apex_frame,offset_frame", "3,s3_ne_02,105,107,110"]
    (tmp_path / "b" / "smic_apex.csv").write_text("\n".join(rows))
    assert marks(survey("smic", tmp_path / "b")) == {"s03_ne_02": (0, 0, 2, 5)}


def test_casme3(tmp_path: Path) -> None:
    """The clip's name holds its onset, also where pandas has made it a float."""
    root = trees.write_casme3(tmp_path)
    found = survey("casme3", root)
    assert marks(found) == {"b_175": (1, 0, 2, 5), "b_190": (0, 0, 2, 4), "a_3": (2, 0, 2, 4)}
    first = found.clips[0]
    assert (first.key.subject, first.fps, len(first.frames)) == ("spNO.1", 30.0, 6), "one is lost"
    assert kinds(found) == ["frames", "frames"]
    assert "only one frame" in found.findings[1].problem
    assert found.other_classes == {"others": [6]}
    next(root.glob("cas*.xlsx")).unlink()
    rows = [["spNO.1", "b", "175.0", "178.0", "181.0", "4", 1, "happy"]]
    trees.write_table(root / "casme3.csv", [trees.HEADERS["casme3"], *rows])
    assert marks(survey("casme3", root)) == {"b_175": (1, 0, 2, 5)}


def test_mmew_and_fourdme(tmp_path: Path) -> None:
    found = survey("mmew", trees.write_mmew(tmp_path / "mmew"))
    assert [clip.key.subject for clip in found.clips] == ["S03", "S05", "S05"]
    assert [*marks(found).values()] == [(1, 0, 2, 5), (2, 0, 2, 5), (0, 0, 2, 5)]
    assert kinds(found) == ["offset"]
    found = survey("fourdme", trees.write_fourdme(tmp_path / "4dme"))
    expected = {"S01_a_1": (1, 0, 2, 4), "S01_a_2": (0, 0, 2, 4), "S02_b_2": (2, 0, 2, 4)}
    assert marks(found) == expected
    assert found.other_classes == {"negatively surprise": [4]}
    assert [finding.problem for finding in found.findings] == ["frames 1..5 stand for 30..34"]


def test_what_the_check_would_find_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert len(datasets["casme3"].build(root=trees.write_casme3(tmp_path))) == 3
    rows = trees.casme2_rows()[:3]
    rows[0][4], rows[1][4] = None, 46
    root = trees.write_casme2(tmp_path / "a", rows)
    clips = datasets["casme2"].build(root=root, images="Cropped")
    assert [clip.apex for clip in clips] == [None, None, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "casme3, 3 clips: left out: 1, frames missing: 1; "
        f"see `hmrm data check casme3 --root {tmp_path}`",
        "casme2, 3 clips: no usable apex (it is spotted): 2; "
        f"see `hmrm data check casme2 --root {root} --images Cropped`",
    ]
    caplog.clear()
    datasets["casme2"].build(root=trees.write_casme2(tmp_path / "b", trees.casme2_rows()[:3]))
    assert not caplog.records


def test_the_composite_tells_what_it_lacks(tmp_path: Path) -> None:
    rows = [*trees.casme2_rows()[1:], [1, "EP99_01", None, 46, 48, 50, None, "1", "surprise"]]
    rows[0][-1] = "happiness"
    trees.write_casme2(tmp_path / "CASME II", rows)
    trees.write_smic(tmp_path / "smic", list(trees.official("smic"))[1:])
    trees.write_samm(tmp_path / "SAMM")
    found = survey("composite", tmp_path)
    assert len(found.clips) == 439
    lost = {f.kind: f.problem for f in found.findings if f.left_out}
    assert sorted(lost) == ["folder", "label", "protocol"]
    assert "positive, but negative on the official list" in lost["label"]


def check(name: str, root: Path, *options: object) -> str:
    return printed("data", "check", name, "--root", root, *options, cwd=root)


def test_the_command_prints_counts_and_writes_nothing(composite_root: Path) -> None:
    before = files_under(composite_root)
    text = check("casme2", composite_root / "casme2")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    told = {"negative 88 88", "casme2/sub01 2/1/0 2/1/0", "not used others 1 (rows 147)"}
    assert told <= {*lines}
    for words in ("complete: 145 of 145 clips", "http://casme.psych.ac.cn"):
        assert words in text
    result = json.loads(check("samm", composite_root / "samm", "--json"))
    assert (result["complete"], result["usable"], result["without_apex"]) == (True, 133, 2)
    assert result["classes"] == {"negative": 92, "positive": 26, "surprise": 15}
    findings = [(one["kind"], one["row"]) for one in result["findings"]]
    assert findings == [("apex_outside", 119), ("apex_outside", 126)]
    assert files_under(composite_root) == before


def test_deep_decodes(tmp_path: Path) -> None:
    """A PNG whose header and end are whole, and whose middle is not."""
    trees.write_casme2(tmp_path, trees.casme2_rows()[:2], name="img{}.png")
    path = tmp_path / "Cropped" / "sub01" / "EP02_01f" / "img48.png"
    content = bytearray(path.read_bytes())
    content[45:-16] = bytes(len(content) - 61)
    path.write_bytes(content)
    assert audit("casme2", tmp_path).findings == []
    assert "leave-one-subject-out needs two" in audit("casme2", tmp_path).verdict
    (finding,) = audit("casme2", tmp_path, deep=True).findings
    assert (finding.kind, finding.left_out) == ("unreadable", True)


def test_a_thousand_findings_do_not_flood_the_terminal_and_are_on_the_page(tmp_path: Path) -> None:
    script = "<script>alert(1)</script>"
    rows = trees.casme2_rows()[:2]
    root = trees.write_casme2(tmp_path / "data", rows)
    rows += [[1, f"X{n}", *rows[0][2:-1], script] for n in range(99)]
    trees.write_table(root / "CASME2-coding-20140508.xlsx", [trees.HEADERS["casme2"], *rows])
    page = tmp_path / "audit.html"
    assert "... and 94 more" in check("casme2", root, "--html", page)
    assert len(audit_text(audit("casme2", root)).splitlines()) < 60, "before long lines are folded"
    text = page.read_text(encoding="utf-8")
    assert "usable, but not complete: 2 of 145 clips" in text
    assert text.count("unknown emotion") >= 99
    assert script not in text
    assert "http" not in text.replace("http-equiv", "").replace("http://casme.psych.ac.cn", "")


def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    for case, words in REFUSED["checks"].items():
        name, *option = case.split(" ")
        assert words in refusal(audit, name, tmp_path, **dict([option] if option else []))


def test_other_files_under_the_same_names_are_other_maps(tmp_path: Path) -> None:
    rows = [row for row in trees.casme2_rows() if row[0] in (1, 2)][:4]
    root = trees.write_casme2(tmp_path, rows)
    for folder in root.glob("Cropped/*/*"):
        trees.write_frames(folder, range(46, 51), "reg_img{}.jpg", size=(48, 48))
    config = load_config("smoke", data="casme2", overrides=["flow.name=dis"])
    first = load_flowset(config, root)
    path = root / "Cropped" / "sub01" / "EP02_01f" / "reg_img48.jpg"
    path.write_bytes(trees.image_bytes(".jpg", step=0, size=(48, 48)))
    os.utime(path, ns=(1, 1))
    second = load_flowset(config, root)
    assert first.fingerprint() != second.fingerprint()

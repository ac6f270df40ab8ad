from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import trees

from hmrm_lab.datasets.recordings.findings import RECORDINGS, Finding, Survey, megc2019
from hmrm_lab.errors import InputError
from hmrm_lab.records import Clip, ClipKey
from hmrm_lab.registry import datasets


def survey(name: str, root: Path, **options: str) -> Survey:
    return RECORDINGS[name].survey(root, **options)


def by_name(found: Survey) -> dict[str, Clip]:
    return {clip.key.clip: clip for clip in found.clips}


def kinds(found: Survey) -> list[str]:
    return [finding.kind for finding in found.findings]


def only(found: Survey) -> Finding:
    (finding,) = found.findings
    return finding


@pytest.fixture(scope="module")
def composite_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trees.write_composite(tmp_path_factory.mktemp("composite"))


def test_the_composite_is_the_official_list_clip_by_clip(composite_root: Path) -> None:
    clips = datasets["composite"].build(root=composite_root)
    assert [(clip.key, clip.label) for clip in clips] == list(megc2019().items())
    assert Counter(clip.label for clip in clips) == {0: 250, 1: 109, 2: 83}
    assert len({clip.key.subject_key for clip in clips}) == 68
    without = [clip for clip in clips if clip.apex is None]
    assert sum(clip.key.dataset == "smic" for clip in without) == 164
    assert [clip.key.clip for clip in without[164:]] == ["028_4_1", "032_3_1"]
    for clip in clips:
        assert 0 <= clip.onset < clip.offset < len(clip.frames)
        assert clip.apex is None or clip.onset < clip.apex <= clip.offset


def test_each_part_is_complete(composite_root: Path) -> None:
    for name, others in {"casme2": 1, "samm": 1, "smic": 0}.items():
        found = survey(name, composite_root / name)
        assert {clip.key: clip.label for clip in found.clips} == trees.official(name)
        assert sum(found.other_classes.values()) == others
        assert not [finding for finding in found.findings if finding.left_out]


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
    image = clip.frames[clip.onset]
    assert image.shape == (24, 32, 3)
    assert image.dtype == np.uint8
    assert image.std() > 20


def test_irregular_clip_names_get_the_official_one(tmp_path: Path) -> None:
    for number, (listed, *folders) in enumerate(
        (("EP1_2", "EP01_2"), ("EP01_02", "EP01_2"), ("ep01_2", "EP01_02"), ("EP01_2 ", "EP01_2"))
    ):
        (clip,) = survey("casme2", one_clip(tmp_path / str(number), listed, *folders)).clips
        assert clip.key.clip == "EP01_2"
    with pytest.raises(InputError, match="no folder sub03/EP01_002"):
        survey("casme2", one_clip(tmp_path / "similar", "EP01_002", "EP01_2", "EP01_02"))


def one_clip(root: Path, listed: str, *folders: str) -> Path:
    row = [3, listed, None, 46, 48, 50, None, "1", "surprise"]
    trees.write_table(root / "CASME2-coding.xlsx", [trees.CASME2_HEADER, row])
    for folder in folders:
        trees.write_frames(root / "Cropped" / "sub03" / folder, range(46, 51), "img{}.jpg")
    return root


def test_raw_and_cropped_side_by_side(tmp_path: Path) -> None:
    rows = trees.casme2_rows()[:2]
    trees.write_casme2(tmp_path, rows)
    trees.write_casme2(tmp_path, rows, images="CASME2-RAW", name="img{:03d}.jpg")
    first = survey("casme2", tmp_path).clips[0].frames.paths[0]
    raw = survey("casme2", tmp_path, images="CASME2-RAW").clips[0].frames.paths[0]
    assert first.name == "reg_img46.jpg"
    assert raw.name == "img046.jpg"
    with pytest.raises(InputError, match="no such folder"):
        survey("casme2", tmp_path, images="Raw")


def test_two_coding_files(tmp_path: Path) -> None:
    rows = trees.casme2_rows()[:2]
    trees.write_casme2(tmp_path, rows)
    trees.write_table(tmp_path / "mine.csv", [trees.CASME2_HEADER, rows[1]])
    assert len(survey("casme2", tmp_path).clips) == 2
    assert len(survey("casme2", tmp_path, coding="mine.csv").clips) == 1


def test_errata_of_casme2(tmp_path: Path) -> None:
    rows = [
        [4, "EP12_01f", None, 46, "/", 50, None, "4", "repression"],
        [5, "EP09_05f", None, 46, 46, 50, None, "4", "disgust"],
        [1, "EP19_05f", None, 46, "/", 50, None, "4", "disgust"],
        [1, "EP19_06f", None, 46, 46, 50, None, "4", "disgust"],
    ]
    found = survey("casme2", trees.write_casme2(tmp_path, rows))
    assert kinds(found) == ["protocol", "protocol", "apex_missing", "onset_is_apex"]
    assert [finding.left_out for finding in found.findings] == [True, True, False, False]
    assert [(clip.key.clip, clip.apex) for clip in found.clips] == [
        ("EP19_05f", None),
        ("EP19_06f", None),
    ]
    with pytest.raises(InputError, match=r"spot the apex first \(`hmrm prepare`\)"):
        _ = found.clips[0].known_apex


def test_errata_of_samm(composite_root: Path) -> None:
    found = survey("samm", composite_root / "samm")
    assert kinds(found) == ["apex_outside", "apex_outside"]
    assert {finding.clip.clip for finding in found.findings if finding.clip} == {
        "028_4_1",
        "032_3_1",
    }
    assert found.findings[0].row == 119


def test_subjects_of_samm(tmp_path: Path) -> None:
    for subject in (6, "6", "006"):
        root = trees.write_samm(tmp_path, [[subject, *trees.samm_rows()[0][1:]]])
        (clip,) = survey("samm", root).clips
        assert clip.key == ClipKey("samm", "006", "006_1_2")
        assert (clip.label, clip.onset, clip.apex, clip.offset) == (0, 0, 1, 2)


def smic_table(root: Path, *rows: list[object]) -> None:
    trees.write_table(root / "SMIC-HS-E_annotation_2019.xlsx", [trees.SMIC_HEADER, *rows])


def test_smic_takes_onset_and_offset_of_the_table(tmp_path: Path) -> None:
    folder = tmp_path / "HS" / "s03" / "micro" / "negative"
    trees.write_frames(folder / "s3_ne_02", range(100, 120), "image{:06d}.bmp")
    trees.write_frames(folder / "s3_ne_03", range(200, 210), "image{:06d}.bmp")
    smic_table(
        tmp_path, [3, "s3_ne_02", None, 105, 110, 150, 160, None, 1, 2, 6, 11, 9, "negative"]
    )
    found = survey("smic", tmp_path)
    clips = by_name(found)
    assert [(c.onset, c.apex, c.offset, c.label) for c in clips.values()] == [
        (5, None, 10, 0),
        (0, None, 9, 0),
    ]
    assert list(clips) == ["s03_ne_02", "s03_ne_03"]
    assert found.row_of[clips["s03_ne_02"].key] == 2
    assert found.findings == []


def test_smic_long_videos_with_two_expressions(tmp_path: Path) -> None:
    base = tmp_path / "SMIC-HS-E"
    trees.write_frames(base / "s03" / "s3_ne_02", range(100, 200), "image{:06d}.bmp")
    trees.write_frames(base / "s03" / "s3_po_01", range(100, 200), "image{:06d}.bmp")
    smic_table(
        tmp_path, [3, "s3_ne_02", None, 105, 110, 150, 160, None, 1, 2, 6, 11, 9, "negative"]
    )
    found = survey("smic", tmp_path)
    clips = by_name(found)
    assert list(clips) == ["s03_ne_02", "s03_ne_03"]
    second = clips["s03_ne_03"]
    assert (second.onset, second.apex, second.offset) == (50, None, 60)
    assert only(found).problem.startswith("s03_po_01 is not in the table")


def test_smic_with_apexes(tmp_path: Path) -> None:
    """The table that goes round: apexes, classes as numbers, and paths of somebody's disk."""
    header = "data,subject,clip,label,onset_frame,apex_frame,offset_frame,onset_frame_path"
    rows = [
        "smic,3,s3_ne_02,0,105,107.0,110,smic/s03/image000105.jpg",
        "smic,3,s3_ne_03,0,150,156.0,160,a row and no folder: its frames are in that of s3_ne_02",
        "smic,3,s3_po_01,1,202,,208,no apex",
        "smic,18.0,s18_sur_03,0.0,300,303,309,the published slip: the class is surprise",
        "smic,4,s4_ne_01,0,105,107,110,no folder",
        "smic,5,s3_sur_01,2,1,2,3,the subject is another's",
        "smic,3,s3_sur_02,2,1.5,2,3,a fraction",
        "samm,6,006_1_2,0,1,2,3,another data set",
    ]
    table = tmp_path / "SMIC_apex_all.csv"
    table.write_text("\n".join([header, *rows]))
    folders = {"s3_ne_02": (100, 200), "s3_po_01": (202, 209), "s18_sur_03": (300, 310)}
    folders["s3_sur_02"] = (1, 9)
    expected = {
        "s03_ne_02": (0, 5, 7, 10),
        "s03_ne_03": (0, 50, 56, 60),
        "s03_po_01": (1, 0, None, 6),
        "s18_sur_03": (2, 0, 3, 9),
    }
    for layout in ("SMIC-HS-E", "HS"):
        for clip, (first, last) in folders.items():
            label = {"ne": "negative", "po": "positive"}.get(clip.split("_")[1], "surprise")
            micro = f"micro/{label}/" if layout == "HS" else ""
            folder = f"{layout}/s{int(clip[1:].split('_')[0]):02d}/{micro}{clip}"
            trees.write_frames(tmp_path / folder, range(first, last), "image{:06d}.bmp")
        found = survey("smic", tmp_path, images=layout)
        clips = {
            name: (clip.label, clip.onset, clip.apex, clip.offset)
            for name, clip in by_name(found).items()
        }
        whole_folder = {"s03_sur_02": (2, 0, None, 7)} if layout == "HS" else {}
        assert clips == expected | whole_folder
        told = {finding.row: finding.problem for finding in found.findings}
        assert told == {
            4: "no apex is given ('')",
            5: "negative in the table, but s18_sur_03 is surprise",
            6: "no folder of s04_ne_01",
            7: "the subject '5' is not that of s03_sur_01",
            8: "frames '1.5'..'3' are not those of s03/micro/surprise/s3_sur_02"
            if layout == "HS"
            else "the onset is '1.5', not a frame number",
        }


def test_smic_frames_that_were_numbered_anew(tmp_path: Path) -> None:
    trees.write_frames(tmp_path / "HS/s03/micro/negative/s3_ne_02", range(1, 7), "{}.bmp")
    (tmp_path / "smic_apex.tsv").write_text(
        "subject\tclip\tonset_frame\tapex_frame\toffset_frame\n3\ts3_ne_02\t105\t107\t110\n"
    )
    (clip,) = survey("smic", tmp_path).clips
    assert (clip.onset, clip.apex, clip.offset) == (0, 2, 5)


def test_smic_folders_in_the_wrong_place(tmp_path: Path) -> None:
    root = trees.write_smic(tmp_path, list(trees.official("smic"))[:2])
    micro = root / "HS" / "s01" / "micro"
    trees.write_frames(micro / "positive" / "s01_ne_09", range(3), "image{}.bmp")
    trees.write_frames(micro / "positive" / "s02_po_01", range(3), "image{}.bmp")
    trees.write_frames(micro / "positive" / "blink", range(3), "image{}.bmp")
    trees.write_frames(micro / "negative" / "s1_ne_2", range(3), "image{}.bmp")
    found = survey("smic", root)
    assert len(found.clips) == 2
    assert sorted(kinds(found)) == ["duplicate", "label", "label", "naming"]


def test_casme3_through_pandas(tmp_path: Path) -> None:
    """The clip's name holds its onset."""
    root = trees.write_casme3(tmp_path)
    next(root.glob("cas*.xlsx")).unlink()
    rows = [["spNO.1", "b", "175.0", "178.0", "181.0", "4", 1, "happy"]]
    trees.write_table(root / "casme3.csv", [trees.CASME3_HEADER, *rows])
    (clip,) = survey("casme3", root).clips
    assert (clip.key.clip, clip.onset, clip.apex, clip.offset) == ("b_175", 0, 2, 5)


def test_casme3(tmp_path: Path) -> None:
    found = survey("casme3", trees.write_casme3(tmp_path))
    clips = by_name(found)
    assert list(clips) == ["b_175", "b_190", "a_3"]
    first = clips["b_175"]
    assert first.key.subject == "spNO.1"
    assert (first.label, first.onset, first.apex, first.offset, first.fps) == (1, 0, 2, 5, 30.0)
    assert len(first.frames) == 6, "one of seven was dropped by the recorder"
    assert first.frames.paths[2].name == "178.jpg"
    assert kinds(found) == ["frames", "frames"]
    assert "only one frame" in found.findings[1].problem
    assert found.other_classes == {"others": 1}


def test_mmew(tmp_path: Path) -> None:
    found = survey("mmew", trees.write_mmew(tmp_path))
    assert [(c.key.subject, c.label, c.apex, c.offset) for c in found.clips] == [
        ("S03", 1, 2, 5),
        ("S05", 2, 2, 5),
        ("S05", 0, 2, 5),
    ]
    assert kinds(found) == ["offset"]


def test_one_person_written_in_two_ways(tmp_path: Path) -> None:
    root = trees.write_fourdme(tmp_path)
    rows = [["S01", "S01_a_1", "Positive", 10, 12, 14], ["s1", "S01_a_2", "Negative", 30, 32, 34]]
    (path,) = root.glob("4DME*")
    trees.write_table(path, [trees.FOURDME_HEADER[:6], *rows])
    assert [clip.key.subject for clip in survey("fourdme", root).clips] == ["S01", "S01"]


def test_fourdme(tmp_path: Path) -> None:
    found = survey("fourdme", trees.write_fourdme(tmp_path))
    assert [(c.key.clip, c.label, c.onset, c.apex, c.offset) for c in found.clips] == [
        ("S01_a_1", 1, 0, 2, 4),
        ("S01_a_2", 0, 0, 2, 4),
        ("S02_b_2", 2, 0, 2, 4),
    ]
    assert found.other_classes == {"negatively surprise": 1}
    assert only(found).problem == "frames 1..5 stand for 30..34"


def test_what_the_check_would_find_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = trees.write_casme3(tmp_path)
    for _ in range(2):
        assert len(datasets["casme3"].build(root=root)) == 3
    rows = trees.casme2_rows()[:3]
    rows[0][4], rows[1][4] = None, 46
    root = trees.write_casme2(tmp_path / "a", rows)
    assert [clip.apex for clip in datasets["casme2"].build(root=root, images="Cropped")] == [
        *(None, None, 2),
    ]
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
    assert sorted(f.kind for f in found.findings if f.left_out) == [
        *("folder", "folder", "label", "protocol"),
    ]
    assert any("positive, but negative on the official list" in str(f) for f in found.findings)
    with pytest.raises(InputError, match="no folder 'casme2'"):
        survey("composite", tmp_path / "SAMM")

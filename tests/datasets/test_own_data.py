"""A person's own recordings and maps in a table, and any data set written as such a table."""

import tomllib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import trees
from test_video import drawn, write_video

from hmrm_lab.config import load_config
from hmrm_lab.datasets.audit import audit
from hmrm_lab.datasets.classes import scheme
from hmrm_lab.datasets.flow_pairs.stored import write_flow
from hmrm_lab.datasets.flowmaps import maps, optical_strain
from hmrm_lab.datasets.recordings.findings import RECORDINGS
from hmrm_lab.datasets.recordings.manifest import TEMPLATE, write_manifest
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.evaluation.summary import flow_of
from hmrm_lab.records import Clip
from hmrm_lab.registry import datasets

WRONG = tomllib.loads(Path(__file__).with_name("malformed_own.toml").read_text())
HEADER = "path,subject,onset,apex,offset,label,dataset,clip,fps,action_units,camera"
ROWS = ("s1/a,s1,5,7,9,happiness,,,,6+L12,front", "s1/b.avi,s2,0,,,,Lab,film,,,left")
survey = RECORDINGS["manifest"].survey
FLOW = np.random.default_rng(0).normal(size=(2, 30, 40)).astype(np.float32)


def write_recordings(root: Path) -> Path:
    """A folder of frames 5..9, a video of ten frames, and what is wrong with others."""
    for name, numbers in (("a", range(5, 10)), ("hole", (5, 6, 7, 9)), ("sizes", range(5, 10))):
        trees.write_frames(root / "s1" / name, numbers)
    trees.write_frames(root / "s1" / "zero", range(5, 10))
    (root / "s1/sizes/img7.jpg").write_bytes(trees.image_bytes(".jpg", size=(20, 12)))
    (root / "s1/zero/img5.jpg").write_bytes(b"")
    write_video(root / "s1" / "b.avi", [drawn(number) for number in range(10)])
    (root / "s1/empty").mkdir()
    for name in ("notes.txt", "bad.mp4"):
        (root / "s1" / name).write_bytes(b"no video")
    (root.parent / "out.avi").write_bytes((root / "s1/b.avi").read_bytes())
    (root / "s1/out.avi").symlink_to(root.parent / "out.avi")
    return write_table(root, HEADER, *ROWS)


def write_table(root: Path, *lines: str, name: str = "clips.csv") -> Path:
    (root / name).write_text("\n".join([*lines, ""]))
    return root


def said_of(case: dict[str, Any], words: str, name: str, root: Path, lines: list[str]) -> str:
    """What is said of a malformed table: an error, or a finding that costs the clip or not."""
    lines = [lines[0], case.get("line", lines[1]), *lines[2:], case.get("added", ""), ""]
    (root / datasets[name].complete({})["table"]).write_text(case.get("text", "\n".join(lines)))
    try:
        if name == "maps" or "text" in case or "options" in case:
            datasets[name].build(root=root, **case.get("options", {}))
        findings = audit(name, root).findings
    except InputError as error:
        return str(error)
    found = [str(one) for one in findings if one.left_out != case.get("kept", False)]
    return next((one for one in found if words in one), f"only {list(map(str, findings))}")


def test_each_malformed_table_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(HEADER)
    own, made = write_recordings(tmp_path / "a"), write_maps(tmp_path / "b")
    faults = []
    for name, root, lines in (
        ("manifest", own, [HEADER, ROWS[0], "s1/b.avi,s2,0,4,9,negative"]),
        ("maps", made, ["path,subject,label", "a.flo,s1,positive", "b.npy,s1,negative"]),
    ):
        for case in WRONG[name]["cases"]:
            words = case["words"].replace("ROOT", str(root))
            said = said_of(case, words, name, root, lines)
            if not (words in said and said.startswith(str(tmp_path)) and said.isprintable()):
                faults.append(f"{case}\n  {said}")
    assert not faults, "\n".join(faults)


def test_a_folder_and_a_video_are_clips(tmp_path: Path) -> None:
    root = write_recordings(tmp_path)
    folder, film = datasets["manifest"].build(root=root)
    assert (*folder.key, folder.label) == ("manifest", "s1", "a", 1)
    assert (folder.onset, folder.apex, folder.offset, folder.fps) == (0, 2, 4, 0)
    assert (folder.emotion, folder.action_units) == ("happiness", ("6", "L12"))
    assert folder.groups == {"camera": "front"}
    assert (*film.key, film.label, film.apex) == ("lab", "s2", "film", None, None)
    assert (film.onset, film.offset, film.fps, len(film.frames)) == (0, 9, 25, 10)
    assert np.abs(film.frames[7].astype(int) - drawn(7)).mean() < 8
    verdict = "complete: 2 clips; 1 need an apex (`hmrm prepare`); 1 have no label (`hmrm predict`"
    assert audit("manifest", root).verdict.startswith(verdict)
    assert audit("manifest", root, deep=True).findings == []
    rows = ["s1/b.avi,s2,0,2,4,disgust,30", "s1/b.avi,s2,5,7,9,others,", "s1/a,s2,5,,,surprise,"]
    write_table(root, "path,subject,onset,apex,offset,label,fps", *rows, name="mine.csv")
    pd.read_csv(root / "mine.csv").to_excel(tmp_path.parent / "mine.xlsx", index=False)
    found = survey(root, table=str(tmp_path.parent / "mine.xlsx"), fps=200)
    assert [(c.key.clip, c.label, c.fps) for c in found.clips] == [("b_0", 0, 30), ("a", 2, 200)]
    assert found.other_classes == {"others": [3]}
    with pytest.raises(ConfigError, match="does not fit; give a number, at least 0"):
        load_config("smoke", data="manifest", overrides={"data.fps": -1})


def test_labels_are_of_the_class_scheme(tmp_path: Path) -> None:
    root = write_recordings(tmp_path)
    lines = [HEADER, "s1/a,s1,5,,,fear,,,,1+2,", "s1/b.avi,s1,0,,,calm,,,,,", "s1/a,s1,6,,,I,,,,,"]
    write_table(root, *lines)
    write_table(root, "emotion,class", "fear,tense", "calm,still", "I,", name="mine.csv")
    found = survey(root, scheme=scheme(str(root / "mine.csv")))
    assert [clip.expression for clip in found.clips] == ["tense", "still"]
    found = survey(root, scheme=scheme("objective-5"))
    assert {c.key.clip: c.expression for c in found.clips} == {"a_5": "II", "a_6": "I"}
    assert "no action units, which these classes are made of" in str(found.findings[0])


def facts(clip: Clip) -> tuple[object, ...]:
    """What a clip is, with the files of its marks, wherever its frames begin."""
    marks = (clip.onset, clip.onset if clip.apex is None else clip.apex, clip.offset)
    files = [clip.frames.identity(mark) for mark in marks]  # type: ignore[attr-defined]
    units, known = clip.action_units or None, clip.apex is not None
    return (*clip.key, clip.label, clip.fps, units, dict(clip.groups), known, *files)


def test_any_recordings_are_written_as_a_manifest_that_reads_the_same(tmp_path: Path) -> None:
    casme2 = trees.write_casme2(tmp_path / "casme2", trees.casme2_rows()[-9:])
    samm = trees.write_samm(tmp_path / "samm", trees.samm_rows()[-9:])
    for name, root, classes in (
        ("casme2", casme2, "casme2-5"),
        ("casme2", casme2, "objective-5"),
        ("samm", samm, "megc3"),
        ("samm", samm, "objective-7"),
        ("casme3", trees.write_casme3(tmp_path / "casme3"), "megc3"),
        ("fourdme", trees.write_fourdme(tmp_path / "fourdme"), "megc3"),
        ("smic", trees.write_smic(tmp_path / "smic", list(trees.official("smic"))[:9]), "megc3"),
        ("manifest", write_recordings(tmp_path / "own"), "megc3"),
    ):
        clips = datasets[name].build(root=root, scheme=scheme(classes))
        path = tmp_path / f"{name}-{classes}.csv"
        write_manifest(clips, path, root, scheme(classes))
        again = survey(root, scheme=scheme(classes), table=str(path)).clips
        assert list(map(facts, again)) == list(map(facts, clips)), name
        with pytest.raises(InputError, match="this file is there already; name another one"):
            write_manifest(clips, path, root)


def test_drawn_frames_are_written_beside_their_manifest(tmp_path: Path) -> None:
    write_table(tmp_path, TEMPLATE.read_text(), name="clips.csv")
    with pytest.raises(InputError, match=r"row 19: .* 5 problems is: no recording s01/smile"):
        survey(tmp_path)
    clips = synthetic(scheme=scheme("casme2-5"), subjects=4, clips=16)[:3]
    write_manifest(clips, tmp_path / "drawn.csv", None)
    again = survey(tmp_path, scheme=scheme("casme2-5"), table="drawn.csv").clips
    for clip, copy in zip(clips, again, strict=True):
        assert (copy.key, copy.label, copy.fps) == (clip.key, clip.label, clip.fps)
        assert (copy.onset, copy.apex, copy.offset) == (clip.onset, clip.apex, clip.offset)
        assert (copy.frames[7] == clip.frames[7]).all()
    with pytest.raises(InputError, match="this folder is there already"):
        write_manifest(clips, tmp_path / "more.csv", None)


def write_maps(root: Path) -> Path:
    """One flow in many formats, and files that are none."""
    root.mkdir(exist_ok=True)
    arrays: dict[str, np.ndarray] = {"b": FLOW, "three": np.stack([FLOW] * 3), "nan": FLOW.copy()}
    arrays |= {"huge": 1e300 * FLOW.astype(float), "flat": FLOW[0], "small": np.zeros((20, 10, 2))}
    arrays |= {"either": np.zeros((2, 30, 3)), "words": np.full((2, 2, 2), "a")}
    arrays |= {"uv": FLOW.transpose(1, 2, 0).astype(float)}
    arrays["nan"][0, 0, 0] = np.nan
    for name, array in arrays.items():
        np.save(root / f"{name}.npy", array)
    np.savez(root / "two.npz", a=FLOW, b=FLOW)
    np.savez(root / "one.npz", FLOW)
    write_flow(root / "a.flo", FLOW)
    write_flow(root / "a.png", FLOW)
    levels = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
    for name, image in (("levels", levels), ("gray", levels[..., 0])):
        cv2.imwrite(str(root / f"{name}.png"), image)
    image = cv2.imread(str(root / "a.png"), cv2.IMREAD_UNCHANGED)
    image[4, 5, 0] = 0  # nobody knows how this pixel moved
    cv2.imwrite(str(root / "unknown.png"), image)
    (root / "cut.flo").write_bytes((root / "a.flo").read_bytes()[:32])
    (root / "cut.png").write_bytes((root / "levels.png").read_bytes()[:99])
    return root


def test_maps_of_any_format_and_size(tmp_path: Path) -> None:
    root = write_maps(tmp_path)
    names = ("a.flo", "a.png", "b.npy", "uv.npy", "one.npz")
    lines = [f"{name},s{row},happiness,clip{row}" for row, name in enumerate(names)]
    write_table(root, "path,subject,label,clip", *lines, "a.flo,s1,others,x", name="maps.csv")
    flowset = maps(root)
    assert (flowset.maps.shape, flowset.unit) == ((5, 3, 28, 28), "px")
    assert flowset.keys[1] == ("maps", "s1", "clip1")
    whole = np.concatenate([FLOW, optical_strain(FLOW[None])])
    rows, columns = (np.repeat(np.eye(side), 28, axis=1) for side in (30, 40))
    rows, columns = (m.reshape(len(m), 28, -1).mean(axis=2) for m in (rows, columns))
    expected = rows.T @ whole @ columns  # of equal areas
    for row, (found, name) in enumerate(zip(flowset.maps, names, strict=True)):
        assert found == pytest.approx(expected, abs=0.01 if name == "a.png" else 1e-5), (row, name)
    write_table(root, "subject,label", "s1,positive", "s1,surprise", "s2,anger", name="maps.csv")
    flowset = maps(root, array="three.npy")
    assert flowset.labels.tolist() == [1, 2, 0]
    assert [key.clip for key in flowset.keys] == ["map0000", "map0001", "map0002"]
    write_table(root, "path,subject,label", "levels.png,s1,positive", name="maps.csv")
    levels = cv2.imread(str(root / "levels.png"))[..., ::-1].mean(axis=(0, 1)) / 255
    assert maps(root, unit="relative").maps[0].mean(axis=(1, 2)) == pytest.approx(levels, abs=1e-4)
    config = load_config("smoke", data="maps", overrides=["flow.name=dis"])
    assert flow_of(config, {"unit": "px"}) == "as given"
    for unit, rotated in (("px", True), ("relative", False)):
        changes = {"data.unit": unit, "input.normalise": "median_rms"}
        config = load_config("default", data="maps", overrides=changes)
        assert (config.augment.rotate_deg > 0) == rotated
    turned = {"data.unit": "relative", "augment.rotate_deg": 5}
    with pytest.raises(ConfigError, match="relative maps have a scale for each channel"):
        load_config("default", data="maps", overrides=turned)

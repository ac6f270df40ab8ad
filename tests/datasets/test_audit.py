import json
import os
from pathlib import Path

import pytest
import trees
from test_cli import Done, files_under, hmrm

from hmrm_lab.datasets.audit import audit
from hmrm_lab.errors import InputError

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def composite_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trees.write_composite(tmp_path_factory.mktemp("composite"))


def check(name: str, root: Path, *options: object) -> Done:
    return hmrm("data", "check", name, "--root", root, *options, cwd=root)


def test_a_complete_composite(composite_root: Path) -> None:
    result = audit("composite", composite_root)
    assert result.complete
    assert result.found == (250, 109, 83)
    assert len(result.subjects) == 68
    assert all(one.found == one.expected for one in result.subjects)
    assert result.verdict == "complete: 442 of 442 clips; 166 need an apex (`hmrm prepare`)"


def test_the_command_prints_counts_and_writes_nothing(composite_root: Path) -> None:
    before = files_under(composite_root)
    done = check("casme2", composite_root / "casme2")
    assert done.returncode == 0, done.stderr
    assert "complete: 145 of 145 clips" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    for line in ("negative 88 88", "casme2/sub01 2/1/0 2/1/0", "not used others 1"):
        assert line.split() in lines
    assert "http://casme.psych.ac.cn" in done.stdout
    result = json.loads(check("samm", composite_root / "samm", "--json").stdout)
    assert result["complete"] is True
    assert (result["usable"], result["without_apex"]) == (133, 2)
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
    result = audit("casme2", tmp_path)
    assert result.findings == []
    assert "leave-one-subject-out needs two" in result.verdict
    (finding,) = audit("casme2", tmp_path, deep=True).findings
    assert (finding.kind, finding.left_out) == ("unreadable", True)


def test_a_thousand_findings_do_not_flood_the_terminal_and_are_on_the_page(tmp_path: Path) -> None:
    first, second = trees.casme2_rows()[:2]
    root = trees.write_casme2(tmp_path / "data", [first, second])
    rows = [first, second, *([1, f"X{n}", *first[2:-1], SCRIPT] for n in range(99))]
    trees.write_table(root / "CASME2-coding-20140508.xlsx", [trees.CASME2_HEADER, *rows])
    page = tmp_path / "audit.html"
    done = check("casme2", root, "--html", page)
    assert "... and 94 more" in done.stdout
    assert len(done.stdout.splitlines()) < 60
    text = page.read_text(encoding="utf-8")
    assert "usable, but not complete: 2 of 145 clips" in text
    assert text.count("unknown emotion") >= 99
    assert SCRIPT not in text
    assert "http" not in text.replace("http-equiv", "").replace("http://casme.psych.ac.cn", "")


WRONG: list[tuple[str, str, dict[str, str], str]] = [
    ("casme2", "absent", {}, "no such folder"),
    ("casme2", ".", {}, "no coding file of CASME II"),
    ("casme", ".", {}, "did you mean 'casme"),
    ("flowmaps", ".", {}, "unknown recorded data set 'flowmaps'"),
    ("casme2", ".", {"coding": "x.xlsx"}, "x.xlsx: no such file"),
    ("casme2", ".", {"coding": "../x.xlsx"}, "leads out of the root"),
    ("composite", ".", {"images": "x"}, "takes no --coding or --images"),
    ("composite", ".", {}, "no folder 'casme2'"),
    ("smic", ".", {}, "no folder of images of SMIC-HS"),
]


def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    for name, folder, options, words in WRONG:
        with pytest.raises(InputError) as caught:
            audit(name, tmp_path / folder, **options)  # type: ignore[arg-type]
        assert words in str(caught.value) and "\n" not in str(caught.value)
    done = hmrm("data", "check", "casme2", "--root", "absent", cwd=tmp_path)
    assert (done.returncode, done.stdout, len(done.stderr.strip().splitlines())) == (2, "", 1)
    assert files_under(tmp_path) == []


def test_other_files_under_the_same_names_are_other_maps(tmp_path: Path) -> None:
    from hmrm_lab.config import load_config
    from hmrm_lab.preparation import load_flowset

    rows = [row for row in trees.casme2_rows() if row[0] in (1, 2)][:4]
    root = trees.write_casme2(tmp_path, rows)
    for row in rows:
        folder = root / "Cropped" / f"sub{row[0]:02d}" / row[1]
        trees.write_frames(folder, range(46, 51), "reg_img{}.jpg", size=(48, 48))
    config = load_config("smoke", data="casme2", overrides=["flow.name=dis"])
    first = load_flowset(config, root)
    path = root / "Cropped" / "sub01" / "EP02_01f" / "reg_img48.jpg"
    path.write_bytes(trees.image_bytes(".jpg", step=0, size=(48, 48)))
    os.utime(path, ns=(1, 1))
    second = load_flowset(config, root)
    assert first.fingerprint() != second.fingerprint()

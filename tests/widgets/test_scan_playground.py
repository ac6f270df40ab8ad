"""The playground of the scan."""

import pytest

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

from hmrm_widgets import ScanPlayground

CONTROLS = (
    *("decay", "step", "attended", "strength"),
    *("input", "impulse", "direction", "skip"),
)


@pytest.fixture
def playground() -> ScanPlayground:
    return ScanPlayground()


def views(playground: ScanPlayground) -> tuple[str, str, str]:
    return playground.stems.value, playground.matrix.value, playground.caption.value


def test_it_opens_with_an_impulse(playground: ScanPlayground) -> None:
    stems, matrix, caption = views(playground)
    assert stems.startswith("<svg")
    assert matrix.count("<rect") == 144
    assert "from 3 to 3: 0.300" in matrix
    assert "writes 0.300 times its x" in caption
    assert "keeps 86%" in caption
    assert "halves in 4.6 tokens" in caption


@pytest.mark.parametrize(
    ("control", "value", "changed"),
    [
        ("decay", 1.5, (True, True, True)),
        ("step", 0.6, (True, True, True)),
        ("strength", 10.0, (True, True, True)),
        ("attended", 2, (False, False, True)),
        ("impulse", 7, (True, False, False)),
        ("input", "ones", (True, False, False)),
        ("direction", "backward", (True, True, False)),
        ("direction", "both", (True, True, False)),
        ("skip", 0.5, (True, True, False)),
    ],
)
def test_each_control_changes_what_it_should(
    playground: ScanPlayground, control: str, value: object, changed: tuple[bool, ...]
) -> None:
    before = views(playground)
    getattr(playground, control).value = value
    after = views(playground)
    assert tuple(b != a for b, a in zip(before, after, strict=True)) == changed
    assert not playground.problem.value


def test_a_large_step_is_a_column_of_the_matrix(playground: ScanPlayground) -> None:
    playground.strength.value = 10.0
    assert "from 6 to 6: 3.000" in playground.matrix.value
    assert "from 6 to 5: 0.000" in playground.matrix.value
    assert "keeps 22%" in playground.caption.value


def test_only_an_impulse_has_a_place(playground: ScanPlayground) -> None:
    assert not playground.impulse.disabled
    playground.input.value = "ones"
    assert playground.impulse.disabled


def test_its_length_can_be_chosen() -> None:
    assert ScanPlayground(tokens=5).matrix.value.count("<rect") == 25
    with pytest.raises(ValueError, match="two tokens"):
        ScanPlayground(tokens=1)

"""The checks of `hmrm doctor --gpu`, with the CPU in place of a card."""

import pytest
from torch import Tensor

from hmrm_lab.models.scan import scan_reference
from hmrm_lab.registry import systems
from hmrm_lab.studies import gpu_checks


def off(*arguments: Tensor) -> Tensor:
    return 1.001 * scan_reference(*arguments)  # as far off as products in TF32


def test_a_device_that_computes_what_the_cpu_does_passes_and_one_that_does_not_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    every = gpu_checks.families()
    assert len({systems[name].build.__module__ for name in every}) == len(every) > 10
    monkeypatch.setattr(gpu_checks, "families", lambda: ["mlp"])
    monkeypatch.setattr(gpu_checks, "selective_scan", off)
    found = {name: (state, detail) for name, state, detail in gpu_checks.examine("cpu")}
    assert found["scan"][0] == "failed"
    assert found["scan"][1].startswith("HmrmError: it is off by 1e-03")
    assert found["scan"][1].endswith(
        "install a C compiler and the headers of Python (Debian: gcc, python3-dev)"
    )
    for name in ("block", "ssd", "graph", "same bytes", "stack", "mlp", "torch"):
        assert found[name][0] == "ok", found[name]

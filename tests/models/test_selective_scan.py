"""The scan against a naive loop, and every backend against the reference; the scan as a matrix."""

import math
import os
import subprocess
import sys
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from models.scan_cases import check_groups, check_scan, draw, random_case
from torch import Tensor

from hmrm_lab.errors import ConfigError
from hmrm_lab.models import scan as scans
from hmrm_lab.models.hmrm import fused_block
from hmrm_lab.models.scan import (
    choose_backend,
    machine_code,
    scan_reference,
    selective_scan,
    vector_math,
)
from hmrm_lab.models.scan.fused import fused_scan, mamba_ssm_scan
from hmrm_lab.models.scan.inside import closed_form_matrix, scan_matrix, trace_scan


def naive(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor) -> Tensor:
    """One number at a time, for (L, D) alone."""
    y = torch.zeros_like(x)
    for d in range(x.shape[1]):
        for n in range(A.shape[1]):
            h = 0.0
            for t in range(len(x)):
                h = math.exp(dt[t, d] * A[d, n]) * h + dt[t, d] * B[t, n] * x[t, d]
                y[t, d] += C[t, n] * h
    return y + skip * x


@pytest.mark.parametrize("length", [1, 2, 7])
def test_scan_is_the_naive_loop(length: int) -> None:
    torch.manual_seed(length)
    arguments = draw((), length, 3, 4)
    torch.testing.assert_close(scan_reference(*arguments), naive(*arguments))


def test_a_hundred_random_shapes_agree_with_float64() -> None:
    for number in range(100):
        arguments, reverse = random_case(number)
        check_scan(partial(selective_scan, reverse=reverse, backend="fused"), arguments, reverse)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("backend", ["cuda", "mamba_ssm"])
def test_a_hundred_random_shapes_agree_on_a_gpu(backend: str) -> None:
    if backend == "mamba_ssm":
        pytest.importorskip("mamba_ssm", reason="mamba-ssm is not installed")
    for number in range(100):
        arguments, reverse = random_case(number)
        scan = partial(selective_scan, reverse=reverse, backend=backend)
        first, again = (check_scan(scan, arguments, reverse, "cuda") for _ in range(2))
        twice = all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert twice or backend == "mamba_ssm"


@pytest.mark.parametrize("shapes", [6, pytest.param(100, marks=pytest.mark.full)])
def test_the_kernels_for_a_gpu_agree_in_the_interpreter(shapes: int) -> None:
    pytest.importorskip("triton", reason="Triton has no interpreter on this machine")
    program = Path(__file__).with_name("interpreted_scan.py")
    folders = os.pathsep.join(map(str, program.parents[1:3]))
    command, environment = [sys.executable, program, str(shapes)], {**os.environ}
    environment["PYTHONPATH"] = folders
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-1] == str(shapes - 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "capability", [90, *(pytest.param(other, marks=pytest.mark.full) for other in (80, 100))]
)
def test_the_kernels_compile_for_a_card_and_spill_no_registers(
    capability: int, tmp_path: Path
) -> None:
    """At the paper's 16 states, ahead of time; takes seconds, as only ptxas counts what spills."""
    triton = pytest.importorskip("triton", reason="Triton is not on this machine")
    compiler = pytest.importorskip("triton.backends.nvidia.compiler")
    from hmrm_lab.models.scan import triton_scan

    kinds = dict.fromkeys(("NP", "BD", "GATED"), "constexpr") | {"reverse": "*i32"}
    kinds |= dict.fromkeys(("per_group", "beside", "S", "chunks", "K", "L", "D", "N"), "i32")
    target = triton.backends.compiler.GPUTarget("cuda", capability, 32)
    kernels = triton_scan._forward, triton_scan._backward
    for kernel, gated in product(kernels, (False, True)):
        signature = {name: kinds.get(name, "*fp32") for name in kernel.arg_names}
        constants = {"NP": 16, "BD": triton_scan.BLOCK, "GATED": gated}
        source = triton.compiler.ASTSource(kernel, signature=signature, constexprs=constants)
        (tmp_path / "kernel.ptx").write_text(triton.compile(source, target=target).asm["ptx"])
        card = f"--gpu-name=sm_{capability}{'a' if capability >= 90 else ''}"
        command = [compiler.get_ptxas(capability).path, "-v", card, "kernel.ptx"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "0 bytes spill stores, 0 bytes spill loads" in done.stderr


def test_a_machine_without_triton_has_a_slower_scan_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The CPU stands for a card whose compiler is missing; nothing breaks a compiled graph."""
    monkeypatch.setattr(scans, "DEVICES", {"fused": "nowhere", "cuda": "cpu"})
    arguments = [a.float() for a in draw((2, 3), 6, 4, 3, (2, 1))]
    with pytest.warns(UserWarning, match="no Triton on cpu, the scan is slower"):
        y = selective_scan(*arguments)
    compiled = torch.compile(selective_scan, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(*arguments), y)
    with pytest.raises(ConfigError, match="use scan=auto"):
        selective_scan(*arguments, backend="cuda")


def test_mamba_ssm_is_handed_what_its_interface_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in follows the interface's description: u (B, D, L), A (D, N), B (B, N, L)."""

    def stand_in(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        assert all(tensor.is_contiguous() for tensor in (u, delta, A, B, C))
        assert A.shape == (u.shape[1], B.shape[1])
        return scan_reference(u.mT, delta.mT, A, B.mT, C.mT, D).mT

    monkeypatch.setattr("hmrm_lab.models.scan.fused.from_mamba_ssm", lambda *_, option: stand_in)
    for number in range(30):
        check_groups(mamba_ssm_scan, *random_case(number, longest=7))


@pytest.mark.skipif(find_spec("mamba_ssm") is not None, reason="mamba-ssm is here")
def test_mamba_ssm_that_is_missing_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"needs the package mamba-ssm .*requirements-gpu"):
        mamba_ssm_scan(*(torch.zeros(1, 1, 1) for _ in range(6)), [False])


@pytest.mark.parametrize("backend", ["fused", "reference", "auto"])
def test_backwards_is_forwards_over_flipped_tokens(backend: str) -> None:
    torch.manual_seed(5)
    arguments = [a.float() for a in draw((2, 3), 6, 4, 3, (2, 1))]
    x, dt, A, B, C, skip = arguments
    turned = (x.flip(-2), dt.flip(-2), A, B.flip(-2), C.flip(-2), skip)
    backwards = selective_scan(*arguments, reverse=True, backend=backend)
    torch.testing.assert_close(selective_scan(*turned, backend=backend).flip(-2), backwards)


def test_long_steps_forget_and_never_overflow() -> None:
    """exp(dt A) underflows to nothing; states stay what the last token made of them."""
    x, B, C = torch.ones(1, 3, 2), torch.ones(1, 3, 4), torch.ones(1, 3, 4)
    dt, A = torch.full((1, 3, 2), 50.0), torch.full((2, 4), -30.0)
    y = selective_scan(x, dt, A, B, C, torch.zeros(2), backend="fused")
    torch.testing.assert_close(y, torch.full_like(y, 50.0 * 4))
    assert torch.isfinite(closed_form_matrix(dt[0], A, B[0], C[0], torch.zeros(2))).all()


def test_machine_code_exponentials_are_exact() -> None:
    """To a few units in the last place of float32, over all that a training can meet."""
    x = np.linspace(-87, 87, 2001, dtype=np.float32)
    small = np.geomspace(1e-9, 80, 2000, dtype=np.float32)
    for function, exact, numbers, within in (
        (vector_math.softplus, lambda v: np.logaddexp(0, v), x, 5e-7),
        (vector_math.sigmoid, lambda v: 1 / (1 + np.exp(-v)), x, 5e-7),
        (vector_math.exp, np.exp, x[x <= 0], 3e-7),
        (vector_math.exp2, np.exp2, x[x <= 0], 3e-7),
        (vector_math.complement, lambda v: -np.expm1(-v), small, 5e-7),
    ):
        ours = np.array([function(number) for number in numbers])
        np.testing.assert_allclose(ours, exact(numbers.astype(np.float64)), rtol=within)


def test_torch_sees_the_scan_and_shapes_that_do_not_fit_are_refused() -> None:
    x, dt, A, B, C, skip = (a.float() for a in draw((4,), 3, 5, 2, (4,)))
    arguments = [a.requires_grad_() for a in (x, dt, A.mT.contiguous(), B, C, skip)]
    torch.library.opcheck(fused_scan, (*arguments, [False, True, True, False]))
    with pytest.raises(ValueError, match="do not go with x"):
        fused_scan(x, dt, A.mT, B[:, :2], C, skip, [False] * 4)


def test_the_backend_follows_the_tensor() -> None:
    assert choose_backend("auto", torch.zeros(1)) == "fused"
    assert choose_backend("auto", torch.zeros(1, dtype=torch.float64)) == "reference"
    assert choose_backend("auto", torch.zeros(1, device="meta")) == "reference"
    rounded = [tensor.bfloat16() for tensor in draw((), 7, 3, 4)]
    with torch.autocast("cpu"):  # what it rounded is scanned in float32 all the same
        y = selective_scan(*rounded, backend="fused")
    torch.testing.assert_close(y, scan_reference(*(tensor.float() for tensor in rounded)))
    for name, device in (("cuda", "CUDA devices"), ("fused", "the CPU")):
        with pytest.raises(ConfigError, match=f"float32 on {device}"):
            choose_backend(name, torch.zeros(1, dtype=torch.float64))


def test_machine_code_is_compiled_anew_when_what_it_calls_changes() -> None:
    """numba's cache compares one file alone, hence a line in it that follows the other."""
    digest = sha256(Path(vector_math.__file__).read_bytes()).hexdigest()[:8]
    assert machine_code.COMPILED_IN == fused_block.COMPILED_IN == digest


@pytest.mark.parametrize(("sequences", "length"), [(0, 3), (2, 0)])
def test_no_sequences_and_no_tokens_are_nothing_to_do(sequences: int, length: int) -> None:
    x, B = torch.zeros(sequences, length, 5), torch.zeros(sequences, length, 4)
    A = -torch.ones(1, 4, 5, requires_grad=True)
    y = fused_scan(x, torch.ones_like(x), A, B, B, torch.ones(1, 5), [False])
    assert y.shape == x.shape
    assert not torch.autograd.grad(y.sum(), A)[0].any()


@pytest.mark.parametrize("reverse", [False, True])
def test_the_matrix_is_the_scan_and_its_closed_form(reverse: bool) -> None:
    torch.manual_seed(0)
    x, *arguments = draw((), 9, 3, 4)
    matrix = scan_matrix(*arguments, reverse=reverse)
    torch.testing.assert_close(matrix, closed_form_matrix(*arguments, reverse=reverse))
    assert not (matrix.tril(-1) if reverse else matrix.triu(1)).any()
    y = selective_scan(x, *arguments, reverse=reverse)
    torch.testing.assert_close(torch.einsum("dtk,kd->td", matrix, x), y)


def test_an_impulse_decays_by_its_exponent_and_directions_are_added() -> None:
    x, dt = torch.zeros(9), torch.full((9,), 0.5)
    x[2] = 1.0
    there, back, both = (
        trace_scan(x, dt, decay=2.0, skip=0.25, direction=name)
        for name in ("forward", "backward", "both")
    )
    state = torch.tensor([0, 0, *(0.5 * math.exp(-2 * 0.5 * k) for k in range(7))])
    torch.testing.assert_close(there.states["forward"], state)
    torch.testing.assert_close(there.y, state + 0.25 * x)
    torch.testing.assert_close(both.y, there.y + back.y)
    torch.testing.assert_close(both.matrix @ x, both.y)
    with pytest.raises(ConfigError, match="did you mean 'backward'"):
        trace_scan(x, dt, decay=1.0, direction="backwards")

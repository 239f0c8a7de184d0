"""What loops are compiled to is read correctly, and the sums of the inner products stay in registers."""

import doctest
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import assembly
from benchmarks.assembly import LOOPS, PROCESSORS, InnerLoop, Loop, inner_loop

FEW, MANY = (Loop(f"tests.register_loops:{name}_sums", "float32[::1], float32[::1], int64") for name in ("few", "many"))
REGISTER_FILES = {"AVX2": "znver3", "AVX-512": "cascadelake"}


@cache
def compiled(cpu):
    """The inner loops of all loops here, from one process for each processor."""
    return assembly.inner_loops(cpu, [*LOOPS, FEW, MANY])


@pytest.mark.parametrize("cpu", REGISTER_FILES.values(), ids=REGISTER_FILES)
@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.place)
def test_the_sums_of_the_inner_products_stay_in_registers(loop, cpu):
    inner = compiled(cpu)[loop.place]
    assert (inner.stack_loads, inner.stack_stores) == (0, 0), "\n".join(inner.lines)
    assert inner.register == {"znver3": "ymm", "cascadelake": "zmm"}[cpu]


@pytest.mark.parametrize("cpu", REGISTER_FILES.values(), ids=REGISTER_FILES)
def test_sums_for_which_there_are_no_registers_are_seen_on_the_stack(cpu):
    few, many = compiled(cpu)[FEW.place], compiled(cpu)[MANY.place]
    assert few.stack_loads == few.stack_stores == 0 and few.multiply_adds
    assert many.stack_loads > 0 and many.stack_stores > 0


# ---- reading


NESTED = """
some_function:
	pushq	%rbp
	vmovups	%ymm0, 32(%rsp)
.LBB0_1:
	vmovups	%ymm2, 64(%rsp)
	jmp	.LBB0_4
.LBB0_2:                                # the inner loop
	vmovups	(%rbp), %ymm1
	vmovups	96(%rsp), %ymm3
	vfmadd231ps	8(%rsp,%rax), %ymm1, %ymm2
	vfmadd231ps	%ymm1, %ymm1, %ymm4
	vmovaps	%ymm3, 128(%rsp)
	movq	24(%rsp), %rcx
	vfmadd231ss	%xmm1, %xmm1, %xmm5
	decq	%rax
	jne	.LBB0_2
.LBB0_3:
	vmovups	(%rdi), %ymm3
	jne	.LBB0_3
.LBB0_4:
	vfmadd231ps	%ymm1, %ymm1, %ymm2
	jne	.LBB0_1
	retq
another_function:
.LBB1_1:
	vfmadd231ps	%ymm1, %ymm1, %ymm2
	jne	.LBB1_1
"""


def test_the_inner_loop_is_the_innermost_one_with_the_most_multiply_adds():
    loop = inner_loop(NESTED)
    assert loop.lines[0] == ".LBB0_2:" and loop.lines[-1] == "jne	.LBB0_2" and len(loop.lines) == 10
    assert len(loop.multiply_adds) == 2 and loop.register == "ymm" and loop.bytes == 64
    assert (loop.stack_loads, loop.stack_stores) == (2, 1)  # rbp is any pointer here, and a pointer on the stack is no sum


def test_a_register_that_has_been_given_the_stack_pointer_points_to_the_stack():
    loop = inner_loop(NESTED.replace("	pushq	%rbp\n", "	movq	%rsp, %rbp\n"))
    assert (loop.stack_loads, loop.stack_stores) == (3, 1)


def test_code_without_such_a_loop_is_refused():
    with pytest.raises(ValueError, match="no loop has fused multiply-adds"):
        inner_loop("function:\n\tvfmadd231ps\t%ymm1, %ymm1, %ymm2\n.LBB0_1:\n\tjne\t.LBB0_1\n")


# ---- predicting


@pytest.fixture
def mca(monkeypatch):
    """What llvm-mca answers: two cycles a round."""
    answer = SimpleNamespace(returncode=0, stderr="", stdout='{"CodeRegions": [{"SummaryView": {"TotalCycles": 400}}]}')
    monkeypatch.setattr(subprocess, "run", lambda command, **options: answer)
    return answer


def test_the_share_of_the_peak_is_that_of_the_bytes_multiplied_in_a_cycle(mca):
    loop = InnerLoop([".L:", "vfmadd231ps	%zmm1, %zmm1, %zmm2", "vfmadd231ps	%zmm1, %zmm1, %zmm3", "jne	.L"], {"rsp"})
    row = assembly.row_of("it", loop, "cascadelake", "llvm-mca-19")
    assert (row["cycles"], row["share_of_peak"]) == (2.0, 0.5)
    assert assembly.row_of("it", loop, "znver4", "llvm-mca-19")["share_of_peak"] == 1
    assert "cycles" not in assembly.row_of("it", loop, "znver4", None)
    mca.stderr = "'znver4' is not a recognized processor for this target (ignoring processor)"
    assert "znver4" in assembly.row_of("it", loop, "znver4", "/bin/llvm-mca-14")["note"]


def test_the_newest_program_counts(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert assembly.newest_mca() is None
    for name in ("llvm-mca-9", "llvm-mca-19", "llvm-mca-20"):
        (tmp_path / name).touch(mode=0o755)
    assert assembly.newest_mca() == str(tmp_path / "llvm-mca-20")


@pytest.mark.parametrize(("version", "is_believed"), [("14.0.6", False), ("19.1.7", True)])
def test_a_program_is_believed_from_the_version_on_that_is_known_to_be_right(monkeypatch, tmp_path, version, is_believed):
    program = tmp_path / "llvm-mca"
    program.write_text(f"#!{shutil.which('sh')}\necho 'LLVM version {version}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert assembly.newest_mca() == (str(program) if is_believed else None)


@pytest.mark.skipif(assembly.newest_mca() is None, reason="llvm-mca is not installed")
def test_predictions_of_a_loop_whose_speed_is_known():
    sums = [f"vfmadd213ps	%ymm15, %ymm14, %ymm{k}" for k in range(10)]
    loop = InnerLoop([".L:", *sums, "decq	%rax", "jne	.L"], {"rsp"})
    row = assembly.row_of("it", loop, "znver3", assembly.newest_mca())
    assert row["cycles"] == pytest.approx(5, rel=0.05) and row["share_of_peak"] == pytest.approx(1, rel=0.05)
    chain = InnerLoop([".L:", sums[0], "decq	%rax", "jne	.L"], {"rsp"})  # each waits for the one before
    assert assembly.row_of("it", chain, "znver3", assembly.newest_mca())["cycles"] == pytest.approx(4, rel=0.1)


# ---- the command


def test_the_command_prints_a_row_for_each_loop_and_fails_if_a_sum_is_on_the_stack(monkeypatch, capsys):
    monkeypatch.setattr(assembly, "inner_loops", lambda cpu, loops: {loop.place: compiled(cpu)[loop.place] for loop in loops})
    monkeypatch.setattr(assembly, "newest_mca", lambda: None)
    assert assembly.main(["--cpu", "znver3", "--loop", f"{FEW.place}({FEW.arguments})"]) == 0
    assert assembly.main(["--cpu", "znver3", "--loop", f"{MANY.place}({MANY.arguments})", "--show"]) == 1
    text = capsys.readouterr().out
    assert FEW.place in text and MANY.place in text and "vfmadd" in text and "apt-get install llvm-19" in text


def test_a_loop_is_written_with_its_types():
    with pytest.raises(ValueError, match="written like package"):
        Loop.parse("minicnn.kernels.simd.products.multiply")
    assert doctest.testmod(assembly).failed == 0 and set(REGISTER_FILES.values()) <= set(PROCESSORS)

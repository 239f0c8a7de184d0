"""What loops are compiled to for other processors: whether their sums stay in registers, and how fast they can be at most.

::

    python -m benchmarks.assembly                                        # the loops in LOOPS, for all processors in PROCESSORS
    python -m benchmarks.assembly --cpu znver3 --show                    # for one, with the instructions
    python -m benchmarks.assembly --loop "package.module:function(float32[::1], int64)"

Each loop is compiled in a process whose Numba believes that it runs on the other processor; nothing of it is run. Looked at is
its inner loop: the innermost one with the most fused multiply-adds. Vectors that it loads from the stack or stores there are
sums that found no register. If LLVM's ``llvm-mca`` is installed (version 19 or later, as in the package ``llvm-19``), it says
how many cycles a round takes while all data is in the first-level cache, from which follows the share of the processor's peak.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .children import in_new_process
from .table import format_table

AVX2 = "+sse4.2,+popcnt,+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt"
AVX512 = f"{AVX2},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"
OLDEST_MCA = 19
REGISTER_BYTES = {"xmm": 16, "ymm": 32, "zmm": 64}
HEADINGS = {
    "loop": "inner loop",
    "cpu": "for",
    "register": "registers",
    "multiply_adds": "FMAs",
    "stack_loads": "loads from stack",
    "stack_stores": "stores to stack",
    "cycles": "cycles",
    "share_of_peak": "of FMA peak",
}


@dataclass(frozen=True)
class Processor:
    """One that code is compiled for.

    Attributes
    ----------
    features : str
        As in NUMBA_CPU_FEATURES, which takes the place of what Numba detects, and in which our loops look for AVX-512.
    peak_bytes : int
        Of the vectors that it multiplies and adds in a cycle.
    """

    features: str
    peak_bytes: int


PROCESSORS = {  # by LLVM's name
    "cascadelake": Processor(AVX512, 2 * 64),  # those with two units for 512 bits
    "znver3": Processor(AVX2, 2 * 32),
    "znver4": Processor(AVX512, 2 * 32),  # a vector of 512 bits takes both units, or one twice
}


@dataclass(frozen=True)
class Loop:
    """A compiled function and the types that it is called with.

    Attributes
    ----------
    place : str
        "package.module:function"
    arguments : str
        Numba's types, as in "float32[::1], int64".
    """

    place: str
    arguments: str

    @classmethod
    def parse(cls, text: str) -> Loop:
        """
        >>> Loop.parse("package.module:function(float32[::1], int64)")
        Loop(place='package.module:function', arguments='float32[::1], int64')
        """
        match = re.fullmatch(r"([\w.]+:\w+)\((.*)\)", text)
        if not match:
            raise ValueError(f"a loop is written like package.module:function(float32[::1], int64), not {text!r}")
        return cls(*match.groups())


LOOPS = (  # whose sums must stay in registers
    Loop(
        "minicnn.kernels.simd.products:multiply",
        "float32[::1], int64[:, ::1], int64[::1], UniTuple(int64, 4), float32[::1], int64, int64, float32[::1], "
        "UniTuple(float32, 2), float32[::1], float32[::1], UniTuple(int64, 3)",
    ),
    Loop("benchmarks.limits:multiply_and_add", "float32[::1], int64, float32, float32, float32[::1]"),
)


@dataclass(frozen=True)
class InnerLoop:
    """Lines of assembly, from a label to the jump back to it, and the registers that point to the stack."""

    lines: list[str]
    stack: set[str]

    @property
    def multiply_adds(self) -> list[str]:
        """The fused multiply-adds of vectors."""
        return [line for line in self.lines if re.match(r"vfn?m(add|sub)\d+p[sd]\b", line)]

    @property
    def register(self) -> str:
        """What the multiply-adds work on: "xmm", "ymm" or "zmm"."""
        return max((re.findall("[xyz]mm", line)[-1] for line in self.multiply_adds), key=REGISTER_BYTES.get)

    @property
    def bytes(self) -> int:
        """Of all vectors that are multiplied and added in a round."""
        return sum(REGISTER_BYTES[re.findall("[xyz]mm", line)[-1]] for line in self.multiply_adds)

    @property
    def stack_loads(self) -> int:
        """Vector instructions that read the stack."""
        return sum(self._on_stack(line) and not self._is_store(line) for line in self.lines)

    @property
    def stack_stores(self) -> int:
        """Vector instructions that write to the stack."""
        return sum(self._on_stack(line) and self._is_store(line) for line in self.lines)

    def _on_stack(self, line: str) -> bool:
        address = re.search(r"\(%(\w+)[,)]", line)
        return "mm" in line and bool(address) and address[1] in self.stack

    @staticmethod
    def _is_store(line: str) -> bool:
        """In this notation the target is last."""
        return line.endswith(")")


# ---- compiling


def inner_loops(cpu: str, loops: Sequence[Loop] = LOOPS) -> dict[str, InnerLoop]:
    """The inner loop of each, by its place, as compiled for a processor of ``PROCESSORS``.

    Raises
    ------
    RuntimeError
        With the compiling process's last words if it fails.
    ValueError
        If a loop has no fused multiply-adds.
    """
    with tempfile.TemporaryDirectory() as folder:  # code from a cache cannot be looked at
        environment = {
            "NUMBA_CPU_NAME": cpu,
            "NUMBA_CPU_FEATURES": PROCESSORS[cpu].features,
            "NUMBA_CACHE_DIR": folder,
            "NUMBA_DISABLE_JIT": "0",
        }
        texts = in_new_process("assembly", environment, loops=[[loop.place, loop.arguments] for loop in loops])
    return {place: inner_loop(text) for place, text in texts.items()}


def inner_loop(assembly: str) -> InnerLoop:
    """Of all innermost loops with fused multiply-adds the one with the most.

    Raises
    ------
    ValueError
        If there is none.
    """
    found = [loop for function in _functions(assembly) for loop in _loops(function)]
    if not found:
        raise ValueError("no loop has fused multiply-adds of vectors")
    return max(found, key=lambda loop: len(loop.multiply_adds))


def _functions(assembly: str) -> Iterator[list[str]]:
    """The lines of each function, without blanks, comments and directives."""
    function: list[str] = []
    for line in assembly.splitlines():
        line = line.split("#")[0].strip()
        if line.endswith(":") and not line.startswith("."):
            yield function
            function = []
        elif line.endswith(":") or (line and not line.startswith(".")):
            function.append(line)
    yield function


def _loops(function: list[str]) -> Iterator[InnerLoop]:
    """The loops with multiply-adds, but without another such loop inside."""
    labels = {line[:-1]: at for at, line in enumerate(function) if line.endswith(":")}
    stack = {"rsp"} | {match[1] for line in function if (match := re.fullmatch(r"movq\s+%rsp, %(\w+)", line))}
    jumps = [(match[1], at) for at, line in enumerate(function) if (match := re.fullmatch(r"j\w+\s+(\.\w+)", line))]
    ranges = [(labels[label], at) for label, at in jumps if labels.get(label, at) < at]
    loops = {(start, end): InnerLoop(function[start : end + 1], stack) for start, end in ranges}
    loops = {ends: loop for ends, loop in loops.items() if loop.multiply_adds}
    for start, end in loops:
        if not any(start <= first and last <= end and (first, last) != (start, end) for first, last in loops):
            yield loops[start, end]


# ---- predicted speed


def newest_mca() -> str | None:
    """The path of the newest ``llvm-mca`` on this machine; None if there is none, or only ones from before version 19.

    Of older ones it is not known that they are right: version 14 has Zen 3 multiply and add at half its speed.
    """
    versions = {}
    for folder in os.get_exec_path():
        for path in Path(folder).glob("llvm-mca*"):
            if match := re.fullmatch(r"llvm-mca-(\d+)", path.name):
                versions[int(match[1])] = str(path)
    if plain := shutil.which("llvm-mca"):
        told = subprocess.run([plain, "--version"], capture_output=True, text=True).stdout
        if match := re.search(r"version (\d+)", told):
            versions.setdefault(int(match[1]), plain)
    newest = max(versions, default=0)
    return versions[newest] if newest >= OLDEST_MCA else None


def cycles_of(loop: InnerLoop, cpu: str, mca: str) -> float:
    """Cycles that a round of the loop takes, by ``llvm-mca``.

    Raises
    ------
    RuntimeError
        If the program does not know the processor, or an instruction.
    """
    rounds = 200
    command = [mca, "-mtriple=x86_64-unknown-unknown", f"-mcpu={cpu}", f"-iterations={rounds}", "-json"]
    done = subprocess.run(command, input="\n".join(loop.lines) + "\n", capture_output=True, text=True)
    if done.returncode or "not a recognized processor" in done.stderr:
        raise RuntimeError((done.stderr.strip().splitlines() or ["llvm-mca failed"])[0])
    return json.loads(done.stdout)["CodeRegions"][0]["SummaryView"]["TotalCycles"] / rounds


# ---- the command


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile, print; returns the exit status, 1 if a sum is on the stack."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.assembly", description=__doc__.splitlines()[0])
    parser.add_argument("--loop", metavar="LOOP", type=Loop.parse, action="append", help="in place of LOOPS; may be repeated")
    parser.add_argument("--cpu", choices=list(PROCESSORS), action="append", help="one of these; may be repeated")
    parser.add_argument("--show", action="store_true", help="the instructions as well")
    options = parser.parse_args(arguments)
    mca, rows = newest_mca(), []
    for cpu in options.cpu or PROCESSORS:
        for place, loop in inner_loops(cpu, options.loop or LOOPS).items():
            rows.append(row_of(place, loop, cpu, mca))
            if options.show:
                print(f"{place}, {cpu}\n  " + "\n  ".join(loop.lines), end="\n\n")
    print(format_table(rows, HEADINGS))
    return int(any(row["stack_loads"] or row["stack_stores"] for row in rows))


def row_of(place: str, loop: InnerLoop, cpu: str, mca: str | None) -> dict[str, Any]:
    """What is known of a loop: ``cycles`` and ``share_of_peak`` only with ``llvm-mca``, and for processors that it knows."""
    row: dict[str, Any] = {
        "loop": place,
        "cpu": cpu,
        "register": loop.register,
        "multiply_adds": len(loop.multiply_adds),
        "stack_loads": loop.stack_loads,
        "stack_stores": loop.stack_stores,
    }
    if mca is None:
        return row | {
            "note": f"cycles are not known without llvm-mca {OLDEST_MCA} or later (apt-get install llvm-{OLDEST_MCA})"
        }
    try:
        row["cycles"] = cycles_of(loop, cpu, mca)
    except RuntimeError as error:
        return row | {"note": f"{Path(mca).name}: {error}"}
    row["share_of_peak"] = loop.bytes / (row["cycles"] * PROCESSORS[cpu].peak_bytes)
    return row


if __name__ == "__main__":
    sys.exit(main())

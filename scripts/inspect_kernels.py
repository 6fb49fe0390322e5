"""What a GPU is given to run: registers, memory accesses and instructions of the CUDA kernels, without a GPU.

    python scripts/inspect_kernels.py                              all neurons x T 4, 16, 32 x dtypes
    python scripts/inspect_kernels.py --neurons arlif --steps 4 --dtypes float16
    python scripts/inspect_kernels.py --json sass.json --against benchmarks/results/sass.json

NVRTC compiles each kernel with the options that run, nvdisasm prints the machine's instructions:
pip install 'snnbench[inspect]'. Columns:

regs      registers of a thread
local     bytes of local memory of a thread: arrays that are not in registers, and spills
load      how wide the loads from memory are in the loop, in bits
store     the same of the stores to it
instr     instructions for a neuron's timestep: those of the loop over neurons, divided by the neurons and timesteps of
          a turn. A loop inside counts as often as it turns; what only a slow path (a call) executes is not counted.
ahead     loads of a segment of timesteps that stand before its first store, of all of them
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from snnbench import terminal
from snnbench.errors import UserError
from snnbench.files import write_json
from snnbench.kernels import codegen, show
from snnbench.kernels.codegen.source import with_headers
from snnbench.kernels.engines.nvrtc import OPTIONS

NEURONS = ("lif", "plif", "klif", "dalif", "clif", "glif", "arlif")
DTYPES = ("float32", "float16", "bfloat16")
PASSES = ("forward", "backward")
CASE = ("neuron", "dtype", "T", "kernel")

_LINE = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?(U?P\w+)\s+)?([A-Z][\w.]*)\s*([^;]*);")
_LABEL = re.compile(r"^(\.L_x_\d+):")
_JUMPS = ("BRA", "BRX", "EXIT", "RET", "JMP")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """Attributes: opcode, with its suffixes; operands; label: what stands before it, or nothing."""

    opcode: str
    operands: str
    label: str

    def accesses(self, *names: str) -> int:
        """The bits that it loads or stores, 0 where it is none of the instructions `names`."""
        name, *suffixes = self.opcode.split(".")
        if name not in names:
            return 0
        return next((int(s.lstrip("US")) for s in suffixes if s.lstrip("US") in ("8", "16", "64", "128")), 32)


def tools() -> tuple[Any, str]:
    """NVRTC's module and the path of nvdisasm.

    Raises:
        UserError: one is missing.
    """
    try:
        from cuda.bindings import nvrtc
        from cuda.pathfinder import find_nvidia_binary_utility

        nvrtc.nvrtcVersion()
        disassembler = find_nvidia_binary_utility("nvdisasm")
    except Exception as error:  # without the library itself, a call raises what it likes
        raise UserError(f"NVRTC cannot be had ({error}); pip install 'snnbench[inspect]'") from error
    if disassembler is None:
        raise UserError("nvdisasm is not installed; pip install 'snnbench[inspect]'")
    return nvrtc, disassembler


def compiled(text: str, architecture: str) -> tuple[bytes, str]:
    """The machine code of a kernel, and what the assembler says of it."""
    api, _ = tools()

    def checked(answer: tuple[Any, ...], log: str = "") -> Any:
        if answer[0] != api.nvrtcResult.NVRTC_SUCCESS:
            raise UserError(f"NVRTC: {answer[0].name}{log}")
        return answer[1] if len(answer) > 1 else None

    program = checked(api.nvrtcCreateProgram(text.encode(), b"kernel.cu", 0, [], []))
    options = [f"--gpu-architecture={architecture}", *OPTIONS, "--ptxas-options=-v"]
    answer = api.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
    log = b" " * checked(api.nvrtcGetProgramLogSize(program))
    checked(api.nvrtcGetProgramLog(program, log))
    said = log.decode(errors="replace")
    checked(answer, f"\n{said}")
    binary = b" " * checked(api.nvrtcGetCUBINSize(program))
    checked(api.nvrtcGetCUBIN(program, binary))
    api.nvrtcDestroyProgram(program)
    return binary, said


def disassembled(binary: bytes) -> list[Instruction]:
    """The instructions of a kernel in the order of their addresses."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(binary)
        done = subprocess.run([tools()[1], "-c", str(path)], capture_output=True, text=True)
    if done.returncode:
        raise UserError(done.stderr.strip())
    found, label = [], ""
    for line in done.stdout.splitlines():
        if named := _LABEL.match(line):
            label = named[1]
        elif said := _LINE.search(line):
            found.append(Instruction(said[2], said[3], label))
            label = ""
    return found


def loops(code: Sequence[Instruction]) -> list[range]:
    """Where the loops stand, from the label that is jumped back to up to the last jump; the outer one first."""
    labels = {line.label: place for place, line in enumerate(code) if line.label}
    ends: dict[int, int] = {}
    for place, line in enumerate(code):
        target = re.search(r"\.L_x_\d+", line.operands) if line.opcode.startswith("BRA") else None
        if target and labels.get(target[0], place) < place:
            ends[labels[target[0]]] = place
    return sorted((range(start, end + 1) for start, end in ends.items()), key=len, reverse=True)


def blocks(code: Sequence[Instruction], places: Iterable[int]) -> Iterable[list[Instruction]]:
    """The instructions at `places`, cut before each label and behind each jump."""
    block: list[Instruction] = []
    for place in places:
        if code[place].label and block:
            yield block
            block = []
        block.append(code[place])
        if code[place].opcode.split(".")[0] in _JUMPS:
            yield block
            block = []
    if block:
        yield block


def per_element(code: Sequence[Instruction], found: Sequence[range], steps: int, segment: int, vec: int) -> float:
    """Instructions for a neuron's timestep; of loops that stand for each other, those of the longer one."""
    most = 0.0
    for outer in (one for one in found if not any(one.start in other for other in found if other is not one)):
        total = 0.0
        for loop in (one for one in found if one.start in outer):
            inner = [other for other in found if other is not loop and other.start in loop]
            own = [place for place in loop if not any(place in other for other in inner)]
            count = sum(
                len(block) for block in blocks(code, own) if not any(line.opcode[:4] == "CALL" for line in block)
            )
            stores = sum(bool(code[place].accesses("STG")) for place in own)
            total += count * (1 if loop is outer else steps / stores if stores else steps / segment - 1)
        most = max(most, total)
    return round(most / (steps * vec), 1)


def measured(text: str, architecture: str) -> dict[str, Any]:
    """The columns for the kernel `text`, by name."""
    binary, said = compiled(text, architecture)
    code = disassembled(binary)
    vec, steps, segment = (int(re.search(rf"\b{name} =? ?(\d+)", text)[1]) for name in ("VEC", "T", "SEGMENT"))  # type: ignore[index]
    found = [loop for loop in loops(code) if any(code[place].accesses("STG", "LDG") for place in loop)]
    main = next((one for one in reversed(found) if any(code[place].accesses("STG") for place in one)), range(0))
    order = [code[place] for place in main if code[place].accesses("LDG", "STG")]
    first = next((place for place, line in enumerate(order) if line.accesses("STG")), len(order))
    loads = [bool(line.accesses("LDG")) for line in order]
    says = {name: int(value) for value, name in re.findall(r"(\d+) bytes (stack frame|spill stores|spill loads)", said)}
    return {
        "registers": int(re.search(r"Used (\d+) registers", said)[1]),  # type: ignore[index]
        "local_bytes": says["stack frame"],
        "spilled_bytes": says["spill stores"] + says["spill loads"],
        "load_bits": sorted({line.accesses("LDG") for line in order} - {0}, reverse=True),
        "store_bits": sorted({line.accesses("STG") for line in order} - {0}, reverse=True),
        "instructions_per_element": per_element(code, found, steps, segment, vec),
        "loads_ahead": sum(loads[:first]),
        "loads": sum(loads),
        "neurons_per_thread": vec,
        "instructions": len(code),
    }


def table(rows: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown; with those of another state of the code, what it was there stands in front."""
    earlier = {tuple(row[key] for key in CASE): row for row in before}
    columns = ("regs", "local", "load", "store", "instr", "ahead")
    lines = [f"| kernel | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]

    def cells(row: dict[str, Any]) -> list[str]:
        widths = [" + ".join(map(str, row[bits])) for bits in ("load_bits", "store_bits")]
        numbers = (row["registers"], row["local_bytes"], *widths, f"{row['instructions_per_element']:g}")
        return [*map(str, numbers), f"{row['loads_ahead']}/{row['loads']}"]

    for row in rows:
        now, then = cells(row), cells(earlier.get(tuple(row[key] for key in CASE), row))
        shown = [new if new == old else f"{old} → {new}" for new, old in zip(now, then, strict=True)]
        lines.append(f"| {row['neuron']} {row['dtype']} T={row['T']} {row['kernel']} | {' | '.join(shown)} |")
    return "\n".join(lines)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", nargs="+", default=NEURONS, metavar="NAME", help="of configs/neuron")
    parser.add_argument("--steps", nargs="+", type=int, default=(4, 16, 32), metavar="T")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    parser.add_argument("--kernels", nargs="+", choices=PASSES, default=PASSES)
    parser.add_argument("--architecture", default="sm_90", metavar="SM")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    parser.add_argument("--against", type=Path, metavar="FILE", help="show what they were in such a file")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """0, or 2 where a word is wrong or a tool is missing."""
    words = parse(argv)
    rows: list[dict[str, Any]] = []
    try:
        api, disassembler = tools()
        before = json.loads(words.against.read_text())["kernels"] if words.against else []
        for case in itertools.product(words.neurons, words.dtypes, words.steps, words.kernels):
            named = dict(zip(CASE, case, strict=True))
            text = show.text([*(f"{key}={value}" for key, value in named.items()), "device=cuda", "channels=256"])
            whole = with_headers(text, Path(codegen.__path__[0]))
            rows.append(named | measured(whole, words.architecture))
            print(f"[{len(rows)}] {' '.join(map(str, case))}", file=sys.stderr)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    version = subprocess.run([disassembler, "--version"], capture_output=True, text=True).stdout
    if words.json:
        nvrtc = ".".join(map(str, api.nvrtcVersion()[1:]))
        versions = {"nvrtc": nvrtc, "nvdisasm": re.findall(r"V([\d.]+)", version)[-1]}
        about = {"architecture": words.architecture, "options": OPTIONS, "versions": versions}
        write_json(words.json, about | {"kernels": rows})
    print(table(rows, before))
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))

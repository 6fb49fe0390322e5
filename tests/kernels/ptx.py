"""PTX, as NVRTC writes it, run on the CPU: each instruction is one C++ statement, one thread runs after the other.

So the instructions that a GPU is given are tested without one: what NVRTC made of a kernel's text, and of those parts
of it that are for GPUs alone. A vector that is not aligned and an access outside of the tensors that a launch was given
are errors, as is an instruction that is not known here. Approximate instructions are as far off as NVIDIA says.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from snnbench.kernels.cell import NoEngine
from snnbench.kernels.engines import build
from snnbench.kernels.plain import plain

HEADER = Path(__file__).with_name("ptx.h").read_text()
CPU = torch.device("cpu")
REGISTERS = {"pred": "pred", "b16": "r16", "b32": "r32", "b64": "r64", "f32": "r32", "f64": "r64"}
SPECIAL = {"%ctaid.x": "ctaid", "%ntid.x": "ntid", "%tid.x": "tid"}

_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_NEGATED = {"ltu": "!(a >= b)", "leu": "!(a > b)", "gtu": "!(a <= b)", "geu": "!(a < b)", "neu": "a != b"}
_INTEGER = {
    "add": "a + b", "sub": "a - b", "mul.lo": "a * b", "div": "a / b", "rem": "a % b", "neg": "0 - a",
    "min": "a < b ? a : b", "max": "a > b ? a : b", "mad.lo": "a * b + c",
}  # fmt: skip
_BITS = {"and": "a & b", "or": "a | b", "xor": "a ^ b", "not": "~a", "mov": "a"}
_FLOAT = {
    "add.rn": "a + b", "sub.rn": "a - b", "mul.rn": "a * b", "div.rn": "a / b", "rcp.rn": "1 / a", "neg": "-a",
    "abs": "fabsf(a)", "copysign": "copysignf(b, a)", "sqrt.rn": "sqrtf(a)", "min": "fminf(a, b)", "max": "fmaxf(a, b)",
    "fma.rn": "fmaf(a, b, c)", "fma.rm": "rounded(FE_DOWNWARD, a, b, c)", "mov": "a",
    "rcp.approx.ftz": "ftz(off(1 / ftz(a), 1))", "ex2.approx.ftz": "ftz(off(exp2f(ftz(a)), 2))",
    "div.full": "off(a / b, 2)", "add.rz": "rounded(FE_TOWARDZERO, 1, a, b)", "cvt.rni.f32": "rintf(a)",
    "cvt.rmi.f32": "floorf(a)", "cvt.rpi.f32": "ceilf(a)", "cvt.rzi.f32": "truncf(a)",
    "cvt.sat.f32": "sat(a)", "min.NaN": "-larger(-a, -b)", "max.NaN": "larger(a, b)",
}  # fmt: skip
_OTHERS = {
    "cvt.f32.f16": ("u16", "f16_to_f32(a)"),
    "cvt.rn.f16.f32": ("f32", "f32_to_f16(a)"),
    "cvt.f32.bf16": ("u16", "bf16_to_f32(a)"),
    "cvt.rn.bf16.f32": ("f32", "f32_to_bf16(a)"),
    "cvt.rn.f16x2.f32": ("f32 f32", "(u32)f32_to_f16(a) << 16 | f32_to_f16(b)"),
    "cvt.rn.bf16x2.f32": ("f32 f32", "(u32)f32_to_bf16(a) << 16 | f32_to_bf16(b)"),
    "cvt.rn.f32.s32": ("s32", "(f32)a"),
    "cvt.rn.f64.s64": ("s64", "(f64)a"),
    "cvt.rn.f32.f64": ("f64", "(f32)a"),
    "cvt.rni.s32.f32": ("f32", "to_s32(rintf(a))"),
    "cvt.rzi.s32.f32": ("f32", "to_s32(a)"),
    "mul.rn.f64": ("f64 f64", "a * b"),
    "bfi.b64": ("b64 b64 u32 u32", "inserted(a, b, c, d)"),
    "cvta.to.global.u64": ("u64", "a"),
}


def _table() -> dict[str, tuple[str, Sequence[str]]]:
    """By instruction: what it computes of a, b, c, d, and what it takes these for."""
    found: dict[str, tuple[str, Sequence[str]]] = {op: (text, kinds.split()) for op, (kinds, text) in _OTHERS.items()}
    for kind in ("s16", "u16", "s32", "u32", "s64", "u64"):
        found |= {f"{op}.{kind}": (f"({kind})({text})", [kind] * 3) for op, text in _INTEGER.items()}
        found |= {f"setp.{op}.{kind}": (f"a {sign} b", [kind] * 2) for op, sign in _SIGNS.items()}
        beyond = "a < 0 ? -1 : 0" if kind[0] == "s" else "0"
        found[f"shr.{kind}"] = (f"b < {kind[1:]} ? a >> b : {beyond}", [kind, "u32"])
        wide = f"{kind[0]}{2 * int(kind[1:])}"
        found[f"mul.wide.{kind}"] = (f"({wide})a * b", [kind] * 2)
        found[f"mad.wide.{kind}"] = (f"({wide})a * b + c", [kind, kind, wide])
        found |= {f"cvt.{to}.{kind}": (f"({to})a", [kind]) for to in ("u16", "s16", "u32", "s32", "u64", "s64")}
    for kind in ("pred", "b16", "b32", "b64"):
        found |= {f"{op}.{kind}": (f"({kind})({text})", [kind] * 2) for op, text in _BITS.items()}
    for kind in ("b16", "b32", "b64"):
        found |= {f"setp.{op}.{kind}": (f"a {_SIGNS[op]} b", [kind] * 2) for op in ("eq", "ne")}
        found[f"shl.{kind}"] = (f"b < {kind[1:]} ? ({kind})(a << b) : 0", [kind, "u32"])
    found["not.pred"] = ("!a", ["pred"])
    for kind in ("b16", "u16", "b32", "u32", "s32", "b64", "u64", "s64", "f32"):
        found[f"selp.{kind}"] = ("c ? a : b", [kind, kind, "pred"])
        found[f"mov.{kind}"] = ("a", [kind])
    found |= {f"{op}.f32": (text, ["f32"] * 3) for op, text in _FLOAT.items()}
    found |= {f"setp.{op}.f32": (f"a {sign} b", ["f32"] * 2) for op, sign in _SIGNS.items()}
    found["setp.ne.f32"] = ("a < b || a > b", ["f32"] * 2)
    found |= {f"setp.{op}.f32": (text, ["f32"] * 2) for op, text in _NEGATED.items()}
    found["setp.nan.f32"] = ("a != a || b != b", ["f32"] * 2)
    found["setp.num.f32"] = ("a == a && b == b", ["f32"] * 2)
    return found


_OPS = _table()


def _value(operand: str) -> str:
    """An operand as C++ has it."""
    if operand.startswith("0f"):
        return f"r32{{0x{operand[2:]}u}}"
    if operand.startswith("0d"):
        return f"r64{{0x{operand[2:]}u}}"
    if operand in SPECIAL:
        return f"r32{{{SPECIAL[operand]}}}"
    return operand.replace("%", "v_")


def _address(operand: str) -> str:
    """That of `[%rd1+16]`."""
    found = re.fullmatch(r"\[(%\w+)(?:\+(-?\d+))?\]", operand)
    if found is None:
        raise NotImplementedError(f"the address {operand}")
    return f"(u64){_value(found[1])} + {found[2] or 0}"


def _list(operand: str) -> str:
    """One register, or several: `{%f1, %f2}`."""
    return ", ".join(map(_value, re.findall(r"%\w+", operand)))


def statement(op: str, operands: Sequence[str]) -> str:
    """An instruction in C++.

    Raises:
        NotImplementedError: it is not known here.
    """
    name, *more = op.split(".")
    if name == "bra":
        return f"goto {operands[0].replace('$', '')};"
    if name in ("ret", "exit"):
        return "return;"
    if op == "ld.param.u64":
        place = re.search(r"_param_(\d+)\]", operands[1])
        return f"{_value(operands[0])} = a[{place[1]}];" if place else _unknown(op)
    if name in ("ld", "st"):
        data, address = operands if name == "ld" else reversed(operands)
        return f"{'load' if name == 'ld' else 'store'}<{more[-1]}>({_address(address)}, {_list(data)});"
    if name == "mov" and operands[0][0] == "{":
        return f"split(({more[0]}){_value(operands[1])}, {_list(operands[0])});"
    if name == "mov" and operands[1][0] == "{":
        return f"{_value(operands[0])} = joined<{more[0]}>({_list(operands[1])});"
    if op not in _OPS:
        return _unknown(op)
    text, kinds = _OPS[op]
    to, *given = operands
    read = "".join(
        f"const {kind} {v} = ({kind}){_value(o)}; " for kind, v, o in zip(kinds, "abcd", given, strict=False)
    )
    return f"{{ {read}{_value(to)} = {text}; }}"


def _unknown(op: str) -> str:
    raise NotImplementedError(f"the PTX instruction {op}")


def translated(ptx: str, name: str) -> str:
    """The entry `name` as a C++ function `kernel` of its parameters, 8 bytes each."""
    found = re.search(rf"\.entry {name}\(.*?^{{$(.*?)^}}$", ptx, re.DOTALL | re.MULTILINE)
    assert found is not None, f"no entry {name}"
    declared, lines = ["number_of_own = 0;"], []
    for align, array, size, values in re.findall(r"^\.global \.align (\d+) \.b8 (\w+)\[(\d+)\] = ({.*?});", ptx, re.M):
        declared.append(f"alignas({align}) static const unsigned char {array}[{size}] = {values};{_owned(array, size)}")
    for line in re.split(r"[;\n]", re.sub(r"//[^\n]*", "", found[1])):
        label, line = re.fullmatch(r"(?:\$(\w+):)?\s*(.*?)\s*", line.strip()).groups()  # type: ignore[union-attr]
        if label:
            lines.append(f"{label}:;")
        if line.startswith("."):
            declared.append(_declared(line))
        elif line:
            guard, op, operands = re.fullmatch(r"(?:@(!?%p\d+)\s+)?([\w.]+)\s*(.*)", line).groups()  # type: ignore[union-attr]
            text = statement(op, re.findall(r"{[^}]*}|\[[^\]]*\]|[^,\s]+", operands))
            lines.append(f"if ({_value(guard)}) {text}" if guard else text)
    return "static void kernel(const u64* a) {\n  " + "\n  ".join([*declared, *lines, "return;"]) + "\n}\n"


def _declared(line: str) -> str:
    if many := re.fullmatch(r"\.reg \.(\w+)\s+%(\w+)<(\d+)>", line):
        return f"{REGISTERS[many[1]]} " + ", ".join(f"v_{many[2]}{i}" for i in range(int(many[3]))) + ";"
    if one := re.fullmatch(r"\.reg \.b64\s+%(SPL?)", line):
        return f"r64 v_{one[1]};"
    if memory := re.fullmatch(r"\.local \.align (\d+) \.b8\s+(\w+)\[(\d+)\]", line):
        align, name, size = memory.groups()
        return (
            f"alignas({align}) unsigned char {name}[{size}];{_owned(name, size)} memset({name}, 0xff, sizeof {name});"
        )
    return "" if line.startswith(".pragma") else _unknown(line)


def _owned(array: str, size: str) -> str:
    return f" own[number_of_own++] = {{(u64){array}, (u64){array} + {size}}};"


LAUNCH = r"""
extern "C" __attribute__((visibility("default")))
void launch(s64 blocks, s64 threads, const u64* a, const Range* given, s64 number, char* said) {
  ranges = given, number_of_ranges = number, ntid = threads;
  try {
    for (ctaid = 0; ctaid < blocks; ++ctaid)
      for (tid = 0; tid < threads; ++tid) kernel(a);
  } catch (const Fault& fault) {
    snprintf(said, 200, "thread %u of block %u: %s access to %d bytes at %#lx", tid, ctaid, fault.what, fault.bytes,
             fault.address);
  }
}
"""

Launch = Callable[[int, int, Sequence[int]], None]


@functools.lru_cache(maxsize=512)
def load(ptx: str, name: str) -> Launch:
    """The kernel `name` of a module, to be called with blocks, threads of a block, and values of its parameters."""
    try:
        library = build.build(HEADER + translated(ptx, name) + LAUNCH)
    except NoEngine as error:  # which would have the reference run
        raise AssertionError(f"the C++ of {name}: {error}") from error
    parameters = len(re.findall(rf"{name}_param_\d+,?$", ptx, re.MULTILINE))

    def launch(blocks: int, threads: int, values: Sequence[int]) -> None:
        assert len(values) == parameters
        given = (ctypes.c_int64 * len(values))(*values)
        ranges = touched(values)
        said = ctypes.create_string_buffer(200)
        pairs = (ctypes.c_uint64 * (2 * len(ranges)))(*(end for pair in ranges for end in pair))
        library.launch(ctypes.c_int64(blocks), ctypes.c_int64(threads), given, pairs, ctypes.c_int64(len(ranges)), said)
        assert not said.value, said.value.decode()

    return launch


def touched(values: Sequence[int]) -> list[tuple[int, int]]:
    """The memory of all tensors that one of `values` points into."""
    found = set()
    for value in gc.get_objects():
        if type(value) in (torch.Tensor, torch.nn.Parameter) and plain(CPU, value):
            storage = value.untyped_storage()
            begin, end = storage.data_ptr(), storage.data_ptr() + storage.nbytes()
            if any(begin <= address < end for address in values):
                found.add((begin, end))
    return sorted(found)

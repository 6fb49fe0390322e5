"""The kernels of a neuron, to read. Needs neither a compiler nor a GPU.

python -m snnbench.kernels.show neuron=dalif T=4 device=cuda
python -m snnbench.kernels.show neuron=my_neurons.Adaptive kernel=backward dtype=bfloat16 static=true

neuron      a name from configs/neuron, with neuron.<key>=... for what stands there; or a class: module.Class
T           timesteps (4)
device      cpu, cuda or another that an engine serves (cpu); engine=<name> where several do
dtype       float32, float16 or bfloat16, of input and spikes (float32)
channels    of the input (8), which is [T, 2, channels, 16, 16]
static      true for an input that is the same at every timestep (false)
kernel      forward, backward or both (both)
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from snnbench import commands, terminal
from snnbench.errors import UserError, did_you_mean
from snnbench.kernels.cell import Cell
from snnbench.kernels.engines.contract import Engine
from snnbench.kernels.engines.registry import engines_for, registered
from snnbench.kernels.engines.signature import IO, Signature
from snnbench.kernels.plans import plan_of

DEFAULTS = {
    "neuron": "",
    "T": "4",
    "device": "",
    "engine": "",
    "dtype": "float32",
    "channels": "8",
    "static": "false",
    "kernel": "both",
}
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in IO}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the kernels that the words ask for. Returns 0, or 2 where a word is wrong."""
    words = sys.argv[1:] if argv is None else list(argv)
    if not words or {"-h", "--help"} & set(words):
        print(commands.described(__doc__))
        return 0
    try:
        print(text(words), flush=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def text(words: Sequence[str]) -> str:
    """The kernels' text, each under a head that says what it is for and which name is whose.

    Raises:
        UserError: a word is wrong, or there are no kernels for the neuron.
    """
    given, overrides = _parse(words)
    T, channels = _count("T", given["T"]), _count("channels", given["channels"])
    static = _choice("static", given["static"], ("true", "false")) == "true" and T > 1
    dtype = DTYPES[_choice("dtype", given["dtype"], DTYPES)]
    kernel = _choice("kernel", given["kernel"], ("forward", "backward", "both"))
    engine = _engine(given["device"], given["engine"])
    if "." in given["neuron"]:
        cell = _from_class(given["neuron"], overrides, T, channels)
    else:
        cell = _from_config(given["neuron"], overrides, T, channels)
    x = torch.empty((1 if static else T, 2, channels, 16, 16), dtype=dtype, device="meta").expand(T, -1, -1, -1, -1)
    passes = ("forward", "backward") if kernel == "both" else (kernel,)
    return "\n".join(_kernels(given["neuron"], cell, engine, x, passes))


def _kernels(name: str, cell: Cell, engine: Engine, x: torch.Tensor, passes: Sequence[str]) -> Iterable[str]:
    plan = plan_of(cell)
    obstacle = getattr(cell, "not_fusable", None) or plan.obstacle
    if plan.program is None or obstacle:
        raise UserError(f"neuron={name}: there are no kernels for it, because {obstacle}")
    static = x.stride(0) == 0
    shapes = tuple(tuple(value.shape) for value in cell.coefficients().values())
    kernel = engine.kernel(plan.program, Signature(tuple(x.shape), x.stride(), x.dtype, static, shapes))
    names = [f"v{i} is {state}" for i, state in enumerate(plan.program.states)]
    names += [f"c{i} is {coefficient}" for i, coefficient in enumerate(plan.program.coefficients)]
    case = f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}{', the same at every timestep' if static else ''}"
    for one in passes:
        head = f"// {plan.program.name}, {one}, engine={engine.name}, x {case}\n// {', '.join(names)}\n\n"
        yield head + kernel.text(backward=one == "backward")


def _parse(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The words by their keys, and those that change the neuron's config."""
    given, overrides = dict(DEFAULTS), []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in DEFAULTS:
            given[key] = value
        elif equals and key.startswith("neuron."):
            overrides.append(word)
        else:
            raise UserError(f"{word}: unknown.{did_you_mean(key, DEFAULTS)} Words are {'=, '.join(DEFAULTS)}=.")
    if not given["neuron"]:
        raise UserError("neuron: has no value. Give a name from configs/neuron, or a class: module.Class")
    return given, overrides


def _choice(key: str, value: str, allowed: Iterable[str]) -> str:
    if value not in allowed:
        raise UserError(f"{key}={value}: unknown.{did_you_mean(value, allowed)} Allowed: {', '.join(allowed)}.")
    return value


def _count(key: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise UserError(f"{key}={value}: must be a whole number of at least 1.")
    return int(value)


def _engine(device: str, name: str) -> Engine:
    if not name:
        _choice("device", device or "cpu", sorted({engine.device for engine in registered()}))
        return engines_for(device or "cpu")[0]
    engines = {engine.name: engine for engine in registered()}
    engine = engines[_choice("engine", name, engines)]
    if device and device != engine.device:
        raise UserError(f"device={device}: engine={name} serves {engine.device}. Leave one of them out.")
    return engine


def _from_class(path: str, overrides: list[str], T: int, channels: int) -> Cell:
    """An object of the class at an import path; T and channels go to a constructor that takes them."""
    if overrides:
        raise UserError(f"{overrides[0]}: changes a config, and neuron={path} is a class.")
    module_name, _, name = path.rpartition(".")
    if not all(part.isidentifier() for part in path.split(".")):
        raise UserError(f"neuron={path}: is neither a name from configs/neuron nor a class: module.Class")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"neuron={path}: {error}") from error
    kind: Any = getattr(module, name, None)
    if not isinstance(kind, type):
        classes = [key for key in dir(module) if inspect.isclass(getattr(module, key))]
        raise UserError(f"neuron={path}: {module_name} has no class {name}.{did_you_mean(name, classes)}")
    if not callable(getattr(kind, "step", None)):
        raise UserError(f"neuron={path}: is no neuron; it has no step")
    parameters = inspect.signature(kind).parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    taken = {parameter.name for parameter in parameters} | ({"channels"} if takes_any else set())
    make: Callable[..., Cell] = kind
    try:
        return make(**{key: value for key, value in (("T", T), ("channels", channels)) if key in taken})
    except (TypeError, ValueError) as error:
        raise UserError(f"neuron={path}: {error}") from error


def _from_config(name: str, overrides: list[str], T: int, channels: int) -> Cell:
    """The neuron as a run would have it, in a layer of so many channels."""
    import hydra
    from omegaconf import OmegaConf

    from snnbench.config import CONFIGS, register_schema
    from snnbench.explain import WRONG, explain
    from snnbench.overrides import CommandLine

    typed = CommandLine("train", (CONFIGS,), overrides=(f"neuron={name}", *overrides))
    typed.check()
    register_schema()
    try:
        with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
            cfg = hydra.compose("train", [f"neuron={name}", f"T={T}", *overrides])
        node: Any = OmegaConf.to_container(cfg.neuron, resolve=True)
        make = hydra.utils.instantiate({key: node[key] for key in node if key != "name"}, _convert_="all")
        cell: Cell = make(channels=channels)
    except WRONG as error:
        raise UserError(explain(error, typed)) from error
    return cell


if __name__ == "__main__":
    sys.exit(terminal.run(main))

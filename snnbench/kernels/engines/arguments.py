"""A kernel's arguments, given by name and handed over in the order of its parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

Values = Callable[..., tuple[int, ...]]
"""From a call's numbers and tensors, as keyword arguments, to the values that the kernel takes, in its order."""


def values_of(
    parameters: Sequence[str],
    settled: Mapping[str, int],
    numbers: Sequence[str],
    tensors: Sequence[str],
    groups: Mapping[str, int],
) -> Values:
    """The function that puts the arguments of a kernel's calls in order; every parameter must be given just once.

    It is written and compiled for the kernel, as dataclasses writes an __init__: to look up names in each call would
    cost as much as the launch.

    Args:
        parameters: the kernel's, in order.
        settled: what all calls have in common: sizes, strides.
        numbers: what each call gives as a number.
        tensors: what each call gives as a tensor, or None. The kernel takes the address, or a null pointer.
        groups: what each call gives as a tuple of so many of these: "first" with 2 is for first0 and first1.

    Raises:
        AssertionError: the names given are not the parameters; the message says which.
    """
    members = {name: [f"{name}{i}" for i in range(count)] for name, count in groups.items()}
    text = {name: str(value) for name, value in settled.items()} | {name: name for name in numbers}
    pointers = [*tensors, *(name for group in members.values() for name in group)]
    text |= {name: f"0 if {name} is None else {name}.data_ptr()" for name in pointers}
    given = Counter([*settled, *numbers, *pointers])
    wrong = {
        "missing": [name for name in parameters if name not in given],
        "unknown": [name for name in given if name not in parameters],
        "given twice": [name for name, times in given.items() if times > 1],
    }
    assert not any(wrong.values()), "; ".join(f"{what}: {', '.join(found)}" for what, found in wrong.items() if found)
    lines = [f"def values(*, {', '.join([*numbers, *tensors, *groups])}):"]
    lines += [f"    [{', '.join(group)}] = {name}" for name, group in members.items()]
    lines += [f"    return ({', '.join(text[name] for name in parameters)},)"]
    made: dict[str, Values] = {}
    exec("\n".join(lines), made)
    return made["values"]

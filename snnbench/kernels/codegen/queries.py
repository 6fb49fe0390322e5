"""What a step asks of its tensors: their sizes are recorded in one run of it, and answered the same in the others.

A step is traced on numbers, not on tensors as large as a layer. So that `if x.dim() > 3` and `x * x.shape[0]` mean
there what they mean in the call, the step runs first on tensors of the call's shapes that have no memory ("meta"), and
every answer that it gets is kept. The other runs get these answers in turn, and take the same way.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from snnbench.kernels.cell import Unfusable
from snnbench.kernels.coefficients import coefficients_of

_TORCH, _OWN = str(Path(torch.__file__).parent), str(Path(__file__).parents[1])
_SIZES = {"dim", "ndim", "shape", "size", "numel", "nelement", "__len__"}
_DEVICE = {"device": lambda d: d, "get_device": lambda d: d.index or 0, "is_meta": lambda d: d.type == "meta"} | {
    f"is_{kind}": lambda d, kind=kind: d.type == kind for kind in ("cuda", "cpu", "xpu", "mps")
}
_FIXED = {"dtype", "is_floating_point", "is_complex", "layout", "is_sparse", "is_quantized", "__hash__", "type"}
_HIDDEN = {
    *("grad", "grad_fn", "_grad", "_grad_fn", "_version", "_base", "is_leaf", "requires_grad", "retains_grad", "names"),
    *("output_nr", "_backward_hooks", "data_ptr", "stride", "storage_offset", "storage", "untyped_storage", "_storage"),
    *(
        "is_contiguous",
        "is_shared",
        "is_pinned",
        "_is_view",
        "is_inference",
        "itemsize",
        "nbytes",
        "__repr__",
        "__dlpack__",
    ),
    *("register_hook", "retain_grad", "_cdata", "__deepcopy__", "__reduce_ex__", "share_memory_", "set_"),
}


@dataclasses.dataclass(frozen=True)
class Call:
    """What step can see of a call beside the numbers: the shapes of a frame and of the coefficients, and the device."""

    shape: tuple[int, ...]
    device: torch.device
    coefficients: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, x: Tensor, coefficients: Mapping[str, Tensor], per_step: tuple[str, ...]) -> Call:
        """Of an input [T, B, ...], with coefficients as `coefficients()` returns them."""
        return cls(tuple(x.shape[1:]), x.device, shapes_of(coefficients, per_step, x.dim()))


def default_call(cell: Any) -> Call:
    """One of few neurons, for who asks for a program without a call."""
    with torch.no_grad():
        coefficients = coefficients_of(cell, torch.device("cpu"))
    channels = [value.shape[-1] for name, value in coefficients.items() if value.dim() > (name in cell.per_step)]
    x = torch.empty((1, 2, *channels[:1]), device="meta")
    return dataclasses.replace(Call.of(x, coefficients, cell.per_step), device=torch.device("cpu"))


def shapes_of(
    coefficients: Mapping[str, Tensor], per_step: tuple[str, ...], dims: int
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The coefficients as step sees them beside an input of so many dimensions: one number, or [C, 1, ...]."""
    named = ((name, tuple(value.shape[name in per_step :])) for name, value in coefficients.items())
    return tuple((name, (*shape, *[1] * (dims - 3)) if shape else ()) for name, shape in named)


def caller_is_torch(code: CodeType) -> bool:
    return code.co_filename.startswith(_TORCH)


class Queries(TorchFunctionMode):
    """Around a run of a step: records its questions (`answers` is None), or answers them as they were recorded.

    Args:
        call: whose device and frame's shape are to be seen.
        answers: what an earlier run recorded in `answers`.
        shape: of a frame in this run.
        touched: told each tensor that is not the step's own before an operation takes it; True for one whose values
            the operation reads on the host.
    """

    def __init__(
        self,
        call: Call,
        answers: list[Any] | None,
        shape: tuple[int, ...],
        touched: Callable[[Tensor, bool], None] | None = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.call, self.recording, self.answers = call, answers is None, list(answers or ())
        self.next, self.asked, self.touched = 0, False, touched

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not _asked_by_user():
            return func(*args, **kwargs)
        name = func.__self__.__name__ if func.__name__ == "__get__" else func.__name__
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if first is not None and name in _HIDDEN:
            raise Unfusable(f"it asks for `{name}` of a tensor")
        if first is not None and (name in _SIZES or name in _DEVICE):
            return self._answer(name, first, lambda: func(*args, **kwargs))
        args, kwargs = self._on_this_device(name, args, kwargs)
        if name in _RESHAPES and self.shape == () and all(other == () or isinstance(other, Tensor) for other in args):
            return first  # a number has but one shape
        if self.touched is not None and name not in _FIXED:
            self._tell(name, args, kwargs)
            args, kwargs = _alike(args, kwargs)
        return func(*args, **kwargs)

    def _answer(self, name: str, tensor: Tensor, look: Callable[[], Any]) -> Any:
        if not self.recording:
            self.next += 1
            if self.next > len(self.answers) or self.answers[self.next - 1][0] != name:
                raise Unfusable("it does not ask the same of its tensors each time")
            known, answer = self.answers[self.next - 1][1:]
            return answer if known else look()
        own = tensor.is_meta
        answer = look() if name in _SIZES else _DEVICE[name](self.call.device)
        if not own:
            answer = look()
            if self.touched is not None:
                self.touched(tensor, False)
        self.answers.append((name, own, answer))
        self.asked |= own
        return answer

    def _on_this_device(self, name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Arguments with the call's device and the frame's shape as they are in this run."""
        here = torch.device("meta" if self.recording and name != "tensor" else "cpu")

        def adapt(value: Any) -> Any:
            if isinstance(value, torch.device) and value == self.call.device and self.asked_device:
                return here
            if not self.recording and type(value) is torch.Size and value == self.call.shape:
                return self.shape
            return value

        return tuple([adapt(value) for value in args]), {key: adapt(value) for key, value in kwargs.items()}

    @property
    def asked_device(self) -> bool:
        return any(known and name == "device" for name, known, _ in self.answers)

    def _tell(self, name: str, args: Any, kwargs: Any) -> None:
        for tensor in _tensors((args, tuple(kwargs.values()))):
            if not tensor.is_meta:
                self.touched(tensor, name in _ON_HOST)  # type: ignore[misc]


_RESHAPES = {"view", "reshape", "expand", "view_as", "reshape_as", "expand_as"}
_ON_HOST = {
    *("item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__", "__complex__", "__array__"),
    *("equal", "allclose", "is_nonzero", "__contains__", "cpu", "__iter__", "nonzero", "__format__"),
}


def _asked_by_user() -> bool:
    """Whether the operation is called by the step's own code, and not by PyTorch while it differentiates."""
    frame = sys._getframe(2)
    while frame is not None and caller_is_torch(frame.f_code):
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None and not frame.f_code.co_filename.startswith(_OWN)


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)


def _alike(args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Arguments that lie on one device where some have no memory: so do the others then."""
    found = list(_tensors((args, tuple(kwargs.values()))))
    if not any(t.is_meta for t in found) or all(t.is_meta or not t.dim() for t in found):
        return args, kwargs

    def move(value: Any) -> Any:
        if isinstance(value, Tensor) and not value.is_meta:
            return torch.empty_like(value, device="meta")
        return type(value)(move(v) for v in value) if type(value) in (list, tuple) else value

    return tuple(move(v) for v in args), {key: move(v) for key, v in kwargs.items()}

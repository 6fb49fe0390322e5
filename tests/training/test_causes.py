"""What ended a run: the machine, which may do better the next time, or the program, which would not."""

import errno

import pytest
import torch

from snnbench.errors import UserError
from snnbench.training.failure import cause_of, ending_of, leave_note, note_of_another


def caused(first: Exception, second: Exception) -> Exception:
    second.__cause__ = first
    return second


WORKER = "DataLoader worker (pid 12) is killed by signal: {}."
IN_WORKER = "Caught OSError in DataLoader worker process 0.\nOriginal Traceback:\nOSError: [Errno {}] of it"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "machine"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "machine"),
        (OSError(errno.ESTALE, "Stale file handle"), "machine"),
        (OSError(errno.EIO, "Input/output error"), "machine"),
        (MemoryError(), "machine"),
        (caused(OSError(errno.ENOSPC, "full"), UserError("cannot write last.ckpt")), "machine"),
        (RuntimeError(WORKER.format("Killed")), "machine"),
        (RuntimeError(WORKER.format("Bus error")), "machine"),
        (OSError(IN_WORKER.format(errno.EIO)), "machine"),
        (RuntimeError("unable to write to file </torch_1>: No space left on device (28)"), "machine"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), "machine"),
        (RuntimeError("[/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1234"), "machine"),
        (torch.distributed.DistNetworkError("timed out"), "machine"),
        (RuntimeError(WORKER.format("Segmentation fault")), "program"),
        (OSError(IN_WORKER.format(errno.ENOENT)), "program"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), "program"),
        (PermissionError(errno.EACCES, "Permission denied"), "program"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "program"),
        (ZeroDivisionError(), "program"),
        (UserError("data: 0001.png is damaged"), "program"),
    ],
)
def test_the_cause_of_an_end(error, cause):
    assert cause_of(error, epochs=3) == cause


def test_a_gpus_memory_was_enough_once_or_never():
    assert cause_of(torch.OutOfMemoryError("CUDA out of memory"), epochs=0) == "program"
    assert cause_of(torch.OutOfMemoryError("CUDA out of memory"), epochs=1) == "machine"


def test_the_first_process_says_what_ended_another_one(tmp_path, monkeypatch):
    monkeypatch.setattr("snnbench.training.failure._PATIENCE", 0.5)
    lost = RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")
    assert note_of_another(tmp_path, lost, together=True) is None
    for rank, error in ((2, lost), (1, ZeroDivisionError("division by zero"))):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "3")
        leave_note(tmp_path, error, 0)
    note = note_of_another(tmp_path, lost, together=True)
    assert note == ("process 1: ZeroDivisionError: division by zero", "program")
    assert ending_of(lost, 2, note).status == "failed"
    assert note_of_another(tmp_path, KeyError("of its own"), together=True) is None

"""Processes that a cluster's launcher started, as Lightning is to take them."""

from __future__ import annotations

import os

from lightning.fabric.plugins import ClusterEnvironment
from lightning.fabric.plugins.environments import (
    LightningEnvironment,
    LSFEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.utilities import rank_zero_only

from snnbench import processes
from snnbench.errors import UserError


class Launched(ClusterEnvironment):
    """Processes that srun or MPI started. SLURM's signals are ours (`snnbench.slurm`), not Lightning's."""

    def __init__(self, launch: processes.Launch) -> None:
        super().__init__()
        self._launch = launch
        rank_zero_only.rank = launch.rank  # type: ignore[attr-defined]

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return main_address_of(self._launch)

    @property
    def main_port(self) -> int:
        return main_port_of()

    @staticmethod
    def detect() -> bool:
        return processes.launch() is not None

    def world_size(self) -> int:
        return self._launch.size

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return self._launch.rank

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self._launch.local_rank

    def node_rank(self) -> int:
        return self._launch.node


def main_address_of(launch: processes.Launch) -> str:
    names = ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST")
    nodes = next((os.environ[name] for name in names if os.environ.get(name)), None)
    if "MASTER_ADDR" in os.environ:
        return os.environ["MASTER_ADDR"]
    if launch.by == "srun":
        return SLURMEnvironment.resolve_root_node_address(nodes) if nodes else "127.0.0.1"
    here = (os.environ.get(name) for name in ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "PMI_LOCAL_SIZE"))
    if str(launch.size) not in here:
        raise UserError(
            f"{launch.by}: does not say where the first process is. Set MASTER_ADDR and MASTER_PORT for all."
        )
    return "127.0.0.1"


def main_port_of() -> int:
    """The same in all processes: as given, by SLURM's job and step, or by the launcher that is the parent of all."""
    if "MASTER_PORT" in os.environ:
        return int(os.environ["MASTER_PORT"])
    digits = [os.environ.get(name, "") for name in ("SLURM_JOB_ID", "SLURM_STEP_ID")]
    job, step = (int(text) if text.isdecimal() else 0 for text in digits)
    return 15_000 + (31 * job + step if job else os.getppid()) % 15_000


def plugins() -> list[ClusterEnvironment]:
    """How Lightning is to take the processes, where it would guess wrong; SLURM alone is no reason to requeue."""
    launch = processes.launch()
    if launch is not None and launch.by != "torchrun":
        return [Launched(launch)]
    known = TorchElasticEnvironment.detect() or LSFEnvironment.detect()
    return [] if known else [LightningEnvironment()]

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from .schema import Ge, Group, Le, Notice, Problem, Ui, Words


class LaunchConfig(Group):
    title: ClassVar[str] = "Launch"

    num_processes: Annotated[int, Ge(1), Le(1024)] = 1
    """How many processes train together, normally one for each GPU. Each adds a batch to every step. 1: a single
    one."""

    multi_gpu: Annotated[bool, Ui(label="Several GPUs")] = False
    """Train on several GPUs of this machine, one process on each."""

    gpu_ids: Annotated[str | None, Ui(label="GPU IDs")] = None
    """Which GPUs to use, by number with commas between, such as 0,1. Empty: the first ones."""

    num_machines: Annotated[int, Ge(1), Le(1024)] = 1
    """How many machines train together. The same command is started on each, with its own machine_rank."""

    machine_rank: Annotated[int, Ge(0), Le(1023)] = 0
    """Number of this machine among several, from 0."""

    main_process_ip: Annotated[str | None, Ui(label="Address of machine 0")] = None
    """Where machine 0 of several is reached."""

    main_process_port: Annotated[int | None, Ge(0), Le(65535)] = None
    """Port over which processes find each other. Empty or 0: a free one, or 29500 with several machines."""

    num_cpu_threads_per_process: Annotated[int | None, Ge(1), Le(1024), Ui(label="CPU threads")] = None
    """How many CPU threads each process computes with. Empty: as many as there are cores for one process, one for
    several."""

    extra_accelerate_launch_args: Annotated[Words, Ui(label="More arguments for accelerate launch")] = ()
    """Further arguments for `accelerate launch`, written as on a command line."""

    ddp_timeout: Annotated[int | None, Ge(1), Ui(label="Patience between processes")] = None
    """Minutes that a process waits for the others before it gives up. Empty: 10 on NVIDIA GPUs, 30 elsewhere."""

    @property
    def spans_processes(self) -> bool:
        return self.num_processes > 1 or self.num_machines > 1 or bool(self.extra_accelerate_launch_args)

    def relations(self) -> Iterator[Problem]:
        ids = (self.gpu_ids or "").replace(" ", "")
        if ids and not all(part.isdigit() for part in ids.split(",")) and ids != "all":
            yield Problem("gpu_ids", f"{self.gpu_ids!r} is not a list of numbers; write them like 0,1.")
        if self.num_machines > 1 and not self.main_process_ip:
            yield Problem("main_process_ip", "Several machines need the address of machine 0.")
        if self.machine_rank >= self.num_machines:
            yield Problem(
                "machine_rank", f"{self.machine_rank} must be below num_machines, which is {self.num_machines}."
            )
        if self.num_machines > self.num_processes:
            yield Problem(
                "num_processes", "It counts the processes of all machines, so it must be at least num_machines."
            )
        if self.multi_gpu and self.num_processes == 1:
            yield Notice("multi_gpu", "One process uses one GPU; set num_processes to the number of GPUs.")

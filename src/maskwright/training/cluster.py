"""The processes and devices that share a training; the only file that knows accelerate."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, distributed, nn

from maskwright.training.pieces import is_piece

ALONE: AbstractContextManager[None] = nullcontext()


class Cluster:
    """This process's place among those that train together; one process is a cluster of one."""

    def __init__(self) -> None:
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs

        # without a GPU accelerate takes torchrun's processes for strangers unless it is told to use CPUs
        together = int(os.environ.get("WORLD_SIZE", "1")) > 1
        # mixed precision is the loop's own: accelerate allows one setting per process, members differ
        self._accelerator: Any = Accelerator(
            cpu=together and not torch.accelerator.is_available(),
            mixed_precision="no",
            kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
        )
        self.device: torch.device = self._accelerator.device
        self.rank: int = self._accelerator.process_index
        self.size: int = self._accelerator.num_processes

    @property
    def main(self) -> bool:
        """Whether this is the one process that writes files."""
        return self.rank == 0

    def prepare(self, model: nn.Module) -> nn.Module:
        """Put a model on the device and make its gradients common to all processes."""
        prepared: nn.Module = self._accelerator.prepare(model)
        return prepared

    def no_sync(self, model: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        """Keep gradients to this process while batches are accumulated; the last one shares them."""
        if last or self.size == 1 or not isinstance(model, nn.parallel.DistributedDataParallel):
            return ALONE
        held: AbstractContextManager[None] = self._accelerator.no_sync(model)
        return held

    def pool(self, sums: Tensor) -> Tensor:
        """Add sums of all processes up, to the same bits in each; the gradient is that of this process's own part."""
        everyone = sums.detach().clone()
        distributed.all_reduce(everyone)
        return everyone + (sums - sums.detach())

    def level(self, parameters: Iterable[nn.Parameter]) -> None:
        """Make gradients the same in all processes, bit for bit, where each has the whole one, times their number."""
        if self.size > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    distributed.all_reduce(parameter.grad)
                    parameter.grad /= self.size**2

    def total(self, counts: Tensor) -> Tensor:
        """Add counts of all processes up, or values that are 0 in all but one of them."""
        if self.size > 1:
            counts = counts.to(self.device)
            distributed.all_reduce(counts)
        return counts.cpu()

    def agree(self, number: int) -> int:
        """Return the largest number that any process has."""
        if self.size == 1:
            return number
        largest = torch.tensor([number], dtype=torch.int64, device=self.device)
        distributed.all_reduce(largest, distributed.ReduceOp.MAX)
        return int(largest.item())

    def from_main(self, number: int) -> int:
        """Return the main process's number in every process."""
        if self.size == 1:
            return number
        told = torch.tensor([number], dtype=torch.int64, device=self.device)
        distributed.broadcast(told, 0)
        return int(told.item())

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with the main process's; pieces stay each process's own."""
        if self.size > 1:
            for tensor in tensors:
                if not is_piece(tensor):
                    distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Let all processes arrive here before any goes on."""
        if self.size > 1:
            self._accelerator.wait_for_everyone()

    def release(self) -> None:
        """Let go of what was prepared, so that the next fold finds the device's memory free."""
        self._accelerator = None
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()


class Solo(Cluster):
    """This process by itself, whatever others there are: for work that one process does alone."""

    def __init__(self) -> None:
        self.device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        self.rank, self.size = 0, 1

    def prepare(self, model: nn.Module) -> nn.Module:
        """Return the model, which is on the device already."""
        return model

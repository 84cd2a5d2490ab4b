"""The processes of one run: one by default, one for each GPU (or CPU process) under torchrun.

Every rank draws the same batch and the same augmentations for all of it, and works on its own rows: so the numbers do
not depend on how many ranks there are, up to rounding, once batch-norm statistics are synchronised.
"""

import inspect
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from hiclr.errors import InputError
from hiclr.runs import launched_ranks

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Ranks", "first_alone", "make_fabric", "synchronise", "total_over_ranks"]

_say = logging.getLogger(__name__)
_DDP = inspect.signature(nn.parallel.DistributedDataParallel).parameters  # torch 2.13 has a new name for the option


def make_fabric(device: torch.device, precision: Any) -> "Fabric":
    """Fabric for one device, or for all that torchrun started; 32 bit where the GPU has no bfloat16, which is said."""
    # here and not above: it takes as long to import as torch, and only training needs it
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    if precision == "tf32":  # how the factors of a product are rounded is not Fabric's matter: see `arithmetic`
        precision = "32"
    # emulated, as older GPUs do it, it is slower than 32 bit and less exact
    if precision == "bf16-mixed" and device.type == "cuda" and not torch.cuda.is_bf16_supported(False):
        _say.warning("This GPU has no bfloat16: training in 32 bit.")
        precision = "32"
    rank, size = launched_ranks()
    if size == 1:
        return Fabric(
            accelerator=device.type, devices=1 if device.index is None else [device.index], precision=precision
        )
    local = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    # the key encoder takes no gradient and every rank keeps batch-norm statistics of its own: nothing is broadcast
    quiet = "forward_sync_buffers" if "forward_sync_buffers" in _DDP else "broadcast_buffers"
    strategy = DDPStrategy(**{quiet: False}, process_group_backend="nccl" if device.type == "cuda" else "gloo")
    fabric = Fabric(
        accelerator=device.type, devices=local, num_nodes=size // local, strategy=strategy, precision=precision
    )
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric.launch()
    if rank:
        logging.getLogger("hiclr").setLevel(logging.ERROR)  # what there is to say is said once
    return fabric


def first_alone(device: torch.device, work: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """`work` on the first rank, then `otherwise` on the others; on one process just `work`.

    Raises:
        InputError: on every rank, where the first one meets it.
    """
    rank, size = launched_ranks()
    if size == 1:
        return work()
    make_fabric(device, "32")
    fault, found = [""], None
    if rank == 0:
        try:
            found = work()
        except InputError as error:
            fault = [str(error)]
    distributed.broadcast_object_list(fault)
    if fault[0]:
        raise InputError(fault[0])
    return found if rank == 0 else otherwise()


class Ranks:
    """Which rows of a batch are this process's, and how the others hear of them.

    Args:
        fabric: launched.
        batch: clips of a step, over all ranks.

    Raises:
        InputError: the batch cannot be divided evenly.
    """

    def __init__(self, fabric: "Fabric", batch: int) -> None:
        self.rank, self.size = int(fabric.global_rank), int(fabric.world_size)
        self.device = fabric.device
        if batch % self.size:
            raise InputError(
                f"{batch} clips of a step cannot be divided among {self.size} processes; a batch size that is a "
                f"multiple of {self.size} is needed: {max(1, batch // self.size) * self.size}, say."
            )
        self.share = batch // self.size

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes."""
        return self.rank == 0

    def own(self, value: Any) -> Any:
        """This rank's rows of a tensor (B, ...), or of every tensor in a mapping or list."""
        if isinstance(value, Mapping):
            return {key: self.own(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [self.own(entry) for entry in value]
        return value[self.rank * self.share : (self.rank + 1) * self.share]

    @torch.no_grad()
    def gather(self, rows: Tensor) -> Tensor:
        """Rows (B / size, D) of every rank, in the order of the ranks: (B, D). No gradient."""
        if self.size == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.size)]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def together(self, rows: Tensor) -> Tensor:
        """As `gather`, with the gradient that the loss of any rank owes to this rank's rows."""
        if self.size == 1:
            return rows
        joined: Tensor = _Joined.apply(rows, self.rank)  # type: ignore[no-untyped-call]
        return joined

    def total(self, value: Tensor) -> Tensor:
        """The sum over ranks, of a tensor that is then the same everywhere. No gradient."""
        value = value.detach().clone()
        if self.size > 1:
            distributed.all_reduce(value)
        return value

    def mean(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The mean over ranks of every scalar. No gradient."""
        if self.size == 1:
            return {name: value.detach() for name, value in values.items()}
        means = self.total(torch.stack(list(values.values()))) / self.size
        return dict(zip(values, means.unbind(), strict=True))

    def any(self, flag: bool) -> bool:
        """Whether any rank says so: all leave together, or one would wait for the others for ever."""
        if self.size == 1:
            return flag
        said: bool = int(self.total(torch.tensor(int(flag), device=self.device))) > 0
        return said

    def agree(self, fault: str) -> None:
        """Raise on every rank what any of them has met: else the others would wait for it until they are killed.

        Raises:
            InputError: the fault of the first rank that has one.
        """
        if not self.any(bool(fault)):
            return
        found = [fault] * self.size
        if self.size > 1:
            distributed.all_gather_object(found, fault)
        raise InputError(next(text for text in found if text))

    def wait(self) -> None:
        """Until every rank is here."""
        if self.size > 1:
            distributed.barrier()


class _Sum(torch.autograd.Function):
    """The sum over ranks of a tensor, with its gradient: what any rank's loss owes to this rank's part."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:  # noqa: ARG004 - torch's signature
        value = value.clone()
        distributed.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004 - torch's signature
        return _Sum.forward(None, gradient)


class _Joined(torch.autograd.Function):
    """The rows of all ranks, with the gradient of all their losses."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, rank: int) -> Tensor:
        ctx.own = slice(rank * len(rows), (rank + 1) * len(rows))
        parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone()
        distributed.all_reduce(gradient)
        return gradient[ctx.own], None


def total_over_ranks(value: Tensor) -> Tensor:
    """The sum over the processes of a run, where there are several; no gradient."""
    value = value.detach().clone()
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(value)
    return value


def _over_ranks(value: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return total


class _Synchronised(nn.modules.batchnorm._BatchNorm):
    """What `synchronise` turns a batch norm into: the same parameters and buffers, statistics over all ranks.

    torch's own runs on GPUs alone; this one also over gloo, where it is tested.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            normalised: Tensor = super().forward(x)
            return normalised
        over = [axis for axis in range(x.dim()) if axis != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        h = x.float()
        count = h.new_tensor([h.numel() / h.shape[1]])
        sums = _over_ranks(torch.cat([h.sum(dim=over), count]))
        mean, count = sums[:-1] / sums[-1], sums[-1].detach()
        centred = h - mean.view(shape)
        variance = _over_ranks(centred.square().sum(dim=over)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        result: Tensor = centred * scale.view(shape) + self.bias.view(shape)
        return result.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        buffers, share = dict(self.named_buffers()), self.momentum or 0.0
        buffers["num_batches_tracked"].add_(1)
        buffers["running_mean"].lerp_(mean, share)
        buffers["running_var"].lerp_(variance, share)


class _Norm1d(_Synchronised, nn.BatchNorm1d):
    pass


class _Norm2d(_Synchronised, nn.BatchNorm2d):
    pass


def synchronise(network: nn.Module) -> nn.Module:
    """Let every batch norm of a network take its statistics over all ranks; in place, state dict unchanged."""
    for module in network.modules():
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d):
            module.__class__ = _Norm1d if isinstance(module, nn.BatchNorm1d) else _Norm2d
    return network

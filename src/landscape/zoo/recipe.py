"""The one recipe that trained every network of the zoo (matched across conv, MSA and hybrid).

DeiT-style: AdamW, linear warm-up, cosine decay, decoupled weight decay on all parameters, gradient
clipping, the ``deit`` augmentation of the data room handed in as a function. The ``weak`` recipe
differs in the augmentation alone: crops and flips, hard labels. An epoch is a function of (seed,
epoch) alone, so a run that was killed resumes to the same weights.
"""

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

Augment = Callable[..., tuple[Tensor, Tensor]]
#: the recipes by name: all else equal, the augmentation policy
STRENGTHS = {"strong": "deit", "weak": "basic"}


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters; stored in the metadata of every weight file.

    Examples
    --------
    >>> recipe = Recipe(epochs=10, warmup=2, lr=1.0)
    >>> [round(recipe.rate(e), 3) for e in (0.0, 1.0, 2.0, 6.0, 10.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    epochs: int = 18
    warmup: int = 3
    batch_size: int = 128
    lr: float = 1e-3
    weight_decay: float = 0.05
    clip: float = 5.0
    augment: str = "deit"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.warmup <= self.epochs or self.batch_size < 1:
            raise ValueError(
                f"a recipe needs 1 <= warmup <= epochs and a batch of at least 1, got warm-up "
                f"{self.warmup}, epochs {self.epochs}, batch size {self.batch_size}"
            )

    def rate(self, epoch: float) -> float:
        """Learning rate at a fractional epoch: linear warm-up, then half a cosine to 0."""
        if epoch < self.warmup:
            return self.lr * epoch / self.warmup
        done = (epoch - self.warmup) / max(self.epochs - self.warmup, 1e-12)
        return self.lr * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def train(
    build: Callable[[], nn.Module],
    images: Tensor,
    targets: Tensor,
    augment: Augment,
    recipe: Recipe,
    folder: Path,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
    subject: str = "",
    device: str = "cpu",
    workers: int = 0,
) -> nn.Module:
    """Train one network; checkpoint every epoch in ``folder``; resume from there.

    Parameters
    ----------
    build
        Returns a fresh network; called under ``recipe.seed``.
    images, targets
        uint8 ``(n, 3, h, w)`` and int64 ``(n,)``.
    augment
        ``(images, targets, seed=...) -> (inputs, targets)``, a function of its arguments alone.
    recipe
        The hyper-parameters.
    folder
        Gets ``initial``, ``warmup`` and ``final`` ``.safetensors`` and ``last.pt`` for resuming.
    report
        Called after every epoch with its number (from 1) and mean training loss.
    subject
        What is trained on what; a folder that holds another run is refused.
    device
        Where to train.
    workers
        Processes that augment; 0 for this one. Their number changes the speed alone.

    Returns
    -------
    nn.Module
        The trained network, in eval mode, on the CPU.

    Raises
    ------
    ValueError
        If ``folder`` holds a run of another recipe or subject.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = build().train().to(device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    start = _resume(folder / "last.pt", model, optimiser, recipe, subject)
    if start == 0:
        save_weights(model, folder / "initial.safetensors", {"epoch": 0})
    steps = math.ceil(len(images) / recipe.batch_size)
    for epoch in range(start, recipe.epochs):
        total = 0.0
        torch.manual_seed(recipe.seed * 100_003 + epoch)  # of dropout, the same after a resume
        for step, (x, y) in enumerate(
            DataLoader(
                _Epoch(images, targets, augment, recipe, epoch),
                batch_size=None,
                num_workers=workers,
                pin_memory=device.startswith("cuda"),
            )
        ):
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate(epoch + (step + 1) / steps)
            x, y = x.to(device, non_blocking=True), y.to(device, non_blocking=True)
            # the math kernel is the fastest attention in bf16 on a CPU at this size
            with sdpa_kernel(SDPBackend.MATH), torch.autocast(x.device.type, torch.bfloat16):
                outputs = model(x.contiguous(memory_format=torch.channels_last))
            loss = cross_entropy(outputs.float(), y)
            if not torch.isfinite(loss):
                raise ValueError(
                    f"the training loss is {loss.item()} in epoch {epoch + 1}: try a lower --lr"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimiser.step()
            total += loss.item() * len(x)
        if epoch + 1 == recipe.warmup:
            save_weights(model, folder / "warmup.safetensors", {"epoch": epoch + 1})
        state = {
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "epoch": epoch + 1,
            "recipe": asdict(recipe),
            "subject": subject,
        }
        _replace(folder / "last.pt", partial(torch.save, state))
        report(epoch + 1, total / len(images))
    model.cpu().eval()
    save_weights(model, folder / "final.safetensors", {"epoch": recipe.epochs})
    return model


def save_weights(
    model: nn.Module, path: Path, metadata: dict, dtype: torch.dtype | None = None
) -> None:
    """Write a state dict as safetensors with JSON metadata; floats in ``dtype`` if given."""
    tensors = {}
    for name, value in model.state_dict().items():
        cast = dtype if dtype is not None and value.is_floating_point() else value.dtype
        tensors[name] = value.detach().cpu().to(cast).contiguous()
    facts = {"landscape": json.dumps(metadata, sort_keys=True)}
    _replace(path, lambda where: save_file(tensors, where, metadata=facts))


class _Epoch(Dataset[tuple[Tensor, Tensor]]):
    """The augmented batches of one epoch, each a function of (seed, epoch, step) alone."""

    def __init__(
        self, images: Tensor, targets: Tensor, augment: Augment, recipe: Recipe, epoch: int
    ) -> None:
        self.images, self.targets, self.augment = images, targets, augment
        self.first = recipe.seed * 100_003 + epoch
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.first))
        self.batches = order.split(recipe.batch_size)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        index = self.batches[step]
        return self.augment(
            self.images[index], self.targets[index], seed=self.first * 10_007 + step
        )


def _resume(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, recipe: Recipe, subject: str
) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["subject"] != subject:
        raise ValueError(
            f"{path.parent} holds a run of {state['subject']}, not of {subject}; choose another "
            "folder"
        )
    if state["recipe"] != asdict(recipe):
        changed = sorted(k for k, v in asdict(recipe).items() if state["recipe"].get(k) != v)
        raise ValueError(
            f"{path.parent} holds a run with another {', '.join(changed)}; choose another folder"
        )
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return state["epoch"]


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    """Write beside, then rename: a reader never sees half a file."""
    part = path.with_suffix(path.suffix + ".part")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)

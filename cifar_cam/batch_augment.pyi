# Written by nbs/_tools/stubs.py; do not edit.
from .augment import Batch
from .augment import Loader
from .augment import Policy
from .data import Images
from .data import Normalisation
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple
import torch

__all__ = ['resident_share', 'together_pixels', 'kinds', 'uniform', 'Draws', 'whole', 'Move', 'shifted', 'mirrored', 'erase', 'sample', 'turn', 'zoom', 'bend', 'tint', 'BatchPipeline', 'fits', 'BatchLoader', 'make_loader']


resident_share: float


together_pixels: Any


kinds: tuple


@dataclass(frozen=True)
class Draws:
    seed: int
    epoch: int
    positions: torch.Tensor
    step: int

    def __call__(self, count, first=..., epoch=...):
        ...


class Move(NamedTuple):
    rows: torch.Tensor
    columns: torch.Tensor
    fill: tuple | None = ...

    def then(self, other: Move) -> Move:
        ...

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        ...


class BatchPipeline:
    policy: Policy
    norm: Normalisation
    shape: Any
    device: Any
    mean: Any
    std: Any

    def __init__(self, policy: Policy, norm: Normalisation, shape: tuple=..., device=...) -> None:
        ...

    def __repr__(self):
        ...

    def pictures(self, images, positions, seed: int, epoch: int) -> torch.Tensor:
        ...

    def __call__(self, images, positions, seed: int=..., epoch: int=...) -> torch.Tensor:
        ...


class BatchLoader(Loader):
    device: Any
    pipeline: Any
    resident: Any
    together: Any

    def __init__(self, images: Images, policy=..., norm=..., batch_size: int=..., shuffle: bool=..., *, seed: int=..., drop_last: bool=..., device=...) -> None:
        ...

    def __getstate__(self):
        ...

    def batch(self, epoch: int, number: int) -> Batch:
        ...


def uniform(seed: int, epoch: int, positions, stream=...) -> torch.Tensor:
    ...


def whole(u: torch.Tensor, below) -> torch.Tensor:
    ...


def shifted(starts: torch.Tensor, pad: int, shape: tuple, border: str=..., fill: tuple=...) -> Move:
    ...


def mirrored(upside_down, sideways, shape: tuple) -> Move:
    ...


def erase(pictures: torch.Tensor, holes: torch.Tensor, fill: tuple) -> torch.Tensor:
    ...


def sample(pictures: torch.Tensor, x: torch.Tensor, y: torch.Tensor, border: str=..., fill: tuple=...) -> torch.Tensor:
    ...


def turn(pictures: torch.Tensor, degrees: torch.Tensor, border: str=..., fill: tuple=...) -> torch.Tensor:
    ...


def zoom(pictures: torch.Tensor, top: torch.Tensor, left: torch.Tensor, size: int) -> torch.Tensor:
    ...


def bend(pictures: torch.Tensor, noise: torch.Tensor, alpha: float, sigma: float, border: str=...) -> torch.Tensor:
    ...


def tint(pictures: torch.Tensor, factors: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    ...


def fits(images: Images, device) -> bool:
    ...


def make_loader(images: Images, policy=..., norm=..., batch_size: int=..., shuffle: bool=..., *, seed: int=..., workers: int=..., drop_last: bool=..., device=..., kind: str=...) -> Loader:
    ...

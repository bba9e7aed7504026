# Written by nbs/_tools/stubs.py; do not edit.
from dataclasses import dataclass
from matplotlib.axes import Axes
from torch import nn
import numpy as np
import torch

__all__ = ['removal_ranks', 'replaced', 'Curve', 'deletion', 'insertion', 'impute', 'road', 'drop_increase']


@dataclass(eq=False, repr=False)
class Curve:
    name: str
    fractions: np.ndarray
    values: np.ndarray

    @property
    def area(self) -> np.ndarray:
        ...

    def __repr__(self):
        ...

    def plot(self, ax=...) -> Axes:
        ...


def removal_ranks(maps: torch.Tensor, seed: int=...) -> torch.Tensor:
    ...


def replaced(x: torch.Tensor, replacement=...) -> torch.Tensor:
    ...


def deletion(model: nn.Module, x: torch.Tensor, targets, maps: torch.Tensor, steps: int=..., replacement=..., seed: int=..., batch_size: int=...) -> Curve:
    ...


def insertion(model: nn.Module, x: torch.Tensor, targets, maps: torch.Tensor, steps: int=..., replacement=..., seed: int=..., batch_size: int=...) -> Curve:
    ...


def impute(x: torch.Tensor, missing: torch.Tensor, noise: float=..., seed: int=..., tolerance: float=...) -> torch.Tensor:
    ...


def road(model: nn.Module, x: torch.Tensor, targets, maps: torch.Tensor, fractions=..., noise: float=..., seed: int=..., batch_size: int=...) -> dict:
    ...


def drop_increase(model: nn.Module, x: torch.Tensor, targets, maps: torch.Tensor, replacement=..., batch_size: int=...) -> tuple:
    ...

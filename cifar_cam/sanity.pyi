# Written by nbs/_tools/stubs.py; do not edit.
from .evaluate import Rows
from .judging import Case
from dataclasses import dataclass
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn
import numpy as np
import torch

__all__ = ['ranks_of', 'rank_correlation', 'chance_likeness', 'above_chance', 'structural_similarity', 'layer_groups', 'randomised', 'verdict_of', 'SanityCheck', 'left_over', 'sanity_check', 'plot_sanity']


@dataclass(eq=False, repr=False)
class SanityCheck:
    method: str
    groups: list
    correlation: np.ndarray
    similarity: np.ndarray
    chance: np.ndarray
    maps: torch.Tensor
    pictures: np.ndarray
    independent: bool
    note: str = ...

    @property
    def left(self) -> np.ndarray:
        ...

    @property
    def score(self) -> float:
        ...

    @property
    def verdict(self) -> str:
        ...

    def __repr__(self):
        ...

    def rows(self) -> Rows:
        ...

    def plot(self, count: int=..., tile: float=...) -> Figure:
        ...


def ranks_of(values: torch.Tensor) -> torch.Tensor:
    ...


def rank_correlation(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    ...


def chance_likeness(maps: torch.Tensor, moves: int=..., seed: int=...) -> np.ndarray:
    ...


def above_chance(correlation, chance: np.ndarray) -> np.ndarray:
    ...


def structural_similarity(a: torch.Tensor, b: torch.Tensor, window: int=...) -> np.ndarray:
    ...


def layer_groups(model: nn.Module, x: torch.Tensor) -> dict:
    ...


def randomised(model: nn.Module, x: torch.Tensor, independent: bool=..., seed: int=...):
    ...


def verdict_of(left: float) -> str:
    ...


def left_over(model: nn.Module, case: Case, chosen, draws: int=..., independent: bool=..., seed: int=..., batch_size: int=...) -> list:
    ...


def sanity_check(model: nn.Module, images, method=..., labels=..., layers=..., target=..., independent: bool=..., draws: int=..., seed: int=..., normalisation=..., batch_size: int=...) -> SanityCheck:
    ...


def plot_sanity(checks, ax=...) -> Axes:
    ...

# Written by nbs/_tools/stubs.py; do not edit.
from .evaluate import Rows
from dataclasses import dataclass
from matplotlib.axes import Axes
from torch import nn
import numpy as np

__all__ = ['scores', 'Agreement', 'agreement', 'Score', 'Leaderboard', 'above_zero', 'leaderboard']


scores: dict


@dataclass(eq=False, repr=False)
class Agreement:
    names: list
    values: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        ...

    def to_dict(self) -> dict:
        ...

    def __repr__(self):
        ...

    def plot(self, ax=...) -> Axes:
        ...


@dataclass(frozen=True)
class Score:
    better: str
    says: str
    misleads: str
    decides: bool = ...


@dataclass(eq=False, repr=False)
class Leaderboard:
    values: dict
    ignored: tuple
    settings: dict
    notes: list

    @property
    def columns(self) -> list:
        ...

    def mean(self, method: str, score: str) -> tuple:
        ...

    def __repr__(self):
        ...

    def mean_rank(self, method: str) -> float:
        ...

    @property
    def order(self) -> list:
        ...

    def beats_baselines(self, method: str, score: str) -> bool:
        ...

    def rows(self) -> Rows:
        ...

    def to_dict(self) -> dict:
        ...

    def to_markdown(self) -> str:
        ...

    def plot(self):
        ...


def agreement(model: nn.Module, images, methods=..., labels=..., layers=..., target=..., normalisation=..., batch_size: int=...) -> Agreement:
    ...


def above_zero(gains, seed: int=...) -> bool:
    ...


def leaderboard(model: nn.Module, images, methods=..., layers=..., labels=..., masks=..., target=..., steps: int=..., sanity_images: int=..., seed: int=..., normalisation=..., batch_size: int=...) -> Leaderboard:
    ...

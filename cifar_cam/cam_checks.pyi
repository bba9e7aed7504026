# Written by nbs/_tools/stubs.py; do not edit.
from .evaluate import Rows
from dataclasses import dataclass
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn
import numpy as np
import torch

__all__ = ['scores', 'method_name', 'has_layers', 'attribution', 'enlarged', 'random_map', 'centre_map', 'baselines', 'pointing_game', 'mask_overlap', 'energy_inside', 'mean_interval', 'plot_scores', 'removal_ranks', 'replaced', 'class_probability', 'Curve', 'deletion', 'insertion', 'impute', 'road', 'displayed', 'drop_increase', 'ranks_of', 'rank_correlation', 'chance_likeness', 'structural_similarity', 'layer_groups', 'randomised', 'SanityCheck', 'sanity_check', 'plot_sanity', 'Agreement', 'agreement', 'Score', 'Leaderboard', 'above_zero', 'leaderboard']


scores: dict


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


def method_name(method) -> str:
    ...


def has_layers(method) -> bool:
    ...


def attribution(model: nn.Module, x: torch.Tensor, targets, method=..., layers=..., batch_size: int=...) -> torch.Tensor:
    ...


def enlarged(maps: torch.Tensor, size) -> torch.Tensor:
    ...


def random_map(grid=..., seed: int=...):
    ...


def centre_map(spread: float=...):
    ...


def baselines(seed: int=...) -> list:
    ...


def pointing_game(maps: torch.Tensor, masks) -> np.ndarray:
    ...


def mask_overlap(maps: torch.Tensor, masks) -> np.ndarray:
    ...


def energy_inside(maps: torch.Tensor, masks) -> np.ndarray:
    ...


def mean_interval(values, confidence: float=..., draws: int=..., seed: int=..., hits: bool=...) -> tuple:
    ...


def plot_scores(table, ignored=..., lower_better=..., note=...) -> Figure:
    ...


def removal_ranks(maps: torch.Tensor, seed: int=...) -> torch.Tensor:
    ...


def replaced(x: torch.Tensor, replacement=...) -> torch.Tensor:
    ...


def class_probability(model: nn.Module, x: torch.Tensor, targets, batch_size: int=...) -> torch.Tensor:
    ...


def deletion(model: nn.Module, x: torch.Tensor, targets, maps: torch.Tensor, steps: int=..., replacement=..., seed: int=..., batch_size: int=...) -> Curve:
    ...


def insertion(model: nn.Module, x: torch.Tensor, targets, maps: torch.Tensor, steps: int=..., replacement=..., seed: int=..., batch_size: int=...) -> Curve:
    ...


def impute(x: torch.Tensor, missing: torch.Tensor, noise: float=..., seed: int=..., tolerance: float=...) -> torch.Tensor:
    ...


def road(model: nn.Module, x: torch.Tensor, targets, maps: torch.Tensor, fractions=..., noise: float=..., seed: int=..., batch_size: int=...) -> dict:
    ...


def displayed(maps: torch.Tensor, size) -> torch.Tensor:
    ...


def drop_increase(model: nn.Module, x: torch.Tensor, targets, maps: torch.Tensor, replacement=..., batch_size: int=...) -> tuple:
    ...


def ranks_of(values: torch.Tensor) -> torch.Tensor:
    ...


def rank_correlation(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    ...


def chance_likeness(maps: torch.Tensor, moves: int=..., seed: int=...) -> np.ndarray:
    ...


def structural_similarity(a: torch.Tensor, b: torch.Tensor, window: int=...) -> np.ndarray:
    ...


def layer_groups(model: nn.Module, x: torch.Tensor) -> dict:
    ...


def randomised(model: nn.Module, x: torch.Tensor, independent: bool=..., seed: int=...):
    ...


def sanity_check(model: nn.Module, images, method=..., labels=..., layers=..., target=..., independent: bool=..., draws: int=..., seed: int=..., normalisation=..., batch_size: int=...) -> SanityCheck:
    ...


def plot_sanity(checks, ax=...) -> Axes:
    ...


def agreement(model: nn.Module, images, methods=..., labels=..., layers=..., target=..., normalisation=..., batch_size: int=...) -> Agreement:
    ...


def above_zero(gains, seed: int=...) -> bool:
    ...


def leaderboard(model: nn.Module, images, methods=..., layers=..., labels=..., masks=..., target=..., steps: int=..., sanity_images: int=..., seed: int=..., normalisation=..., batch_size: int=...) -> Leaderboard:
    ...

# Written by nbs/_tools/stubs.py; do not edit.
from .data import Images
from .evaluate import Predictions
from dataclasses import dataclass
from matplotlib.figure import Figure
from pathlib import Path
from torch import nn
import numpy as np

__all__ = ['confused_pairs', 'plot_confused', 'ClassMeans', 'class_means', 'Film', 'cam_film', 'plot_augmented']


@dataclass(frozen=True)
class ClassMeans:
    pictures: np.ndarray
    maps: np.ndarray
    counts: np.ndarray
    classes: tuple
    layer: str
    method: str
    colours: str = ...

    def __repr__(self):
        ...

    def plot(self, columns: int=..., tile: float=...) -> Figure:
        ...


@dataclass(frozen=True)
class Film:
    steps: tuple
    frames: tuple

    def __len__(self):
        ...

    def __repr__(self):
        ...

    def plot(self, count: int=..., columns: int=..., tile: float=...) -> Figure:
        ...

    def save(self, path: str | Path, seconds: float=..., count: int=..., tile: float=...) -> Path:
        ...


def confused_pairs(predictions: Predictions, count: int=...) -> list:
    ...


def plot_confused(model: nn.Module, images: Images, predictions: Predictions | None=..., pairs: int=..., count: int=..., layer: str | nn.Module | None=..., tile: float=..., **options) -> Figure:
    ...


def class_means(model: nn.Module, images: Images, layer: str | nn.Module | None=..., target=..., correct_only: bool=..., **options) -> ClassMeans:
    ...


def cam_film(model: nn.Module, folder: str | Path, x, labels=..., target=..., **options) -> Film:
    ...


def plot_augmented(model: nn.Module, images: Images, policy, copies: int=..., seed: int=..., target=..., tile: float=..., **options) -> Figure:
    ...

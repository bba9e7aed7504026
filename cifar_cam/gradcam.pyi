# Written by nbs/_tools/stubs.py; do not edit.
from .widget import Browser
from dataclasses import dataclass
from matplotlib.figure import Figure
from pathlib import Path
from torch import nn
import numpy as np
import torch

__all__ = ['shown_methods', 'Explanation', 'explain', 'unused', 'compare_methods', 'plot_methods']


shown_methods: tuple


@dataclass(eq=False, repr=False)
class Explanation:
    raw: dict
    targets: torch.Tensor
    against: torch.Tensor
    target_names: tuple
    logits: torch.Tensor
    labels: object
    classes: tuple
    pictures: np.ndarray
    method: str
    note: str = ...
    colours: dict = ...
    signed: bool = ...

    def __len__(self):
        ...

    def __repr__(self):
        ...

    @property
    def layers(self) -> list:
        ...

    @property
    def probabilities(self) -> torch.Tensor:
        ...

    @property
    def predicted(self) -> torch.Tensor:
        ...

    def maps(self, layer: str | None=..., size: int | tuple=..., scale: str=...) -> torch.Tensor:
        ...

    def __getitem__(self, chosen) -> Explanation:
        ...

    def rows(self) -> list:
        ...

    def to_frame(self):
        ...

    def colour_words(self) -> str:
        ...

    def caption(self, i: int=..., t: int=...) -> str:
        ...

    def plot(self, count: int=..., layer: str | None=..., scale: str=..., tile: float=...) -> Figure:
        ...

    def save(self, path, **options) -> Path:
        ...

    def overlay(self, i: int=..., t: int=..., layer: str | None=..., opacity: float=..., scale: str=..., picture=...):
        ...

    def plot_layers(self, count: int=..., target=..., tile: float=...) -> Figure:
        ...

    def mistakes(self) -> np.ndarray:
        ...

    def plot_mistakes(self, grid: tuple=..., layer: str | None=..., scale: str=..., tile: float=...) -> Figure:
        ...

    def widget(self) -> Browser:
        ...


def explain(model: nn.Module, x, labels=..., layers=..., targets=..., method=..., classes=..., normalisation=..., batch_size: int | None=..., **options) -> Explanation:
    ...


def unused(name: str, is_taken, join: str=...) -> str:
    ...


def compare_methods(model: nn.Module, x, labels=..., layers=..., names=..., target=..., **known) -> dict:
    ...


def plot_methods(explanations: dict, count: int=..., tile: float=...) -> Figure:
    ...

# Written by nbs/_tools/stubs.py; do not edit.
from .data import Normalisation
from .gradcam import Explanation
from dataclasses import dataclass
from functools import cached_property
from matplotlib.figure import Figure
from pathlib import Path
from torch import nn
from typing import Any
import torch

__all__ = ['gather', 'own_model', 'known_normalisation', 'known_size', 'model_from_state_dict', 'save_single_file', 'load_single_file', 'default_model', 'Classified', 'classify', 'ImageExplanations', 'explain_images', 'Layers', 'suggest_layers']


@dataclass(frozen=True, eq=False, repr=False)
class Classified:
    names: tuple
    classes: tuple
    logits: torch.Tensor
    pictures: list
    failed: list = ...
    top: int = ...

    @cached_property
    def probabilities(self) -> torch.Tensor:
        ...

    @cached_property
    def order(self) -> torch.Tensor:
        ...

    def __len__(self):
        ...

    def __repr__(self):
        ...

    def rows(self) -> list:
        ...

    def to_dict(self) -> dict:
        ...

    def __str__(self):
        ...


@dataclass(frozen=True, eq=False, repr=False)
class ImageExplanations:
    classified: Classified
    explanation: Explanation

    def __len__(self):
        ...

    def __repr__(self):
        ...

    @property
    def names(self) -> tuple:
        ...

    @property
    def failed(self) -> list:
        ...

    @property
    def pictures(self) -> list:
        ...

    @property
    def classes(self) -> tuple:
        ...

    @property
    def probabilities(self) -> torch.Tensor:
        ...

    def plot(self, count: int=..., layer: str | None=..., tile: float=...) -> Figure:
        ...

    def plot_picture(self, i: int=..., tile: float=...) -> Figure:
        ...

    def to_dict(self) -> dict:
        ...

    def save(self, folder: Path | str) -> list:
        ...


class Layers(list):
    recommended: Any
    reason: Any

    def __repr__(self):
        ...


def gather(sources, size: int | tuple, how: str=..., skip: bool=...) -> tuple:
    ...


def own_model(source) -> nn.Module:
    ...


def known_normalisation(model: nn.Module, given: Normalisation | str | None=...) -> Normalisation:
    ...


def known_size(model: nn.Module, given: int | tuple | None=...) -> tuple:
    ...


def model_from_state_dict(path: Path | str, model: nn.Module | str | dict, classes: list | tuple | None=..., normalisation: Normalisation | str | None=...) -> nn.Module:
    ...


def save_single_file(path: Path | str, model: nn.Module, dtype: torch.dtype | None=..., **record) -> Path:
    ...


def load_single_file(path: Path | str) -> nn.Module:
    ...


def default_model(folder: Path | str | None=...) -> nn.Module:
    ...


def classify(model, images, top: int=..., size: int | tuple | None=..., how: str=..., normalisation: Normalisation | str | None=..., classes: list | tuple | None=..., skip: bool=...) -> Classified:
    ...


def explain_images(model, sources, targets=..., layers=..., method: str=..., top: int=..., size: int | tuple | None=..., how: str=..., normalisation: Normalisation | str | None=..., classes: list | tuple | None=..., skip: bool=..., **options) -> ImageExplanations:
    ...


def suggest_layers(model, size: int | tuple | None=...) -> Layers:
    ...

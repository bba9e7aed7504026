# Written by nbs/_tools/stubs.py; do not edit.
from .data import Images
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
import numpy as np
import torch

__all__ = ['wrappers', 'wilson', 'check_classes', 'Predictions', 'evaluation_mode', 'same_normalisation', 'carried', 'doubt_normalised', 'predict', 'Rows', 'Calibration', 'Comparison', 'check_same_pictures', 'compare']


wrappers: tuple


class Predictions:
    logits: Any
    classes: Any
    labels: Any
    index: Any  # type: ignore[assignment]

    def __init__(self, logits, labels, classes, index=...) -> None:
        ...

    def __len__(self):
        ...

    def __repr__(self):
        ...

    @property
    def log_probabilities(self) -> np.ndarray:
        ...

    @property
    def probabilities(self) -> np.ndarray:
        ...

    @property
    def predicted(self) -> np.ndarray:
        ...

    @property
    def confidence(self) -> np.ndarray:
        ...

    @property
    def is_correct(self) -> np.ndarray:
        ...

    @property
    def accuracy(self) -> float:
        ...

    @property
    def interval(self) -> tuple:
        ...

    @property
    def losses(self) -> np.ndarray:
        ...

    @property
    def loss(self) -> float:
        ...

    def targets_reached(self, *targets) -> Rows:
        ...

    def per_class(self) -> Rows:
        ...

    def plot_per_class(self, ax=...):
        ...

    @property
    def confusion(self) -> np.ndarray:
        ...

    def plot_confusion(self, ax=...):
        ...

    def top_confusions(self, n: int=...) -> Rows:
        ...

    @property
    def margin(self) -> np.ndarray:
        ...

    def class_id(self, name) -> int:
        ...

    def mistakes(self, n: int | None=..., by: str=..., true=..., predicted=...) -> np.ndarray:
        ...

    def successes(self, n: int | None=..., by: str=..., true=...) -> np.ndarray:
        ...

    def pictures(self, images: Images, positions) -> np.ndarray:
        ...

    def gallery(self, images: Images, positions, columns: int=..., rows: int | None=..., tile: float=...):
        ...

    def plot_mistakes(self, images: Images, n: int=..., by: str=..., true=..., predicted=..., columns: int=..., rows: int | None=..., tile: float=...):
        ...

    def plot_correct(self, images: Images, n: int=..., by: str=..., true=..., columns: int=..., rows: int | None=..., tile: float=...):
        ...

    def calibration(self, bins: int=...) -> Calibration:
        ...

    def save(self, path: Path | str) -> Path:
        ...

    @classmethod
    def load(cls, path: Path | str) -> Predictions:
        ...


class Rows(list):
    ...


@dataclass(frozen=True)
class Calibration:
    ece: float
    rows: Rows

    def plot(self, ax=...):
        ...


@dataclass(frozen=True)
class Comparison:
    only_first: int
    only_second: int
    n: int
    difference: float
    p_value: float


def wilson(correct: int, n: int, confidence: float=...) -> tuple:
    ...


def check_classes(outputs: int, labels: list, classes=...) -> None:
    ...


@contextmanager
def evaluation_mode(model: torch.nn.Module, device=...) -> Iterator[Any]:
    ...


def same_normalisation(one, other) -> bool:
    ...


def carried(model, name: str):
    ...


def doubt_normalised(x: torch.Tensor, norm) -> None:
    ...


def predict(model: torch.nn.Module, images_or_loader, normalisation=..., batch_size: int | None=..., device=..., precision: str | None=..., tta: str | None=..., classes=...) -> Predictions:
    ...


def check_same_pictures(first: Predictions, second: Predictions) -> None:
    ...


def compare(first: Predictions, second: Predictions) -> Comparison:
    ...

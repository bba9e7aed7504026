# Written by nbs/_tools/stubs.py; do not edit.
from dataclasses import dataclass
from pathlib import Path
from typing import Any
import numpy as np

__all__ = ['normalisations', 'usual_sizes', 'cifar10_classes', 'Normalisation', 'normalisation', 'Images', 'shapes', 'load_arrays', 'read_picture', 'suitable_pixels', 'image_folder', 'cifar10', 'cifar100', 'load_data']


normalisations: dict


usual_sizes: tuple


cifar10_classes: tuple


@dataclass(frozen=True)
class Normalisation:
    mean: tuple
    std: tuple
    name: str = ...

    def __post_init__(self) -> None:
        ...

    def to_dict(self) -> dict:
        ...


class Images:
    images: Any
    classes: Any
    labels: Any
    masks: Any
    name: Any
    note: Any
    origin: Any

    def __init__(self, images: np.ndarray, labels, classes, masks=..., name: str=..., note: str=..., origin=...) -> None:
        ...

    def __len__(self):
        ...

    def counts(self) -> dict:
        ...

    def imbalance(self, factor: float=...) -> str:
        ...

    def __repr__(self):
        ...

    def __getitem__(self, which):
        ...

    def show(self, count: int=..., columns: int=..., random_seed: int | None=...):
        ...

    def show_classes(self, count: int=...):
        ...

    def statistics(self, *others) -> Normalisation:
        ...

    def split(self, fraction: float=..., seed: int=..., least: int=...) -> tuple:
        ...

    def fingerprint(self) -> str:
        ...

    def save(self, path: Path | str) -> Path:
        ...

    @classmethod
    def load(cls, path: Path | str) -> Images:
        ...

    def overlap(self, other: Images) -> np.ndarray:
        ...


def normalisation(source) -> Normalisation:
    ...


def shapes(train: int=..., test: int=..., seed: int=..., pixels: int=...) -> tuple:
    ...


def load_arrays(path: Path | str, classes=..., max_bytes: int=...) -> tuple:
    ...


def read_picture(file, pixels: int | None=..., largest: int=..., how: str=...) -> np.ndarray:
    ...


def suitable_pixels(sizes: list, count: int=..., max_bytes: int=...) -> int:
    ...


def image_folder(path: Path | str, pixels: int | None=..., test_fraction: float=..., seed: int=..., how: str=..., skip_corrupt: bool=..., max_bytes: int=...) -> tuple:
    ...


def cifar10(folder: Path | str | None=...) -> tuple:
    ...


def cifar100(folder: Path | str | None=...) -> tuple:
    ...


def load_data(source: Path | str, seed: int=..., pixels: int | None=..., skip_corrupt: bool=...) -> tuple:
    ...

# Written by nbs/_tools/stubs.py; do not edit.
from pathlib import Path
import numpy as np

__all__ = ['data_sets', 'read_idx', 'mnist', 'fashion_mnist', 'tiny_imagenet', 'from_path']


data_sets: dict


def read_idx(data: bytes, axes: int, name: str=...) -> np.ndarray:
    ...


def mnist(folder: Path | str | None=...) -> tuple:
    ...


def fashion_mnist(folder: Path | str | None=...) -> tuple:
    ...


def tiny_imagenet(folder: Path | str | None=..., share: float | None=...) -> tuple:
    ...


def from_path(path: Path) -> tuple:
    ...

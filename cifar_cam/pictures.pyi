# Written by nbs/_tools/stubs.py; do not edit.
from dataclasses import dataclass
from matplotlib.figure import Figure
from pathlib import Path
import numpy as np

__all__ = ['picture_endings', 'ways_to_fit', 'within', 'page_address', 'Picture', 'read_image', 'way_to_fit', 'two_sides', 'Fitted', 'fit', 'draw_used', 'image_size']


picture_endings: tuple


ways_to_fit: tuple


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    pixels: np.ndarray
    name: str = ...
    notes: tuple = ...

    def __array__(self, dtype=..., copy=...):
        ...

    def __repr__(self):
        ...


@dataclass(frozen=True, eq=False, repr=False)
class Fitted:
    pixels: np.ndarray
    picture: Picture
    box: tuple
    how: str
    original: tuple | None = ...

    def __repr__(self):
        ...

    def plot(self, tile: float=...) -> Figure:
        ...


def within(shape: tuple, longest: int) -> tuple:
    ...


def page_address(shown, longest: int=...) -> str:
    ...


def read_image(source, page: int=..., background: tuple=..., largest: int=..., name: str=...) -> Picture:
    ...


def way_to_fit(how: str) -> str:
    ...


def two_sides(size) -> tuple:
    ...


def fit(picture, size, how: str=..., fill: tuple=...) -> Fitted:
    ...


def draw_used(fitted: Fitted, ax) -> None:
    ...


def image_size(path: Path | str) -> tuple:
    ...

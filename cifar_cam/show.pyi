# Written by nbs/_tools/stubs.py; do not edit.
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pathlib import Path
import numpy as np

__all__ = ['as_pictures', 'denormalise', 'literal', 'new_axes', 'show_image', 'image_grid', 'image_table', 'heat', 'enlarge', 'show_overlay', 'show_heat', 'blend', 'curves', 'matrix', 'bars', 'png_bytes', 'save_figure', 'png_uri', 'figure_html', 'nearest', 'html_table']


def as_pictures(x) -> np.ndarray:
    ...


def denormalise(x, mean, std) -> np.ndarray:
    ...


def literal(text):
    ...


def new_axes(width: float=..., height: float=...) -> Axes:
    ...


def show_image(picture, ax=..., title: str | None=..., title_color: str | None=...) -> Axes:
    ...


def image_grid(pictures, titles=..., columns: int | None=..., rows: int | None=..., tile: float=..., title_colors=..., suptitle: str | None=..., note: str | None=...) -> Figure:
    ...


def image_table(rows: list, row_titles=..., column_titles=..., tile: float=..., cell_titles=..., title_colors=..., suptitle: str | None=..., note: str | None=...) -> Figure:
    ...


def heat(map, limit: float | None=..., signed: bool=..., cmap: str | None=...) -> np.ndarray:
    ...


def enlarge(map, height: int, width: int) -> np.ndarray:
    ...


def show_overlay(picture, map, ax=..., limit: float | None=..., signed: bool=..., opacity: float=..., native: tuple | None=..., title: str | None=..., grey: float=..., cmap: str | None=...) -> Axes:
    ...


def show_heat(map, ax=..., size: tuple=..., limit: float | None=..., signed: bool=..., native: tuple | None=..., title: str | None=..., cmap: str | None=...) -> Axes:
    ...


def blend(picture, map, of_picture: float=..., of_heat: float=..., cmap: str=..., rescale: bool=..., limit: float | None=..., size: tuple | None=...) -> np.ndarray:
    ...


def curves(series: dict, ax=..., x=..., xlabel: str | None=..., ylabel: str | None=..., title: str | None=..., log_x: bool=..., marks: dict | None=...) -> Axes:
    ...


def matrix(values, names, ax=..., title: str | None=..., xlabel: str=..., ylabel: str=...) -> Axes:
    ...


def bars(values, names, low=..., high=..., ax=..., xlabel: str | None=..., title: str | None=...) -> Axes:
    ...


def png_bytes(figure, dpi: int=..., close: bool=...) -> bytes:
    ...


def save_figure(figure, path: Path | str, dpi: int=..., close: bool=...) -> Path:
    ...


def png_uri(figure) -> str:
    ...


def figure_html(figure, text: str) -> str:
    ...


def nearest(name: str, known) -> str:
    ...


def html_table(rows: list, header, caption: str | None=..., escape: bool=...) -> str:
    ...

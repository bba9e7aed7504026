# Written by nbs/_tools/stubs.py; do not edit.
from .gradcam import Explanation
from matplotlib.figure import Figure
from pathlib import Path
from typing import Any

__all__ = ['view', 'Browser', 'browse']


class Browser:
    ask: Any
    message: Any
    controls: Any
    picture: Any
    box: Any

    def __init__(self, ask, menus: dict, pictures: int) -> None:
        ...

    def __repr__(self):
        ...

    @property
    def chosen(self) -> dict:
        ...

    def figure(self):
        ...

    def draw(self, change=...) -> None:
        ...

    def save(self, path) -> Path:
        ...


def view(explanation: Explanation, i: int=..., t: int=..., layer: str | None=..., opacity: float=..., scale: str=..., tile: float=...) -> Figure:
    ...


def browse(source, images=..., labels=..., size: int | tuple | None=..., how: str=..., **known) -> Browser:
    ...

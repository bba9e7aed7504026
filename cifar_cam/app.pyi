# Written by nbs/_tools/stubs.py; do not edit.
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from torch import nn
import numpy as np

__all__ = ['Subject', 'tile', 'create_app', 'serve', 'save_space']


@dataclass(frozen=True, eq=False)
class Subject:
    name: str
    model: nn.Module
    folder: object = ...
    data: object = ...
    known: dict | None = ...

    @cached_property
    def maps(self) -> list:
        ...

    @property
    def layers(self) -> list:
        ...

    @property
    def method(self) -> str:
        ...

    @cached_property
    def classes(self) -> tuple:
        ...


def tile(cell, pixels: int=...) -> np.ndarray:
    ...


def create_app(models=..., examples=..., data=..., boxed: bool=..., **known):
    ...


def serve(models=..., host: str=..., port: int | None=..., browser: bool=..., wait: bool=..., largest_upload: int=..., **options):
    ...


def save_space(folder: Path | str, run=..., examples=..., data=..., title: str=..., license: str | None=...) -> list:
    ...

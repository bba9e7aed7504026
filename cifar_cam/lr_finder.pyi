# Written by nbs/_tools/stubs.py; do not edit.
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
import numpy as np
import torch

__all__ = ['smooth', 'LRCurve', 'untouched', 'lr_find', 'RangeTest', 'range_test']


@dataclass(frozen=True, repr=False)
class LRCurve:
    lrs: tuple
    losses: tuple
    smoothed: tuple
    stopped: str
    guessing: float | None = ...
    repeats: tuple = ...
    confirmed: tuple = ...

    def __repr__(self):
        ...

    @property
    def diverged(self):
        ...

    @property
    def minimum(self) -> float:
        ...

    @property
    def steep(self) -> float:
        ...

    @property
    def valley(self) -> float:
        ...

    @property
    def slide(self) -> float:
        ...

    @property
    def smith(self) -> tuple:
        ...

    def suggestions(self) -> dict:
        ...

    @property
    def interval(self) -> tuple | None:
        ...

    @property
    def judged(self) -> np.ndarray:
        ...

    @property
    def recommended(self) -> float | None:
        ...

    @property
    def reason(self) -> str:
        ...

    def to_dict(self) -> dict:
        ...

    def plot(self, ax=..., skip_start: int=..., skip_end: int=...):
        ...


@dataclass(frozen=True)
class RangeTest:
    lrs: tuple
    train_accuracies: tuple
    valid_accuracies: tuple
    stopped: str

    @property
    def judged(self) -> tuple:
        ...

    @property
    def best(self) -> float:
        ...

    def plot(self, ax=...):
        ...


def smooth(losses, beta: float=...) -> np.ndarray:
    ...


@contextmanager
def untouched(loader) -> Iterator[Any]:
    ...


def lr_find(model: torch.nn.Module, loader, loss=..., optimizer: torch.optim.Optimizer | None=..., lr_min: float=..., lr_max: float=..., steps: int=..., beta: float=..., stop_at: float=..., autocast: torch.dtype | None=..., sweeps: int=..., confirm: bool | int=..., valid=..., spacing: str=..., judge: str=...) -> LRCurve:
    ...


def range_test(model: torch.nn.Module, loader, valid=..., loss=..., optimizer: torch.optim.Optimizer | None=..., lr_min: float=..., lr_max: float=..., epochs: int=..., autocast: torch.dtype | None=...) -> RangeTest:
    ...

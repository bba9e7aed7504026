# Written by nbs/_tools/stubs.py; do not edit.
from . import lr_finder
from .batch_size import BatchSizes
from .checkpoint import History
from .optim import Schedule
from typing import Any
import torch

__all__ = ['teams', 'ahead_steps', 'ahead_seconds', 'Alone', 'ElsewhereError', 'Learner', 'LookCloser']


teams: list


ahead_steps: Any


ahead_seconds: Any


class Alone:
    leads: bool
    size: int

    def share(self, batches, training=...):
        ...

    def whole(self, batches):
        ...

    def prepare(self, model: torch.nn.Module) -> torch.nn.Module:
        ...

    def draw(self, *place) -> None:
        ...

    def together(self, work, model: torch.nn.Module) -> tuple:
        ...

    def total(self, *numbers) -> tuple:
        ...

    def any(self, flag: bool) -> bool:
        ...

    def told(self, value):
        ...

    def follow(self, make, take) -> None:
        ...


class ElsewhereError(FloatingPointError):
    ...


class Learner:
    device: Any
    team: Any
    precision: Any
    model: Any
    train: Any
    valid: Any
    watch: Any
    loss: Any
    optimizer: Any
    progress: Any
    save_seconds: Any
    l1: Any
    select: Any
    patience: Any
    deterministic: Any
    checkpoints: Any
    compile: Any
    listeners: Any

    def __init__(self, model: torch.nn.Module, train, valid=..., loss=..., optimizer: torch.optim.Optimizer | None=..., *, watch=..., device: str=..., precision: str=..., l1: float=..., select: str=..., folder=..., save_seconds: float=..., progress=..., patience: int | None=..., deterministic: bool=..., compile: bool | str=..., team: Alone | None=...) -> None:
        ...

    def __repr__(self):
        ...

    def find_batch_size(self, smallest: int=..., largest: int=..., steps: int=..., shape: tuple | None=...) -> BatchSizes:
        ...

    def evaluate(self, batches, stop=...) -> dict:
        ...

    def fit(self, epochs: int, schedule: Schedule | None=..., extend: bool=...) -> History:
        ...

    def fit_one_cycle(self, epochs: int, lr_max: float, peak_epoch: float | None=..., extend: bool=..., **options) -> History:
        ...

    def lr_find(self, **settings) -> lr_finder.LRCurve:
        ...


class LookCloser(Exception):
    ...

# Written by nbs/_tools/stubs.py; do not edit.
from .trainer import Alone
from typing import Any
import torch

__all__ = ['Team', 'join', 'leave']


class Team(Alone):
    rank: Any
    size: Any
    timeout: float
    sync_batch_norm: bool
    leads: Any

    def __init__(self, timeout: float=..., sync_batch_norm: bool=...) -> None:
        ...

    def __repr__(self):
        ...

    def share(self, batches, training: bool=...):
        ...

    def whole(self, batches):
        ...

    def together(self, work, model: torch.nn.Module) -> tuple:
        ...

    def draw(self, *place) -> None:
        ...

    def any(self, flag: bool) -> bool:
        ...

    def total(self, *numbers) -> tuple:
        ...

    def told(self, value):
        ...

    def follow(self, make, take) -> None:
        ...

    def prepare(self, model: torch.nn.Module) -> torch.nn.Module:
        ...


def join(timeout: float=..., sync_batch_norm: bool=...) -> Alone:
    ...


def leave() -> None:
    ...

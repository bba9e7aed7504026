# Written by nbs/_tools/stubs.py; do not edit.
from .data import Normalisation
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
import numpy as np
import torch

__all__ = ['batch_columns', 'history_columns', 'pack', 'unpack', 'advised', 'write_sealed', 'CheckpointError', 'read_sealed', 'load_state', 'Checkpoints', 'BatchHistory', 'History', 'check_names', 'save_model', 'load_model', 'read_json', 'read_history', 'LoadedRun', 'load_run', 'import_state_dict']


batch_columns: tuple


history_columns: tuple


class CheckpointError(ValueError):
    ...


class Checkpoints:
    folder: Any
    keep: int

    def __init__(self, folder: Path | str, keep: int=...) -> None:
        ...

    def paths(self) -> list:
        ...

    def save(self, number: int, state) -> Path:
        ...

    def latest(self):
        ...


class BatchHistory:
    numbers: Any

    def __init__(self, rows=...) -> None:
        ...

    def __len__(self):
        ...

    def append(self, epoch: int, batch: int, lr: float, loss: float, accuracy: float) -> None:
        ...

    def column(self, name: str) -> list:
        ...

    def rows(self) -> np.ndarray:
        ...

    def to_csv(self) -> str:
        ...

    @classmethod
    def from_csv(cls, text: str) -> BatchHistory:
        ...

    def plot(self):
        ...


class History(list):
    batches: Any

    def __init__(self, rows=...) -> None:
        ...

    def column(self, name: str) -> list:
        ...

    def measured(self, name: str) -> bool:
        ...

    def to_csv(self) -> str:
        ...

    @classmethod
    def from_csv(cls, text: str) -> History:
        ...

    def best(self, column: str=...) -> dict:
        ...

    def plot(self, apart: bool=...):
        ...

    def plot_column(self, *names, against: str=..., ax=...):
        ...


@dataclass(frozen=True)
class LoadedRun:
    model: torch.nn.Module
    recipe: dict
    classes: tuple
    normalisation: Normalisation
    history: History
    folder: Path


def pack(state) -> tuple:
    ...


def unpack(packed, tensors: dict):
    ...


@contextmanager
def advised(place: Path, doing: str=...) -> Iterator[Any]:
    ...


def write_sealed(folder: Path | str, files: dict, beside=...) -> Path:
    ...


def read_sealed(folder: Path | str) -> dict:
    ...


def load_state(folder: Path | str):
    ...


def check_names(classes, logits: int) -> None:
    ...


def save_model(folder: Path | str, model: torch.nn.Module, classes: tuple, norm: Normalisation, recipe: dict | None=...) -> Path:
    ...


def load_model(folder: Path | str) -> torch.nn.Module:
    ...


def read_json(path: Path | str, *needs: str) -> dict:
    ...


def read_history(folder: Path) -> History:
    ...


def load_run(folder: Path | str) -> LoadedRun:
    ...


def import_state_dict(path: Path | str, model: torch.nn.Module) -> torch.nn.Module:
    ...

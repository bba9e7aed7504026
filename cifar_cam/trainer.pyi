# Written by nbs/_tools/stubs.py; do not edit.
from . import lr_finder
from .batch_size import BatchSizes
from .checkpoint import History
from .optim import Schedule
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
import torch

__all__ = ['precisions', 'teams', 'course_logs', 'ahead_steps', 'ahead_seconds', 'pick_device', 'fastest_precision', 'usable_precision', 'Alone', 'ElsewhereError', 'Learner', 'refuse_probabilities', 'check_batch', 'out_of_memory', 'answers', 'check_answers', 'LookCloser', 'evaluating', 'Interrupt', 'deterministic_algorithms', 'kept_memory', 'in_notebook', 'epoch_line', 'Progress', 'log_line', 'CourseLog']


precisions: dict


teams: list


course_logs: tuple


ahead_steps: Any


ahead_seconds: Any


class Alone:
    leads: bool
    size: int

    def share(self, batches):
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
    listeners: Any

    def __init__(self, model: torch.nn.Module, train, valid=..., loss=..., optimizer: torch.optim.Optimizer | None=..., *, watch=..., device: str=..., precision: str=..., l1: float=..., select: str=..., folder=..., save_seconds: float=..., progress=..., patience: int | None=..., deterministic: bool=..., compile: bool | str=..., team: Alone | None=...) -> None:
        ...

    def __repr__(self):
        ...

    def find_batch_size(self, smallest: int=..., largest: int=..., steps: int=..., shape: tuple=...) -> BatchSizes:
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


class Interrupt:
    pressed: Any
    process: Any
    before: Any

    def __init__(self) -> None:
        ...

    def __enter__(self):
        ...

    def __exit__(self, *problem) -> None:
        ...


class Progress:
    history: History
    epochs: int
    drawn: Any
    bar: Any
    handle: Any
    kind: Any

    def __init__(self, history: History, epochs: int, enabled: bool=...) -> None:
        ...

    def batch(self, epoch: int, done: int, batches: int, loss: float, accuracy: float) -> None:
        ...

    def epoch(self, row: dict) -> None:
        ...


class CourseLog:
    history: History
    every: int | None
    pictures: Any
    bar: Any

    def __init__(self, history: History, every: int | None=..., pictures: dict | None=...) -> None:
        ...

    def batch(self, epoch: int, done: int, batches: int, loss: float, accuracy: float) -> None:
        ...

    def epoch(self, row: dict) -> None:
        ...


def pick_device(device: str=...) -> torch.device:
    ...


def fastest_precision(device: torch.device) -> str:
    ...


def usable_precision(device: torch.device, precision: str) -> str:
    ...


def refuse_probabilities(outputs: torch.Tensor) -> None:
    ...


def check_batch(batch) -> None:
    ...


def out_of_memory(problem: BaseException) -> bool:
    ...


def answers(network, x: torch.Tensor, fix: str=...):
    ...


def check_answers(logits, labels: torch.Tensor) -> None:
    ...


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[Any]:
    ...


@contextmanager
def deterministic_algorithms() -> Iterator[Any]:
    ...


@contextmanager
def kept_memory() -> Iterator[Any]:
    ...


def in_notebook() -> bool:
    ...


def epoch_line(row: dict, epochs: int) -> str:
    ...


def log_line(part: str, loss: float, accuracy: float, pictures: int=...) -> str:
    ...

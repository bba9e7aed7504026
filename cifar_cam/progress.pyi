# Written by nbs/_tools/stubs.py; do not edit.
from .checkpoint import History
from typing import Any

__all__ = ['course_logs', 'in_notebook', 'epoch_line', 'Progress', 'log_line', 'CourseLog', 'checked_log', 'training_log']


course_logs: tuple


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


def in_notebook() -> bool:
    ...


def epoch_line(row: dict, epochs: int) -> str:
    ...


def log_line(part: str, loss: float, accuracy: float, pictures: int=...) -> str:
    ...


def checked_log(progress):
    ...


def training_log(progress, history: History, epochs: int, pictures: dict | None=...):
    ...

# Written by nbs/_tools/stubs.py; do not edit.
from .checkpoint import History
from .evaluate import Rows
from .report import Record
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ['find_runs', 'ComparedRun', 'Comparison', 'compare', 'Table', 'best_result', 'spelled_out', 'paired_interval', 'holm', 'Paired']


@dataclass(frozen=True)
class ComparedRun:
    name: str
    record: Record
    group: str = ...

    @property
    def finished(self) -> bool:
        ...

    @property
    def settings(self) -> dict:
        ...


@dataclass(frozen=True, repr=False)
class Comparison:
    runs: tuple

    def __repr__(self):
        ...

    def __len__(self):
        ...

    def table(self) -> Table:
        ...

    def overview(self) -> Table:
        ...

    def differences(self) -> Table:
        ...

    def paired(self, first: str | int, second: str | int) -> Paired:
        ...

    def pairs(self) -> Table:
        ...

    def seeds(self) -> Table:
        ...

    def plot(self):
        ...

    def plot_pairs(self):
        ...

    def page(self) -> str:
        ...

    def save(self, folder: Path | str) -> Path:
        ...


class Table(Rows):
    caption: str
    words: Any
    headers: Any

    def __init__(self, rows, caption: str=..., words: dict | None=..., headers: dict | None=...) -> None:
        ...

    def cell(self, column: str, value) -> str:
        ...

    def texts(self) -> list:
        ...

    def __repr__(self):
        ...

    def to_csv(self) -> str:
        ...


@dataclass(frozen=True, repr=False)
class Paired:
    first: str
    second: str
    n: int
    only_first: int
    only_second: int
    difference: float
    low: float
    high: float
    p_value: float

    def __repr__(self):
        ...


def find_runs(runs) -> list:
    ...


def compare(runs) -> Comparison:
    ...


def best_result(history: History) -> Table:
    ...


def spelled_out(value, name: str=...) -> dict:
    ...


def paired_interval(both: int, only_first: int, only_second: int, neither: int, confidence: float=...) -> tuple:
    ...


def holm(p_values: list) -> list:
    ...

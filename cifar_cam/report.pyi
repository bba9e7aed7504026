# Written by nbs/_tools/stubs.py; do not edit.
from .checkpoint import History
from .evaluate import Predictions
from .evaluate import Rows
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ['css', 'Record', 'read_record', 'escape', 'percent', 'short_count', 'duration', 'round_ticks', 'chart', 'class_rows', 'overall_result', 'verdict', 'page', 'report']


css: Any


@dataclass(frozen=True)
class Record:
    folder: Path
    run: dict
    metrics: dict
    history: History
    finder: dict
    predictions: Predictions | None
    figures: dict

    @property
    def recipe(self) -> dict:
        ...

    @property
    def data(self) -> dict:
        ...


def read_record(folder: Path | str) -> Record:
    ...


def escape(value) -> str:
    ...


def percent(share, digits: int=...) -> str:
    ...


def short_count(n: int) -> str:
    ...


def duration(seconds: float | None) -> str:
    ...


def round_ticks(low: float, high: float, count: int=...) -> list:
    ...


def chart(title: str, x: list, series: dict, xlabel: str, show=..., log_x: bool=..., marks: dict | None=..., ceiling: float | None=...) -> str:
    ...


def class_rows(record: Record) -> Rows:
    ...


def overall_result(record: Record) -> dict:
    ...


def verdict(record: Record) -> str:
    ...


def page(record: Record) -> str:
    ...


def report(folder: Path | str, out: Path | str | None=...) -> Path:
    ...

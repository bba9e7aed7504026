# Written by nbs/_tools/stubs.py; do not edit.
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
import numpy as np

__all__ = ['trackers', 'Tracker', 'tracker', 'Tracking', 'following', 'numbers', 'RunFiles', 'scalars', 'pixels', 'run_name', 'run_settings', 'TensorBoard', 'Trackio', 'MLflow', 'WeightsAndBiases', 'track']


trackers: Any


class Tracker:

    def start(self, record: dict) -> None:
        ...

    def epoch(self, row: dict) -> None:
        ...

    def figure(self, name: str, figure) -> None:
        ...

    def finish(self, metrics: dict) -> None:
        ...


class Tracking(Tracker):
    trackers: Any
    told: Any
    ended: Any

    def __init__(self, trackers=...) -> None:
        ...

    def start(self, record: dict) -> None:
        ...

    def epoch(self, row: dict) -> None:
        ...

    def figure(self, name: str, figure) -> None:
        ...

    def finish(self, metrics: dict) -> None:
        ...

    def figures(self, folder: Path | str) -> None:
        ...


class RunFiles(Tracker):
    folder: Any
    rows: Any

    def start(self, record: dict) -> None:
        ...

    def epoch(self, row: dict) -> None:
        ...

    def figure(self, name: str, figure) -> None:
        ...

    def finish(self, metrics: dict) -> None:
        ...


class TensorBoard(Tracker):
    writer: Any
    last: Any

    def __init__(self) -> None:
        ...

    def start(self, record: dict) -> None:
        ...

    def epoch(self, row: dict) -> None:
        ...

    def figure(self, name: str, figure) -> None:
        ...

    def finish(self, metrics: dict) -> None:
        ...


class Trackio(Tracker):
    project: str
    trackio: Any
    last: Any

    def __init__(self, project: str=...) -> None:
        ...

    def epoch(self, row: dict) -> None:
        ...

    def figure(self, name: str, figure) -> None:
        ...

    def finish(self, metrics: dict) -> None:
        ...

    def start(self, record: dict) -> None:
        ...


class MLflow(Tracker):
    uri: str | None
    experiment: str
    mlflow: Any
    last: Any

    def __init__(self, uri: str | None=..., experiment: str=...) -> None:
        ...

    def epoch(self, row: dict) -> None:
        ...

    def figure(self, name: str, figure) -> None:
        ...

    def finish(self, metrics: dict) -> None:
        ...

    def start(self, record: dict) -> None:
        ...


class WeightsAndBiases(Tracker):
    project: str
    mode: str
    wandb: Any
    last: Any

    def __init__(self, project: str=..., mode: str=...) -> None:
        ...

    def epoch(self, row: dict) -> None:
        ...

    def figure(self, name: str, figure) -> None:
        ...

    def finish(self, metrics: dict) -> None:
        ...

    def start(self, record: dict) -> None:
        ...


def tracker(which) -> Tracker:
    ...


@contextmanager
def following(learner, trackers=..., record: dict | None=...) -> Iterator[Any]:
    ...


def numbers(values: dict) -> dict:
    ...


def scalars(row: dict) -> dict:
    ...


def pixels(figure) -> np.ndarray:
    ...


def run_name(record: dict) -> str:
    ...


def run_settings(record: dict) -> dict:
    ...


def track(folder: Path | str, trackers) -> Tracking:
    ...

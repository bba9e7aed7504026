# Written by nbs/_tools/stubs.py; do not edit.
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
import torch

__all__ = ['precisions', 'pick_device', 'fastest_precision', 'usable_precision', 'out_of_memory', 'compiler_failed', 'kept_memory', 'deterministic_algorithms', 'Interrupt']


precisions: dict


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


def pick_device(device: str=...) -> torch.device:
    ...


def fastest_precision(device: torch.device) -> str:
    ...


def usable_precision(device: torch.device, precision: str) -> str:
    ...


def out_of_memory(problem: BaseException) -> bool:
    ...


def compiler_failed(problem: BaseException) -> bool:
    ...


@contextmanager
def kept_memory() -> Iterator[Any]:
    ...


@contextmanager
def deterministic_algorithms() -> Iterator[Any]:
    ...

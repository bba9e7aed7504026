# Written by nbs/_tools/stubs.py; do not edit.
from dataclasses import dataclass

__all__ = ['BatchSizes']


@dataclass(frozen=True)
class BatchSizes:
    rows: tuple
    full: int | None

    @property
    def recommended(self) -> int:
        ...

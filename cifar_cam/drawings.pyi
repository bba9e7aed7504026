# Written by nbs/_tools/stubs.py; do not edit.
from .data import Images

__all__ = ['drawings']


def drawings() -> Images:
    ...

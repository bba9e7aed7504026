# Written by nbs/_tools/stubs.py; do not edit.
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
import torch

__all__ = ['evaluating', 'refuse_probabilities', 'check_batch', 'answers', 'check_answers']


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[Any]:
    ...


def refuse_probabilities(outputs: torch.Tensor) -> None:
    ...


def check_batch(batch) -> None:
    ...


def answers(network, x: torch.Tensor, fix: str=...):
    ...


def check_answers(logits, labels: torch.Tensor) -> None:
    ...

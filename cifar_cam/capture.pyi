# Written by nbs/_tools/stubs.py; do not edit.
from collections.abc import Iterator
from contextlib import contextmanager
from torch import nn
from typing import Any
from typing import NamedTuple
import torch

__all__ = ['ranks', 'smallest_map', 'unwrap', 'find_layer', 'hooked', 'undisturbed', 'check_logits', 'precise', 'score_weights', 'gradients_at', 'Capture', 'fitting_input', 'listen', 'capture', 'nonlinear_step', 'tail_logits', 'Rank', 'target_ids', 'logit_weights', 'enlarges', 'default_layer']


ranks: tuple


smallest_map: int


class Capture(NamedTuple):
    activations: dict
    gradients: dict
    logits: torch.Tensor


class Rank(int):
    __slots__: Any

    def __str__(self):
        ...


def unwrap(model: nn.Module) -> nn.Module:
    ...


def find_layer(model: nn.Module, layer: str | nn.Module) -> tuple:
    ...


@contextmanager
def hooked(*pairs) -> Iterator[Any]:
    ...


@contextmanager
def undisturbed(model: nn.Module, x: torch.Tensor) -> Iterator[Any]:
    ...


def check_logits(logits: torch.Tensor, images: int) -> None:
    ...


def precise(tensor: torch.Tensor) -> torch.Tensor:
    ...


def score_weights(targets, logits: torch.Tensor) -> torch.Tensor:
    ...


def gradients_at(nodes: dict, logits: torch.Tensor, weights: torch.Tensor, zero: bool=...) -> dict:
    ...


def fitting_input(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    ...


def listen(model: nn.Module, x: torch.Tensor, layers: str | nn.Module | list | tuple) -> tuple:
    ...


def capture(model: nn.Module, x: torch.Tensor, layers: str | nn.Module | list | tuple, targets) -> Capture:
    ...


def nonlinear_step(logits: torch.Tensor, node: torch.Tensor) -> str:
    ...


def tail_logits(model: nn.Module, x: torch.Tensor, layer: str | nn.Module, change, rows: torch.Tensor, at_once: int=..., calls: int=...) -> torch.Tensor:
    ...


def target_ids(targets: list, logits: torch.Tensor, labels, classes) -> tuple:
    ...


def logit_weights(plus: torch.Tensor, minus: torch.Tensor, count: int) -> torch.Tensor:
    ...


def enlarges(module: nn.Module, inputs: tuple, output) -> bool:
    ...


def default_layer(model: nn.Module, x: torch.Tensor, smallest: int=...) -> tuple:
    ...

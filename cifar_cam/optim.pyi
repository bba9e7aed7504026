# Written by nbs/_tools/stubs.py; do not edit.
from dataclasses import dataclass
from typing import Any
import torch

__all__ = ['schedules', 'optimizers', 'Schedule', 'constant', 'one_cycle', 'multi_step', 'cyclic', 'plateau', 'linear', 'schedule', 'composed', 'parameter_groups', 'sgd', 'adam', 'check_moves', 'orthogonalise', 'Muon', 'muon', 'rate_ratios', 'optimizer', 'l1_penalty']


schedules: Any


optimizers: dict


@dataclass(frozen=True)
class Schedule:
    name: str
    steps: int
    steps_per_epoch: int
    rate: object
    momentum_at: object = ...
    adapts: tuple = ...
    watches: str = ...

    def __post_init__(self) -> None:
        ...

    def __call__(self, step: int, losses: tuple=...) -> float:
        ...

    def momentum(self, step: int) -> float | None:
        ...

    def __repr__(self):
        ...

    def plot(self, ax=..., losses=...):
        ...


class Muon(torch.optim.Optimizer):
    steps: Any

    def __init__(self, groups: list, momentum: float=..., orthogonal_momentum: float=..., steps: int=...) -> None:
        ...

    def __getstate__(self):
        ...

    def step(self, closure=...):
        ...


def constant(lr: float, epochs: int, steps_per_epoch: int) -> Schedule:
    ...


def one_cycle(lr_max: float, epochs: int, steps_per_epoch: int, peak_epoch: float | None=..., lr_start: float | None=..., lr_end: float | None=..., shape: str=..., momentum: tuple | None=..., annihilation: float=..., lr_final: float | None=...) -> Schedule:
    ...


def multi_step(lr: float, epochs: int, steps_per_epoch: int, milestones: tuple, gamma: float=...) -> Schedule:
    ...


def cyclic(lr_min: float, lr_max: float, epochs: int, steps_per_epoch: int, up_epochs: float, down_epochs: float | None=..., decay: float=..., by_epoch: bool=..., momentum: tuple | None=...) -> Schedule:
    ...


def plateau(lr: float, epochs: int, steps_per_epoch: int, factor: float=..., patience: int=..., threshold: float=..., cooldown: int=..., lr_min: float=..., metric: str=...) -> Schedule:
    ...


def linear(lr_max: float, epochs: int, steps_per_epoch: int, warm_up: float=...) -> Schedule:
    ...


def schedule(settings: dict, epochs: int, steps_per_epoch: int) -> Schedule:
    ...


def composed(parts: list, epochs: int, steps_per_epoch: int) -> Schedule:
    ...


def parameter_groups(model: torch.nn.Module, weight_decay: float, decay_all: bool=...) -> list:
    ...


def sgd(model: torch.nn.Module, lr: float=..., momentum: float=..., weight_decay: float=..., nesterov: bool=..., decay_all: bool=...) -> torch.optim.SGD:
    ...


def adam(model: torch.nn.Module, lr: float=..., betas: tuple=..., weight_decay: float=..., decay_all: bool=...) -> torch.optim.AdamW:
    ...


def check_moves(optimizer: torch.optim.Optimizer, model: torch.nn.Module) -> None:
    ...


def orthogonalise(matrix: torch.Tensor, steps: int=..., dtype: torch.dtype=...) -> torch.Tensor:
    ...


def muon(model: torch.nn.Module, lr: float=..., bias_lr: float=..., head_lr: float=..., momentum: float=..., orthogonal_momentum: float=..., decay: float=..., first_ends: float=..., steps: int=...) -> Muon:
    ...


def rate_ratios(optimizer: torch.optim.Optimizer) -> list:
    ...


def optimizer(settings: dict, model: torch.nn.Module) -> torch.optim.Optimizer:
    ...


def l1_penalty(model: torch.nn.Module) -> torch.Tensor:
    ...

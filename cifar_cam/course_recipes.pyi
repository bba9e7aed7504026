# Written by nbs/_tools/stubs.py; do not edit.
from .optim import Schedule
from .recipe_cards import Recipe
import torch

__all__ = ['projects', 'mistimed', 'overruled', 'softmax_twice', 'l1_by_batch', 'loss_of', 'leave_finder_trace']


projects: dict


def mistimed(epochs: int, steps_per_epoch: int, planned_epochs: float, peak_epoch: float, clock: str=..., extra: int=..., **settings) -> Schedule:
    ...


def overruled(cycle: dict, plateau: dict, epochs: int, steps_per_epoch: int, hold: str=...) -> Schedule:
    ...


def softmax_twice(loss):
    ...


def l1_by_batch(loss, model: torch.nn.Module, weight: float):
    ...


def loss_of(recipe: Recipe, model: torch.nn.Module):
    ...


def leave_finder_trace(learner, settings: dict, lr_min: float, lr_max: float, steps: int) -> None:
    ...

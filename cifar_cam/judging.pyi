# Written by nbs/_tools/stubs.py; do not edit.
from dataclasses import dataclass
from matplotlib.figure import Figure
from torch import nn
import torch

__all__ = ['planted', 'method_name', 'has_layers', 'attribution', 'enlarged', 'displayed', 'random_map', 'centre_map', 'baselines', 'class_probability', 'Case', 'make_case', 'mean_interval', 'plot_scores']


@dataclass
class Case:
    x: torch.Tensor
    targets: torch.Tensor
    layers: list
    pictures: object
    masks: object
    classes: tuple


def planted(count: int=..., seed: int=...) -> tuple:
    ...


def method_name(method) -> str:
    ...


def has_layers(method) -> bool:
    ...


def attribution(model: nn.Module, x: torch.Tensor, targets, method=..., layers=..., batch_size: int=...) -> torch.Tensor:
    ...


def enlarged(maps: torch.Tensor, size) -> torch.Tensor:
    ...


def displayed(maps: torch.Tensor, size) -> torch.Tensor:
    ...


def random_map(grid=..., seed: int=...):
    ...


def centre_map(spread: float=...):
    ...


def baselines(seed: int=...) -> list:
    ...


def class_probability(model: nn.Module, x: torch.Tensor, targets, batch_size: int=...) -> torch.Tensor:
    ...


def make_case(model: nn.Module, images, labels=..., target=..., layers=..., normalisation=..., masks=..., batch_size: int=...) -> Case:
    ...


def mean_interval(values, confidence: float=..., draws: int=..., seed: int=..., hits: bool=...) -> tuple:
    ...


def plot_scores(table, ignored=..., lower_better=..., note=...) -> Figure:
    ...

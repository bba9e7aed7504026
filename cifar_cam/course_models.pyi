# Written by nbs/_tools/stubs.py; do not edit.
from torch import nn
from typing import Any
import torch

__all__ = ['separable_conv', 'conv_unit', 'transition', 'Cifar10Net', 'ConcatenatingNet', 'SpatialTransformer', 'GhostBatchNorm', 'for_small_pictures', 'torchvision_net']


class Cifar10Net(nn.Module):
    layer1: Any
    transition1: Any
    layer2: Any
    transition2: Any
    layer3: Any
    transition3: Any
    layer4: Any
    pool: Any
    linear: Any

    def __init__(self, num_classes: int=..., dropout: float=...) -> None:
        ...

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ...


class ConcatenatingNet(nn.Module):
    repeat: bool
    x2: Any
    x3: Any
    pool: Any
    pool_all: Any
    linear: Any

    def __init__(self, num_classes: int=..., width: int=..., repeat: bool=..., dropout: float=...) -> None:
        ...

    def forward(self, x1: torch.Tensor) -> torch.Tensor:
        ...


class SpatialTransformer(nn.Module):
    finder: Any
    layer1: Any
    layer2: Any
    linear: Any

    def __init__(self, num_classes: int=..., dropout: float=...) -> None:
        ...

    def look(self, x: torch.Tensor) -> torch.Tensor:
        ...

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ...


class GhostBatchNorm(nn.BatchNorm2d):
    splits: Any

    def __init__(self, channels: int, splits: int=...) -> None:
        ...

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ...


def separable_conv(inputs: int, outputs: int) -> nn.Sequential:
    ...


def conv_unit(inputs: int, outputs: int, kind: str=..., dropout: float=...) -> nn.Sequential:
    ...


def transition(inputs: int, outputs: int) -> nn.Sequential:
    ...


def for_small_pictures(net: nn.Module, size: int=..., least: int=...) -> nn.Module:
    ...


def torchvision_net(num_classes: int=..., family: str=..., size: int=..., least: int=...) -> nn.Module:
    ...

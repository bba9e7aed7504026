# Written by nbs/_tools/stubs.py; do not edit.
from dataclasses import dataclass
from torch import nn
from typing import Any
import torch

__all__ = ['norms', 'model_makers', 'make_norm', 'conv', 'BasicBlock', 'Bottleneck', 'ResNet', 'ConvBlock', 'Residual', 'CustomResNet', 'whitening_filters', 'FastGroup', 'FastNet', 'models', 'create_model', 'parameter_count', 'ModelSummary', 'summary']


norms: dict


model_makers: dict


class BasicBlock(nn.Module):
    expansion: Any
    conv1: Any
    bn1: Any
    conv2: Any
    bn2: Any
    shortcut: Any
    relu: Any

    def __init__(self, inputs: int, maps: int, stride: int=..., norm: str=...) -> None:
        ...

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ...


class Bottleneck(nn.Module):
    expansion: Any
    conv1: Any
    bn1: Any
    conv2: Any
    bn2: Any
    conv3: Any
    bn3: Any
    shortcut: Any
    relu: Any

    def __init__(self, inputs: int, maps: int, stride: int=..., norm: str=...) -> None:
        ...

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ...


class ResNet(nn.Module):
    inputs: Any
    norm: str
    stem_stride: int
    conv1: Any
    bn1: Any
    relu: Any
    layer1: Any
    layer2: Any
    layer3: Any
    layer4: Any
    pool: Any
    linear: Any

    def __init__(self, block: type, counts: tuple, num_classes: int=..., width: int=..., last_stride: int=..., norm: str=..., stem_stride: int=...) -> None:
        ...

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ...


class ConvBlock(nn.Module):
    conv: Any
    norm: Any
    relu: Any
    pool: Any
    relu_first: Any

    def __init__(self, inputs: int, outputs: int, pool: int | None=..., bias: bool=..., norm: str=..., relu_first: bool=..., stride: int=...) -> None:
        ...

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ...


class Residual(nn.Module):
    skip: Any
    block1: Any
    block2: Any

    def __init__(self, maps: int, skip: str=..., **options) -> None:
        ...

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ...


class CustomResNet(nn.Module):
    stem_stride: int
    logit_scale: float
    prep: Any
    layer1: Any
    layer2: Any
    layer3: Any
    dropout: Any
    pool: Any
    linear: Any

    def __init__(self, num_classes: int=..., width: int=..., last_stride: int=..., skip: str=..., bias: str=..., head: str=..., final_pool: str=..., relu_first: bool=..., dropout: float=..., norm: str=..., logit_scale: float=..., stem_stride: int=...) -> None:
        ...

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ...


class FastGroup(nn.Module):
    conv1: Any
    pool: Any
    norm1: Any
    conv2: Any
    norm2: Any
    activation: Any
    pool_first: bool
    conv3: Any
    norm3: Any

    def __init__(self, inputs: int, outputs: int, dirac: bool=..., pool_first: bool=..., activation: type=..., depth: int=...) -> None:
        ...

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ...


class FastNet(nn.Module):
    stem_stride: Any
    whiten: Any
    activation: Any
    layer1: Any
    layer2: Any
    layer3: Any
    pool: Any
    linear: Any

    def __init__(self, num_classes: int=..., widths: tuple=..., whiten: bool=..., dirac: bool=..., pool_first: bool=..., activation: str=..., stem_stride: int=..., depth: int=...) -> None:
        ...

    def prepare(self, pictures: torch.Tensor) -> None:
        ...

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ...


@dataclass(frozen=True)
class ModelSummary:
    rows: tuple
    parameters: int
    activations: int

    def totals(self) -> str:
        ...

    def __repr__(self):
        ...


def make_norm(channels: int, norm: str=...) -> nn.Module:
    ...


def conv(inputs: int, outputs: int, kernel: int=..., stride: int=..., bias: bool=...) -> nn.Conv2d:
    ...


def whitening_filters(pictures: torch.Tensor, size: int=..., epsilon: float=...) -> torch.Tensor:
    ...


def models() -> list:
    ...


def create_model(name: str, num_classes: int=..., **options) -> nn.Module:
    ...


def parameter_count(model: nn.Module) -> int:
    ...


def summary(model: nn.Module, size: int=..., depth: int=...) -> ModelSummary:
    ...

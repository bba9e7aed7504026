# Written by nbs/_tools/stubs.py; do not edit.
from torch import nn
from typing import Any
from typing import NamedTuple
import torch

__all__ = ['cam_methods', 'layer_methods', 'input_methods', 'sensitivities', 'PatchNet', 'patch_pictures', 'gradcam', 'hirescam', 'layercam', 'xgradcam', 'gradcam_plus_plus', 'cam', 'eigencam', 'eigengradcam', 'Maps', 'ablationcam', 'scorecam', 'occlusion', 'gradient', 'deconvnet', 'guided_backprop', 'guided_gradcam', 'full_gradients', 'fullgrad', 'methods', 'cam_method', 'method_maps']


cam_methods: dict


layer_methods: dict


input_methods: dict


sensitivities: tuple


class PatchNet(nn.Module):
    features: Any
    pool: Any
    head: Any

    def __init__(self) -> None:
        ...

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ...


class Maps(NamedTuple):
    maps: dict
    logits: torch.Tensor
    colours: dict = ...


def patch_pictures(seed: int=...) -> tuple:
    ...


def gradcam(A: torch.Tensor, G: torch.Tensor) -> torch.Tensor:
    ...


def hirescam(A: torch.Tensor, G: torch.Tensor) -> torch.Tensor:
    ...


def layercam(A: torch.Tensor, G: torch.Tensor) -> torch.Tensor:
    ...


def xgradcam(A: torch.Tensor, G: torch.Tensor) -> torch.Tensor:
    ...


def gradcam_plus_plus(A: torch.Tensor, G: torch.Tensor) -> torch.Tensor:
    ...


def cam(A: torch.Tensor, G: torch.Tensor) -> torch.Tensor:
    ...


def eigencam(A: torch.Tensor, G: torch.Tensor, centre: bool=...) -> torch.Tensor:
    ...


def eigengradcam(A: torch.Tensor, G: torch.Tensor, centre: bool=...) -> torch.Tensor:
    ...


def ablationcam(model: nn.Module, x: torch.Tensor, layers: str | nn.Module | list | tuple, targets, at_once: int=...) -> Maps:
    ...


def scorecam(model: nn.Module, x: torch.Tensor, layers: str | nn.Module | list | tuple, targets, at_once: int=...) -> Maps:
    ...


def occlusion(model: nn.Module, x: torch.Tensor, targets, patch: int | list | None=..., stride: int | None=..., fill: float=..., at_once: int=...) -> Maps:
    ...


def gradient(model: nn.Module, x: torch.Tensor, targets) -> Maps:
    ...


def deconvnet(model: nn.Module, x: torch.Tensor, targets) -> Maps:
    ...


def guided_backprop(model: nn.Module, x: torch.Tensor, targets) -> Maps:
    ...


def guided_gradcam(model: nn.Module, x: torch.Tensor, layers: str | nn.Module | list | tuple, targets) -> Maps:
    ...


def full_gradients(model: nn.Module, x: torch.Tensor, targets) -> tuple:
    ...


def fullgrad(model: nn.Module, x: torch.Tensor, targets) -> Maps:
    ...


def methods() -> list:
    ...


def cam_method(method):
    ...


def method_maps(model: nn.Module, x: torch.Tensor, layers, targets, method=..., **options) -> Maps:
    ...

# Written by nbs/_tools/stubs.py; do not edit.
from .data import Normalisation
from dataclasses import dataclass
from pathlib import Path
from torch import nn
import torch

__all__ = ['Deployed', 'deployed', 'ExportError', 'Exported', 'export_onnx', 'export_program', 'model_card', 'save_pretrained', 'push_to_hub', 'from_hub']


class Deployed(nn.Module):
    model: nn.Module
    norm: Normalisation
    layer: str
    shape: tuple

    def __init__(self, model: nn.Module, norm: Normalisation, layer: str | None=..., shape: tuple=...) -> None:
        ...

    def forward(self, images: torch.Tensor, target: torch.Tensor | None=...) -> tuple:
        ...


class ExportError(ValueError):
    ...


@dataclass(frozen=True)
class Exported:
    path: Path
    kind: str
    bytes: int
    inputs: dict
    outputs: dict
    difference: float
    cam_difference: float

    def __repr__(self):
        ...


def deployed(model, cam_layer: str | None=..., size: int | tuple | None=..., normalisation: Normalisation | str | None=...) -> tuple:
    ...


def export_onnx(model, path: Path | str, cam_layer: str | None=..., size: int | tuple | None=..., normalisation: Normalisation | str | None=..., classes: list | tuple | None=..., tolerance: float=...) -> Exported:
    ...


def export_program(model, path: Path | str, cam_layer: str | None=..., size: int | tuple | None=..., normalisation: Normalisation | str | None=..., tolerance: float=...) -> Exported:
    ...


def model_card(folder: Path | str, license: str | None=..., name: str=...) -> str:
    ...


def save_pretrained(run_folder: Path | str, out: Path | str, license: str | None=...) -> Path:
    ...


def push_to_hub(run_folder: Path | str, name: str, license: str | None=..., private: bool=..., token: str | None=...) -> str:
    ...


def from_hub(name: str, revision: str, token: str | None=..., folder: Path | str | None=...) -> nn.Module:
    ...

# Written by nbs/_tools/stubs.py; do not edit.
import numpy as np
import torch

__all__ = ['pointing_game', 'mask_overlap', 'energy_inside']


def pointing_game(maps: torch.Tensor, masks) -> np.ndarray:
    ...


def mask_overlap(maps: torch.Tensor, masks) -> np.ndarray:
    ...


def energy_inside(maps: torch.Tensor, masks) -> np.ndarray:
    ...

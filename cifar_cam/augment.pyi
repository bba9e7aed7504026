# Written by nbs/_tools/stubs.py; do not edit.
from .data import Images
from .data import Normalisation
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple
import albumentations as A
import numpy as np
import torch

__all__ = ['ops', 'borders', 'Op', 'pad_crop', 'rotate', 'crop_resize', 'hflip', 'vflip', 'flip_any', 'alternating_flip', 'cutout', 'random_erasing', 'elastic', 'colour_jitter', 'is_after_norm', 'Policy', 'policy', 'transform', 'ClippedCutout', 'AlternatingFlip', 'fill_colour', 'generators', 'normalise', 'Pipeline', 'set_seed', 'random_states', 'restore_random_states', 'Batch', 'Loader', 'PictureTransform']


ops: dict


borders: dict


@dataclass(frozen=True)
class Op:
    name: str
    settings: tuple

    @property
    def __repr__(self) -> Any:
        ...

    def __getitem__(self, setting):
        ...

    def __str__(self):
        ...

    def to_dict(self) -> dict:
        ...


class Policy(tuple):

    def __new__(cls, *operations):
        ...

    def __getnewargs__(self):
        ...

    def __repr__(self):
        ...

    def describe(self) -> str:
        ...

    def to_list(self) -> list:
        ...

    def show(self, images: Images, count: int=..., norm: Normalisation | None=..., seed: int=...):
        ...


class ClippedCutout(A.ImageOnlyTransform):
    holes: int
    size: tuple
    fill: tuple

    def __init__(self, holes: int, size: tuple, fill: tuple, p: float) -> None:
        ...

    def get_params_dependent_on_data(self, params: dict, data: dict) -> dict:
        ...

    def apply(self, img: np.ndarray, boxes=..., **params) -> np.ndarray:
        ...


class AlternatingFlip(A.ImageOnlyTransform):
    share: float
    mirrored: Any

    def __init__(self, share: float) -> None:
        ...

    def choose(self, seed: int, epoch: int, position: int) -> None:
        ...

    def apply(self, img: np.ndarray, **params) -> np.ndarray:
        ...


class Pipeline:
    policy: Policy
    norm: Normalisation
    shape: Any
    alternating: Any
    before: Any
    after: Any

    def __init__(self, policy: Policy, norm: Normalisation, shape: tuple=...) -> None:
        ...

    def pictures(self, images: np.ndarray, positions, seed: int, epoch: int) -> np.ndarray:
        ...

    def __call__(self, images: np.ndarray, positions, seed: int=..., epoch: int=...) -> torch.Tensor:
        ...


class Batch(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor
    index: torch.Tensor  # type: ignore[assignment]


class Loader:
    images: Images
    norm: Any
    policy: Any
    batch_size: int
    shuffle: bool
    seed: Any
    drop_last: Any
    workers: Any
    start_method: Any
    persistent: Any
    timeout: Any
    pipeline: Any
    epoch: Any
    start: Any
    share: Any

    def __init__(self, images: Images, policy=..., norm=..., batch_size: int=..., shuffle: bool=..., *, seed: int=..., workers: int=..., drop_last: bool=..., start_method: str | None=..., persistent: bool=..., timeout: float=...) -> None:
        ...

    def __len__(self):
        ...

    def __repr__(self):
        ...

    def set_epoch(self, epoch: int, start: int=...) -> Loader:
        ...

    def positions(self, epoch: int, number: int) -> np.ndarray:
        ...

    def batch(self, epoch: int, number: int) -> Batch:
        ...

    def __iter__(self):
        ...

    def close(self) -> None:
        ...

    def __getstate__(self):
        ...

    def sharded(self, part: int, of: int) -> Loader:
        ...

    def show(self, count: int=..., columns: int=...):
        ...


class PictureTransform:
    policy: Any
    norm: Any

    def __init__(self, policy=..., norm=...) -> None:
        ...

    def __call__(self, picture) -> torch.Tensor:
        ...

    def __repr__(self):
        ...


def pad_crop(pad: int=..., border: str=..., fill=..., p: float=...):
    ...


def rotate(limit: float=..., border: str=..., fill=..., p: float=...):
    ...


def crop_resize(size: int=..., p: float=...):
    ...


def hflip(p: float=...):
    ...


def vflip(p: float=...):
    ...


def flip_any(p: float=...):
    ...


def alternating_flip(p: float=...):
    ...


def cutout(size=..., holes: int=..., fill=..., p: float=..., clip: bool=..., after_norm: bool=...):
    ...


def random_erasing(scale=..., ratio=..., fill=..., p: float=..., after_norm: bool=...):
    ...


def elastic(alpha: float=..., sigma: float=..., border: str=..., p: float=...):
    ...


def colour_jitter(brightness: float=..., contrast: float=..., saturation: float=..., hue: float=..., p: float=...):
    ...


def is_after_norm(operation: Op) -> bool:
    ...


def policy(entries) -> Policy:
    ...


def transform(name: str, **settings) -> A.BasicTransform:
    ...


def fill_colour(operation: Op, norm: Normalisation) -> tuple:
    ...


def generators(seed: int, epoch: int, position: int) -> tuple:
    ...


def normalise(pictures, norm: Normalisation, device=...) -> torch.Tensor:
    ...


def set_seed(seed: int) -> None:
    ...


def random_states() -> dict:
    ...


def restore_random_states(states: dict) -> None:
    ...

# Written by nbs/_tools/stubs.py; do not edit.
from .checkpoint import History
from .evaluate import Predictions
from .recipe_cards import Recipe
from dataclasses import dataclass
from pathlib import Path
from typing import Any
import torch

__all__ = ['recipe', 'RecipeTable', 'recipes', 'fitted_to', 'versions', 'processor_name', 'prepare', 'Run', 'run']


class RecipeTable(list):
    header: Any
    caption: Any

    def rows(self) -> list:
        ...

    def copies(self) -> list:
        ...

    def __repr__(self):
        ...


@dataclass(frozen=True, repr=False)
class Run:
    folder: Path
    recipe: Recipe
    history: History
    metrics: dict
    interrupted: bool = ...
    model: torch.nn.Module | None = ...
    predictions: Predictions | None = ...

    def __repr__(self):
        ...


def recipe(name: str, mode: str=..., **changes) -> Recipe:
    ...


def recipes() -> RecipeTable:
    ...


def fitted_to(recipe_: Recipe, images) -> tuple:
    ...


def versions() -> dict:
    ...


def processor_name() -> str:
    ...


def prepare(recipe_: Recipe, data=..., out: Path | str | None=..., seed: int=..., device: str=..., precision: str=..., workers: int=..., progress: bool=..., compile: bool | str=...) -> tuple:
    ...


def run(recipe_: Recipe | str, data=..., out: Path | str=..., seed: int=..., device: str=..., precision: str=..., workers: int=..., progress: bool=..., compile: bool | str=..., trackers=...) -> Run:
    ...

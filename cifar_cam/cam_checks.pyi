# Written by nbs/_tools/stubs.py; do not edit.
from .evaluate import Rows as Rows
from .faithfulness import Curve as Curve
from .faithfulness import deletion as deletion
from .faithfulness import drop_increase as drop_increase
from .faithfulness import impute as impute
from .faithfulness import insertion as insertion
from .faithfulness import removal_ranks as removal_ranks
from .faithfulness import replaced as replaced
from .faithfulness import road as road
from .gradcam import unused as unused
from .judging import Case as Case
from .judging import attribution as attribution
from .judging import baselines as baselines
from .judging import centre_map as centre_map
from .judging import class_probability as class_probability
from .judging import displayed as displayed
from .judging import enlarged as enlarged
from .judging import has_layers as has_layers
from .judging import make_case as make_case
from .judging import mean_interval as mean_interval
from .judging import method_name as method_name
from .judging import planted as planted
from .judging import plot_scores as plot_scores
from .judging import random_map as random_map
from .localisation import energy_inside as energy_inside
from .localisation import mask_overlap as mask_overlap
from .localisation import pointing_game as pointing_game
from .sanity import SanityCheck as SanityCheck
from .sanity import above_chance as above_chance
from .sanity import chance_likeness as chance_likeness
from .sanity import layer_groups as layer_groups
from .sanity import left_over as left_over
from .sanity import plot_sanity as plot_sanity
from .sanity import randomised as randomised
from .sanity import rank_correlation as rank_correlation
from .sanity import ranks_of as ranks_of
from .sanity import sanity_check as sanity_check
from .sanity import structural_similarity as structural_similarity
from .sanity import verdict_of as verdict_of
from dataclasses import dataclass
from matplotlib.axes import Axes
from torch import nn
import numpy as np

__all__ = ['scores', 'Agreement', 'agreement', 'Score', 'Leaderboard', 'above_zero', 'leaderboard']


scores: dict


@dataclass(eq=False, repr=False)
class Agreement:
    names: list
    values: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        ...

    def to_dict(self) -> dict:
        ...

    def __repr__(self):
        ...

    def plot(self, ax=...) -> Axes:
        ...


@dataclass(frozen=True)
class Score:
    better: str
    says: str
    misleads: str
    decides: bool = ...


@dataclass(eq=False, repr=False)
class Leaderboard:
    values: dict
    ignored: tuple
    settings: dict
    notes: list

    @property
    def columns(self) -> list:
        ...

    def mean(self, method: str, score: str) -> tuple:
        ...

    def __repr__(self):
        ...

    def mean_rank(self, method: str) -> float:
        ...

    @property
    def order(self) -> list:
        ...

    def beats_baselines(self, method: str, score: str) -> bool:
        ...

    def rows(self) -> Rows:
        ...

    def to_dict(self) -> dict:
        ...

    def to_markdown(self) -> str:
        ...

    def plot(self):
        ...


def agreement(model: nn.Module, images, methods=..., labels=..., layers=..., target=..., normalisation=..., batch_size: int=...) -> Agreement:
    ...


def above_zero(gains, seed: int=...) -> bool:
    ...


def leaderboard(model: nn.Module, images, methods=..., layers=..., labels=..., masks=..., target=..., steps: int=..., sanity_images: int=..., seed: int=..., normalisation=..., batch_size: int=...) -> Leaderboard:
    ...

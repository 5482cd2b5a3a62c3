"""What a finished study says: questions put to a table of runs, with intervals, verdicts and honest refusals."""

from distlaw.evidence.against_supervised import AgainstSupervised, Crossing, Duel, against_supervised
from distlaw.evidence.answer import LEVEL, CannotSay
from distlaw.evidence.capacity_gap import CapacityGap, StudentGap, capacity_gap
from distlaw.evidence.cells import Cells, gather
from distlaw.evidence.choices import Choice, Choices, choose_teachers
from distlaw.evidence.extrapolation import Extrapolation, extrapolate
from distlaw.evidence.forms import FormScore, FormScores, score_forms
from distlaw.evidence.noise import SeedNoise, Spread, seed_noise
from distlaw.evidence.study import Evidence, examine
from distlaw.evidence.through_loss import ExtraTerm, through_loss
from distlaw.evidence.token_worth import CellWorth, Constancy, TokenWorths, token_worths

__all__ = [
    "LEVEL",
    "AgainstSupervised",
    "CannotSay",
    "CapacityGap",
    "CellWorth",
    "Cells",
    "Choice",
    "Choices",
    "Constancy",
    "Crossing",
    "Duel",
    "Evidence",
    "ExtraTerm",
    "Extrapolation",
    "FormScore",
    "FormScores",
    "SeedNoise",
    "Spread",
    "StudentGap",
    "TokenWorths",
    "against_supervised",
    "capacity_gap",
    "choose_teachers",
    "examine",
    "extrapolate",
    "gather",
    "score_forms",
    "seed_noise",
    "through_loss",
    "token_worths",
]

"""The methods, in the order in which ``auto`` asks them."""

from __future__ import annotations

from medsr.catalog import CatalogEntry
from medsr.errors import ModelError
from medsr.methods.choosing import Choice, Refusal, Situation
from medsr.methods.closed_form import Deconvolution, Interpolation
from medsr.methods.fixed_scale import FixedScale
from medsr.methods.plan import Method
from medsr.methods.refiner import Refining

METHODS: tuple[Method, ...] = (Refining(), FixedScale(), Deconvolution(), Interpolation())


def method_of(entry: CatalogEntry) -> Method:
    """The method that runs a model."""
    for method in METHODS:
        if method.runs(entry):
            return method
    raise ModelError(f"Nothing here runs {entry.name}, a model of the kind {entry.kind!r}.")


def automatic(situation: Situation) -> Choice:
    """The model of the first method that takes the situation on."""
    refused: Refusal | None = None
    for method in METHODS:
        answer = method.automatic(situation, refused)
        if isinstance(answer, Choice):
            return answer
        refused = answer or refused
    raise ModelError("There is no model for this volume.")

"""What the phantoms found: one row per case and model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from medsr.evaluation.phantoms.objects import SQUARES_MM
from medsr.evaluation.phantoms.scenes import BALLS_MM, EDGE, RODS_MM
from medsr.evaluation.rows import Metric

SCHEMA = "medsr-phantoms/1"

GROUPS = {
    **{f"ball {d:g}": f"balls {d:g} mm" for d in BALLS_MM},
    **{f"rod {d:g}": f"rods {d:g} mm" for d in RODS_MM},
}
"""Groups of lesions, and what they are called."""


def _grouped(name: str, label: str) -> tuple[Metric, ...]:
    return tuple(
        Metric(f"{name}_{group.replace(' ', '_')}", f"{words} {label}".strip(), "%", 0, None)
        for group, words in GROUPS.items()
    )


LESION_METRICS = (
    Metric("shown", "shown", "", 0, None),
    Metric("kept", "kept", "", 0, True),
    Metric("shrunk", "shrunk", "", 0, False),
    Metric("moved", "moved", "", 0, False),
    Metric("lost", "lost", "", 0, False),
    Metric("made_per_cm3", "made/cm3", "", 4, False),
    Metric("own_per_cm3", "own", "", 4, False),
    Metric("sharper", "too sharp", "%", 0, False),
    Metric("agreed_mm", "agrees to", "mm", 1, False),
)
"""Lesions, and what is sharper than it is right."""

DETAIL_METRICS = (
    *(Metric(f"two_{axis}", f"lines {axis}", "mm", 1, False) for axis in "xyz"),
    Metric("two_gain", "gain", "mm", 1, True),
    Metric("letters", "letters", "of 24", 0, True),
    *(Metric(f"board_{edge:g}_plane", f"squares {edge:g} mm", "%", 0, None) for edge in SQUARES_MM),
    *(Metric(f"board_{edge:g}_across", f"{edge:g} mm across", "%", 0, None) for edge in SQUARES_MM),
    Metric("plaque_peak", "plaque peak", "%", 0, None),
    Metric("plaque_volume", "plaque volume", "%", 0, None),
    Metric("folds_kept", "folds", "%", 0, None),
    Metric("fold_made", "missing fold", "%", 0, None),
)
"""Resolution, and the things that no training saw."""

BIAS_METRICS = (*_grouped("contrast", ""), *_grouped("volume", "volume"))
"""Bias of contrast and of volume, by size."""

METRICS = (*LESION_METRICS, *DETAIL_METRICS, *BIAS_METRICS)


@dataclass(frozen=True)
class PhantomRow:
    """One model on one case.

    Attributes:
        case: label of the degradation, noise included.
        model: name as asked; `model_used` is what the inference reports.
        figures: name of a metric -> figure; what could not be measured is left out.
        perceptual: True for a model that may invent detail.
        seconds: wall-clock time of all enlargements together.
        error: why there are no figures, or "".
    """

    case: str
    model: str
    model_used: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    perceptual: bool = False
    seconds: float | None = None
    error: str = ""


@dataclass(frozen=True)
class PhantomTable:
    """All rows of a bench, and what it was made with.

    Attributes:
        rows: in the order in which they were made.
        modality: of the phantoms.
        edge_mm: side of the phantoms with lesions.
        seed: of phantoms and noise.
    """

    rows: tuple[PhantomRow, ...]
    modality: str = "MR"
    edge_mm: int = EDGE
    seed: int = 0

    @property
    def failures(self) -> list[PhantomRow]:
        """Rows without figures."""
        return [row for row in self.rows if row.error]

    @property
    def models(self) -> list[str]:
        """Names of the models, in order of appearance."""
        return list(dict.fromkeys(row.model for row in self.rows))

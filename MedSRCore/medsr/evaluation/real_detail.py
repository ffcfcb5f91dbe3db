"""Detail that another stack of the same patient confirms.

The plane of the other stack holds the direction that the first one sampled coarsely. What a model makes of that
direction is correlated with what the other stack measured, band by band.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medsr.errors import InputError
from medsr.evaluation.blocks import Blocks, Estimate, Moments
from medsr.evaluation.detail import BANDS, COARSE, Lattice, filtered, make_lattice, resolves
from medsr.evaluation.real_rows import BASELINE, RealRow, RealTable
from medsr.evaluation.real_runner import Array, Look, Runner, nearest, unit_of
from medsr.evaluation.registration import register
from medsr.evaluation.slice_width import fit_slice_width
from medsr.volume import Volume

_POOR, _SUSPECT = 0.5, 0.75
"""Correlation of what both series resolve below which they show different things, and below which they may."""

_SOUND = 0.02
"""Correlation of the baseline below which a ratio to it says nothing."""


@dataclass(frozen=True)
class _Witness:
    """The other series, ready to confirm detail."""

    lattice: Lattice
    image: Array
    blocks: Blocks

    def hear(self, result: Volume) -> tuple[Array, dict[str, Moments]]:
        """A result as the other scanner would have seen it, and how it goes with what that saw, band by band."""
        seen = self.lattice.see(result)
        found = {}
        for band in (COARSE, *(band for band in BANDS if resolves(self.lattice, band))):
            ours, theirs = (filtered(image, self.lattice, band) for image in (seen, self.image))
            found[band.name] = self.blocks.moments(ours, theirs)
        return seen, found


def compare_detail(runner: Runner, other: Volume, rows: Sequence[RealRow], names: tuple[str, str], seed: int) -> Look:
    """Correlate what the other series measured with what each model made."""
    thick, test = runner.thick, runner.test
    place = (test.across, test.other_across, test.other_thickness_mm)
    # Before any work: do the fields meet at all?
    make_lattice(thick.geometry, other.geometry, *place)
    base_row, plain = runner.baseline()
    runner.progress.stage("Registering the two series")
    fit = register(other, plain, runner.progress.check)
    fit.check_near()
    moved = other.replace(geometry=fit.moved(other.geometry))
    lattice = make_lattice(thick.geometry, moved.geometry, *place)
    image = lattice.read(moved)
    witness = _Witness(lattice, image, Blocks.of(lattice.kept, lattice.geometry.spacing_xyz_mm, seed))
    base_image, base = witness.hear(plain)
    warnings = _common_ground(base[COARSE.name].correlation, fit.describe())
    width = fit_slice_width(thick.geometry, test.across, base_image, image, lattice, seed)
    filled, results = [], {}
    on_lattice = moved.replace(array=image, geometry=lattice.geometry)
    for asked in rows:
        if asked.model == BASELINE:
            row, seen, heard = base_row, base_image, base
        else:
            row, result = runner.run(asked)
            if result is None:
                filled.append(row)
                continue
            seen, heard = witness.hear(result)
        filled.append(dataclasses.replace(row, figures=_correlations(heard, base)))
        results[row.label] = on_lattice.replace(array=seen)
    blocks = witness.blocks
    table = RealTable(
        *names, test, unit_of(thick), tuple(filled), blocks.pixels, len(blocks), fit, width, tuple(warnings)
    )  # fmt: skip
    return Look(table, on_lattice, nearest(thick, lattice.geometry), results, lattice)


def _common_ground(common: float, movement: str) -> list[str]:
    """Warnings about how little the two series agree in what both resolve; raises where it is too little."""
    if common < _POOR:
        raise InputError(
            f"After a {movement}, what both series resolve correlates by {common:.2f} only, {_POOR:g} is the least: "
            "they do not show the same. Two series of one contrast, patient and session are needed."
        )
    if common < _SUSPECT:
        return [
            f"What both series resolve correlates by {common:.2f} only: contrast, shading or deformation differ, so "
            "that real detail is confirmed in part."
        ]
    return []


def _correlations(ours: Mapping[str, Moments], base: Mapping[str, Moments]) -> dict[str, Estimate]:
    """Correlation per band, its ratio to the baseline's, and amplitude, relative to that of what both resolve."""
    figures: dict[str, Estimate] = {}
    scale = ours[COARSE.name].amplitude
    for name, moments in ours.items():
        figures[name] = Estimate.of(moments.correlation, moments.resampled)
        if name == COARSE.name:
            continue
        figures[f"{name}_amplitude"] = Estimate(moments.amplitude / scale)
        plain = base[name]
        least = Estimate.of(plain.correlation, plain.resampled)
        if (least.value if least.low is None else least.low) > _SOUND:
            drawn = None
            if moments.resampled is not None and plain.resampled is not None:
                drawn = moments.resampled / plain.resampled
            figures[f"{name}_ratio"] = Estimate.of(moments.correlation / plain.correlation, drawn)
    return figures

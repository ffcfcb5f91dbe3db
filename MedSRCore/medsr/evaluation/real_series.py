"""Judging models by a second measured series instead of a simulation.

Two tests, chosen by how the series lie to each other:

* **detail**: the other series is a stack whose plane holds the direction that the first one sampled coarsely. What a
  model makes of that direction is correlated with what the other stack measured (`medsr.evaluation.detail`).
* **difference**: the other series is parallel and finer on the same frame, as a thin reconstruction of the same scan.
  It is the truth, voxel by voxel.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medsr.catalog import load_catalog
from medsr.errors import CancelledError, InputError, InvalidValueError, ModelError
from medsr.evaluation.blocks import Blocks, Estimate, Moments
from medsr.evaluation.detail import BANDS, COARSE, Lattice, filtered, make_lattice, resolves
from medsr.evaluation.real_rows import BASELINE, DETAIL, DIFFERENCE, RealRow, RealTable, RealTest
from medsr.evaluation.registration import FARTHEST_DEGREES, FARTHEST_MM, register
from medsr.evaluation.rows import BICUBIC, ORACLE
from medsr.evaluation.run import FAILURES, Enlarged, reason
from medsr.evaluation.slice_width import fit_slice_width
from medsr.facts import AXES
from medsr.geometry import Geometry
from medsr.jobs import Progress
from medsr.metrics import foreground_mask, score
from medsr.options import UpscaleOptions
from medsr.planning.evidence import ANISOTROPIC_RATIO, slice_axis
from medsr.volume import Volume

_LOG = logging.getLogger(__name__)

PARALLEL_DEGREES, CROSSING_DEGREES = 10.0, 30.0
"""Angle between the slices up to which two series count as parallel, and from which one sees into the other."""

_FEWEST_SLICES = 6
_POOR, _SUSPECT = 0.5, 0.75
"""Correlation of what both series resolve below which they show different things, and below which they may."""

_SOUND = 0.02
"""Correlation of the baseline below which a ratio to it says nothing."""

Array = NDArray[np.float32]
Figures = dict[str, Estimate]


class EnlargeOnto(Protocol):
    """The seam to the inference; `medsr.inference.pipeline.super_resolve` is one."""

    def __call__(
        self, volume: Volume, options: UpscaleOptions, progress: Progress | None, /, *, reference: Geometry | None
    ) -> Enlarged:
        """Enlarge `volume` as `options` say, onto the grid `reference` where it is given."""


@dataclass(frozen=True)
class Look:
    """The images of a comparison, for whoever wants to look at them; all on the same pixels.

    Attributes:
        table: the figures.
        reference: the other series, as it was compared.
        measured: the series that was enlarged, at each pixel the nearest of its voxels.
        results: label of the row -> what the model made, as it was compared.
        lattice: where the pixels lie, for the detail test.
    """

    table: RealTable
    reference: Volume
    measured: Volume
    results: Mapping[str, Volume]
    lattice: Lattice | None = None


def judge(
    thick: Volume,
    other: Volume,
    models: Sequence[str],
    *,
    names: tuple[str, str] = ("series", "other series"),
    profiles: Sequence[str] = ("auto",),
    seed: int = 0,
    options: UpscaleOptions | None = None,
    progress: Progress | None = None,
    watch: Callable[[Look], None] | None = None,
    enlarge: EnlargeOnto | None = None,
) -> RealTable:
    """Enlarge `thick` with every model and judge the results by `other`.

    A model that fails gives a row with the reason; the others go on. The same arguments give the same figures, times
    aside.

    Args:
        thick: a volume as measured.
        other: another series of the same patient.
        models: names of the catalog; `BASELINE` is computed in any case.
        names: what tables call the two.
        profiles: what is told of the slice axis of `thick`, as `UpscaleOptions.profile` takes it for one axis; every
            model that uses a profile runs with each.
        seed: of the bootstrap.
        options: what else the models are told (device, memory, consistency, ...).
        progress: receives the stages; can stop the run.
        watch: called at the end with all images.
        enlarge: replaces the inference.

    Raises:
        InputError: series that allow no test, or do not show the same.
        InvalidValueError, UnknownNameError: models or profiles that make no sense.
        ModelError: the baseline gave no result.
        CancelledError: the person stopped the run.
    """
    if not models or not profiles:
        raise InvalidValueError("A comparison needs at least one model and one profile.")
    if unable := [name for name in models if name in (ORACLE, BICUBIC)]:
        raise InvalidValueError(f"{unable[0]} exists for simulated cases only; name a model of `medsr models`.")
    test = choose_test(thick, other)
    told = {profile: _told(test.across, profile) for profile in profiles}
    runner = _Runner(
        thick, test, told, options or UpscaleOptions(), enlarge or _inference(), progress or Progress()
    )  # fmt: skip
    compare = _detail if test.kind == DETAIL else _difference
    look = compare(runner, other, runner.runs(models), names, seed)
    if watch is not None:
        watch(look)
    return look.table


def choose_test(thick: Volume, other: Volume) -> RealTest:
    """The test that the two series allow, from how they lie to each other.

    Raises:
        InputError: neither is possible; the text says why.
    """
    for name, volume in (("The series to enlarge", thick), ("The other series", other)):
        if volume.channels > 1:
            raise InputError(f"{name} has {volume.channels} channels; this test takes grey images.")
        if volume.planar or min(volume.geometry.size_xyz) < _FEWEST_SLICES:
            raise InputError(
                f"{name} has {volume.geometry.describe()}; a stack of at least {_FEWEST_SLICES} slices is needed."
            )
    if thick.modality and other.modality and thick.modality != other.modality:
        raise InputError(f"One series is {thick.modality}, the other {other.modality}: they show different things.")
    across, _ = _slices(thick)
    other_across, stacked = _slices(other)
    normal = _direction(thick.geometry, across)
    cosines = [abs(float(normal @ _direction(other.geometry, axis))) for axis in range(3)]
    if not stacked:
        # Fine in every direction. In CT it may be the same scan, reconstructed finer; else it is looked at from the
        # side, where intensities need not be comparable.
        aligned = _degrees(max(cosines)) <= PARALLEL_DEGREES
        same_scan = thick.modality == "CT" and aligned
        other_across = int(np.argmax(cosines) if same_scan else np.argmin(cosines))
    angle = _degrees(cosines[other_across])
    if angle <= PARALLEL_DEGREES:
        kind, why = DIFFERENCE, _parallel(thick, across, other, other_across, angle)
    elif angle >= CROSSING_DEGREES:
        kind, why = DETAIL, _crossing(thick, across, other, other_across, angle)
    else:
        raise InputError(
            f"The slices of the two series are inclined by {angle:.0f} degrees: neither parallel (up to "
            f"{PARALLEL_DEGREES:g} degrees) nor does one see into the other (from {CROSSING_DEGREES:g})."
        )
    apart = thick.geometry.spacing_xyz_mm[across]
    return RealTest(kind, across, apart, other_across, _width(other, other_across), why)


def _parallel(thick: Volume, across: int, other: Volume, other_across: int, angle: float) -> str:
    """Why the finer series is the truth; raises where it is not finer."""
    ours = max(_width(thick, across), thick.geometry.spacing_xyz_mm[across])
    theirs = max(_width(other, other_across), other.geometry.spacing_xyz_mm[other_across])
    if ANISOTROPIC_RATIO * theirs > ours:
        raise InputError(
            f"The slices of the two series are parallel ({angle:.1f} degrees), and those of the other one are not "
            f"finer: {theirs:.3g} mm against {ours:.3g} mm. A series is needed that is finer across the slices, or "
            "whose plane holds that direction."
        )
    return (
        f"The slices are parallel ({angle:.1f} degrees) and finer in the other series ({theirs:.3g} mm against "
        f"{ours:.3g} mm): it is the truth, voxel by voxel."
    )


def _crossing(thick: Volume, across: int, other: Volume, other_across: int, angle: float) -> str:
    """Why the other series can confirm detail; raises where it cannot."""
    apart = thick.geometry.spacing_xyz_mm[across]
    pixel = max(s for axis, s in enumerate(other.geometry.spacing_xyz_mm) if axis != other_across)
    if ANISOTROPIC_RATIO * pixel > apart:
        raise InputError(
            f"The pixels of the other series are {pixel:.3g} mm wide, the slices that they should look into "
            f"{apart:.3g} mm apart: it is not finer there."
        )
    return (
        f"The slices cross at {angle:.0f} degrees: the plane of the other series (pixels of {pixel:.3g} mm) holds the "
        f"direction across the slices ({apart:.3g} mm apart), and its detail is correlated with what the models make."
    )


@dataclass(frozen=True)
class _Runner:
    """Enlarges the thick series."""

    thick: Volume
    test: RealTest
    profiles: Mapping[str, str]
    options: UpscaleOptions
    enlarge: EnlargeOnto
    progress: Progress

    def runs(self, models: Sequence[str]) -> list[RealRow]:
        """Rows to fill: every model with every profile that it can use."""
        return [
            RealRow(model, profile)
            for model in dict.fromkeys(models)
            for profile in (self.profiles if _uses_profile(model) else ("auto",))
        ]

    def baseline(self, grid: Geometry | None = None) -> tuple[RealRow, Volume]:
        """What everything is compared with."""
        row, volume = self.run(RealRow(BASELINE), grid)
        if volume is None:
            raise ModelError(f"{BASELINE}, which every model is compared with, gave no result: {row.error}")
        return row, volume

    def run(self, row: RealRow, grid: Geometry | None = None) -> tuple[RealRow, Volume | None]:
        """The row with what is known of the model, and its result; None where it failed."""
        self.progress.stage(f"Enlarging with {row.label}")
        started = time.perf_counter()
        try:
            enlarged = self.enlarge(
                self.thick, self._asked(row, grid), Progress(cancelled=self._stopped), reference=grid
            )  # fmt: skip
        except CancelledError:
            raise
        except FAILURES as error:
            _LOG.warning("%s failed: %s", row.label, error)
            return dataclasses.replace(row, error=reason(error)), None
        used = str(enlarged.report.get("model", row.model))
        row = dataclasses.replace(
            row,
            model_used=used,
            perceptual=bool(enlarged.report.get("perceptual", False)),
            seconds=time.perf_counter() - started,
            taken=_taken(enlarged.report, self.test.across) if _uses_profile(used) else "",
        )
        return row, enlarged.volume

    def _asked(self, row: RealRow, grid: Geometry | None) -> UpscaleOptions:
        spacing = self.thick.geometry.spacing_xyz_mm
        return dataclasses.replace(
            self.options,
            model=row.model,
            profile=self.profiles.get(row.profile, "auto"),
            dtype="float32",
            reference=None if grid is None else "the other series",
            isotropic=grid is None and max(spacing) >= ANISOTROPIC_RATIO * min(spacing),
        )

    def _stopped(self) -> bool:
        # An enlargement gets a progress of its own: its 0 to 1 is not that of the run, but a wish to stop is.
        try:
            self.progress.check()
        except CancelledError:
            return True
        return False


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


def _detail(runner: _Runner, other: Volume, rows: Sequence[RealRow], names: tuple[str, str], seed: int) -> Look:
    """Correlate what the other series measured with what each model made."""
    thick, test = runner.thick, runner.test
    place = (test.across, test.other_across, test.other_thickness_mm)
    # Before any work: do the fields meet at all?
    make_lattice(thick.geometry, other.geometry, *place)
    base_row, plain = runner.baseline()
    runner.progress.stage("Registering the two series")
    fit = register(other, plain, runner.progress.check)
    if fit.is_far:
        raise InputError(
            f"The other series fits best after a {fit.describe()}; up to {FARTHEST_MM:g} mm and {FARTHEST_DEGREES:g} "
            "degrees are believed. Are both of one patient and one session, and do their headers say where they lie?"
        )
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
        *names, test, _unit(thick), tuple(filled), blocks.pixels, len(blocks), fit, width, tuple(warnings)
    )  # fmt: skip
    return Look(table, on_lattice, _nearest(thick, lattice.geometry), results, lattice)


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


def _correlations(ours: Mapping[str, Moments], base: Mapping[str, Moments]) -> Figures:
    """Correlation per band, its ratio to the baseline's, and amplitude, relative to that of what both resolve."""
    figures: Figures = {}
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


def _difference(runner: _Runner, other: Volume, rows: Sequence[RealRow], names: tuple[str, str], seed: int) -> Look:
    """Compare each result with the finer series, voxel by voxel."""
    thick = runner.thick
    start, stop = _common_box(other.geometry, thick.geometry)
    grid = other.geometry.cropped(start, [b - a for a, b in zip(start, stop, strict=True)])
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))[::-1]
    reference = other.replace(array=np.ascontiguousarray(other.array[box], dtype=np.float32), geometry=grid)
    truth: Array = reference.array  # type: ignore[assignment]
    mask = foreground_mask(truth)
    blocks = Blocks.of(np.ones(truth.shape, dtype=bool), grid.spacing_xyz_mm, seed)
    base_row, plain = runner.baseline(grid)
    base = _squares(plain, truth, blocks)
    filled, results = [], {}
    for asked in rows:
        row, result = (base_row, plain) if asked.model == BASELINE else runner.run(asked, grid)
        if result is None:
            filled.append(row)
            continue
        figures = _errors(_squares(result, truth, blocks), base, blocks)
        scores = score(result.array, truth, mask=mask)
        figures |= {"psnr": Estimate(scores.psnr), "ssim": Estimate(scores.ssim), "bias": Estimate(scores.bias)}
        filled.append(dataclasses.replace(row, figures=figures))
        results[row.label] = result
    warnings: tuple[str, ...] = ()
    if "CT" not in (thick.modality, other.modality):
        warnings = (
            "Intensities of MR are comparable between images of one acquisition only; else a difference in brightness "
            "counts as an error.",
        )
    table = RealTable(
        *names, runner.test, _unit(thick), tuple(filled), blocks.pixels, len(blocks), warnings=warnings
    )  # fmt: skip
    return Look(table, reference, _nearest(thick, grid), results)


def _common_box(grid: Geometry, field: Geometry) -> tuple[list[int], list[int]]:
    """First and last (exclusive) index of the voxels of `grid` between the outermost voxel centres of `field`.

    Where the grids are inclined, the side that sticks out furthest is trimmed until none does.

    Raises:
        InputError: there are none.
    """
    start, stop = [0, 0, 0], list(grid.size_xyz)
    steps = np.linalg.inv(grid.affine[:3, :3]) @ field.affine[:3, :3]
    while all(b - a >= 2 for a, b in zip(start, stop, strict=True)):
        corners = np.array(list(itertools.product(*((a, b - 1) for a, b in zip(start, stop, strict=True)))))
        index = field.to_index(grid.to_patient(corners))
        beyond = (index - np.clip(index, 0, np.array(field.size_xyz) - 1)) @ steps.T
        corner, axis = (int(i) for i in np.unravel_index(int(np.abs(beyond).argmax()), beyond.shape))
        if abs(beyond[corner, axis]) < 1e-3:
            return start, stop
        voxels = max(1, int(abs(beyond[corner, axis])))
        if corners[corner, axis] == start[axis]:
            start[axis] += voxels
        else:
            stop[axis] -= voxels
    raise InputError("The two series have no field in common. Are they of one patient and one session?")


def _squares(result: Volume, truth: Array, blocks: Blocks) -> NDArray[np.float64]:
    """Number of voxels and sum of squared errors of each block."""
    error = np.square(result.array.astype(np.float64) - truth)
    return blocks.sums(np.ones_like(error), error)


def _errors(ours: NDArray[np.float64], base: NDArray[np.float64], blocks: Blocks) -> Figures:
    """RMSE and its ratio to the baseline's, from the sums of blocks."""

    def rmse(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.sqrt(sums[..., 1] / sums[..., 0]))

    value, least = float(rmse(ours.sum(axis=0))), float(rmse(base.sum(axis=0)))
    drawn = None if blocks.draws is None else rmse(blocks.draws @ ours)
    figures = {"rmse": Estimate.of(value, drawn)}
    if least > 0:
        ratio = None if blocks.draws is None or drawn is None else drawn / rmse(blocks.draws @ base)
        figures["rmse_ratio"] = Estimate.of(value / least, ratio)
    return figures


def _nearest(thick: Volume, grid: Geometry) -> Volume:
    """The series on `grid`, at each voxel the nearest of its own."""
    step = np.linalg.inv(thick.geometry.affine[:3, :3]) @ grid.affine[:3, :3]
    first = thick.geometry.to_index(grid.to_patient((0, 0, 0)))
    x, y, z = (np.arange(n) for n in grid.size_xyz)
    index = []
    for axis, size in enumerate(thick.geometry.size_xyz):
        place = first[axis] + step[axis, 0] * x + step[axis, 1] * y[:, None] + step[axis, 2] * z[:, None, None]
        index.append(np.clip(np.rint(place), 0, size - 1).astype(int))
    return thick.replace(array=thick.array[index[2], index[1], index[0]].astype(np.float32), geometry=grid)


def _slices(volume: Volume) -> tuple[int, bool]:
    """Grid axis across the slices, and whether they are coarser than the pixels."""
    found = slice_axis(volume.facts, UpscaleOptions(), volume.geometry)
    spacing = volume.geometry.spacing_xyz_mm
    axis = AXES.index(found) if found else max(range(3), key=lambda axis: (round(spacing[axis], 3), axis))
    return axis, spacing[axis] >= ANISOTROPIC_RATIO * min(spacing)


def _width(volume: Volume, axis: int) -> float:
    """Thickness of slices: as stated, else their distance."""
    return volume.facts.number("thickness_mm", AXES[axis]) or volume.geometry.spacing_xyz_mm[axis]


def _direction(geometry: Geometry, axis: int) -> NDArray[np.float64]:
    return np.array(geometry.direction).reshape(3, 3)[:, axis]


def _degrees(cosine: float) -> float:
    return math.degrees(math.acos(min(1.0, cosine)))


def _told(across: int, profile: str) -> str:
    """A profile of the slice axis, as `UpscaleOptions.profile` takes it; raises for one that makes no sense."""
    if "," in profile:
        raise InvalidValueError(f"A profile here is that of the slice axis alone, got {profile!r}.")
    told = "auto" if profile == "auto" else ",".join(profile if axis == across else "auto" for axis in range(3))
    UpscaleOptions(profile=told)
    return told


def _uses_profile(model: str) -> bool:
    entry = load_catalog().get(model)
    return entry is None or entry.kind != "interpolation"


def _taken(report: Mapping[str, Any], across: int) -> str:
    """The slice profile of a report, in words."""
    for found in report.get("acquisition", ()):
        if found["axis"] == AXES[across]:
            return f"{found['profile']} {found['width_mm']:.3g} mm" + (", assumed" if found.get("assumed") else "")
    return ""


def _unit(volume: Volume) -> str:
    return "HU" if volume.modality == "CT" else ""


def _inference() -> EnlargeOnto:
    # Only here: the package may be read without its inference (and whatever that needs).
    from medsr.inference.pipeline import super_resolve

    return super_resolve

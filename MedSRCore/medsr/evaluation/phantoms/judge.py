"""What became of every scene: the figures of each case and model, gathered trial by trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from medsr.evaluation.phantoms import objects, pairs
from medsr.evaluation.phantoms.lesions import Found, biases, counts, judge_lesions
from medsr.evaluation.phantoms.made import Ground, Made, judge_made
from medsr.evaluation.phantoms.rows import PhantomRow
from medsr.evaluation.phantoms.scenes import Scene, from_image
from medsr.evaluation.phantoms.sfrc import Agreement, judge_patches
from medsr.evaluation.phantoms.shapes import Floats
from medsr.evaluation.protocols import Case, degrade
from medsr.evaluation.run import Trial
from medsr.geometry import Geometry
from medsr.methods.interpolate import interpolate
from medsr.physics.sampling import Acquisition
from medsr.volume import Volume

BASELINE = "bspline"
"""What the gain of resolution is measured against; it is always run."""


class Volumes(Mapping[str, Volume]):
    """Scene name -> its image, made when it is asked for."""

    def __init__(self, scenes: Mapping[str, Scene], modality: str) -> None:
        self._scenes, self._modality = scenes, modality

    def __getitem__(self, name: str) -> Volume:
        return self._scenes[name].volume(self._modality)

    def __iter__(self) -> Iterator[str]:
        return iter(self._scenes)

    def __len__(self) -> int:
        return len(self._scenes)


@dataclass
class _Gathered:
    """What was found of one model in one case so far."""

    row: PhantomRow
    found: list[Found] = field(default_factory=list)
    made: Made = field(default_factory=lambda: Made(0, 0, 0.0))
    agreements: list[Agreement] = field(default_factory=list)
    dips: dict[str, dict[float, float]] = field(default_factory=dict)
    things: dict[str, float] = field(default_factory=dict)


class Judge:
    """Looks at the images of every trial, and keeps the figures.

    Args:
        scenes: what is judged.
        modality: of their images.
        cases: label -> case.
    """

    def __init__(self, scenes: Sequence[Scene], modality: str, cases: Mapping[str, Case]) -> None:
        self.scenes = {scene.name: scene for scene in scenes}
        self._modality = modality
        self._gathered: dict[tuple[str, str], _Gathered] = {}
        self.cases = cases
        self.volumes = Volumes(self.scenes, modality)

    def __call__(self, trial: Trial) -> None:
        """Judge the results of a trial."""
        self._note(trial)
        scene, case = self.scenes[trial.volume], self.cases[trial.case]
        results = {model: self._read(volume) for model, volume in trial.results.items()}
        if scene.name == pairs.NAME:
            for model, result in results.items():
                self._gathered[trial.case, model].dips = pairs.dips(result, scene)
        elif scene.name == objects.NAME:
            for model, result in results.items():
                self._gathered[trial.case, model].things = objects.judge_objects(result, scene)
        else:
            ground, acquisition = self._ground(trial, scene, case)
            for model, result in results.items():
                kept = self._gathered[trial.case, model]
                kept.made += judge_made(result, ground)
                kept.found += judge_lesions(result, scene, acquisition, ground.sigma)
                kept.agreements.append(judge_patches(result, ground.truth, case.scale_xyz[::-1]))

    def row(self, case: str, model: str) -> PhantomRow:
        """All figures of one model in one case; none where it failed."""
        kept = self._gathered[case, model]
        if kept.row.error:
            return kept.row
        figures = {**_lesion_figures(kept), **self._resolution(case, kept)}
        figures |= {name: value if name == "letters" else 100 * value for name, value in kept.things.items()}
        return dataclasses.replace(kept.row, figures=figures)

    def _note(self, trial: Trial) -> None:
        """Keep what the rows of a trial say of the models."""
        for row in trial.rows:
            kept = self._gathered.setdefault((trial.case, row.model), _Gathered(PhantomRow(trial.case, row.model)))
            kept.row = dataclasses.replace(
                kept.row,
                model_used=row.model_used or kept.row.model_used,
                perceptual=kept.row.perceptual or row.perceptual,
                seconds=(kept.row.seconds or 0.0) + (row.seconds or 0.0),
                error=kept.row.error or (f"{trial.volume}: {row.error}" if row.error else ""),
            )

    def _ground(self, trial: Trial, scene: Scene, case: Case) -> tuple[Ground, Acquisition]:
        """What explains structure in this trial, and the acquisition."""
        _, clean, acquisition = degrade(self.volumes[trial.volume], dataclasses.replace(case, noise=0.0))
        grid = trial.reference.geometry
        x, y, z = grid.size_xyz
        ground = Ground(
            truth=self._read(trial.reference),
            seen=self._enlarged(clean, grid),
            plain=self._enlarged(trial.measured, grid),
            tissue=scene.tissue[:z, :y, :x],
            sigma=case.noise * float(np.percentile(np.asarray(clean.array, np.float32), 99)),
        )
        return ground, acquisition

    def _enlarged(self, volume: Volume, grid: Geometry) -> Floats:
        array = interpolate(np.asarray(volume.array, dtype=np.float32), volume.geometry, grid, BASELINE)
        return from_image(array, self._modality)

    def _read(self, volume: Volume) -> Floats:
        """The intensities of an image as those of a scene."""
        return from_image(np.asarray(volume.array, dtype=np.float32), self._modality)

    def _resolution(self, case: str, kept: _Gathered) -> dict[str, float]:
        found = {axis: pairs.resolution(values) for axis, values in kept.dips.items()}
        figures = {f"two_{axis}": value for axis, value in found.items() if value is not None}
        axis, base = self.cases[case].slice_axis, self._gathered[case, BASELINE].dips
        if axis in found and axis in base:
            # What never tells two lines apart counts as doing so at the largest distance.
            most = max(pairs.DISTANCES_MM)
            figures["two_gain"] = (pairs.resolution(base[axis]) or most) - (found[axis] or most)
        return figures


def _lesion_figures(kept: _Gathered) -> dict[str, float]:
    states = counts(kept.found)
    unseen = states.pop("not shown")
    figures = {"shown": float(len(kept.found) - unseen), **{state: float(n) for state, n in states.items()}}
    if kept.made.volume_cm3:
        figures["made_per_cm3"] = kept.made.lesions / kept.made.volume_cm3
        figures["own_per_cm3"] = kept.made.own / kept.made.volume_cm3
    if patches := sum(each.patches for each in kept.agreements):
        figures["sharper"] = 100 * sum(each.patches * each.sharper for each in kept.agreements) / patches
        figures["agreed_mm"] = float(np.mean([each.agreed_mm for each in kept.agreements if each.patches]))
    for group, (contrast, volume) in biases(kept.found).items():
        name = group.replace(" ", "_")
        figures[f"contrast_{name}"] = contrast
        if volume is not None:
            figures[f"volume_{name}"] = volume
    return figures

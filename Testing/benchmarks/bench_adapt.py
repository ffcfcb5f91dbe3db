"""What fitting the slice-wise network to the very scan gains: it goes on learning on the scan's own fine directions.

    python Testing/benchmarks/bench_adapt.py brain.nii.gz --cases z4 z6gap --steps 48 120
    python Testing/benchmarks/bench_adapt.py chest.nii.gz --modality CT --source scan

Degrades each volume as `medsr evaluate` does. Slices across the thick axis are degraded along each of their own axes as
the thick axis was, and the slice-wise network learns to undo it (SMORE's idea, Zhao et al. 2020): the measured slices
(`--source scan`), or those of the result that is there without it (`result`), which are thin. Two blocks of measured
slices are held back. Prints what the fitted network gains in dB on these, and where it shall help: in the result,
averaged with the volumetric network and after the consistency step, against the truth. Prints Markdown.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from bench_planes import inverted
from numpy.typing import NDArray
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

import medsr
from medsr.evaluation.protocols import CASES, Case, central_crop, degrade
from medsr.inference.consistency import make_consistent
from medsr.inference.planner import make_plan
from medsr.inference.profile_fit import fitted_acquisition
from medsr.methods.networks import RefiningEnlarger, cached_network
from medsr.methods.plan import Plan
from medsr.methods.plane_ensemble import VOLUME_SHARE
from medsr.metrics import psnr
from medsr.models.profile_refiner import ProfileRefiner
from medsr.normalisation import Normalisation
from medsr.options import UpscaleOptions
from medsr.physics.condition import acquisition_condition
from medsr.physics.sampling import Acquisition, AxisSampling
from medsr.training.patches import DegradedPatches, deconvolve_degraded
from medsr.training.recipe import Recipe
from medsr.training.schedule import muon
from medsr.training.sections import AcquisitionRecipe, AppearanceRecipe, NetworkRecipe, OptimiserRecipe
from medsr.training.volumes import TrainingVolume
from medsr.volume import Volume

Array = NDArray[np.float32]

HELD_BACK = ((0.26, 0.33), (0.62, 0.69))
"""Parts of the slices that only judge."""

RATE, SHARES = 5e-4, (0.5, 1.0)
"""Of the optimiser; and how far the weights are moved towards the fitted ones."""

GAP = 1
"""Slices beside them that neither judge nor teach: neighbours look alike."""


def recipe_for(axis: AxisSampling, plan: Plan, steps: int) -> Recipe:
    """The training of the shipped network, at this one acquisition and without changes of contrast."""
    profile, noise = axis.profile, plan.noise or 0.0
    # Nothing is left to chance but the place of a patch: this factor, this width, this noise.
    acquisition = AcquisitionRecipe(
        single_axis=1, thick_factors=(axis.factor,), whole_factors=1, exact_width=0,
        relative_width=(profile.width,) * 2, box=profile.kind == "box", partitions=profile.kind == "kspace",
        tapered=0, zero_filled=0, encoded_planes=0, misstated=0, unknown=0, noise=noise > 0,
        noise_range=(noise, noise), smoothness=plan.entry.smoothness,
    )  # fmt: skip
    return Recipe(
        "adapt", modality=plan.modality, network=NetworkRecipe(spatial_dims=2), acquisition=acquisition,
        appearance=AppearanceRecipe(contrast=0, coarser=0), patch=96, batch=8, steps=steps,
        optimiser=OptimiserRecipe(learning_rate=RATE, muon=True, warmup=10, cooldown=steps // 2),
    )  # fmt: skip


def apart(slices: Array, gap: int) -> tuple[Array, Array]:
    """Slices to learn from and slices to judge by, as ``(n, rows, columns)``."""
    count = len(slices)
    judge, near = np.zeros(count, bool), np.zeros(count, bool)
    for first, last in HELD_BACK:
        start, stop = int(first * count), max(int(last * count), int(first * count) + 1)
        judge[start:stop] = True
        near[max(start - gap, 0) : stop + gap] = True
    return slices[~near], slices[judge]


def fit(network: ProfileRefiner, slices: Array, recipe: Recipe) -> tuple[ProfileRefiner, float]:
    """The network after the steps of a recipe, its weights averaged, and the CPU seconds that they took."""
    half = slices.astype(np.float16)
    volume = TrainingVolume("scan", 1.0, half, half, across=0)
    examples = DegradedPatches(recipe, [volume], 0, recipe.steps * recipe.batch, recipe.seed)
    network = deepcopy(network).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.95))
    schedule = muon(network, recipe.optimiser.learning_rate, recipe.steps, recipe.optimiser)
    started = time.process_time()
    for batch in DataLoader(examples, recipe.batch):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            restored = network(batch["input"], batch["condition"]).float()
        loss = (restored - batch["target"]).square().flatten(1).mean(1).sqrt().mean()
        schedule["optimizer"].zero_grad()
        loss.backward()
        schedule["optimizer"].step()
        schedule["lr_scheduler"]["scheduler"].step()
        average.update_parameters(network)
    return average.module.eval(), time.process_time() - started


def between(start: ProfileRefiner, end: ProfileRefiner, share: float) -> ProfileRefiner:
    """The network whose weights lie a `share` of the way from `start` to `end`."""
    middle, last = deepcopy(start), end.state_dict()
    middle.load_state_dict({name: torch.lerp(value, last[name], share) for name, value in start.state_dict().items()})
    return middle


class Judge:
    """How good a network is on slices that were held back: mean squared error, always the same examples."""

    def __init__(self, slices: Array, axis: AxisSampling, recipe: Recipe) -> None:
        self._pairs = []
        rng = np.random.default_rng(0)
        settings = recipe.acquisition
        for image in (view for one in slices for view in (one, one.T)):
            rows = int(len(image) / axis.factor) * axis.factor
            fine = np.ascontiguousarray(image[: int(rows) // 2 * 2, : image.shape[1] // 2 * 2])
            sampling = Acquisition.from_factors(fine.shape, (axis.factor, 1.0), (axis.profile,) * 2)
            self._pairs.append(
                (deconvolve_degraded(fine, sampling, sampling, settings.noise_range[0], settings, rng), fine)
            )
        self._condition = torch.tensor(acquisition_condition(sampling.axes))[None]

    def __call__(self, network: ProfileRefiner) -> float:
        """The mean over all."""
        errors = []
        for start, fine in self._pairs:
            with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
                restored = network(torch.from_numpy(start)[None, None], self._condition)[0, 0].float().numpy()
            errors.append(float(np.square(restored - fine).mean()))
        return float(np.mean(errors))


class Result:
    """PSNR of the whole way for a network of slices."""

    def __init__(self, volume: Volume, case: Case) -> None:
        self.reference, measured, self.acquisition = degrade(volume, case)
        plan = make_plan(measured, UpscaleOptions(scale=case.scale_xyz))
        self.plan = replace(plan, acquisition=self.acquisition)
        if not self.plan.planes:
            sys.exit(f"{plan.entry.name} has no slices to fit in the case {case.name}.")
        self.coarse = measured.array
        self.scale = Normalisation.of(self.coarse, plan.modality)
        self.slices_plan = self.plan.planes[0]
        entry = self.slices_plan.entry
        self.network = cached_network(str(entry.weights.parents[1]), entry.sha256)
        self._volumetric = RefiningEnlarger(self.plan, "cpu", None, self.scale)(self.coarse, lambda _: None)

    def __call__(self, network: ProfileRefiner) -> tuple[Array, float]:
        """The result on the work grid, and its PSNR."""
        total = np.zeros_like(self._volumetric)
        for job in self.plan.planes:
            enlarge = RefiningEnlarger(job, "cpu", None, self.scale)
            enlarge._network = network
            total += enlarge(self.coarse, lambda _: None) / len(self.plan.planes)
        fine = np.maximum(VOLUME_SHARE * self._volumetric + (1 - VOLUME_SHARE) * total, self.coarse.min())
        fits = self.plan.modality == "MR"
        explains = fitted_acquisition(fine, self.coarse, self.acquisition) if fits else self.acquisition
        make_consistent(fine, self.coarse, explains, noise=self.plan.noise)
        return fine, psnr(fine, self.reference.array)


def rows(volume: Volume, case: Case, options: argparse.Namespace) -> Iterator[list[float]]:
    """For each number of steps: CPU seconds, gain on slices held back, and in the result for each share."""
    result = Result(volume, case)
    thick = int(np.argmax([axis.factor for axis in result.acquisition.axes]))
    axis = result.acquisition.axes[thick]
    measured, held = apart(np.moveaxis(result.scale.apply(result.coarse), thick, 0), GAP)
    start, before = result(result.network)
    enlarged, _ = apart(np.moveaxis(result.scale.apply(start), thick, 0), GAP * math.ceil(axis.factor))
    slices = {"scan": measured, "result": enlarged}[options.source]
    for steps in options.steps:
        recipe = recipe_for(axis, result.slices_plan, steps)
        judge = Judge(held, axis, recipe)
        fitted, seconds = fit(result.network, slices, recipe)
        first = judge(result.network)
        networks = [between(result.network, fitted, share) for share in SHARES]
        own = [10 * math.log10(first / judge(network)) for network in networks]
        yield [steps, seconds, before, *own, *(result(network)[1] - before for network in networks)]


def main() -> None:
    """Fit to every case of every volume."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volumes", nargs="+", type=Path)
    parser.add_argument("--cases", nargs="+", default=["z4"], choices=list(CASES))
    parser.add_argument("--crop", type=int, default=128, help="side of the central box, in voxels")
    parser.add_argument("--modality", default="MR", choices=("CT", "MR"))
    parser.add_argument("--noise", type=float, default=0.0, help="Rician noise, a fraction of the 99th percentile")
    parser.add_argument("--steps", nargs="+", type=int, default=[120])
    parser.add_argument("--source", default="scan", choices=("scan", "result"), help="whose slices are learned from")
    parser.add_argument("--invert", action="store_true", help="fit to each volume with its contrast inverted instead")
    options = parser.parse_args()
    shares = [f"{kind}, {share:g} of the way" for kind in ("held back", "result") for share in SHARES]
    write(["volume", "case", "steps", "CPU seconds", "`auto`", *shares])
    write(["---"] * (5 + len(shares)))
    for path in options.volumes:
        volume = central_crop(medsr.read_volume(path).replace(modality=options.modality), (options.crop,) * 3)
        name = f"{path.name}, inverted" if options.invert else path.name
        volume = inverted(volume) if options.invert else volume
        for case in options.cases:
            for steps, seconds, before, *gains in rows(volume, replace(CASES[case], noise=options.noise), options):
                write([name, case, f"{steps:g}", f"{seconds:.0f}", f"{before:.2f}", *(f"{g:+.3f}" for g in gains)])


def write(cells: Sequence[str]) -> None:
    """One row of a table."""
    sys.stdout.write("| " + " | ".join(cells) + " |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

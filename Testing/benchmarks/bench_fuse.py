"""What fusing several stacks gains: simulated with movement and noise, and on three real stacks of one sitting.

    python Testing/benchmarks/bench_fuse.py simulated brain.nii.gz other.nii.gz --crop 72
    python Testing/benchmarks/bench_fuse.py real tra.nii.gz sag.nii.gz cor.nii.gz --crop-mm 80
    python Testing/benchmarks/bench_fuse.py unires brain.nii.gz --crop 64
    python Testing/benchmarks/bench_fuse.py cost --size 256

`simulated` makes three stacks of each isotropic volume, across z, y and x, the second and the third after a random
movement, with Rician noise. It prints PSNR of `auto` on each stack alone, of the joint Tikhonov solution (the same data
term, registration and matching with the prior of the deconvolution, at the best of several weights, chosen by the
truth), and of `medsr fuse` without and with networks. `real` fuses each two of the stacks and correlates what the third
measured with the results, and with each of the two enlarged by `auto` alone, by the bands of `medsr evaluate
--against`. `unires` gives the simulated stacks to UniRes (github.com/brudfors/UniRes), where it is installed, with the
movement that `medsr fuse` found, for so many of its iterations. `cost` fuses a phantom.
Prints Markdown.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

import medsr
from medsr.errors import MedSRError
from medsr.evaluation.checking.contrast import correlation
from medsr.evaluation.detail import BANDS, COARSE, filtered, make_lattice, resolves
from medsr.evaluation.protocols import central_crop
from medsr.evaluation.registration import RigidFit, register
from medsr.facts import AXES, Fact, Facts
from medsr.fusion import run
from medsr.fusion.prior import Prior
from medsr.fusion.solving import solve_jointly
from medsr.geometry import Geometry
from medsr.methods.interpolate import interpolate
from medsr.metrics import psnr
from medsr.options import UpscaleOptions
from medsr.physics.noise import add_rician_noise
from medsr.physics.sampling import Acquisition
from medsr.planning.evidence import slice_axis
from medsr.volume import Volume

Array = NDArray[np.float32]

ROOM = 12
BORDER = 6
"""Voxels at the border of the field that do not count: what the moved stacks saw only in part."""

WEIGHTS = (0.003, 0.01, 0.03)


@dataclass(frozen=True)
class Simulated:
    """Three stacks and what they show: for each the truth where it lies."""

    stacks: list[Volume]
    truths: list[Volume]


def movement(rng: np.random.Generator, about: NDArray[np.float64], millimetres: float, degrees: float) -> RigidFit:
    """Shifts along and turns about each axis, up to so much."""
    matrix = np.eye(4)
    for axis, angle in enumerate(np.radians(rng.uniform(-degrees, degrees, 3))):
        first, second = (a for a in range(3) if a != axis)
        turn = np.eye(4)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    matrix[:3, 3] = about - matrix[:3, :3] @ about + rng.uniform(-millimetres, millimetres, 3)
    x, y, z = (float(v) for v in about)
    return RigidFit(matrix, (x, y, z))


def simulate(volume: Volume, arguments: argparse.Namespace, seed: int) -> Simulated:
    """Three stacks of the centre of a volume."""
    rng = np.random.default_rng(seed)
    crop = arguments.crop
    wide = central_crop(volume, (crop + 2 * ROOM,) * 3)
    field = wide.geometry.cropped((ROOM,) * 3, (crop,) * 3)
    array, middle = wide.array.astype(np.float32), field.to_patient([(crop - 1) / 2] * 3)
    found = Simulated([], [])
    for axis in range(3):
        moved = field if axis == 0 else movement(rng, middle, arguments.mm, arguments.degrees).moved(field)
        truth = interpolate(array, wide.geometry, moved, "bspline")
        acquisition = Acquisition.from_factors(truth.shape, [arguments.factor if a == axis else 1 for a in range(3)])
        coarse = np.maximum(acquisition.forward(truth), 0).astype(np.float32)
        spacing = [s * (arguments.factor if 2 - a == axis else 1) for a, s in enumerate(field.spacing_xyz_mm)]
        thickness = Facts((Fact("thickness_mm", spacing[2 - axis], "header", AXES[2 - axis]),))
        noisy = add_rician_noise(coarse, arguments.noise, rng)
        grid = field.with_grid(spacing, acquisition.coarse_shape[::-1])
        # The header puts the moved stack where the scanner believed it to be.
        found.stacks.append(Volume(noisy, grid, modality="MR", facts=thickness, source=f"stack {axis + 1}"))
        found.truths.append(Volume(truth, field, modality="MR"))
    return found


def judged(result: Volume, truth: Volume) -> float:
    """PSNR on the grid of the truth, its border aside."""
    same = result.geometry.is_same_as(truth.geometry)
    array = result.array if same else interpolate(result.array, result.geometry, truth.geometry, "bspline")
    inner = (slice(BORDER, -BORDER),) * 3
    return psnr(array[inner], truth.array[inner], span=float(np.ptp(truth.array)))


def joint_tikhonov(case: Simulated) -> float:
    """PSNR of the joint solution without knowledge of edges, at the best weight of its prior."""
    found = []
    for weight in WEIGHTS:

        def plain(observations, start, _sigma, progress, weight=weight):  # type: ignore[no-untyped-def]
            return solve_jointly(observations, start, Prior(weight), 16, progress), weight

        def as_it_is(_observations, volume, _sigma, _smoothness, _progress):  # type: ignore[no-untyped-def]
            return volume

        with mock.patch.object(run, "joint_solution", plain), mock.patch.object(run, "quieted", as_it_is):
            found.append(judged(medsr.fuse(case.stacks).volume, case.truths[0]))
    return max(found)


def simulated(arguments: argparse.Namespace) -> None:
    """The table of simulated stacks."""
    print("| volume | `auto`, each stack alone | joint Tikhonov | `medsr fuse` | with `--networks` |")
    print("|---|---|---:|---:|---:|")
    for path, seed in itertools.product(arguments.volumes, range(arguments.seeds)):
        case = simulate(medsr.read_volume(path), arguments, seed)
        alone = [
            judged(medsr.super_resolve(stack, spacing=min(stack.geometry.spacing_xyz_mm)).volume, truth)
            for stack, truth in zip(case.stacks, case.truths, strict=True)
        ]
        tikhonov = joint_tikhonov(case)
        fused, learned = (judged(medsr.fuse(case.stacks, networks=n).volume, case.truths[0]) for n in (False, True))
        each = ", ".join(f"{v:.2f}" for v in alone)
        name = path.name.partition(".")[0]
        print(
            f"| {name}, seed {seed} | {each} | {tikhonov:.2f} | {fused:.2f} | {learned:.2f} |",
            flush=True,
        )


def unires(arguments: argparse.Namespace) -> None:
    """The same stacks by UniRes, in the frame that `medsr fuse` found: solution against solution."""
    import torch
    from unires.run import preproc  # type: ignore[import-not-found]
    from unires.struct import settings  # type: ignore[import-not-found]

    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    print("| volume | UniRes | its CPU-s | `medsr fuse` |")
    print("|---|---:|---:|---:|")
    for path in arguments.volumes:
        case = simulate(medsr.read_volume(path), arguments, 0)
        fused = medsr.fuse(case.stacks)
        data = []
        for stack, told in zip(case.stacks, fused.report["stacks"], strict=True):
            fit = told["registration"]
            moved = (np.eye(4) if fit is None else np.array(fit["matrix_lps_mm"])) @ stack.geometry.affine
            array = np.ascontiguousarray(stack.array.astype(np.float32).T)
            data.append([torch.as_tensor(array), torch.as_tensor(flip @ moved)])
        asked = settings()
        asked.device, asked.write_out, asked.do_coreg, asked.do_print = torch.device("cpu"), False, False, 0
        asked.vx, asked.max_iter = float(min(fused.volume.geometry.spacing_xyz_mm)), arguments.iterations
        asked.sched_num, asked.tolerance = 0, 1e-3
        before = time.process_time()
        found, affine, _ = preproc([data], asked)
        used = time.process_time() - before
        array = np.ascontiguousarray(np.asarray(found).reshape(found.shape[:3]).T)
        result = Volume(array, Geometry.from_affine(flip @ np.asarray(affine), array.shape[::-1]))
        ours = judged(fused.volume, case.truths[0])
        print(
            f"| {path.name.partition('.')[0]} | {judged(result, case.truths[0]):.2f} | {used:.0f} | {ours:.2f} |",
            flush=True,
        )


def near(volume: Volume, centre: NDArray[np.float64], millimetres: float) -> Volume:
    """The part of a stack within a cube about `centre`."""
    middle, size = volume.geometry.to_index(centre), np.array(volume.geometry.size_xyz)
    half = millimetres / 2 / np.array(volume.geometry.spacing_xyz_mm)
    start = np.clip(np.floor(middle - half), 0, size).astype(int)
    stop = np.clip(np.ceil(middle + half) + 1, 0, size).astype(int)
    array = volume.array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))[::-1]]
    geometry = volume.geometry.cropped(start.tolist(), (stop - start).tolist())
    return volume.replace(array=np.ascontiguousarray(array), geometry=geometry)


def witnessed(results: dict[str, Volume], thick: Volume, witness: Volume) -> dict[str, dict[str, float]]:
    """Correlation of each result with what the witness measured, in bands along the slice axis of `thick`.

    All are read at the same places, within the fields of all; the first result says where the witness lies.
    """
    across = [AXES.index(slice_axis(v.facts, UpscaleOptions(), v.geometry) or "z") for v in (thick, witness)]
    thickness = witness.geometry.spacing_xyz_mm[across[1]]
    onto = next(iter(results.values()))
    moved = witness.replace(geometry=register(witness, onto).moved(witness.geometry))
    lattice = make_lattice(thick.geometry, moved.geometry, across[0], across[1], thickness)
    places = lattice.geometry.to_patient(np.moveaxis(np.indices(lattice.geometry.shape_zyx)[::-1], 0, -1))
    kept = lattice.kept
    for result in results.values():
        index, spacing = result.geometry.to_index(places), np.array(result.geometry.spacing_xyz_mm)
        room = thickness / spacing
        kept = kept & ((index > room) & (index < np.array(result.geometry.size_xyz) - 1 - room)).all(axis=-1)
    image, bands = lattice.read(moved), [COARSE, *(band for band in BANDS if resolves(lattice, band))]
    found: dict[str, dict[str, float]] = {}
    for name, result in results.items():
        seen = lattice.see(result)
        found[name] = {
            band.label: correlation(filtered(seen, lattice, band)[kept], filtered(image, lattice, band)[kept])
            for band in bands
        }
    return found


def real(arguments: argparse.Namespace) -> None:
    """The table of real stacks: two fused, the third is the witness."""
    volumes = {path.name.partition(".")[0].rpartition("_")[2]: medsr.read_volume(path) for path in arguments.volumes}
    anchor = next(iter(volumes.values())).geometry
    centre = anchor.to_patient((np.array(anchor.size_xyz) - 1) / 2)
    stacks = {name: near(volume, centre, arguments.crop_mm) for name, volume in volumes.items()}
    said = {"slice_thickness": arguments.thickness}
    alone = {name: medsr.super_resolve(stack, **said).volume for name, stack in stacks.items()}
    bands = [band.label for band in (COARSE, *BANDS)]
    print(f"| witness | along the slice axis of | result | {' | '.join(bands)} |")
    print(f"|---|---|---|{'---:|' * len(bands)}")
    for witness in stacks:
        first, second = (name for name in stacks if name != witness)
        fused = medsr.fuse([stacks[first], stacks[second]], **said)
        matrix = np.array(fused.report["stacks"][1]["registration"]["matrix_lps_mm"])
        beside = alone[second].replace(geometry=RigidFit(matrix, (0.0, 0.0, 0.0)).moved(alone[second].geometry))
        learned = medsr.fuse([stacks[first], stacks[second]], networks=True, **said).volume
        results = {"fused": fused.volume, "fused, networks": learned, first: alone[first], second: beside}
        for thick in (first, second):
            stack = stacks[thick]
            if thick == second:
                stack = stack.replace(geometry=RigidFit(matrix, (0.0, 0.0, 0.0)).moved(stack.geometry))
            try:
                found = witnessed(results, stack, stacks[witness])
            except MedSRError as error:
                print(f"| {witness} | {thick} | {error} |")
                continue
            for label, figures in found.items():
                told = " | ".join(f"{figures[band]:.3f}" if band in figures else "" for band in bands)
                print(f"| {witness} | {thick} | {label} | {told} |", flush=True)


def cost(arguments: argparse.Namespace) -> None:
    """CPU seconds and memory of fusing three stacks of texture into a cube."""
    size, factor = arguments.size, arguments.factor
    rng = np.random.default_rng(0)
    field = Geometry((size,) * 3, (1.0,) * 3, (0.0,) * 3)
    cells = interpolate(
        rng.standard_normal((size // 8,) * 3).astype(np.float32) * 100 + 500,
        Geometry((size // 8,) * 3, (8.0,) * 3, (3.5,) * 3),
        field,
        "linear",
    )
    stacks = []
    for axis in range(3):
        acquisition = Acquisition.from_factors(cells.shape, [factor if a == axis else 1 for a in range(3)])
        grid = field.with_grid([factor if 2 - a == axis else 1 for a in range(3)], acquisition.coarse_shape[::-1])
        stacks.append(Volume(acquisition.forward(cells), grid, modality="MR", source=f"stack {axis + 1}"))
    del cells
    before, started = time.process_time(), time.perf_counter()
    result = medsr.fuse(stacks, dtype="float32")
    used, passed = time.process_time() - before, time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{result.volume.geometry.describe()}: {used:.0f} CPU-s, {passed:.0f} s, {peak:.2f} GB at most")


def main() -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    for name, do in (("simulated", simulated), ("unires", unires)):
        one = kinds.add_parser(name)
        one.add_argument("volumes", nargs="+", type=Path)
        one.add_argument("--crop", type=int, default=72)
        one.add_argument("--factor", type=int, default=4)
        one.add_argument("--noise", type=float, default=0.02)
        one.add_argument("--mm", type=float, default=3.0)
        one.add_argument("--degrees", type=float, default=3.0)
        one.add_argument("--seeds", type=int, default=1)
        one.add_argument("--iterations", type=int, default=30, help="of UniRes")
        one.set_defaults(do=do)
    two = kinds.add_parser("real")
    two.add_argument("volumes", nargs=3, type=Path)
    two.add_argument("--crop-mm", type=float, default=80.0)
    two.add_argument("--thickness", type=float, help="of the slices of all, where the files do not say")
    two.set_defaults(do=real)
    three = kinds.add_parser("cost")
    three.add_argument("--size", type=int, default=256)
    three.add_argument("--factor", type=int, default=4)
    three.set_defaults(do=cost)
    arguments = parser.parse_args()
    arguments.do(arguments)


if __name__ == "__main__":
    main()

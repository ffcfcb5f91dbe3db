"""Deciding what to do before doing it: grids, acquisition, model, and what it will cost.

Needs no torch, and looks at the voxels only for padding and where nobody has stated what they show, so that a panel can
show size, memory and time before the click.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from medsr.catalog import CatalogEntry, find_model
from medsr.errors import InputError, ModelError
from medsr.facts import AXES
from medsr.geometry import Geometry
from medsr.methods.choosing import MIN_SLICES_3D, Situation, place
from medsr.methods.plan import Plan
from medsr.methods.table import automatic, method_of
from medsr.normalisation import Units
from medsr.notices import Notice, disagreements, notice
from medsr.options import MAX_FACTOR, UpscaleOptions
from medsr.planning.evidence import find_profiles, known_facts, slice_axis
from medsr.planning.interleaving import looks_interleaved
from medsr.planning.looks import Looks
from medsr.planning.noise import noise_level
from medsr.planning.padding import Padding, find_padding
from medsr.planning.sampling import decide_acquisition
from medsr.planning.target import Target
from medsr.volume import Volume

_CT_AIR_HU = -500.0


def make_plan(
    volume: Volume,
    options: UpscaleOptions,
    reference: Geometry | None = None,
    *,
    runnable: bool = False,
    looks: Looks | None = None,
) -> Plan:
    """Decide how to super-resolve `volume`.

    Args:
        volume: the input.
        options: what was asked.
        reference: grid of the file that ``options.reference`` names.
        runnable: choose among the models that run in this Python, without torch no network. By default the best
            model is chosen: the work may be done in another Python, or torch be installed before.
        looks: at this volume, of earlier plans with other options; a panel plans often.

    Raises:
        InvalidValueError, UnknownNameError, ModelError: what was asked cannot be done.
    """
    looks = looks or Looks()
    named = None if options.model == "auto" else find_model(options.model)
    placed = method_of(named).place(volume, options, named, reference) if named else place(volume, options, reference)
    target = placed.target
    modality, known = decide_modality(volume, options.modality)
    padding = find_padding(volume, modality)
    units = Units.of(volume.array if padding is None else volume.array[~padding.mask], modality)
    # Of CT the voxels are not looked at.
    as_is = modality == "CT" or (padding is None and units.are_plain)
    seen = volume if as_is else volume.replace(array=working_array(volume, padding, units))
    evidence = find_profiles(seen, options, modality, looks)
    acquisition, sampled, doubts = decide_acquisition(volume, evidence, target, placed.undoes)
    noise, heard = _noise(volume, seen, padding, modality, looks)
    thin = min(volume.geometry.size_xyz) < MIN_SLICES_3D
    situation = Situation(
        modality, target.factors_xyz, placed.plane_axis, noise, options.mode, thin, runnable=runnable
    )  # fmt: skip
    choice = method_of(named).named(named, situation) if named else automatic(situation)
    _check_channels(choice.entry, volume)
    plan = Plan(
        target,
        choice.entry,
        method_of(choice.entry),
        choice.spatial_dims,
        placed.plane_axis,
        modality,
        evidence,
        acquisition,
        (
            notice("target", what=target.reason),
            notice("modality", modality=modality, known=known),
            *sampled,
            *_peculiarities(volume, target, padding, units),
            *heard,
            *choice.decisions,
            *([notice("slices", axis=AXES[2 - placed.plane_axis])] if choice.spatial_dims == 2 else []),
            *placed.decisions,
        ),
        (
            *(notice("source", text=text) for text in volume.warnings),
            *disagreements(known_facts(volume, options)),
            *doubts,
            *_capped(volume, options, target),
            *_interleaved(seen, options, modality, noise, looks),
            *choice.warnings,
            *placed.warnings,
        ),
        noise,
        volume.channels,
        placed.scale,
        padding,
        units,
        options.effort,
    )
    return _with_planes(plan)


def working_array(volume: Volume, padding: Padding | None, units: Units) -> NDArray[np.float32]:
    """The voxels as all work is done on them: padding filled, in units that float32 holds. May be those of `volume`."""
    array = volume.array if padding is None else padding.filled(volume.array, volume.geometry.spacing_xyz_mm)
    return units.apply(array)


def decide_modality(volume: Volume, asked: str) -> tuple[str, Notice]:
    """The modality and how it is known: option, header, or the range of the intensities.

    Raises:
        InputError: the source states another modality, and nobody asked for it to be taken as MR or CT.
    """
    if asked != "auto":
        return asked, notice("known.option")
    if volume.modality in ("MR", "CT"):
        fact = volume.facts.get("modality")
        return volume.modality, notice(f"known.{fact.source.lower()}" if fact else "known.header")
    if other := _other_modality(volume):
        raise InputError(
            f"The header says that this is an image of modality {other}. MR and CT are accepted: what MedSR assumes of "
            "acquisition and noise, and what its networks learned, holds for these only. To take it as one of them all "
            "the same, pass --modality MR or --modality CT."
        )
    low = float(volume.array.min())
    if low <= _CT_AIR_HU:
        return "CT", notice("known.air", lowest=low)
    return "MR", notice("known.intensities", lowest=low)


def _other_modality(volume: Volume) -> str:
    """What the source says the image is, where that is neither MR nor CT; else nothing."""
    stated = str(volume.facts.value("modality") or "")
    return "" if stated in ("MR", "CT") else stated


def _noise(
    volume: Volume, seen: Volume, padding: Padding | None, modality: str, looks: Looks
) -> tuple[float | None, list[Notice]]:
    """The noise of an MR volume, as a fraction of its 99th percentile, and where it was read; None for nothing."""
    if not _is_mr_volume(volume, modality):
        return None, []
    stated = volume.facts.number("noise")
    if stated is None:
        found = looks.once("noise", partial(noise_level, seen.array, None if padding is None else padding.mask))
    else:
        found = (stated, "the source") if stated > 0 else None
    if found is None:
        return None, []
    return found[0], [notice("noise", percent=100 * found[0], place=found[1])]


def _interleaved(
    seen: Volume, options: UpscaleOptions, modality: str, noise: float | None, looks: Looks
) -> list[Notice]:
    """A warning where every second slice of an MR volume seems to have moved."""
    if not _is_mr_volume(seen, modality):
        return []
    across = slice_axis(seen.facts, options, seen.geometry)
    moved = looks.once(("interleaved", across), partial(looks_interleaved, seen, across, noise))
    return [] if moved is None else [notice("interleaved", axis=across, ratio=moved)]


def _is_mr_volume(volume: Volume, modality: str) -> bool:
    return modality == "MR" and volume.array.ndim == 3 and not volume.planar


def _peculiarities(volume: Volume, target: Target, padding: Padding | None, units: Units) -> list[Notice]:
    """What is unusual about the grid and the voxels of the input."""
    found = []
    if target.source.shear is not None:
        found.append(notice("tilt", degrees=target.source.shear.degrees))
    if padding is not None:
        found.append(padding.notice())
    if not units.are_plain:
        low, high = float(volume.array.min()), float(volume.array.max())
        found.append(notice("intensities", low=low, high=high, offset=units.offset, unit=units.unit))
    return found


def _check_channels(entry: CatalogEntry, volume: Volume) -> None:
    """Raise ModelError for a model of colours and an image of others."""
    if entry.channels > 1 and volume.channels != entry.channels:
        kind = "grey" if volume.channels == 1 else f"of {volume.channels} channels"
        raise ModelError(
            f"{entry.name} takes the {entry.channels} colours of an image together, this image is {kind}. Choose "
            "another model (`medsr models`)."
        )


def _capped(volume: Volume, options: UpscaleOptions, target: Target) -> list[Notice]:
    """A warning where the thickest slices could not be brought down to the finest spacing."""
    spacing, wanted = target.work.spacing_xyz_mm, min(volume.geometry.spacing_xyz_mm)
    isotropic = options.isotropic or target.reason.kind == "target.isotropic"
    if not isotropic or volume.planar or max(spacing) / wanted <= 1.01:
        return []
    return [notice("target.capped", limit=MAX_FACTOR, reached=max(spacing), wanted=wanted)]


def _with_planes(plan: Plan) -> Plan:
    planes = plan.planes
    if not planes:
        return plan
    across = " and ".join(AXES[2 - job.plane_axis] for job in planes)
    kind = "planes.all" if len(planes) == 3 else "planes.measured"
    sentence = notice(kind, axes=across, model=planes[0].entry.name)
    return replace(plan, decisions=(*plan.decisions, sentence))

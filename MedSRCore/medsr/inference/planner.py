"""Deciding what to do before doing it: grids, acquisition, model, and what it will cost.

Needs no torch, and looks at the voxels only where nobody has stated what they show, so that a panel can show size,
memory and time before the click.
"""

from __future__ import annotations

from dataclasses import replace

from medsr.catalog import find_model
from medsr.errors import ModelError
from medsr.facts import AXES
from medsr.geometry import Geometry
from medsr.methods.method import MIN_SLICES_3D, Situation, place
from medsr.methods.plan import Plan
from medsr.methods.table import automatic, method_of
from medsr.notices import Notice, disagreements, notice
from medsr.options import MAX_FACTOR, UpscaleOptions
from medsr.planning.evidence import find_profiles, known_facts
from medsr.planning.noise import noise_level
from medsr.planning.sampling import decide_acquisition
from medsr.planning.target import Target
from medsr.volume import Volume

_CT_AIR_HU = -500.0


def make_plan(
    volume: Volume, options: UpscaleOptions, reference: Geometry | None = None, *, runnable: bool = False
) -> Plan:
    """Decide how to super-resolve `volume`.

    Args:
        volume: the input.
        options: what was asked.
        reference: grid of the file that ``options.reference`` names.
        runnable: choose among the models that run in this Python, without torch no network. By default the best
            model is chosen: the work may be done in another Python, or torch be installed before.

    Raises:
        InvalidValueError, UnknownNameError, ModelError: what was asked cannot be done.
    """
    named = None if options.model == "auto" else find_model(options.model)
    placed = method_of(named).place(volume, options, named, reference) if named else place(volume, options, reference)
    target = placed.target
    modality, known = decide_modality(volume, options.modality)
    evidence = find_profiles(volume, options, modality)
    acquisition, sampled, doubts = decide_acquisition(volume, evidence, target, placed.undoes)
    decisions = [notice("target", what=target.reason), notice("modality", modality=modality, known=known), *sampled]
    told = [notice("source", text=text) for text in volume.warnings]
    warnings = [*told, *disagreements(known_facts(volume, options)), *doubts, *_capped(volume, options, target)]
    noise = None
    if modality == "MR" and volume.array.ndim == 3 and not volume.planar and (found := noise_level(volume.array)):
        noise = found[0]
        decisions.append(notice("noise", percent=100 * noise, place=found[1]))
    thin = min(volume.geometry.size_xyz) < MIN_SLICES_3D
    situation = Situation(
        modality, target.factors_xyz, placed.plane_axis, noise, options.mode, thin, runnable=runnable
    )  # fmt: skip
    choice = method_of(named).named(named, situation) if named else automatic(situation)
    if choice.entry.channels > 1 and volume.channels != choice.entry.channels:
        kind = "grey" if volume.channels == 1 else f"of {volume.channels} channels"
        raise ModelError(
            f"{choice.entry.name} takes the {choice.entry.channels} colours of an image together, this image is "
            f"{kind}. Choose another model (`medsr models`)."
        )
    decisions += choice.decisions
    if choice.spatial_dims == 2:
        decisions.append(notice("slices", axis=AXES[2 - placed.plane_axis]))
    plan = Plan(
        target,
        choice.entry,
        method_of(choice.entry),
        choice.spatial_dims,
        placed.plane_axis,
        modality,
        evidence,
        acquisition,
        (*decisions, *placed.decisions),
        (*warnings, *choice.warnings, *placed.warnings),
        noise,
        volume.channels,
        placed.scale,
    )
    return _with_planes(plan)


def decide_modality(volume: Volume, asked: str) -> tuple[str, Notice]:
    """The modality and how it is known: option, header, or the range of the intensities."""
    if asked != "auto":
        return asked, notice("known.option")
    if volume.modality in ("MR", "CT"):
        fact = volume.facts.get("modality")
        return volume.modality, notice(f"known.{fact.source.lower()}" if fact else "known.header")
    low = float(volume.array.min())
    if low <= _CT_AIR_HU:
        return "CT", notice("known.air", lowest=low)
    return "MR", notice("known.intensities", lowest=low)


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

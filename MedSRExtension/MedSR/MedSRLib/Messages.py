"""What the library decided and warns of, in the words of the panel.

Decisions and warnings come as notices, a kind and its values; `templates` words them, in the person's language. Errors
are English sentences that speak of the command line's options; `forPanel` names the panel's controls instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from MedSRLib.Translation import tr as _


@cache
def templates() -> dict[str, str]:
    """Kind of notice -> words; values are those of `medsr.notices.WORDS`. A kind that is not here keeps its English."""
    return {
        "target": _("Target: {what}."),
        "target.scale": _("factor {factors}"),
        "target.spacing": _("spacing {spacings} mm"),
        "target.isotropic": _("isotropic at the finest spacing, {spacing:.4g} mm"),
        "target.twice": _("twice as fine in every direction"),
        "target.reference": _("the voxels of the chosen volume, {grid}"),
        "target.fixed": _("{scale} times as fine {where}, the factor of {model}"),
        "target.capped": _(
            "The slices are more than {limit:g} times as thick as the pixels: brought down to {reached:.3g} mm, not to "
            "{wanted:.3g} mm."
        ),
        "tilt": _(
            "Gantry tilt of {degrees:.1f} degrees: the slices are enlarged as they lie and read onto an upright grid "
            "at the end, in one interpolation."
        ),
        "where.everywhere": _("in every direction"),
        "where.plane": _("in plane ({axes})"),
        "modality": _("Modality: {modality} ({known})."),
        "known.option": _("as chosen"),
        "known.header": _("from the header"),
        "known.sidecar": _("from the sidecar"),
        "known.slicer": _("from the header"),
        "known.modality": _("assumed"),
        "known.voxels": _("read from the voxels, {percent:.0f} % sure"),
        "known.air": _("guessed: the lowest intensity, {lowest:g}, is air or padding in Hounsfield units"),
        "known.constant": _("one intensity far below air fills it"),
        "known.negative": _("the only negative intensity fills it"),
        "padding": _(
            "Padding: {percent:.3g} % of the voxels show nothing and hold {value:g} ({known}); they are left out and "
            "kept as they are."
        ),
        "intensities": _(
            "Intensities reach from {low:.10g} to {high:.10g}: worked on relative to {offset:.10g} in units of "
            "{unit:.3g}, since 32 bits do not resolve them."
        ),
        "known.intensities": _("guessed: intensities start at {lowest:g}"),
        "noise": _("Noise: {percent:.1f} % of the brightest signal, read from {place}."),
        "acquisition": _("Acquisition along {axis}: {profile} ({known})."),
        "profile.gaussian": _("Gaussian profile, {width:.3g} mm"),
        "profile.box": _("box profile, {width:.3g} mm"),
        "profile.kspace": _("Fourier-encoded, {width:.3g} mm"),
        "profile.filtered": _("{profile}, filtered over {percent:.0f} % of the band"),
        "acquisition.implausible": _(
            "A width of {width:g} mm along {axis} is implausible for samples every {spacing:.4g} mm; {taken:.3g} mm is "
            "used."
        ),
        "acquisition.interpolated": _(
            "Along {axis} the scanner resolved {resolution:.2g} mm and interpolated to voxels of {spacing:.2g} mm. "
            "Smaller voxels add little there."
        ),
        "acquisition.fitted": _(
            "Along {axis} the result explains the measured data best by another profile than was taken: {profile}. It "
            "was made to agree with them by that one."
        ),
        "facts.disagree": _(
            "The {name} is {value} ({source}), but also {believed} ({believed_source}); the latter is taken."
        ),
        "facts.disagree_along": _(
            "The {name} along {axis} is {value} ({source}), but also {believed} ({believed_source}); the latter is "
            "taken."
        ),
        "model.option": _("Method: {model}, as chosen."),
        "model.auto": _("Method: {model}, made for {modality}, {shape}."),
        "model.no_network": _("Method: {model}. There is no network for {modality}, {shape}."),
        "model.beyond": _(
            "Method: {model}. A factor of {factor:.3g} along several axes is beyond what {network} learned, {limit:g}."
        ),
        "model.no_torch": _("Method: {model}. PyTorch is not installed, which {network} needs."),
        "shape.volume": _("volumetric"),
        "shape.slices": _("slice by slice"),
        "shape.thin": _("fewer than {count} slices"),
        "model.torch_missing": _(
            "PyTorch is not installed in the Python that does the work: {model} was taken instead of the network "
            "{network}, which resolves more."
        ),
        "model.far": _(
            "{model} learned factors up to {limit:g} along several axes; {factor:.3g} is asked. {instead} does better "
            "there."
        ),
        "model.farther": _("{model} was trained for factors up to {limit:g}; {factor:.3g} is asked."),
        "model.perceptual": _(
            "Perceptual: may invent detail. {model} was trained to look right; do not measure on its result."
        ),
        "slices": _("Slice by slice across {axis}."),
        "planes.measured": _(
            "Slices across {axes} were measured complete; they are refined by {model} too, averaged in."
        ),
        "planes.all": _("Slices across {axes} are refined by {model} too, averaged in."),
        "fixed.factor": _("{model} enlarges by {scale} {where}."),
        "fixed.across": _("Deconvolution enlarges by {factor:.3g} across the slices ({axis})."),
        "fixed.resampled": _("The result of {model} is brought to the target grid."),
        "fixed.short": _(
            "{model} enlarges by {scale} at most; {factor:.3g} is asked. What goes beyond is interpolated."
        ),
        "bounded": _(
            "Bounded: {percent:.3g} % of the voxels lay below {lowest:.6g}, by up to {worst:.3g}, and were raised to "
            "it: {reason}."
        ),
        "bound.air": _("nothing is less dense than air"),
        "bound.magnitude": _("magnitudes are not negative"),
        "bound.input": _("the input holds nothing darker"),
        "voxels.same": _(
            "Bounded: {percent:.3g} % of the voxels went beyond {low:g} to {high:g}, which is what {dtype} holds, by "
            "up to {worst:.3g}, and were set to its end."
        ),
        "voxels.clipped": _(
            "{count} voxels ({percent:.3g} %) do not fit into {dtype}, which holds {low:g} to {high:g}, and were cut "
            "off, by up to {worst:.4g}. Choose the precision {instead} under Advanced to keep them."
        ),
        "voxels.coarse": _(
            "{dtype} holds whole numbers, and the intensities span only {span:.3g}: most of the detail was rounded "
            "away. Choose 32-bit floating point under Advanced to keep it."
        ),
        "voxels.rounded": _(
            "{dtype} resolves steps of {step:.3g} at these intensities, which span {span:.4g}; finer detail is lost."
        ),
        "error.widened": _("The error map was widened {times:g} times: {why}. Take it as a rough guide."),
        "interleaved": _(
            "Every second slice along {axis} differs from its neighbours {ratio:.2g} times as much as from the next "
            "but one (0.5 is usual): the patient moved between two passes of an interleaved acquisition, or one is "
            "brighter. Structures then zigzag from slice to slice, also in the result."
        ),
        "error.gaps": _(
            "The error map was widened between slices that lie apart, up to {times:.2g} times: nothing was measured "
            "there."
        ),
        "error.kind": _("its errors were not calibrated for this noise and this knowledge of the acquisition"),
        "error.factor": _("it was not calibrated for enlarging this far"),
        "error.noise": _("the volume is noisier than any that was calibrated"),
        "error.unlike": _("the volume looks unlike those that were calibrated"),
    }


def inWords(notice: Any) -> str:
    """A notice for people.

    Args:
        notice: a `medsr.notices.Notice`, what it is in a report (kind, values, text), or a sentence.
    """
    if isinstance(notice, str):
        return forPanel(notice)
    told = notice if isinstance(notice, Mapping) else notice.to_json()
    values = {name: _valueInWords(name, value) for name, value in told.get("values", {}).items()}
    template = templates().get(told.get("kind", ""))
    if template is not None:
        try:
            return template.format(**values)
        except (KeyError, IndexError, TypeError, ValueError):  # of another version, in another Python
            pass
    return forPanel(str(told.get("text", "")))


def _valueInWords(name: str, value: Any) -> Any:
    if isinstance(value, Mapping) and "kind" in value:
        return inWords(value)
    # Who states something: a name of `medsr.facts.SOURCES`.
    return templates().get(f"known.{value}".lower(), value) if name.endswith("source") else value


def acquisitionText(axes: Sequence[Mapping[str, Any]], across: str | None = None) -> str:
    """One line that says how the axes were sampled and how that is known; axes that are alike stand together.

    Args:
        axes: as in the report of a job under "acquisition".
        across: the axis across the slices, where it is known.
    """
    found: dict[str, list[str]] = {}
    for axis in sorted(axes, key=lambda axis: axis["axis"] != across):
        found.setdefault(_axisText(axis), []).append(axis["axis"])
    return "; ".join(f"{_where(names, across)}: {text}" for text, names in found.items())


def sampledText(part: Mapping[str, Any]) -> str:
    """As `acquisitionText`, of what a report says of one volume; axes of a single voxel are left out."""
    sizes = dict(zip("xyz", part.get("input", {}).get("size_xyz", ())))
    return acquisitionText([axis for axis in part.get("acquisition", ()) if sizes.get(axis["axis"], 2) > 1])


def resolutionText(axes: Sequence[Mapping[str, Any]]) -> str:
    """What the input resolves along its axes, in mm, and how well that is known; empty without axes.

    Args:
        axes: as for `acquisitionText`, in the order of the grid.
    """
    if not axes:
        return ""
    widths = " x ".join(f"{axis['resolution_mm']:.2g}" for axis in axes)
    assumed = [bool(axis.get("assumed")) for axis in axes]
    text = _("resolving about {widths} mm").format(widths=widths)
    if all(assumed):
        return _("{text} (assumed)").format(text=text)
    return _("{text} (partly assumed)").format(text=text) if any(assumed) else text


def _axisText(axis: Mapping[str, Any]) -> str:
    profile = _named(f"profile.{axis['profile']}", {"width": axis["width_mm"]}, axis["profile"])
    if axis.get("taper"):
        profile = _named("profile.filtered", {"profile": profile, "percent": 100 * axis["taper"]}, profile)
    known = _named(
        f"known.{axis['source'].lower()}", {"percent": 100 * (axis.get("probability") or 0.0)}, axis["source"]
    )
    return f"{profile} ({known})"


def _named(kind: str, values: Mapping[str, Any], text: str) -> str:
    return inWords({"kind": kind, "values": values, "text": text})


def _where(names: Sequence[str], across: str | None) -> str:
    if len(names) == 3:
        return _("every axis")
    if len(names) == 2 and across is not None and across not in names:
        return _("in plane")
    return ", ".join(names)


def forPanel(text: str) -> str:
    """The text of an error with ``--spacing`` and the like replaced by the names of the panel's controls."""
    names = {
        "scale": _("factor"),
        "spacing": _("spacing"),
        "memory": _("memory limit (Advanced)"),
        "modality": _("modality (Advanced)"),
        "mode": _("dimension"),
        "model": _("method"),
        "slice-thickness": _("slice thickness"),
        "slice-axis": _("slice axis (Advanced)"),
        "profile": _("slice profile"),
        "dtype": _("precision (Advanced)"),
        "device": _("device (Advanced)"),
        "overwrite": _("overwrite=True in the Python console"),
        "not-labels": _("not_labels=True in the Python console"),
    }
    named = re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda match: names.get(match[1], match[1].replace("-", " ")), text)
    return named.replace(" (`medsr models`)", "")


@cache
def _stages() -> dict[str, str]:
    """What the library calls its stages -> words."""
    return {
        "Reading": _("Reading the volume"),
        "Checking the input": _("Looking at the volume"),
        "Enlarging with": _("Super-resolving with {what}"),
        "Comparing with the measured data": _("Comparing with the measured data"),
        "Registering the two series": _("Registering the two series"),
        "Registering halves of the other series": _("Registering halves of the other series"),
        "Registering": _("Registering {what}"),
        "Solving for the volume": _("Solving for the volume"),
        "Enlarging": _("Super-resolving {what}"),
        "Comparing the detail": _("Comparing the detail"),
        "Finishing": _("Finishing"),
        "Writing": _("Writing the result"),
        "Checking the cases": _("Looking at every case"),
        "Placing the originals": _("Placing the originals"),
        "Making the copies": _("Making the copies"),
        "Made": _("Made {what}"),
        "Checking as nnU-Net does": _("Checking as nnU-Net does"),
        "Writing the description and the report": _("Writing the description and the report"),
    }


def stageInWords(name: str) -> str:
    """A stage of a job for people; one that is not known keeps its English."""
    for known, words in _stages().items():
        if name == known or ("{what}" in words and name.startswith(known + " ")):
            return words.format(what=name[len(known) + 1 :])
    return name

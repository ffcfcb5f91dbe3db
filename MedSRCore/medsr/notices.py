"""What was decided and what a person should know, as data: a kind and its values.

Decisions and warnings travel as `Notice` through plans, events and reports, so that programs can act on their kind and
another interface can word them in its own language. `WORDS` are the English words of the command line and of reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medsr.facts import Facts

WORDS: Mapping[str, str] = {
    # -- where the result lies
    "target": "Target: {what}.",
    "target.scale": "scale {factors}",
    "target.spacing": "spacing {spacings} mm",
    "target.isotropic": "isotropic at the finest spacing, {spacing:.4g} mm",
    "target.twice": "twice as fine in every direction",
    "target.reference": "the grid of the reference, {grid}",
    "target.fixed": "{scale} times as fine {where}, the factor of {model}",
    "target.capped": "The slices are more than {limit:g} times as thick as the pixels: brought down to {reached:.3g} "
    "mm, not to {wanted:.3g} mm.",
    "tilt": "Gantry tilt of {degrees:.1f} degrees: the slices are enlarged as they lie and read onto an upright grid "
    "at the end, in one interpolation.",
    "where.everywhere": "in every direction",
    "where.plane": "in plane ({axes})",
    # -- what the input is
    "modality": "Modality: {modality} ({known}).",
    "known.option": "as asked",
    "known.header": "from the header",
    "known.sidecar": "from the sidecar",
    "known.slicer": "from Slicer",
    "known.modality": "assumed, nothing tells",
    "known.voxels": "read from the voxels, {percent:.0f} % sure",
    "known.air": "guessed: the lowest intensity, {lowest:g}, is air or padding in Hounsfield units",
    "known.intensities": "guessed: intensities start at {lowest:g}",
    "known.constant": "one intensity far below air fills it",
    "known.negative": "the only negative intensity fills it",
    "padding": "Padding: {percent:.3g} % of the voxels show nothing and hold {value:g} ({known}); they are left out "
    "and kept as they are.",
    "noise": "Noise: {percent:.1f} % of the brightest signal, read from {place}.",
    "intensities": "Intensities reach from {low:.10g} to {high:.10g}: worked on relative to {offset:.10g} in units of "
    "{unit:.3g}, since 32 bits do not resolve them.",
    # -- how far it may be off
    "error.widened": "The error map was widened {times:g} times: {why}. Take it as a rough guide.",
    "error.gaps": "The error map was widened between slices that lie apart, up to {times:.2g} times: nothing was "
    "measured there.",
    "error.kind": "its errors were not calibrated for inputs with this noise and this knowledge of the acquisition",
    "error.factor": "it was not calibrated for enlarging this far",
    "error.noise": "the input is noisier than any that was calibrated",
    "error.unlike": "the input looks unlike those that were calibrated",
    # -- how it was acquired
    "acquisition": "Acquisition along {axis}: {profile} ({known}).",
    "profile.gaussian": "Gaussian profile, {width:.3g} mm wide",
    "profile.box": "box profile, {width:.3g} mm wide",
    "profile.kspace": "Fourier-encoded, resolution {width:.3g} mm",
    "profile.filtered": "{profile}, filtered over the outer {percent:.0f} % of the band",
    "acquisition.implausible": "A width of {width:g} mm along {axis} is implausible for samples every {spacing:.4g} "
    "mm; {taken:.3g} mm is used.",
    "acquisition.interpolated": "Along {axis} the scanner resolved {resolution:.2g} mm and interpolated to voxels of "
    "{spacing:.2g} mm. Smaller voxels add little there.",
    "acquisition.fitted": "Along {axis} the result explains the measured data best by another profile than was taken: "
    "{profile}. It was made to agree with them by that one.",
    "facts.disagree": "The sources disagree on the {name}: {value} ({source}), {believed} ({believed_source}). The "
    "{believed_source} is believed.",
    "facts.disagree_along": "The sources disagree on the {name} along {axis}: {value} ({source}), {believed} "
    "({believed_source}). The {believed_source} is believed.",
    "interleaved": "Every second slice along {axis} differs from its neighbours {ratio:.2g} times as much as from the "
    "next but one (0.5 is usual): the patient moved between two passes of an interleaved acquisition, or one is "
    "brighter. Structures then zigzag from slice to slice, also in the result.",
    # -- what does the work
    "model.option": "Model: {model}, as asked.",
    "model.auto": "Model: {model}, chosen for {modality}, {shape}.",
    "model.no_network": "Model: {model}: there is no network for {modality}, {shape}.",
    "model.beyond": "Model: {model}: factor {factor:.3g} along several axes is beyond what {network} learned, "
    "{limit:g}.",
    "model.no_torch": "Model: {model}: torch is not installed, so that {network} cannot run.",
    "shape.volume": "volumetric",
    "shape.slices": "slice by slice",
    "shape.thin": "fewer than {count} slices",
    "model.torch_missing": "torch is not installed: {model} does the work instead of the network {network}, which "
    "resolves more. For the network: pip install 'medsr[network]'.",
    "model.far": "{model} learned factors up to {limit:g} along several axes; {factor:.3g} is asked. {instead} does "
    "better there.",
    "model.farther": "{model} was trained for factors up to {limit:g}; {factor:.3g} is asked.",
    "model.perceptual": "perceptual: may invent detail. {model} was trained to look right; do not measure on its "
    "result.",
    "slices": "Slice by slice across {axis}.",
    "planes.measured": "Planes: slices across {axes} were measured complete; they are refined by {model} too, averaged "
    "in.",
    "planes.all": "Planes: slices across {axes} are refined by {model} too, averaged in.",
    "fixed.factor": "{model} enlarges by {scale} {where}.",
    "fixed.across": "Deconvolution enlarges by {factor:.3g} across the slices ({axis}).",
    "fixed.resampled": "The result of {model} is brought to the target grid.",
    "fixed.short": "{model} enlarges by {scale} at most; {factor:.3g} is asked. What goes beyond is interpolated.",
    # -- what was done to the intensities of the result
    "bounded": "Bounded: {percent:.3g} % of the voxels lay below {lowest:.6g}, by up to {worst:.3g}, and were raised "
    "to it: {reason}.",
    "bound.air": "nothing is less dense than air",
    "bound.magnitude": "magnitudes are not negative",
    "bound.input": "the input holds nothing darker",
    "voxels.same": "Bounded: {percent:.3g} % of the voxels went beyond {low:g} to {high:g}, which is what {dtype} "
    "holds, by up to {worst:.3g}, and were set to its end.",
    "voxels.clipped": "{count} voxels ({percent:.3g} %) do not fit into {dtype}, which holds {low:g} to {high:g}, and "
    "were cut off, by up to {worst:.4g}. Choose {instead} to keep them.",
    "voxels.coarse": "{dtype} holds whole numbers, and the intensities span only {span:.3g}: most of the detail was "
    "rounded away. Choose float32 to keep it.",
    "voxels.rounded": "{dtype} resolves steps of {step:.3g} at these intensities, which span {span:.4g}. Choose "
    "float64 to keep more.",
    # -- of the source, in words of who read it
    "source": "{text}",
}
"""Kind of notice -> English template. Values may be notices themselves."""


@dataclass(frozen=True)
class Notice:
    """One statement.

    Attributes:
        kind: a key of `WORDS`.
        values: what its template names: numbers, names, further notices.
    """

    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return WORDS[self.kind].format(**self.values)

    def __hash__(self) -> int:
        return hash(str(self))

    def to_json(self) -> dict[str, Any]:
        """Kind, values and the English text."""
        values = {k: v.to_json() if isinstance(v, Notice) else v for k, v in self.values.items()}
        return {"kind": self.kind, "values": values, "text": str(self)}


def disagreements(facts: Facts) -> list[Notice]:
    """Where sources contradict each other, and which of them is believed."""
    found = []
    for believed, other in facts.contradictions():
        values = {
            "name": other.name.removesuffix("_mm").replace("_", " "),
            "value": other.value,
            "source": other.source,
            "believed": believed.value,
            "believed_source": believed.source,
        }
        along = {"axis": other.axis} if other.axis else {}
        found.append(notice("facts.disagree_along" if along else "facts.disagree", **values, **along))
    return found


def notice(kind: str, **values: Any) -> Notice:
    """A `Notice`; KeyError for a kind without words or values that its words lack, at once and not when it is read."""
    made = Notice(kind, values)
    str(made)
    return made

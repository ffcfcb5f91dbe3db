"""What became of the structures and intensities of each copy, and which copies a person should look at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsr.augmentation.cases import Case
from medsr.augmentation.tasks import Task
from medsr.augmentation.topology import Betti

MOST_GROWTH = 0.05
"""Growth or loss of a structure, as a fraction of its volume, from which a copy is flagged."""

MOST_NOISE = 0.05
"""Noise that was read from an image, likewise: what looks like noise may be anatomy, and is smoothed."""

MOST_SHIFT = 0.15
"""Shift of the dark or the bright end of the intensities, as a fraction of their range, likewise."""


@dataclass(frozen=True)
class Finding:
    """One finished copy, as its sidecar tells it.

    Attributes:
        name: of the copy.
        original: the case it was made from, as it lies in the training set.
        copy: the copy.
        recipe: that made it.
        model: that enlarged it.
        drawn: what was drawn, in words.
        changes: structure -> growth as a fraction of its volume; None for one that is not in this case.
        dice: structure -> Dice with the original after going back to its grid; None likewise.
        topology: structure -> pieces, tunnels and cavities of the original and of the copy.
        reasons: why a person should look at it; empty for most.
        perceptual: the model may invent detail.
    """

    name: str
    original: Case
    copy: Case
    recipe: str
    model: str
    drawn: str
    changes: Mapping[str, float | None]
    dice: Mapping[str, float | None]
    topology: Mapping[str, tuple[Betti, Betti]]
    reasons: tuple[str, ...]
    perceptual: bool = False


def examine(real: Sequence[Case], tasks: Sequence[Task]) -> list[Finding]:
    """The findings of finished copies, in the order of `tasks`."""
    originals = {case.name: case for case in real}
    return [_finding(task, originals[task.case]) for task in tasks]


def _finding(task: Task, original: Case) -> Finding:
    record = json.loads(Path(task.sidecar).read_text(encoding="utf-8"))
    structures: Mapping[str, Mapping[str, Any]] = record["structures"]
    recipe = str(record["recipe"]["name"])
    return Finding(
        name=task.name,
        original=original,
        copy=Case(task.name, task.subject, task.image_outputs, task.label_output, task.case, recipe),
        recipe=recipe,
        model=str(record["channels"][0]["model"]),
        drawn=_words(record["drawn"]),
        changes={name: found["change"] for name, found in structures.items()},
        dice={name: found["dice"] for name, found in structures.items()},
        topology={
            name: (tuple(found["topology"]["before"]), tuple(found["topology"]["after"]))
            for name, found in structures.items()
        },
        reasons=(*_structure_reasons(structures), *_intensity_reasons(record["intensities"]), *_noise_reasons(record)),
        perceptual=any(channel["perceptual"] for channel in record["channels"]),
    )


def _structure_reasons(structures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    reasons = []
    for name, found in structures.items():
        change = found["change"]
        if change == -1:
            reasons.append(f"{name} has vanished")
        elif change is not None and abs(change) > MOST_GROWTH:
            reasons.append(f"{name} {'grew' if change > 0 else 'shrank'} by {100 * abs(change):.0f} %")
        elif change is None and found["after"]:
            reasons.append(f"{name} came into being")
    return reasons


def _intensity_reasons(channels: Sequence[Mapping[str, Sequence[float]]]) -> list[str]:
    reasons = []
    for number, channel in enumerate(channels, 1):
        low, _, high = channel["before"]
        span = max(high - low, 1e-12)
        for index, end in ((0, "dark"), (2, "bright")):
            shift = (channel["after"][index] - channel["before"][index]) / span
            if abs(shift) > MOST_SHIFT:
                reasons.append(f"the {end} end of channel {number} moved by {100 * shift:+.0f} % of the range")
    return reasons


def _noise_reasons(record: Mapping[str, Any]) -> list[str]:
    stated = record["recipe"].get("noise") is not None
    drawn = record["drawn"] or [{}] * len(record["channels"])
    return [
        f"channel {number} was taken for noisy by its looks ({100 * channel['noise']:.0f} %), and smoothed"
        for number, (channel, own) in enumerate(zip(record["channels"], drawn, strict=True), 1)
        if not stated and own.get("noise", 0) <= 0 and (channel["noise"] or 0) > MOST_NOISE
    ]


def _words(drawn: Sequence[Mapping[str, Any]]) -> str:
    """What was drawn; each channel has a number where there are several."""
    if len(drawn) == 1:
        return _acquisition_words(drawn[0])
    return "; ".join(f"channel {number}: {_acquisition_words(one)}" for number, one in enumerate(drawn, 1))


def _acquisition_words(drawn: Mapping[str, Any]) -> str:
    x, y, z = drawn["factors_xyz"]
    return (
        f"voxels {x:.2g} x {y:.2g} x {z:.2g} as large, profile {drawn['width']:.2g} of the distance, "
        f"noise {100 * drawn['noise']:.1f} %, contrast {drawn['contrast']:.2g}"
    )

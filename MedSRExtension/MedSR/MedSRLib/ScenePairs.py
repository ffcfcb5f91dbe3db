"""Volumes with their segmentations as a labelled training set on disk; the scene is read and not touched. No Qt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from MedSRLib import SceneFiles, SceneIO
from MedSRLib.Arguments import checkNode
from MedSRLib.Errors import SceneError
from MedSRLib.SegmentLabels import BACKGROUND, REFUSE, labelsOf, seenFrom, segmentNames
from MedSRLib.Translation import tr as _

DESCRIPTION = "dataset.json"


@dataclass(frozen=True)
class ScenePair:
    """One image of a training set and its structures.

    Attributes:
        volume: grey intensity volume.
        segmentation: segmentation node; every segment of it is a class.
    """

    volume: slicer.vtkMRMLScalarVolumeNode
    segmentation: slicer.vtkMRMLSegmentationNode


def checkedPairs(pairs: Sequence[Sequence[Any]]) -> tuple[ScenePair, ...]:
    """The pairs when they can be a training set; the voxels of their segments are looked at when they are written.

    Args:
        pairs: (volume node, segmentation node) each.

    Raises:
        SceneError: no pairs, a volume twice, a node of another kind, transforms between which there is no matrix.
        medsr.errors.InputError: a volume whose grid medsr does not accept.
    """
    found: list[ScenePair] = []
    for volume, segmentation in pairs:
        for node, what in ((volume, _("a volume node")), (segmentation, _("a segmentation node"))):
            if node is not None:
                checkNode(node, _("A pair"), "vtkMRMLNode", what)
        if SceneIO.checkedArray(volume).ndim != 3:
            raise SceneError(_("{name} is a colour image; training sets take grey ones.").format(name=_nameOf(volume)))
        if segmentation is None or not segmentation.IsA("vtkMRMLSegmentationNode"):
            raise SceneError(
                _(
                    "{volume} has no segmentation. Choose a segmentation node; a right-click on a label map in the "
                    "Data module makes one of it."
                ).format(volume=_nameOf(volume))
            )
        if volume in [pair.volume for pair in found]:
            raise SceneError(
                _("{volume} is in the list twice. A volume has one segmentation.").format(volume=_nameOf(volume))
            )
        SceneIO.volumeOf(volume)
        segmentNames(segmentation)
        seenFrom(segmentation, volume)
        found.append(ScenePair(volume, segmentation))
    if not found:
        raise SceneError(_("The list is empty. Add a volume with its segmentation."))
    return tuple(found)


def classValues(pairs: Sequence[ScenePair]) -> dict[str, int]:
    """Class name -> value from 1, the same in all pairs, in the order in which the names first appear."""
    values: dict[str, int] = {}
    for pair in pairs:
        for name in segmentNames(pair.segmentation).values():
            values.setdefault(name, len(values) + 1)
    return values


def caseNames(pairs: Sequence[ScenePair]) -> tuple[str, ...]:
    """A name for each pair, fit for files: that of its volume."""
    names: list[str] = []
    for pair in pairs:
        base = re.sub(r"[^A-Za-z0-9_]+", "-", _nameOf(pair.volume)).strip("-_") or "volume"
        name, count = base, 2
        while name.lower() in [other.lower() for other in names]:  # Windows and macOS do not tell them apart
            name, count = f"{base}-{count}", count + 1
        names.append(name)
    return tuple(names)


def subjectsOf(pairs: Sequence[ScenePair]) -> tuple[str, ...]:
    """Whose each volume is, by the patients of the Data tree, so that splits keep a patient together.

    Patients are numbered: no name of a person gets into a file that may be handed on. A volume of no patient is a
    subject of its own.
    """
    patients = [patientItem(pair.volume) for pair in pairs]
    known = [item for item in dict.fromkeys(patients) if item]
    return tuple(f"patient{known.index(item) + 1}" if item else name for item, name in zip(patients, caseNames(pairs)))


def writePairs(pairs: Sequence[ScenePair], folder: Path, overlap: str = REFUSE) -> Iterator[list[str]]:
    """Write the pairs as a training set of the Decathlon layout: images/, labels/ and dataset.json.

    Yields:
        What a person should know about the pair just written, so that the caller can keep the application alive in
        between.

    Raises:
        SceneError: as `labelsOf`.
        OSError: the disk did not take it.
    """
    values, names = classValues(pairs), caseNames(pairs)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for pair, name in zip(pairs, names):
        labels = labelsOf(pair.segmentation, pair.volume, values, overlap)
        SceneFiles.writeNrrd(pair.volume, folder / "images" / f"{name}.nrrd")
        SceneFiles.writeLabels(labels, pair.volume, folder / "labels" / f"{name}.nrrd")
        yield _emptyTexts(pair, labels, values)
    modalities = {SceneIO.modalityOf(pair.volume) for pair in pairs}
    description = {
        "name": "3D Slicer scene",
        "modality": {"0": (modalities.pop() if len(modalities) == 1 else None) or "image"},
        "labels": {"0": BACKGROUND, **{str(value): name for name, value in values.items()}},
        "numTraining": len(names),
        "training": [
            {"image": f"./images/{name}.nrrd", "label": f"./labels/{name}.nrrd", "subject": subject}
            for name, subject in zip(names, subjectsOf(pairs))
        ],
    }
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")


def _nameOf(node: Any) -> str:
    return node.GetName() or ""


def _emptyTexts(pair: ScenePair, labels: np.ndarray, values: Mapping[str, int]) -> list[str]:
    there = set(np.flatnonzero(np.bincount(labels.ravel())))
    return [
        _("The segment {name} of {segmentation} has no voxel of its own inside {volume}.").format(
            name=name, segmentation=_nameOf(pair.segmentation), volume=_nameOf(pair.volume)
        )
        for name in segmentNames(pair.segmentation).values()
        if values[name] not in there
    ]


def patientItem(volume: Any) -> int:
    """Item of the subject hierarchy of the patient that a volume belongs to, 0 when there is none."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    item = hierarchy.GetItemByDataNode(volume) if hierarchy else 0
    return hierarchy.GetItemAncestorAtLevel(item, "Patient") if item else 0

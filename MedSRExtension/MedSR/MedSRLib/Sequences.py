"""Volumes that show one frame of a sequence: which one, the other frames, and a sequence of results. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import slicer
import slicer.util

from MedSRLib import SceneIO
from MedSRLib.Translation import tr as _


@dataclass(frozen=True)
class Frames:
    """The sequence behind a volume.

    Attributes:
        browser: what chooses the frame.
        sequence: what holds the frames.
        number: of the frame that the volume shows now, from 1 on.
    """

    browser: Any
    sequence: Any
    number: int

    @property
    def count(self) -> int:
        """How many frames there are."""
        return int(self.sequence.GetNumberOfDataNodes())

    def volumes(self) -> list[Any]:
        """The frames, as the nodes that the sequence keeps; they are in a scene of its own."""
        return [self.sequence.GetNthDataNode(number) for number in range(self.count)]


def framesOf(volumeNode: slicer.vtkMRMLVolumeNode | None) -> Frames | None:
    """The sequence that a volume shows a frame of; None for other volumes."""
    scene = volumeNode.GetScene() if volumeNode is not None else None
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode", scene=scene) if scene else ():
        sequence = browser.GetSequenceNode(volumeNode)
        if sequence is not None:
            return Frames(browser, sequence, browser.GetSelectedItemNumber() + 1)
    return None


def frameText(number: int, count: int) -> str:
    """Which one of how many."""
    return _("Frame {number} of {count}").format(number=number, count=count)


def emptyLike(sequence: slicer.vtkMRMLSequenceNode) -> slicer.vtkMRMLSequenceNode:
    """A sequence without frames, in no scene, whose index has the same name, unit and type."""
    made = slicer.vtkMRMLSequenceNode()
    for name in ("IndexName", "IndexUnit", "IndexType", "NumericIndexValueTolerance"):
        getattr(made, "Set" + name)(getattr(sequence, "Get" + name)())
    return made


def shown(
    sequence: slicer.vtkMRMLSequenceNode, like: Frames, name: str, created: list[slicer.vtkMRMLNode]
) -> slicer.vtkMRMLScalarVolumeNode:
    """Put a sequence into the scene, with a browser at the same frame as `like`; return the volume that shows it.

    Args:
        sequence: in no scene.
        like: the sequence that it was made of.
        name: of the three new nodes.
        created: takes them, as soon as each is there.
    """
    scene = like.browser.GetScene()
    unique = scene.GenerateUniqueName(name)
    sequence.SetName(unique)
    created.append(scene.AddNode(sequence))
    browser = slicer.vtkMRMLSequenceBrowserNode()
    browser.SetName(f"{unique} browser")
    created.append(scene.AddNode(browser))
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.SetPlaybackRateFps(like.browser.GetPlaybackRateFps())
    browser.SetIndexDisplayFormat(like.browser.GetIndexDisplayFormat())
    browser.SetSelectedItemNumber(like.browser.GetSelectedItemNumber())
    volume = browser.GetProxyNode(sequence)  # Slicer's own logic has made one at once
    if volume is None:
        frame = sequence.GetNthDataNode(browser.GetSelectedItemNumber())
        volume = SceneIO.newVolume(scene, unique, colour=frame.IsA("vtkMRMLVectorVolumeNode"))
        SceneIO.takeVoxels(volume, frame)
        browser.AddProxyNode(volume, sequence, False)
    created.append(volume)
    volume.SetName(unique)
    return volume

"""A job about a node of the scene, which ends with that node. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from MedSRLib.Errors import JobCancelled
from MedSRLib.Job import Job


class NodeJob(Job):
    """Base of the jobs whose result means nothing without the node that they are about.

    Args:
        node: what the job is about.
        gone: what to say when the node has left the scene.
        folder: of temporary files, removed when the job ends.
        progress: called with the job at every step.
        completed: called once with the job when it has ended.
    """

    def __init__(
        self,
        node: slicer.vtkMRMLScalarVolumeNode,
        gone: str,
        folder: Path,
        progress: Callable[[Any], None] | None = None,
        completed: Callable[[Any], None] | None = None,
    ) -> None:
        super().__init__(folder, progress, completed)
        self._place = folder
        self._scene = node.GetScene()
        self._node, self._gone = node, gone

    def onTick(self) -> None:
        """Stop the work when the node is gone."""
        if not self._nodeIsThere:
            self.cancel(self._gone)
            return
        super().onTick()

    def _checkNode(self) -> None:
        """Raise JobCancelled once the node left the scene."""
        if not self._nodeIsThere:
            raise JobCancelled(self._gone)

    @property
    def _nodeIsThere(self) -> bool:
        return bool(self._node.GetScene()) and self._scene.IsNodePresent(self._node) != 0

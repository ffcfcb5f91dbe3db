"""Several volumes, super-resolved one after the other. No Qt; it belongs to the logic and so outlives the panel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import slicer
import vtk

from MedSRLib import Provenance, SceneIO
from MedSRLib.Errors import InstallError
from MedSRLib.Job import CANCELLED, DONE, FAILED, RUNNING, WAITING
from MedSRLib.SceneJob import SceneJob
from MedSRLib.Translation import tr as _

LISTED = "listed"


@dataclass
class QueueItem:
    """One volume on the list.

    Attributes:
        node: the volume.
        name: of the volume, which may leave the scene.
        state: "listed", or as of a job.
        job: what runs or ran, None before.
        why: what went wrong, for people.
    """

    node: Any
    name: str
    state: str = LISTED
    job: SceneJob | None = None
    why: str = ""


class VolumeQueue:
    """A list of volumes and the work on it; the next one starts when one has ended, so that few files wait on disk.

    Args:
        start: `SuperResolver.start`.
    """

    def __init__(self, start: Callable[..., SceneJob]) -> None:
        self.items: list[QueueItem] = []
        self.changed: Callable[[], None] = lambda: None
        """Called when anything on the list is another."""
        self._start = start
        self._argumentsOf: Callable[[Any], dict[str, Any]] = lambda node: {}

    @property
    def isRunning(self) -> bool:
        """True while volumes are worked on or wait for it."""
        return any(item.state in (WAITING, RUNNING) for item in self.items)

    @property
    def fraction(self) -> float:
        """Of all that was started, 0 to 1."""
        started = [item for item in self.items if item.state != LISTED]
        done = sum((item.job.fraction if item.job else 0.0) if item.state != FAILED else 1.0 for item in started)
        return done / len(started) if started else 0.0

    def add(self, nodes: Iterable[Any]) -> None:
        """Put volumes on the list; those that are on it and not done stay as they are."""
        for node in nodes:
            if not SceneIO.isImage(node):
                continue
            known = next((item for item in self.items if item.node is node), None)
            if known is None:
                self.items.append(QueueItem(node, node.GetName() or ""))
            elif known.state in (DONE, FAILED, CANCELLED):
                known.state, known.job, known.why = LISTED, None, ""
        self.changed()

    def remove(self, index: int) -> None:
        """Take a volume off the list, and stop its work."""
        item = self.items.pop(index)
        if item.job is not None and not item.job.isFinished:
            item.job.cancel()
        self.changed()

    def start(self, argumentsOf: Callable[[Any], dict[str, Any]]) -> None:
        """Begin with the volumes that are listed.

        Args:
            argumentsOf: volume -> arguments of `SuperResolver.start`; may raise, and the volume has failed then.
        """
        self._argumentsOf = argumentsOf
        for item in self.items:
            if item.state in (LISTED, FAILED, CANCELLED):
                item.state, item.job, item.why = WAITING, None, ""
        self._next()

    def cancel(self, reason: str = "") -> None:
        """Stop; what is done stays."""
        for item in self.items:
            if item.state == WAITING:
                item.state = CANCELLED
        for item in self.items:
            if item.job is not None and not item.job.isFinished:
                item.job.cancel(reason)
        self.changed()

    def clear(self) -> None:
        """Stop, and forget the list: the scene is another one."""
        self.cancel()
        self.items = []
        self.changed()

    def _next(self) -> None:
        """Start the next volume that waits, unless one runs."""
        while not any(item.state == RUNNING for item in self.items):
            item = next((item for item in self.items if item.state == WAITING), None)
            if item is None:
                break
            item.state = RUNNING
            try:
                item.job = self._start(
                    item.node, progress=lambda job: self.changed(), completed=self._completed,
                    **self._argumentsOf(item.node),
                )  # fmt: skip
            except Exception as error:
                item.state, item.why = FAILED, str(error)
                if isinstance(error, InstallError):  # asked once, not for each
                    for other in self.items:
                        if other.state == WAITING:
                            other.state, other.why = FAILED, str(error)
        self.changed()

    def _completed(self, job: SceneJob) -> None:
        for item in self.items:
            if item.job is job or (item.job is None and item.state == RUNNING and item.node is job.input):
                item.job, item.state = job, job.state
                item.why = str(job.error) if job.error else ""
        self._next()


def studyOf(node: Any) -> list[Any]:
    """The images of the study of the Data tree that a volume belongs to; without a study, those beside it.

    Results and maps of this module are not among them.
    """
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    item = hierarchy.GetItemByDataNode(node) if hierarchy else 0
    if not item:
        return [node]
    top = hierarchy.GetItemAncestorAtLevel(item, "Study") or hierarchy.GetItemParent(item)
    found = vtk.vtkIdList()
    hierarchy.GetItemChildren(top, found, True)
    nodes = [hierarchy.GetItemDataNode(found.GetId(n)) for n in range(found.GetNumberOfIds())]
    return [one for one in nodes if SceneIO.isImage(one) and not Provenance.isMade(one)]


def itemText(item: QueueItem) -> str:
    """One line about a volume on the list."""
    job = item.job
    words = {
        LISTED: _("listed"),
        WAITING: _("waiting"),
        RUNNING: ", ".join(part for part in (getattr(job, "frameText", ""), _percent(job)) if part),
        DONE: _("done"),
        FAILED: _("failed: {why}").format(why=item.why.split("\n")[0]),
        CANCELLED: _("stopped"),
    }
    return f"{item.name}  -  {words[item.state]}"


def _percent(job: SceneJob | None) -> str:
    return _("{percent:.0f} %").format(percent=100 * job.fraction if job else 0)

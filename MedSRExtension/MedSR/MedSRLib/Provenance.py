"""What was done to a result: attributes on its node, which the scene file keeps, and a report beside its saved file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import slicer

PREFIX = "MedSR."
MAP = PREFIX + "map"
ROLE_INPUT = PREFIX + "input"
_ROLE_STACK = PREFIX + "stack"


def roleOf(mapName: str) -> str:
    """The reference of a result to one of its maps."""
    return PREFIX + mapName


def markResult(node: slicer.vtkMRMLNode, source: slicer.vtkMRMLNode, report: Mapping[str, Any]) -> None:
    """Write on the node what was done to it, and of which node it was made."""
    writeReport(node, source, report)
    node.SetNodeReferenceID(ROLE_INPUT, source.GetID())


def markStacks(node: slicer.vtkMRMLNode, others: Sequence[slicer.vtkMRMLNode]) -> None:
    """Note on a result, beside the node that it was made of, the others that went into it."""
    for other in others:
        if other.GetScene() is not None:
            node.AddNodeReferenceID(_ROLE_STACK, other.GetID())


def sourcesOf(node: slicer.vtkMRMLNode) -> list[slicer.vtkMRMLNode]:
    """The nodes that a result was made of, as far as they are in the scene."""
    others = [node.GetNthNodeReference(_ROLE_STACK, n) for n in range(node.GetNumberOfNodeReferences(_ROLE_STACK))]
    return [source for source in (node.GetNodeReference(ROLE_INPUT), *others) if source is not None]


def stacksIn(report: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """What a report says of each stack that was fused; empty for a result of one volume."""
    return report.get("stacks", ())


def writeReport(node: slicer.vtkMRMLNode, source: slicer.vtkMRMLNode, report: Mapping[str, Any]) -> None:
    """Write on the node what was done to it: single facts to read, and the whole report as JSON."""
    facts = {
        "version": report.get("versions", {}).get("medsr", ""),
        "model": report.get("model", ""),
        "modelVersion": report.get("model_version", ""),
        "caution": "perceptual: may invent detail" if report.get("perceptual") else "",
        "input": ", ".join(stack["source"] for stack in stacksIn(report)) or source.GetName() or "",
        "target": decisionOf(report, "target").get("what", {}).get("text", ""),
        "consistencyPercent": report.get("consistency", {}).get("residual_percent", ""),
        "seconds": report.get("seconds", ""),
        "report": json.dumps(report),
    }
    for name, value in facts.items():
        node.SetAttribute(PREFIX + name, str(value))


def madeBy(report: Mapping[str, Any]) -> str:
    """What made a result, in the words of the library; the mark of models that may invent detail is among them."""
    from medsr.catalog import PERCEPTUAL

    version, mark = report.get("versions", {}).get("medsr", ""), f"{PERCEPTUAL}; " if report.get("perceptual") else ""
    return f"MedSR {version}; {mark}model {report.get('model', '')} {report.get('model_version', '')}".strip()


def markMap(node: slicer.vtkMRMLNode, name: str) -> None:
    """Note on the node that it is a map of a result."""
    node.SetAttribute(MAP, name)


def isMade(node: slicer.vtkMRMLNode) -> bool:
    """True for results and maps of this module."""
    return bool(node.GetAttribute(PREFIX + "report") or node.GetAttribute(MAP))


def decisionOf(report: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The values of the first decision of a kind; empty when there is none."""
    for told in report.get("decisions", ()):
        if isinstance(told, Mapping) and told.get("kind") == kind:  # older versions left sentences in scenes
            return told.get("values", {})
    return {}


def reportOf(node: slicer.vtkMRMLNode | None) -> dict[str, Any] | None:
    """The report of a result of this module, also after the scene was saved and loaded; None for other nodes."""
    text = node.GetAttribute(PREFIX + "report") if node is not None else None
    try:
        return json.loads(text) if text else None
    except json.JSONDecodeError:
        return None


def writeSidecar(node: slicer.vtkMRMLStorableNode) -> Path | None:
    """Write the report beside the file that a result was saved to: ``<file>.medsr.json``; None when there is none."""
    report, storage = reportOf(node), node.GetStorageNode()
    name = storage.GetFileName() if storage else None
    if report is None or not name or not Path(name).is_file():
        return None
    path = Path(name + ".medsr.json")
    path.write_text(json.dumps({**report, "output_file": Path(name).name}, indent=2) + "\n", encoding="utf-8")
    return path


class SidecarKeeper:
    """Writes the report beside each result when the person saves it.

    MRML has no event for a written file, so `check` is called by a slow timer and when a scene was saved; it looks at
    the time that the storage node notes. Reading a file is noted there, too, so what comes with a scene is `adopt`-ed.
    """

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def adopt(self, scene: slicer.vtkMRMLScene) -> None:
        """Take the files of all results as they are: they were loaded, not saved."""
        self._known = {node.GetID(): _stamp(node) for node in resultsIn(scene)}

    def check(self, scene: slicer.vtkMRMLScene) -> list[Path]:
        """Write what is due; return the files written. Nothing is due while a scene is being loaded."""
        if scene.IsImporting():
            return []
        found = []
        for node in resultsIn(scene):
            stamp = _stamp(node)
            if not stamp or self._known.get(node.GetID()) == stamp:
                continue
            self._known[node.GetID()] = stamp
            try:
                path = writeSidecar(node)
            except OSError:  # a folder that has become read-only: the attributes of the node remain
                continue
            if path:
                found.append(path)
        return found


def _stamp(node: slicer.vtkMRMLStorableNode) -> int:
    """When the file of a node was last read or written, 0 for never."""
    storage = node.GetStorageNode()
    return int(storage.GetStoredTime().GetMTime()) if storage else 0


def resultsIn(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLNode]:
    """The results of this module in a scene, oldest first."""
    count = scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    nodes = [scene.GetNthNodeByClass(n, "vtkMRMLScalarVolumeNode") for n in range(count)]
    return [node for node in nodes if node.GetAttribute(PREFIX + "report")]

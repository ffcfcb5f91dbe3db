"""Right-click on a volume in the Data tree: "Super-resolve"."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from AbstractScriptedSubjectHierarchyPlugin import AbstractScriptedSubjectHierarchyPlugin
from slicer.i18n import tr as _

_IMAGES = ("vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode")


class MedSRSubjectHierarchyPlugin(AbstractScriptedSubjectHierarchyPlugin):
    """Offers one action for scalar volumes: open the module with this volume as the input."""

    filePath = __file__

    def __init__(self, scriptedPlugin: Any) -> None:
        scriptedPlugin.name = "MedSR"
        AbstractScriptedSubjectHierarchyPlugin.__init__(self, scriptedPlugin)
        self.action = qt.QAction(_("Super-resolve..."), scriptedPlugin)
        self.action.triggered.connect(self.onSuperResolve)

    def canAddNodeToSubjectHierarchy(self, node: Any, parentItemID: int) -> float:
        """Own nothing: this plug-in only offers an action."""
        return 0.0

    def canOwnSubjectHierarchyItem(self, itemID: int) -> float:
        """Own nothing."""
        return 0.0

    def roleForPlugin(self) -> str:
        """No role."""
        return "N/A"

    def icon(self, itemID: int) -> Any:
        """No icon of its own."""
        return qt.QIcon()

    def visibilityIcon(self, visible: int) -> Any:
        """As every item."""
        return self._default().visibilityIcon(visible)

    def editProperties(self, itemID: int) -> None:
        """As every item."""
        self._default().editProperties(itemID)

    def itemContextMenuActions(self) -> list[Any]:
        """The one action."""
        return [self.action]

    def sceneContextMenuActions(self) -> list[Any]:
        """None for the scene."""
        return []

    def showContextMenuActionsForItem(self, itemID: int) -> None:
        """Show the action on intensity volumes."""
        self.action.visible = bool(itemID) and _volumeOf(itemID) is not None

    def tooltip(self, itemID: int) -> str:
        """None."""
        return ""

    def setDisplayVisibility(self, itemID: int, visible: int) -> None:
        """As every item."""
        self._default().setDisplayVisibility(itemID, visible)

    def getDisplayVisibility(self, itemID: int) -> Any:
        """As every item."""
        return self._default().getDisplayVisibility(itemID)

    def onSuperResolve(self, *_arguments: Any) -> None:
        """Open the module with the volume that was clicked on."""
        node = _volumeOf(slicer.qSlicerSubjectHierarchyPluginHandler.instance().currentItem())
        if node is not None:
            slicer.util.selectModule("MedSR")
            slicer.util.getModuleWidget("MedSR").setInputVolume(node)

    @staticmethod
    def _default() -> Any:
        return slicer.qSlicerSubjectHierarchyPluginHandler.instance().pluginByName("Default")


def _volumeOf(itemID: int) -> Any:
    """The intensity volume of an item, or None."""
    hierarchy = slicer.qSlicerSubjectHierarchyPluginHandler.instance().subjectHierarchyNode()
    node = hierarchy.GetItemDataNode(itemID) if hierarchy is not None and itemID else None
    # By name: a plug-in is loaded by itself, without the folder of the module on the path.
    return node if node is not None and node.GetClassName() in _IMAGES else None

"""Right-click on a volume in the Data tree: "Super-resolve"."""

from __future__ import annotations

import qt
import slicer
from AbstractScriptedSubjectHierarchyPlugin import AbstractScriptedSubjectHierarchyPlugin
from slicer.i18n import tr as _


class MedSRSubjectHierarchyPlugin(AbstractScriptedSubjectHierarchyPlugin):
    """Offers one action for scalar volumes: open the module with this volume as the input."""

    filePath = __file__

    def __init__(self, scriptedPlugin) -> None:
        scriptedPlugin.name = "MedSR"
        AbstractScriptedSubjectHierarchyPlugin.__init__(self, scriptedPlugin)
        self.action = qt.QAction(_("Super-resolve..."), scriptedPlugin)
        self.action.triggered.connect(self.onSuperResolve)

    def canAddNodeToSubjectHierarchy(self, node, parentItemID) -> float:
        """Own nothing: this plug-in only offers an action."""
        return 0.0

    def canOwnSubjectHierarchyItem(self, itemID) -> float:
        """Own nothing."""
        return 0.0

    def roleForPlugin(self) -> str:
        """No role."""
        return "N/A"

    def icon(self, itemID):
        """No icon of its own."""
        return qt.QIcon()

    def visibilityIcon(self, visible):
        """As every item."""
        return self._default().visibilityIcon(visible)

    def editProperties(self, itemID) -> None:
        """As every item."""
        self._default().editProperties(itemID)

    def itemContextMenuActions(self):
        """The one action."""
        return [self.action]

    def sceneContextMenuActions(self):
        """None for the scene."""
        return []

    def showContextMenuActionsForItem(self, itemID) -> None:
        """Show the action on intensity volumes."""
        self.action.visible = bool(itemID) and _volumeOf(itemID) is not None

    def tooltip(self, itemID) -> str:
        """None."""
        return ""

    def setDisplayVisibility(self, itemID, visible) -> None:
        """As every item."""
        self._default().setDisplayVisibility(itemID, visible)

    def getDisplayVisibility(self, itemID):
        """As every item."""
        return self._default().getDisplayVisibility(itemID)

    def onSuperResolve(self, *_arguments) -> None:
        """Open the module with the volume that was clicked on."""
        node = _volumeOf(slicer.qSlicerSubjectHierarchyPluginHandler.instance().currentItem())
        if node is not None:
            slicer.util.selectModule("MedSR")
            slicer.util.getModuleWidget("MedSR").setInputVolume(node)

    @staticmethod
    def _default():
        return slicer.qSlicerSubjectHierarchyPluginHandler.instance().pluginByName("Default")


def _volumeOf(itemID):
    """The intensity volume of an item, or None."""
    hierarchy = slicer.qSlicerSubjectHierarchyPluginHandler.instance().subjectHierarchyNode()
    node = hierarchy.GetItemDataNode(itemID) if hierarchy is not None and itemID else None
    if node is None or not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLLabelMapVolumeNode"):
        return None
    return node

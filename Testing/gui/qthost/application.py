"""``slicer.app`` and what hangs on it: signals, modules, layouts, in one process without a window system."""

from __future__ import annotations

import types
import xml.etree.ElementTree as ET

import slicer
import vtk
from PySide6 import QtWidgets


class Signals:
    """Connections by signal name, as PythonQt has them."""

    def __init__(self):
        self.connected = []

    def connect(self, signal, function):
        self.connected.append((signal, function))

    def disconnect(self, signal, function):
        self.connected.remove((signal, function))

    def emit(self, name, *arguments):
        for signal, function in list(self.connected):
            if signal.split("(")[0] == name:
                function(*arguments)


class ModuleManager(Signals):
    """The modules that the host loaded."""

    def __init__(self):
        super().__init__()
        self.modules = {}

    def module(self, name):
        return self.modules.get(name)


class LayoutManager:
    """Makes the slice nodes of a layout when it is chosen, as Slicer does."""

    def __init__(self):
        self.layout = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
        self._node = slicer.vtkMRMLLayoutNode()

    def layoutLogic(self):
        return types.SimpleNamespace(GetLayoutNode=lambda: self._node)

    def setLayout(self, layout):
        self.layout = layout
        if layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView:
            return
        if not self._node.IsLayoutDescription(layout):
            raise ValueError(f"there is no layout {layout}")
        for view in ET.fromstring(self._node.GetLayoutDescription(layout)).iter("view"):
            if view.get("class") == "vtkMRMLSliceNode":
                self.addSliceView(view.get("singletontag"))

    def addSliceView(self, name):
        if slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode"):
            return
        for kind in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
            node = slicer.mrmlScene.CreateNodeByClass(kind)
            node.UnRegister(None)
            node.SetSingletonTag(name)
            node.SetLayoutName(name)
            slicer.mrmlScene.AddNode(node)

    def mrmlSliceLogics(self):
        return vtk.vtkCollection()


class Application(QtWidgets.QApplication):
    """What the module asks of ``slicer.app``."""

    applicationTitle = "MedSR test host"

    def __init__(self):
        super().__init__(["medsr-test-host"])
        self.signals = Signals()
        self.manager = ModuleManager()
        self.layouts = LayoutManager()
        self.temporaryPath = ""

    def connect(self, signal, function):
        self.signals.connect(signal, function)

    def moduleManager(self):
        return self.manager

    def layoutManager(self):
        return self.layouts

    def testingEnabled(self):
        return True

    def translate(self, context, text):
        return text

"""``slicer.app`` and what hangs on it: signals, modules, layouts, in one process without a window system."""

from __future__ import annotations

import types
import xml.etree.ElementTree as ET

import slicer
import vtk
from PySide6 import QtCore, QtWidgets


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


class SliceWidget:
    """What the module asks of a slice view."""

    def __init__(self, logic):
        self._logic = logic

    def sliceLogic(self):
        return self._logic


class LayoutManager:
    """The slice views of a layout, as Slicer makes them: the nodes at once, the view itself in the event loop.

    A view that is built starts at offset 0 with a size of its own, whatever was set on its node before.
    """

    SIZE = (300, 240, 1)

    def __init__(self):
        self._layout = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
        self._node = slicer.vtkMRMLLayoutNode()
        self._views = {}
        self._built = set()
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(slicer.mrmlScene)
        for name, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
            self._addView(name, orientation)
            self._build(name)

    @property
    def layout(self):
        return self._layout

    def layoutLogic(self):
        return types.SimpleNamespace(GetLayoutNode=lambda: self._node)

    def setLayout(self, layout):
        if layout < slicer.vtkMRMLLayoutNode.SlicerLayoutUserView and layout != self._layout:
            self._layout = layout
            return
        if not self._node.IsLayoutDescription(layout):
            raise ValueError(f"there is no layout {layout}")
        self._layout = layout
        for view in ET.fromstring(self._node.GetLayoutDescription(layout)).iter("view"):
            if view.get("class") == "vtkMRMLSliceNode" and view.get("singletontag") not in self._views:
                name = view.get("singletontag")
                self._addView(name, view.find("property[@name='orientation']").text)
                QtCore.QTimer.singleShot(0, lambda name=name: self._build(name))

    def sliceViewNames(self):
        return tuple(self._views)

    def sliceWidget(self, name):
        return SliceWidget(self._views[name]) if name in self._built else None

    def mrmlSliceLogics(self):
        found = vtk.vtkCollection()
        for logic in self._views.values():
            found.AddItem(logic)
        return found

    def _addView(self, name, orientation):
        nodes = []
        for kind in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
            node = slicer.mrmlScene.CreateNodeByClass(kind)
            node.UnRegister(None)
            node.SetSingletonTag(name)
            node.SetLayoutName(name)
            nodes.append(slicer.mrmlScene.AddNode(node))
        nodes[0].SetOrientation(orientation)
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLScene(slicer.mrmlScene)
        logic.SetSliceNode(nodes[0])
        logic.SetSliceCompositeNode(nodes[1])
        self._views[name] = logic

    def _build(self, name):
        node = self._views[name].GetSliceNode()
        self._built.add(name)
        if node is not None and node.GetScene() is not None:
            node.SetDimensions(*self.SIZE)
            node.SetFieldOfView(250.0, 250.0 * self.SIZE[1] / self.SIZE[0], 1.0)
            node.SetSliceOffset(0.0)


class ModulePanel(QtWidgets.QWidget):
    """Slicer's panel: a module that is left is taken out of the layout, and its layout item is never deleted.

    So Qt tells the old item of changed sizes for ever, and the new one of a module that is entered again knows nothing.
    """

    def __init__(self, width=395, height=420):
        super().__init__()
        grid = QtWidgets.QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        self.area = QtWidgets.QScrollArea()
        self.area.setFrameShape(QtWidgets.QFrame.NoFrame)
        self.area.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        self.area.setWidgetResizable(True)
        grid.addWidget(self.area)
        content = QtWidgets.QWidget()
        self._column = QtWidgets.QVBoxLayout(content)
        self._column.setSizeConstraint(QtWidgets.QLayout.SetMinAndMaxSize)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(QtWidgets.QToolButton(text="Help && Acknowledgement"))
        room = QtWidgets.QSpacerItem(20, 0, QtWidgets.QSizePolicy.Minimum, QtWidgets.QSizePolicy.MinimumExpanding)
        self._column.addItem(room)
        self.area.setWidget(content)
        self.resize(width, height)
        self._leaked = []

    def add(self, widget):
        widget.layout().setContentsMargins(0, 0, 0, 0)
        self._column.insertWidget(1, widget, 1)
        widget.setSizePolicy(QtWidgets.QSizePolicy.Minimum, widget.property("sizePolicy").verticalPolicy())
        widget.setVisible(True)

    def remove(self, widget):
        index = self._column.indexOf(widget)
        if index >= 0:
            self._leaked.append(self._column.takeAt(index))
            widget.setVisible(False)
            widget.setParent(None)


class Application(QtWidgets.QApplication):
    """What the module asks of ``slicer.app``."""

    applicationTitle = "MedSR test host"

    def __init__(self):
        super().__init__(["medsr-test-host"])
        self.signals = Signals()
        self.manager = ModuleManager()
        self.layouts = None
        self.temporaryPath = ""

    def connect(self, signal, function):
        self.signals.connect(signal, function)

    def moduleManager(self):
        return self.manager

    def layoutManager(self):
        return self.layouts

    def settings(self):
        return QtCore.QSettings()

    def testingEnabled(self):
        return True

    def translate(self, context, text):
        return text

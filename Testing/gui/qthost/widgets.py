"""Stand-ins for the widgets of CTK and Slicer that the module's .ui file uses, and a loader that knows no others."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import slicer.util
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

Property, Signal = QtCore.Property, QtCore.Signal


class ctkCollapsibleButton(QtWidgets.QWidget):
    """A titled section that folds."""

    contentsCollapsed = Signal(bool)
    _TITLE_PX = 22

    def __init__(self, parent=None):
        super().__init__(parent)
        self._text, self._collapsed = "", False
        self.setContentsMargins(2, self._TITLE_PX + 2, 2, 2)

    def paintEvent(self, event):
        painter = QtGui.QPainter(self)
        bar = QtCore.QRect(0, 0, self.property("width"), self._TITLE_PX)
        painter.fillRect(bar, QtGui.QColor("#d9e2e7"))
        painter.setPen(QtGui.QColor("#20323a"))
        sign = "\u25b8" if self._collapsed else "\u25be"
        painter.drawText(bar.adjusted(6, 0, 0, 0), QtCore.Qt.AlignVCenter, f"{sign}  {self._text}")
        painter.end()

    def mousePressEvent(self, event):
        if event.position().y() <= self._TITLE_PX:
            self.setCollapsed(not self._collapsed)

    def setText(self, text):
        self._text = text
        self.update()

    def setCollapsed(self, collapsed):
        self._collapsed = bool(collapsed)
        self.setMaximumHeight(self._TITLE_PX + 2 if collapsed else 16777215)
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
            child.setProperty("folded", self._collapsed)
        self.contentsCollapsed.emit(self._collapsed)

    text = Property(str, lambda self: self._text, setText)
    collapsed = Property(bool, lambda self: self._collapsed, setCollapsed)


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider with a number beside it."""

    valueChanged = Signal(float)
    _STEPS = 1000

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider, self._box = QtWidgets.QSlider(QtCore.Qt.Horizontal), QtWidgets.QDoubleSpinBox()
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._box)
        self._slider.setRange(0, self._STEPS)
        self._box.valueChanged.connect(self._boxMoved)
        self._slider.valueChanged.connect(self._sliderMoved)

    def _boxMoved(self, value):
        low, high = self._box.property("minimum"), self._box.property("maximum")
        self._slider.blockSignals(True)
        self._slider.setValue(round(self._STEPS * (value - low) / (high - low)) if high > low else 0)
        self._slider.blockSignals(False)
        self.valueChanged.emit(value)

    def _sliderMoved(self, step):
        low, high = self._box.property("minimum"), self._box.property("maximum")
        self._box.setValue(low + step / self._STEPS * (high - low))

    def setValue(self, value):
        self._box.setValue(value)

    value = Property(float, lambda self: self._box.property("value"), setValue)
    minimum = Property(
        float, lambda self: self._box.property("minimum"), lambda self, v: self._box.setProperty("minimum", v)
    )
    maximum = Property(
        float, lambda self: self._box.property("maximum"), lambda self, v: self._box.setProperty("maximum", v)
    )
    singleStep = Property(
        float, lambda self: self._box.property("singleStep"), lambda self, v: self._box.setProperty("singleStep", v)
    )
    decimals = Property(
        int, lambda self: self._box.property("decimals"), lambda self, v: self._box.setProperty("decimals", v)
    )


class ctkPathLineEdit(QtWidgets.QWidget):
    """A line for a path, with a button that asks for one."""

    currentPathChanged = Signal(str)
    Files, Dirs = 2, 1  # of QDir.Filter

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._line, self._button = QtWidgets.QLineEdit(), QtWidgets.QToolButton(text="...")
        layout.addWidget(self._line, 1)
        layout.addWidget(self._button)
        self.setFocusProxy(self._line)
        self.filters = self.Dirs
        self._line.textChanged.connect(self.currentPathChanged)
        self._button.clicked.connect(self.browse)

    def browse(self):
        ask = QtWidgets.QFileDialog
        found = ask.getExistingDirectory(self) if self.filters == self.Dirs else ask.getOpenFileName(self)[0]
        if found:
            self._line.setText(found)

    currentPath = Property(
        str, lambda self: self._line.property("text"), lambda self, text: self._line.setProperty("text", text)
    )


class qMRMLWidget(QtWidgets.QWidget):
    """A widget with a scene, which it hands on to those that the .ui file connects."""

    mrmlSceneChanged = Signal(object)
    sceneReceivers: tuple[str, ...] = ()

    def setMRMLScene(self, scene):
        for name in self.sceneReceivers:
            self.findChild(QtWidgets.QWidget, name).setMRMLScene(scene)
        self.mrmlSceneChanged.emit(scene)


class qMRMLNodeComboBox(QtWidgets.QComboBox):
    """Lists the nodes of the scene; it has none before the scene was handed on."""

    currentNodeChanged = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene, self._types, self._hidden, self._tags = None, [], [], []
        self._flags = {"noneEnabled": False, "addEnabled": True, "removeEnabled": True, "renameEnabled": False}
        self._flags["showChildNodeTypes"] = True
        self._noneText = "None"
        self._last = None
        self.currentIndexChanged.connect(lambda index: self._tell())

    def setMRMLScene(self, scene):
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent)
        self._tags = [scene.AddObserver(event, lambda *arguments: self._refill()) for event in events]
        self._refill()

    def currentNodeID(self):
        return self.property("currentData") or ""

    def currentNode(self):
        identity = self.currentNodeID()
        return self._scene.GetNodeByID(identity) if self._scene and identity else None

    def setCurrentNodeID(self, identity):
        row = self.findData(identity or "")
        self.setCurrentIndex(row if row >= 0 else (0 if self._flags["noneEnabled"] else -1))

    def setCurrentNode(self, node):
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def nodeIDs(self):
        return [self.itemData(row) for row in range(self.property("count")) if self.itemData(row)]

    def _tell(self):
        identity = self.currentNodeID()
        if identity != self._last:
            self._last = identity
            self.currentNodeChanged.emit(self.currentNode())

    def _refill(self):
        current = self.currentNodeID()
        self.blockSignals(True)
        self.clear()
        if self._flags["noneEnabled"]:
            self.addItem(self._noneText, "")
        for node in self._nodes():
            self.addItem(node.GetName(), node.GetID())
        row = self.findData(current) if current else -1
        # As any combo box, it chooses the first entry when it gets its first one.
        self.setCurrentIndex(row if row >= 0 else 0)
        self.blockSignals(False)
        self._tell()

    def _nodes(self):
        if self._scene is None:
            return []
        found = slicer.util.getNodesByClass(self._types[0] if self._types else "vtkMRMLNode", scene=self._scene)
        children = self._flags["showChildNodeTypes"]
        return [
            node for node in found
            if not node.GetHideFromEditors()
            and (children or node.GetClassName() in self._types)
            and not (children and any(node.IsA(name) for name in self._hidden))
        ]  # fmt: skip

    def _setHidden(self, types):
        self._hidden = list(types)
        self._refill()

    def _setTypes(self, types):
        self._types = list(types)
        self._refill()

    def _setNoneText(self, text):
        self._noneText = text
        self._refill()

    def _flag(name):  # noqa: N805  a factory of properties
        def change(self, value):
            self._flags[name] = bool(value)
            self._refill()

        return Property(bool, lambda self: self._flags[name], change)

    nodeTypes = Property("QStringList", lambda self: self._types, _setTypes)
    hideChildNodeTypes = Property("QStringList", lambda self: self._hidden, _setHidden)
    noneDisplay = Property(str, lambda self: self._noneText, _setNoneText)
    noneEnabled, addEnabled, removeEnabled = _flag("noneEnabled"), _flag("addEnabled"), _flag("removeEnabled")
    renameEnabled, showChildNodeTypes = _flag("renameEnabled"), _flag("showChildNodeTypes")


KNOWN = (ctkCollapsibleButton, ctkPathLineEdit, ctkSliderWidget, qMRMLWidget, qMRMLNodeComboBox)


class QUiLoader(QtUiTools.QUiLoader):
    """Loads a .ui file and raises for every widget class, property or receiver that it does not know."""

    def __init__(self, parent=None):
        super().__init__(parent)
        for cls in KNOWN:
            self.registerCustomWidget(cls)

    def load(self, file):
        name = file.fileName()
        root = ET.parse(name).getroot()
        known = {cls.__name__ for cls in KNOWN}
        for widget in root.iter("widget"):
            cls = widget.get("class")
            if cls not in known and not hasattr(QtWidgets, cls):
                raise NotImplementedError(f"{name}: there is no stand-in for {cls} ({widget.get('name')})")
            _checkProperties(widget, next((k for k in KNOWN if k.__name__ == cls), getattr(QtWidgets, cls, None)))
        receivers = root.findall("connections")
        for connections in receivers:
            root.remove(connections)  # VTK types in signals are unknown to PySide; they are wired below
        buffer = QtCore.QBuffer()
        buffer.setData(ET.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        loaded = super().load(buffer)
        if loaded is None:
            raise RuntimeError(self.errorString())
        loaded.sceneReceivers = tuple(name for element in receivers for name in _sceneReceivers(element, loaded))
        for tab in _pairs([stop.text for stop in root.iter("tabstop")]):
            first, second = (loaded.findChild(QtWidgets.QWidget, stop) for stop in tab)
            if first is None or second is None:
                raise RuntimeError(f"{name}: the tab order names a widget that is not there: {tab}")
        return loaded


def _pairs(names):
    return list(zip(names, names[1:], strict=False))


def _checkProperties(widget, cls) -> None:
    """A property that the class lacks would be silently dropped or made dynamic."""
    for item in widget.findall("property"):
        name = item.get("name")
        if item.get("stdset") != "0" and name != "buddy" and cls.staticMetaObject.indexOfProperty(name) < 0:
            raise AttributeError(f"{widget.get('name')}: {cls.__name__} has no property {name}")


def _sceneReceivers(connections, loaded):
    for connection in connections.iter("connection"):
        signal, receiver = connection.find("signal").text, connection.find("receiver").text
        if not signal.startswith("mrmlSceneChanged"):
            raise NotImplementedError(f"the connection of {signal} is not known")
        if loaded.findChild(QtWidgets.QWidget, receiver) is None:
            raise RuntimeError(f"mrmlSceneChanged is connected to {receiver}, which is not there")
        yield receiver

"""Small stand-ins for the parts of Slicer's own Python that slicer-core lacks.

Used where `slicer_python` finds none of Slicer's own. They do what the module relies on and no more.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import os
import sys
import types
import typing
import unittest

import slicer
import slicer.util
import vtk


class ScriptedLoadableModule:
    def __init__(self, parent):
        self.parent = parent
        self.moduleName = type(self).__name__


class ScriptedLoadableModuleWidget:
    def __init__(self, parent=None):
        super().__init__()
        self.moduleName = type(self).__name__[: -len("Widget")]
        self.parent = parent
        self.layout = parent.layout()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, name):
        folder = os.path.dirname(slicer.util.modulePath(self.moduleName))
        return os.path.join(folder, "Resources", name)

    def setup(self):
        pass

    def cleanup(self):
        pass

    def onReload(self):
        slicer.util.reloadScriptedModule(self.moduleName)

    def _onModuleAboutToBeUnloaded(self, name):
        if name == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


class ScriptedLoadableModuleLogic:
    def __init__(self, parent=None):
        super().__init__()
        self.moduleName = type(self).__name__[: -len("Logic")]

    def getParameterNode(self):
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetName(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    def __init__(self, *arguments, **named):
        super().__init__(*(arguments or ["runTest"]), **named)

    def delayDisplay(self, message, requestedDelay=None, msec=None):
        slicer.app.processEvents()


@dataclasses.dataclass
class WithinRange:
    minimum: float
    maximum: float

    def check(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not in [{self.minimum}, {self.maximum}]")


def parameterNodeWrapper(cls):
    """Typed attributes of a class, kept in a scripted module node and tied to widgets."""
    hints = typing.get_type_hints(cls, include_extras=True)
    for name, hint in hints.items():
        kind, checks = (hint.__origin__, hint.__metadata__) if hasattr(hint, "__metadata__") else (hint, ())
        setattr(cls, name, _parameter(name, kind, checks))
    cls.parameterTypes = hints
    defaults = dict.fromkeys(hints)
    defaults.update({name: value for name, value in _defaults(cls).items() if name in hints})
    cls.parameterDefaults = defaults
    for method in (_init, getValue, setValue, connectParametersToGui, disconnectGui):
        setattr(cls, "__init__" if method is _init else method.__name__, method)
    for name in ("StartModify", "EndModify", "Modified", "AddObserver", "RemoveObserver"):
        setattr(cls, name, _forwarded(name))
    return cls


_found: dict[type, dict] = {}


def _defaults(cls):
    return _found.get(cls, {})


def _forwarded(name):
    return lambda self, *arguments: getattr(self.parameterNode, name)(*arguments)


def _nodeTypes(kind):
    """The classes of nodes that a parameter takes; none for other parameters."""
    return [kind.__name__] if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode) else []


def _parameter(name, kind, checks):
    isNode = bool(_nodeTypes(kind))

    def read(self):
        if isNode:
            return self.parameterNode.GetNodeReference(name)
        text = self.parameterNode.GetParameter(name)
        if issubclass(kind, enum.Enum):
            return kind[text]
        return text == "true" if kind is bool else kind(text)

    def write(self, value):
        if isNode:
            self.parameterNode.SetNodeReferenceID(name, value.GetID() if value is not None else None)
            return
        if not isinstance(value, (int, float) if kind is float else kind):
            raise TypeError(f"{name} takes {kind.__name__}, not {value!r}")
        for check in checks:
            check.check(value)
        text = value.name if isinstance(value, enum.Enum) else str(value)
        self.parameterNode.SetParameter(name, text.lower() if kind is bool else text)

    return property(read, write)


def _init(self, parameterNode, prefix=None):
    self.parameterNode = parameterNode
    self._connections = {}
    self._isUpdating = False
    for name, default in self.parameterDefaults.items():
        if default is not None and not parameterNode.GetParameter(name):
            if default == "" and name in parameterNode.GetParameterNames():
                continue
            setattr(self, name, default)


def getValue(self, name):
    return getattr(self, name)


def setValue(self, name, value):
    setattr(self, name, value)


# Widget class -> (signal, read, write)
_WIDGETS = {
    "QCheckBox": ("stateChanged", lambda w: w.checked, lambda w, v: setattr(w, "checked", v)),
    "QSpinBox": ("valueChanged", lambda w: w.value, lambda w, v: setattr(w, "value", v)),
    "QDoubleSpinBox": ("valueChanged", lambda w: w.value, lambda w, v: setattr(w, "value", v)),
    "ctkSliderWidget": ("valueChanged", lambda w: w.value, lambda w, v: setattr(w, "value", v)),
    "QLineEdit": ("textChanged", lambda w: w.text, lambda w, v: v != w.text and setattr(w, "text", v)),
    "qMRMLNodeComboBox": ("currentNodeChanged", lambda w: w.currentNode(), lambda w, v: w.setCurrentNode(v)),
}


class GuiConnector:
    """Ties a parameter to a widget that Slicer does not know."""

    def __init__(self):
        self._callback = None

    def onChanged(self, callback):
        self._callback = callback
        self._connect() if callback else self._disconnect()

    def changed(self):
        self._callback()


def _comboBox(widget, kind):
    """As the entries of `_WIDGETS`, for the members of an enumeration."""
    members = list(kind)
    widget.clear()
    for member in members:
        widget.addItem(member.label())
    return (
        "currentIndexChanged", lambda w: members[w.currentIndex],
        lambda w, value: setattr(w, "currentIndex", members.index(value)),
    )  # fmt: skip


def connectParametersToGui(self, mapping):
    connections = []
    for name, widget in mapping.items():
        if name not in self.parameterTypes:
            raise ValueError(f"{widget.name}: there is no parameter {name}")
        hint = self.parameterTypes[name]
        if isinstance(widget, GuiConnector):
            connections.append(_connected(self, name, widget))
            continue
        isEnum = isinstance(hint, type) and issubclass(hint, enum.Enum)
        signal, read, write = _comboBox(widget, hint) if isEnum else _WIDGETS[type(widget).__name__]
        for check in getattr(hint, "__metadata__", ()):
            widget.minimum, widget.maximum = check.minimum, check.maximum
        if _nodeTypes(hint):  # as Slicer's own does, whatever the .ui file says
            widget.nodeTypes = _nodeTypes(hint)
        write(widget, getValue(self, name))

        def changed(*_arguments, name=name, widget=widget, read=read):
            if not self._isUpdating:
                setValue(self, name, read(widget))

        getattr(widget, signal).connect(changed)
        undo = functools.partial(getattr(widget, signal).disconnect, changed)
        connections.append((name, functools.partial(write, widget), undo))

    def update(*_arguments):
        if self._isUpdating:
            return
        self._isUpdating = True
        try:
            for name, write, _undo in connections:
                write(getValue(self, name))
        finally:
            self._isUpdating = False

    tag = self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, update)
    self._connections[tag] = connections
    return tag


def _connected(self, name, connector):
    def changed():
        if not self._isUpdating:
            setValue(self, name, connector.read())

    connector.write(getValue(self, name))
    connector.onChanged(changed)
    return name, connector.write, lambda: connector.onChanged(None)


def disconnectGui(self, tag):
    if tag is None or tag not in self._connections:
        return
    self.parameterNode.RemoveObserver(tag)
    for _name, _write, undo in self._connections.pop(tag):
        undo()


def parameterNodeWrapperWithDefaults(cls):
    """The decorator: note the defaults before they become properties."""
    _found[cls] = {name: getattr(cls, name) for name in cls.__annotations__ if hasattr(cls, name)}
    return parameterNodeWrapper(cls)


def install() -> None:
    """Put the stand-ins where ``from slicer.... import`` finds them."""
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr = lambda text: text
    i18n.translate = lambda context, text: text
    module = types.ModuleType("slicer.ScriptedLoadableModule")
    for cls in (
        ScriptedLoadableModule, ScriptedLoadableModuleWidget, ScriptedLoadableModuleLogic, ScriptedLoadableModuleTest,
    ):  # fmt: skip
        setattr(module, cls.__name__, cls)
    wrapper = types.ModuleType("slicer.parameterNodeWrapper")
    wrapper.parameterNodeWrapper = parameterNodeWrapperWithDefaults
    wrapper.WithinRange, wrapper.GuiConnector = WithinRange, GuiConnector
    for name, made in (("i18n", i18n), ("ScriptedLoadableModule", module), ("parameterNodeWrapper", wrapper)):
        sys.modules["slicer." + name] = made
        setattr(slicer, name, made)

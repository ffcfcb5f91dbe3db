"""Runs a scripted Slicer module with real widgets and a real scene, without Slicer.

``slicer`` is slicer-core, ``qt`` and ``ctk`` are PySide6 with PythonQt's habits. Parameter nodes, base classes and
translation are Slicer's own where `slicer_python` finds them, else small stand-ins.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import types
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
import slicer.util
import slicer_python
from PySide6 import QtCore, QtGui, QtWidgets
from qthost import application, flavour, slicerpython, widgets

_UNUSED_WIDGETS = (
    "ctkCheckBox", "ctkCheckablePushButton", "ctkColorPickerButton", "ctkComboBox", "ctkDirectoryButton",
    "ctkDoubleRangeSlider", "ctkDoubleSlider", "ctkDoubleSpinBox", "ctkRangeWidget",
)  # fmt: skip
_UNUSED_MRML_WIDGETS = (
    "qMRMLSliderWidget", "qMRMLSpinBox", "qMRMLRangeWidget", "qSlicerWidget", "qMRMLSubjectHierarchyTreeView",
    "qMRMLSubjectHierarchyComboBox",
)  # fmt: skip


def start() -> application.Application:
    """Make ``qt``, ``ctk`` and the missing parts of ``slicer``; a second call returns the application there is."""
    if isinstance(getattr(slicer, "app", None), application.Application):
        return slicer.app
    flavour.install()
    _keepSettingsAway()
    sys.modules["qt"] = _joined("qt", QtWidgets, QtGui, QtCore, QUiLoader=widgets.QUiLoader)
    named = {cls.__name__: cls for cls in widgets.KNOWN if cls.__name__.startswith("ctk")}
    sys.modules["ctk"] = _joined("ctk", **named, **_inert(_UNUSED_WIDGETS))
    slicer.qMRMLWidget, slicer.qMRMLNodeComboBox = widgets.qMRMLWidget, widgets.qMRMLNodeComboBox
    for name, cls in _inert(_UNUSED_MRML_WIDGETS).items():
        setattr(slicer, name, cls)
    slicer.qSlicerScriptedLoadableModule = type("qSlicerScriptedLoadableModule", (), {})
    slicer.qSlicerScriptedLoadableModuleWidget = type("qSlicerScriptedLoadableModuleWidget", (widgets.qMRMLWidget,), {})
    slicer.modules, slicer.moduleNames = types.SimpleNamespace(), types.SimpleNamespace()
    slicer.app = application.Application()
    folder = slicer_python.folder()
    if folder is not None:
        # Appended: what slicer-core has stays, what it lacks is Slicer's own.
        slicer.__path__.append(str(folder / "slicer"))
    else:
        slicerpython.install()
    return slicer.app


def _keepSettingsAway() -> None:
    """No test reads or writes the settings of the person who runs it."""
    folder = tempfile.mkdtemp(prefix="medsr-settings-")
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
    for scope in (QtCore.QSettings.UserScope, QtCore.QSettings.SystemScope):
        QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, scope, folder)


def _joined(name: str, *sources, **extra) -> types.ModuleType:
    """A module with the names of several; an unknown name raises, as in Slicer."""
    module = types.ModuleType(name)
    module.__dict__.update(extra)

    def find(attribute):
        for source in sources:
            if hasattr(source, attribute):
                return getattr(source, attribute)
        raise AttributeError(f"{name} has no attribute {attribute}")

    module.__getattr__ = find
    return module


def _inert(names) -> dict[str, type]:
    """Classes that Slicer's own Python compares with; nobody makes one."""
    return {name: type(name, (QtWidgets.QWidget,), {}) for name in names}


class LoadedModule:
    """A module whose panel is built, as when a person has opened it.

    Args:
        path: of the module's Python file.
    """

    def __init__(self, path: Path) -> None:
        self.app = start()
        slicer.mrmlScene = slicer.vtkMRMLScene()
        self._logics = _sceneLogics(slicer.mrmlScene)
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        self.app.layouts = application.LayoutManager()
        self.panel = application.ModulePanel()
        self.name = path.stem
        self._path = path
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        self.python = self._import()
        self.descriptor = slicer.qSlicerScriptedLoadableModule()
        self.descriptor.path, self.descriptor.name = str(path), self.name
        self.descriptor.widgetRepresentation = lambda: self.parent
        setattr(slicer.modules, self.name.lower(), self.descriptor)
        self.app.manager.modules[self.name] = self.descriptor
        getattr(self.python, self.name)(self.descriptor)
        self.parent = None
        self.build()

    def _import(self):
        spec = importlib.util.spec_from_file_location(self.name, self._path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.name] = module
        spec.loader.exec_module(module)
        return module

    def build(self) -> None:
        """Make the module's widget anew, and enter it."""
        if self.parent is not None:
            self.panel.remove(self.parent)
        self.parent = slicer.qSlicerScriptedLoadableModuleWidget()
        self.parent.setLayout(QtWidgets.QVBoxLayout())
        self.parent.setMRMLScene(slicer.mrmlScene)
        self.widget = getattr(self.python, self.name + "Widget")(self.parent)
        setattr(slicer.modules, self.name + "Widget", self.widget)
        self.parent.self = lambda: self.widget
        self.widget.setup()
        self.enter()

    def enter(self) -> None:
        """The person chooses the module."""
        self.panel.add(self.parent)
        self.parent.isEntered = True
        self.widget.enter()

    def leave(self) -> None:
        """The person chooses another module."""
        self.parent.isEntered = False
        self.widget.exit()
        self.panel.remove(self.parent)

    def reload(self) -> None:
        """As the Reload button of developers: the code is read again, the old panel is cleaned up."""
        old = self.widget
        for name in [name for name in sys.modules if name.partition(".")[0] == "MedSRLib"]:
            del sys.modules[name]
        self.python = self._import()
        old.cleanup()
        self.build()

    def close(self) -> None:
        """As when the application quits."""
        self.app.manager.emit("moduleAboutToBeUnloaded", self.name)
        self.panel.close()
        self.panel.deleteLater()
        self.parent.deleteLater()
        self.app.processEvents()
        slicer.mrmlScene.Clear(1)


def _sceneLogics(scene):
    """The logics that fill a scene with colours, show volumes in them, and make voxels of surfaces."""
    application_ = slicer.vtkMRMLApplicationLogic()
    application_.SetMRMLScene(scene)
    colours = slicer.vtkSlicerColorLogic()  # of the module Colors; it knows legends, too
    colours.SetMRMLScene(scene)
    colours.AddDefaultColorNodes()
    segmentations = slicer.vtkSlicerSegmentationsModuleLogic()
    segmentations.SetMRMLScene(scene)
    return application_, colours, segmentations

"""What the module adds to Slicer when it starts: sample data, and an entry in the menu of the Data tree."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

import pytest
import slicer
import slicer.util


@pytest.fixture
def sample_data(monkeypatch):
    """A stand-in for Slicer's Sample Data module."""
    registered = []

    class SampleDataLogic:
        @staticmethod
        def registerCustomSampleDataSource(**source):
            registered.append(source)

    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=SampleDataLogic))
    return registered, SampleDataLogic


def test_sample_data_is_registered_with_checksums(module, sample_data):
    registered, _ = sample_data
    module.app.signals.emit("startupCompleted")
    assert len({source["sampleName"] for source in registered}) == 3
    for source in registered:
        assert source["category"] == "MedSR"
        assert Path(source["thumbnailFileName"]).is_file()
        if "customDownloader" not in source:
            assert source["checksums"].removeprefix("SHA256:") in source["uris"]


def test_the_phantom_needs_no_internet_and_its_licence_is_said(module, sample_data):
    registered, _ = sample_data
    module.app.signals.emit("startupCompleted")
    source = next(source for source in registered if "customDownloader" in source)
    node = source["customDownloader"](source)
    assert node.GetImageData().GetDimensions() == (160, 192, 32)
    assert node.GetSpacing() == (1, 1, 4)
    for part in ("phantom", "CC0", "MRHead", "CTChest", "Apache"):
        assert part in module.descriptor.acknowledgementText


def test_newer_slicer_gets_a_category_title(module, sample_data):
    _, logic = sample_data
    titles = []
    logic.registerCustomSampleDataCategory = staticmethod(lambda category, title: titles.append((category, title)))
    module.app.signals.emit("startupCompleted")
    assert ("MedSR", "MedSR") in titles


def test_an_application_without_sample_data_starts_too(module, monkeypatch):
    monkeypatch.setitem(sys.modules, "SampleData", None)
    module.app.signals.emit("startupCompleted")


def test_without_plugins_the_menu_entry_is_silently_absent(module):
    from MedSRLib import Startup

    assert not hasattr(slicer, "qSlicerSubjectHierarchyScriptedPlugin")
    assert Startup.registerDataTreeAction() is False


@pytest.fixture
def data_tree(module, monkeypatch):
    """A stand-in for Slicer's subject hierarchy plug-ins, which makes the Python object of a plug-in's file."""
    import qt

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    tree = types.SimpleNamespace(plugins=[], current=0, node=hierarchy)
    handler = types.SimpleNamespace(
        registerPlugin=tree.plugins.append, currentItem=lambda: tree.current, subjectHierarchyNode=lambda: hierarchy
    )
    handlerClass = types.SimpleNamespace(instance=lambda: handler)

    class Abstract:
        def __init__(self, scriptedPlugin):
            self.scriptedPlugin = scriptedPlugin
            handler.registerPlugin(scriptedPlugin)

    class ScriptedPlugin(qt.QWidget):
        def setPythonSource(self, path):
            spec = importlib.util.spec_from_file_location(Path(path).stem, path)
            loaded = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(loaded)
            self.python = getattr(loaded, Path(path).stem)(self)

    source = types.ModuleType("AbstractScriptedSubjectHierarchyPlugin")
    source.AbstractScriptedSubjectHierarchyPlugin = Abstract
    monkeypatch.setitem(sys.modules, source.__name__, source)
    monkeypatch.setattr(slicer, "qSlicerSubjectHierarchyPluginHandler", handlerClass, raising=False)
    monkeypatch.setattr(slicer, "qSlicerSubjectHierarchyScriptedPlugin", lambda parent: ScriptedPlugin(), raising=False)
    return tree


def test_right_click_on_a_volume_opens_the_module_with_it(module, data_tree, make_volume, monkeypatch):
    from MedSRLib import Startup

    first, second = make_volume("First"), make_volume("Second")
    folder = data_tree.node.CreateFolderItem(data_tree.node.GetSceneItemID(), "Study")
    item = data_tree.node.CreateItem(folder, second)
    opened = []
    monkeypatch.setattr(slicer.util, "selectModule", opened.append)
    assert module.widget._parameterNode.inputVolume is first

    assert Startup.registerDataTreeAction() is True
    (plugin,) = data_tree.plugins
    (action,) = plugin.python.itemContextMenuActions()
    plugin.python.showContextMenuActionsForItem(folder)
    assert not action.visible
    plugin.python.showContextMenuActionsForItem(item)
    assert action.visible
    data_tree.current = item
    action.trigger()
    assert opened == ["MedSR"]
    assert module.widget._parameterNode.inputVolume is second

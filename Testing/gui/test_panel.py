"""Every control of the panel, both ways, with the project's own .ui file."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import slicer

UI = Path(__file__).resolve().parents[2] / "MedSRExtension/MedSR/Resources/UI/MedSR.ui"

# Parameter -> (widget, how to change the widget, value of the parameter then, value to set on the parameter,
#               how to read the widget)
NUMBERS = {
    "spacingX": "spacingXSpinBox",
    "spacingY": "spacingYSpinBox",
    "spacingZ": "spacingZSpinBox",
    "sliceThickness": "thicknessSpinBox",
    "memoryLimitGB": "memorySpinBox",
    "fade": "fadeSlider",
}
WHOLE_NUMBERS = {"trainingCopies": "trainingCopiesSpinBox", "trainingSeed": "trainingSeedSpinBox"}
CHECKS = {
    "allFrames": "allFramesCheckBox",
    "trainingFirstWins": "trainingFirstWinsCheckBox",
    "fuseNetworks": "fuseNetworksCheckBox",
    "consistency": "consistencyCheckBox",
    "keepWarm": "keepWarmCheckBox",
}
PATHS = {
    "interpreterPath": "interpreterLineEdit",
    "wheelFolder": "wheelLineEdit",
    "trainingFolder": "trainingFolderLineEdit",
    "trainingOutput": "trainingOutputLineEdit",
}
NODES = {
    "inputVolume": "inputSelector",
    "outputVolume": "outputSelector",
    "referenceVolume": "referenceSelector",
    "fuseWith": "fuseWithSelector",
    "fuseAlso": "fuseAlsoSelector",
    "trainingVolume": "trainingVolumeSelector",
}
SEGMENTATIONS = {
    "measureSegmentation": "measureSelector",
    "trainingSegmentation": "trainingSegmentationSelector",
}
COMBOS = {
    "target": "targetCombo",
    "profile": "profileCombo",
    "model": "modelCombo",
    "mode": "modeCombo",
    "effort": "effortCombo",
    "modality": "modalityCombo",
    "sliceAxis": "axisCombo",
    "device": "deviceCombo",
    "precision": "precisionCombo",
    "trainingSource": "trainingSourceCombo",
    "trainingRecipe": "trainingRecipeCombo",
    "trainingFormat": "trainingFormatCombo",
}


@pytest.mark.parametrize(("name", "widget"), NUMBERS.items())
def test_numbers_go_both_ways(ui, parameters, name, widget):
    box = getattr(ui, widget)
    box.setValue(0.75)
    assert parameters.getValue(name) == pytest.approx(0.75, abs=0.06)
    parameters.setValue(name, 0.5)
    assert box.value == pytest.approx(0.5)


@pytest.mark.parametrize(("name", "widget"), WHOLE_NUMBERS.items())
def test_whole_numbers_go_both_ways(ui, parameters, name, widget):
    box = getattr(ui, widget)
    box.setValue(7)
    assert parameters.getValue(name) == 7
    parameters.setValue(name, 3)
    assert box.value == 3


@pytest.mark.parametrize(("name", "widget"), CHECKS.items())
def test_check_boxes_go_both_ways(ui, parameters, name, widget):
    box = getattr(ui, widget)
    before = parameters.getValue(name)
    assert box.checked == before
    box.click()
    assert parameters.getValue(name) is not before
    parameters.setValue(name, before)
    assert box.checked == before


@pytest.mark.parametrize(("name", "widget"), PATHS.items())
def test_paths_go_both_ways(ui, parameters, name, widget):
    line = getattr(ui, widget)
    assert line.currentPath == ""  # no path, not the folder that Slicer was started in
    line.currentPath = "/some/where"
    assert parameters.getValue(name) == "/some/where"
    parameters.setValue(name, "/else/where")
    assert line.currentPath == "/else/where"
    line.currentPath = ""
    assert parameters.getValue(name) == ""


def test_an_interpreter_is_a_file_and_the_others_are_folders(ui):
    import ctk

    for widget in PATHS.values():
        kinds = ctk.ctkPathLineEdit
        assert getattr(ui, widget).filters == (kinds.Files if widget == "interpreterLineEdit" else kinds.Dirs)


@pytest.mark.parametrize(("name", "widget"), NODES.items())
def test_selectors_go_both_ways(ui, parameters, make_volume, name, widget):
    first, second = make_volume("First"), make_volume("Second")
    selector = getattr(ui, widget)
    selector.setCurrentNode(second)
    assert parameters.getValue(name) is second
    parameters.setValue(name, first)
    assert selector.currentNode() is first


@pytest.mark.parametrize(("name", "widget"), SEGMENTATIONS.items())
def test_segmentation_selectors_go_both_ways(ui, parameters, name, widget):
    first, second = (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", each) for each in ("A", "B"))
    selector = getattr(ui, widget)
    selector.setCurrentNode(second)
    assert parameters.getValue(name) is second
    parameters.setValue(name, first)
    assert selector.currentNode() is first


@pytest.mark.parametrize(("name", "widget"), COMBOS.items())
def test_combo_boxes_go_both_ways(module, ui, parameters, name, widget):
    combo = getattr(ui, widget)
    from MedSRLib import Parameter

    kind = Parameter.choices().get(name)
    values = list(kind) if kind else module.widget.panel.connectors[name].values
    assert combo.count == len(values) > 1
    assert all(combo.itemData(row, 3) for row in range(combo.count))  # a tooltip for each
    for index, value in enumerate(values):
        combo.setCurrentIndex(index)
        assert parameters.getValue(name) == value
    for index, value in enumerate(values):
        parameters.setValue(name, value)
        assert combo.currentIndex == index
    # A choice of another version, as a scene may hold it.
    parameters.parameterNode.SetParameter(name, "of another version")
    module.leave()
    module.enter()
    assert combo.currentIndex == 0


def test_every_parameter_has_a_control_and_every_control_is_tested(module, parameters):
    tested = {*NUMBERS, *WHOLE_NUMBERS, *CHECKS, *PATHS, *NODES, *COMBOS, *SEGMENTATIONS}
    known = getattr(type(parameters), "allParameters", None) or type(parameters).parameterTypes
    tested.add("maps")  # in test_maps.py
    assert tested == set(known)
    bound = {
        p.find("string").text for p in ET.parse(UI).getroot().iter("property") if p.get("name") == "SlicerParameterName"
    }
    assert bound == tested


def test_every_control_has_a_tooltip_and_a_place_in_the_tab_order(ui):
    root = ET.parse(UI).getroot()
    stops = [stop.text for stop in root.iter("tabstop")]
    assert len(stops) == len(set(stops)) > 20
    for name in stops:
        assert getattr(ui, name).toolTip, name
    kinds = (
        "QComboBox",
        "QDoubleSpinBox",
        "QCheckBox",
        "QPushButton",
        "ctkPathLineEdit",
        "qMRMLNodeComboBox",
        "ctkSliderWidget",
    )
    controls = {w.get("name") for w in root.iter("widget") if w.get("class") in kinds}
    assert controls <= set(stops)


def test_every_control_has_a_name_for_screen_readers(module, ui):
    """A text of its own, a label whose buddy it is, or an accessible name."""
    import qt

    buddies = {label.buddy().objectName for label in module.parent.findChildren(qt.QLabel) if label.buddy()}
    for name in (stop.text for stop in ET.parse(UI).getroot().iter("tabstop")):
        control = getattr(ui, name)
        hasText = isinstance(control, qt.QAbstractButton) and len(control.text) > 3
        assert hasText or control.accessibleName or name in buddies, name


def test_unknown_widget_classes_and_properties_raise(module, tmp_path):
    import qt

    text = UI.read_text(encoding="utf-8")
    for wrong, error in (
        (text.replace('class="QProgressBar"', 'class="qMRMLThreeDWidget"'), NotImplementedError),
        (text.replace('<property name="readOnly">', '<property name="readsOnly">'), AttributeError),
        (text.replace("<receiver>inputSelector", "<receiver>inputSelect"), RuntimeError),
    ):
        assert wrong != text
        path = tmp_path / "wrong.ui"
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(error):
            qt.QUiLoader().load(qt.QFile(str(path)))


def test_choices_are_saved_with_the_scene_and_restored(module, parameters, choices, a_volume, tmp_path):
    parameters.target, parameters.model, parameters.maps = choices.Target.SPACING, "lanczos", "difference"
    parameters.spacingX = 0.65
    parameters.inputVolume = a_volume
    a_volume.AddDefaultStorageNode(str(tmp_path / "head.nrrd"))
    a_volume.GetStorageNode().WriteData(a_volume)
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(0)
    assert module.widget._parameterNode.target is choices.Target.ISOTROPIC
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.Import()
    module.widget.exit()
    module.widget.enter()
    again = module.widget._parameterNode
    assert (again.target, again.model, again.maps) == (choices.Target.SPACING, "lanczos", "difference")
    assert again.spacingX == pytest.approx(0.65)
    assert again.inputVolume.GetName() == a_volume.GetName()
    ui = module.widget.ui
    assert ui.targetCombo.currentText == "Custom spacing"
    assert ui.modelCombo.currentText == "lanczos"


def test_the_input_line_says_what_the_volume_is(ui, a_volume, settle):
    settle()
    text = f"{ui.inputInfoLabel.toolTip} {ui.resolutionLabel.toolTip}"
    for part in ("24 x 20 x 10", "0.9 x 0.9 x 3 mm", "MR (guessed)", "Axial slices, resolving about 0.9"):
        assert part in text
    assert not ui.inputWarningLabel.text


def test_thin_slices_are_not_called_thick(ui, parameters, make_volume, settle):
    parameters.inputVolume = make_volume("Thin", (10, 20, 24), (0.6, 0.6, 1.0))
    settle()
    assert "hick" not in ui.inputInfoLabel.toolTip + ui.resolutionLabel.toolTip
    assert "Axial slices" in ui.resolutionLabel.toolTip


def test_warnings_about_the_input(ui, parameters, choices, make_volume, settle):
    import numpy as np

    parameters.inputVolume = make_volume("Photo", (20, 20, 20), (1, 1, 1), np.uint8)
    settle()
    assert "8 bits" in ui.inputWarningLabel.toolTip
    assert "isotropic" in ui.inputWarningLabel.toolTip
    assert parameters.target == choices.Target.TWICE


def test_ct_is_recognised(ui, parameters, make_volume, settle):
    import slicer.util

    node = make_volume("CT")
    slicer.util.arrayFromVolume(node)[:] -= 1000
    slicer.util.arrayFromVolumeModified(node)
    parameters.inputVolume = node
    settle()
    assert "CT (guessed)" in ui.inputInfoLabel.toolTip


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("ISOTROPIC", "24 x 20 x 33"),
        ("TWICE", "48 x 40 x 20"),
        ("TWICE_IN_PLANE", "48 x 40 x 10"),
        ("SPACING", "43 x 36 x 60"),
    ],
)
def test_presets_show_what_they_make(ui, parameters, choices, a_volume, settle, target, text):
    parameters.target = choices.Target[target]
    parameters.spacingX = parameters.spacingY = parameters.spacingZ = 0.5
    settle()
    assert text in ui.previewLabel.toolTip
    assert "memory" in ui.detailsText.plainText
    assert ui.applyButton.enabled
    assert ui.spacingWidget.isVisibleTo(ui.targetWidget) == (target == "SPACING")


def test_reference_preset_needs_a_volume(ui, parameters, choices, a_volume, make_volume, settle):
    parameters.target = choices.Target.REFERENCE
    settle()
    assert ui.referenceSelector.isVisibleTo(ui.targetWidget)
    assert not ui.applyButton.enabled
    assert "grid" in ui.applyButton.toolTip
    fine = make_volume("Fine", (30, 40, 48), (0.45, 0.45, 1.0))
    parameters.referenceVolume = fine
    settle()
    assert "48 x 40 x 30" in ui.previewLabel.toolTip
    assert ui.applyButton.enabled


def test_what_cannot_be_done_is_said_before_the_click(ui, parameters, choices, a_volume, settle):
    parameters.target = choices.Target.SPACING
    parameters.spacingX = parameters.spacingY = parameters.spacingZ = 10
    settle()
    assert not ui.applyButton.enabled
    assert "nothing to super-resolve" in ui.previewWarningLabel.toolTip
    assert "--" not in ui.previewWarningLabel.toolTip  # the command line's options have other names here
    parameters.spacingX = parameters.spacingY = parameters.spacingZ = 0.5
    parameters.memoryLimitGB = 0.05
    settle()
    assert not ui.applyButton.enabled
    assert "memory" in ui.previewWarningLabel.toolTip


MR_2D = {
    "Modality": "MR", "MRAcquisitionType": "2D", "SliceThickness": "3.2", "InPlanePhaseEncodingDirection": "ROW",
    "Rows": "20", "Columns": "24", "PixelSpacing": "0.9\\0.9",
}  # fmt: skip


def test_one_line_says_how_the_volume_was_acquired(ui, parameters, make_dicom_volume, settle):
    parameters.inputVolume = make_dicom_volume("Head", **MR_2D, AcquisitionMatrix="0\\20\\24\\0")
    settle()
    known = "(from the header)"
    plane = f"in plane: Fourier-encoded, 0.9 mm {known}"
    assert ui.acquisitionLabel.text == f"z: Gaussian profile, 3.2 mm {known}; {plane}"
    assert not ui.inputWarningLabel.text
    # What a person says stands above the header, and is said of the slices alone.
    ui.thicknessSpinBox.setValue(2.5)
    settle()
    assert ui.acquisitionLabel.text == f"z: Gaussian profile, 2.5 mm (as chosen); {plane}"
    parameters.profile = "box"
    settle()
    assert ui.acquisitionLabel.text == f"z: box profile, 2.5 mm (as chosen); {plane}"
    parameters.profile = "kspace"
    settle()
    assert ui.acquisitionLabel.text.startswith("z: Fourier-encoded, 3 mm (as chosen); in plane: Fourier-encoded")


def test_what_nobody_stated_is_marked_as_assumed(ui, parameters, make_volume, settle):
    parameters.inputVolume = make_volume("Larger", (10, 36, 40))
    settle()
    # Ten slices are too few to see anything in them, and the plane is looked at.
    slices, plane = ui.acquisitionLabel.text.split("; ")
    assert slices == "z: Gaussian profile, 1.8 mm (assumed)"
    assert plane.startswith("in plane: ")
    assert "read from the voxels" in plane


def test_a_slice_profile_is_said_of_every_axis_where_none_is_across_the_slices(
    ui, parameters, choices, make_volume, settle
):
    parameters.inputVolume = make_volume("Cube", (10, 10, 10), (1, 1, 1))
    parameters.profile, parameters.target = "box", choices.Target.TWICE
    settle()
    assert ui.acquisitionLabel.text == "every axis: box profile, 1 mm (as chosen)"


def test_slices_lie_across_k_whatever_the_spacing_says(ui, parameters, choices, make_dicom_volume, make_volume, settle):
    parameters.target = choices.Target.TWICE_IN_PLANE
    for volume, size in (
        (make_volume("File", (10, 20, 24), (3, 1, 1)), "24 x 40 x 20"),
        (make_dicom_volume("Series", (10, 20, 24), (3, 1, 1), Modality="MR", SliceThickness="1"), "48 x 40 x 10"),
    ):
        parameters.inputVolume = volume
        settle()
        assert size in ui.previewLabel.toolTip


def test_the_line_goes_where_there_is_no_plan(ui, parameters, choices, a_volume, settle):
    settle()
    assert ui.acquisitionLabel.isVisibleTo(ui.advancedSection)
    parameters.target = choices.Target.REFERENCE
    settle()
    assert not ui.acquisitionLabel.text
    assert not ui.acquisitionLabel.isVisibleTo(ui.advancedSection)


def test_what_the_scanner_interpolated_is_told_once(ui, parameters, choices, make_dicom_volume, settle):
    """12 x 10 steps for 24 x 20 pixels: filled up with zeros."""
    parameters.inputVolume = make_dicom_volume("Filled", **MR_2D, AcquisitionMatrix="0\\10\\12\\0")
    parameters.target = choices.Target.TWICE
    settle()
    assert "already interpolated this series: pixels of 0.9 mm, acquired at 1.8 mm" in ui.inputWarningLabel.toolTip
    assert "in plane: Fourier-encoded, 1.8 mm (from the header)" in ui.acquisitionLabel.text
    assert not ui.previewWarningLabel.text


def test_an_implausible_thickness_is_told(ui, parameters, make_dicom_volume, settle):
    parameters.inputVolume = make_dicom_volume("Odd", **{**MR_2D, "SliceThickness": "30"})
    settle()
    assert "30 mm along z is implausible" in ui.previewWarningLabel.toolTip


def test_the_header_is_not_written_into_the_choices(ui, parameters, make_dicom_volume, settle):
    first = make_dicom_volume("First", **MR_2D)
    parameters.inputVolume = first
    settle()
    assert parameters.sliceThickness == 0
    assert ui.thicknessSpinBox.text == "From header"
    # What a person says of one volume is not said of the next one.
    ui.thicknessSpinBox.setValue(2.5)
    parameters.inputVolume = make_dicom_volume("Second", **MR_2D)
    settle()
    assert parameters.sliceThickness == 0


def test_a_thickness_is_restored_with_the_scene(module, parameters, a_volume, settle, tmp_path):
    parameters.inputVolume, parameters.sliceThickness = a_volume, 2.5
    settle()
    a_volume.AddDefaultStorageNode(str(tmp_path / "head.nrrd"))
    a_volume.GetStorageNode().WriteData(a_volume)
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(0)
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.Import()
    module.widget.exit()
    module.widget.enter()
    settle()
    assert module.widget._parameterNode.sliceThickness == 2.5


def test_profiles_are_those_of_the_library(ui):
    from medsr.physics.profiles import KINDS, MEASURED

    shown = [ui.profileCombo.itemText(row) for row in range(ui.profileCombo.count)]
    assert shown == ["Automatic", *(KINDS[name].title for name in MEASURED)]


def test_models_are_described_with_limits_and_licence(ui, parameters, a_volume, settle):
    parameters.model = "lanczos"
    settle()
    for part in ("sinc", "rings", "Licence"):
        assert part in ui.modelInfoLabel.text
    parameters.model = "auto"
    settle()
    assert ui.modelInfoLabel.text.startswith("Now: ")


def test_why_no_network_does_it_is_said_with_the_model(ui, parameters, choices, a_volume, settle):
    parameters.target = choices.Target.SPACING
    parameters.spacingX = parameters.spacingY = 0.9 / 7
    parameters.spacingZ = 3 / 7
    settle()
    assert ui.modelInfoLabel.text.startswith("Now: tikhonov")
    assert "beyond what mr-3d learned" in ui.modelInfoLabel.text


def test_without_a_volume_nothing_can_be_started(ui, settle):
    settle()
    assert not ui.applyButton.enabled
    assert ui.inputInfoLabel.text == "Choose a volume."
    assert not ui.resultSection.enabled


def test_volume_changed_after_it_was_chosen_is_looked_at_again(ui, a_volume, settle):
    settle()
    a_volume.SetSpacing(0.9, 0.9, 4.5)
    settle()
    assert "0.9 x 0.9 x 4.5 mm" in ui.inputInfoLabel.toolTip


def test_settings_of_the_person_are_not_touched(module):
    import qt

    assert "medsr-settings-" in qt.QSettings().fileName()


def test_a_python_that_is_too_old_is_told_and_the_panel_still_opens(module, settle, a_volume, monkeypatch):
    import sys
    import types

    from MedSRLib import CorePath

    old = types.SimpleNamespace(version_info=(3, 9, 10), modules=sys.modules, path=sys.path)
    monkeypatch.setattr(CorePath, "sys", old)
    module.build()
    settle()
    ui = module.widget.ui
    assert "Slicer 5.10" in ui.inputWarningLabel.toolTip
    assert not ui.applyButton.enabled
    assert "Slicer 5.10" in ui.applyButton.toolTip
    assert ui.modelCombo.count == 1


def test_sections_open_with_what_is_needed_and_hide_the_rest(ui):
    folded = {name for name in vars(ui) if name.endswith("Section") and getattr(ui, name).collapsed}
    shut = ("measure", "fuse", "batch", "training", "log", "advanced")
    assert folded == {f"{name}Section" for name in shut}


def test_a_damaged_bundle_does_not_keep_the_panel_from_opening(module, settle, a_volume, monkeypatch):
    from medsr import catalog
    from medsr.errors import ModelError

    def damaged():
        raise ModelError("The bundle has unreadable metadata.")

    monkeypatch.setattr(catalog, "load_catalog", damaged)
    monkeypatch.setattr("medsr.methods.refiner.load_catalog", damaged)
    module.build()
    settle()
    ui = module.widget.ui
    assert ui.modelCombo.count == 1
    assert "unreadable metadata" in ui.previewWarningLabel.toolTip
    assert not ui.applyButton.enabled

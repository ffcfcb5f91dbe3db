"""Mistakes at the Python console are answered in its words, before anything starts."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import slicer.util
import vtk


@pytest.fixture
def label_map(a_volume):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    slicer.util.updateVolumeFromArray(node, np.zeros((10, 20, 24), np.uint8))
    return node


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        ({"volumeNode": "t1_thick"}, ["volumeNode", "'t1_thick'", 'getNode("t1_thick")']),
        ({"volumeNode": 3}, ["volumeNode takes a volume node", "3 (int)"]),
        ({"output": "Sharp"}, ["output takes a volume node", 'getNode("Sharp")']),
        ({"progress": 3}, ["progress", "function", "3 (int)"]),
        ({"completed": "done"}, ["completed", "function"]),
        ({"maps": 7}, ["maps", "list of names", "7"]),
        ({"maps": "beauty"}, ["no map called beauty"]),
        ({"reference": 5}, ["reference", "5 (int)"]),
        ({"slice_thickness": "3mm"}, ["slice_thickness", "number", "3mm"]),
        ({"isotropic": "yes"}, ["isotropic", "true or false", "yes"]),
        ({"model": 2}, ["model", "2"]),
    ],
)
def test_every_argument_is_checked(resolver, a_volume, arguments, texts):
    given = dict(arguments)
    node = given.pop("volumeNode", a_volume)
    with pytest.raises((ValueError, RuntimeError)) as caught:
        resolver.start(node, **given)
    for text in texts:
        assert text in str(caught.value)
    assert resolver.runner.workerPid is None
    assert resolver.jobs == ()


def test_a_label_map_is_no_output(resolver, a_volume, label_map):
    with pytest.raises(RuntimeError, match="Labels cannot take the result"):
        resolver.start(a_volume, output=label_map, scale=2)
    assert not slicer.util.arrayFromVolume(label_map).any()


def test_colour_needs_a_colour_output_and_has_no_maps(resolver, a_volume):
    photo = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Photo")
    slicer.util.updateVolumeFromArray(photo, np.random.default_rng(0).integers(0, 255, (4, 9, 9, 3)).astype(np.uint8))
    grey = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Grey")
    with pytest.raises(RuntimeError, match="Grey cannot take the result"):
        resolver.start(photo, output=grey, scale=2)
    with pytest.raises(RuntimeError, match="Maps are made of grey images"):
        resolver.start(photo, maps=["difference"], scale=2)
    colour = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Fine")
    assert resolver.superResolve(photo, output=colour, scale=2, model="linear") is colour


def test_three_numbers_in_a_scalar_node_are_refused(resolver, scene):
    image = vtk.vtkImageData()
    image.SetDimensions(9, 9, 4)
    image.AllocateScalars(vtk.VTK_SHORT, 3)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Odd")
    node.SetAndObserveImageData(image)
    with pytest.raises(RuntimeError, match="3 numbers per voxel in a scalar volume node"):
        resolver.start(node, scale=2)


def test_numbers_of_numpy_and_one_name_are_taken(resolver, a_volume):
    job = resolver.start(
        a_volume, scale=np.float32(2), slice_thickness=np.float64(3.5), isotropic=np.False_, maps="difference",
        model="tikhonov",
    )  # fmt: skip
    resolver.wait(job)
    assert job.state == "done", job.error
    assert list(job.maps) == ["difference"]


def test_sentences_speak_of_arguments(resolver, a_volume):
    from MedSRLib.Arguments import atTheConsole

    for arguments, text in (
        ({"scale": 2, "spacing": (1, 1, 1)}, "`scale=`, `spacing=`"),
        ({"spacing": "fine"}, "`spacing=` takes"),
    ):
        with pytest.raises(ValueError) as caught:
            atTheConsole(resolver.start)(a_volume, **arguments)
        assert text in str(caught.value)
        assert "--" not in str(caught.value)


@pytest.fixture
def maker(scene, helpers):
    from MedSRLib.Environment import chosenInterpreter
    from MedSRLib.TrainingSetMaker import TrainingSetMaker

    made = TrainingSetMaker(helpers.ManualPump(), lambda: chosenInterpreter().startWorker())
    yield made
    made.shutdown()


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        ({"source": "volume"}, ["Pair 1 of source", "Head"]),
        ({"source": 5}, ["source takes a folder", "5"]),
        ({"source": "pair of a number"}, ["segmentation", "7"]),
        ({"output": 3}, ["output", "3"]),
        ({"progress": 3}, ["progress", "function"]),
        ({"recipes": 4}, ["recipes", "list of names"]),
        ({"seed": "seven"}, ["seed", "seven"]),
    ],
)
def test_arguments_of_training_sets_are_checked(maker, a_volume, helpers, tmp_path, arguments, texts):
    segmentation = helpers.make_segmentation(a_volume, Box=helpers.box((10, 20, 24), (2, 4, 4), (6, 12, 12)))
    sources = {"volume": [a_volume], "pair of a number": [(a_volume, 7)]}
    given = {"source": [(a_volume, segmentation)], "output": str(tmp_path / "set"), **arguments}
    if isinstance(given["source"], str):
        given["source"] = sources[given["source"]]
    with pytest.raises((ValueError, RuntimeError)) as caught:
        maker.start(given.pop("source"), given.pop("output"), **given)
    for text in texts:
        assert text in str(caught.value)
    assert not (tmp_path / "set").exists()


def test_console_calls_of_the_module_are_all_worded():
    """Every public call of the logic that takes options passes through `atTheConsole`."""
    import ast
    from pathlib import Path

    file = Path(__file__).resolve().parents[2] / "MedSRExtension/MedSR/MedSR.py"
    logic = next(
        node for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == "MedSRLogic"
    )  # fmt: skip
    for call in logic.body:
        if isinstance(call, ast.FunctionDef) and call.args.kwarg is not None:
            assert [name.id for name in call.decorator_list] == ["atTheConsole"], call.name

"""Enhance, segment, bring the labels back: any function or program as segmenter."""

import sys

import numpy as np
import pytest

import medsr
from medsr.errors import InputError, InvalidValueError, ModelError, UnknownNameError
from medsr.geometry import Geometry
from medsr.volume import Volume

TURNED = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


@pytest.fixture
def thick():
    """A ball of 200 in 100, in slices of 3 mm that lie obliquely in the patient."""
    grid = Geometry((24, 24, 8), (1.0, 1.0, 3.0), (-7.0, 3.0, 11.0), TURNED)
    z, y, x = np.indices(grid.shape_zyx)
    ball = ((z - 3.5) * 3) ** 2 + (y - 11.5) ** 2 + (x - 11.5) ** 2 < 64
    texture = np.random.default_rng(0).integers(-9, 10, ball.shape)
    return Volume((100 + 100 * ball + texture).astype(np.int16), grid, modality="MR")


def threshold(volume):
    return volume.array > 150


def test_labels_of_the_enhanced_image_come_back_onto_the_grid_of_the_original(thick):
    seen = []

    def segmenter(volume):
        seen.append(volume.geometry)
        return threshold(volume)

    labels = medsr.segment_with(thick, segmenter, model="bspline", isotropic=True)
    assert seen[0].spacing_xyz_mm == (1, 1, 1) and labels.geometry.is_same_as(thick.geometry)
    assert labels.array.dtype == np.uint8 and set(np.unique(labels.array)) == {0, 1}
    truth = thick.array > 150
    assert 2 * np.count_nonzero(truth & (labels.array > 0)) / (truth.sum() + labels.array.sum()) > 0.95


def test_a_volume_on_another_grid_is_brought_back_too_and_one_elsewhere_is_refused(thick):
    def coarser(volume):
        grid = volume.geometry.cropped((2, 2, 2), [n - 4 for n in volume.geometry.size_xyz])
        return Volume((volume.array[2:-2, 2:-2, 2:-2] > 150).astype(np.uint8) * 7, grid)

    whole = medsr.segment_with(thick, threshold, model="bspline", isotropic=True).array
    part = medsr.segment_with(thick, coarser, model="bspline", isotropic=True).array
    assert np.array_equal(whole * 7, part)

    def lost(volume):
        return Volume(
            np.ones(volume.geometry.shape_zyx, np.uint8), Geometry(volume.geometry.size_xyz, origin_mm=(900, 0, 0))
        )

    with pytest.raises(InputError, match="lie elsewhere"):
        medsr.segment_with(thick, lost, model="bspline", isotropic=True)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda v: np.ones((3, 3, 3), np.uint8), "shape \\(3, 3, 3\\)"),
        (lambda v: v.array * 0.37, "fractions"),
    ],
)
def test_an_answer_that_is_no_label_map_is_refused(thick, answer, said):
    with pytest.raises(InputError, match=said):
        medsr.segment_with(thick, answer, model="bspline", isotropic=True)


def test_options_are_those_of_super_resolve(thick):
    with pytest.raises(UnknownNameError, match="isotropic"):
        medsr.segment_with(thick, threshold, isotrop=True)


PROGRAM = """
import sys, SimpleITK as sitk
image = sitk.ReadImage(sys.argv[1])
print("spacing", image.GetSpacing())
if sys.argv[3] == "fails":
    sys.exit(7)
if sys.argv[3] != "silent":
    sitk.WriteImage(sitk.Cast(image > 150, sitk.sitkUInt8), sys.argv[2])
"""


@pytest.fixture
def program(tmp_path):
    """The command of a program that thresholds; its last word says how it behaves."""
    path = tmp_path / "my program.py"
    path.write_text(PROGRAM)

    def command(how="works", output="{labels}"):
        return f"'{sys.executable}' '{path}' {{image}} {output} {how}"

    return command


@pytest.mark.parametrize("output", ["{labels}", "{labels_folder}/other.nrrd"])
def test_a_program_is_a_segmenter(thick, program, output):
    segmenter = medsr.command_segmenter(program(output=output))
    found = medsr.segment_with(thick, segmenter, model="bspline", isotropic=True)
    assert np.array_equal(found.array, medsr.segment_with(thick, threshold, model="bspline", isotropic=True).array)
    assert found.geometry.is_same_as(thick.geometry)


@pytest.mark.parametrize(
    ("command", "error", "said"),
    [
        ("tool {image}", InvalidValueError, "where its labels go"),
        ("tool {labels}", InvalidValueError, "where its image go"),
        ("tool '{image} {labels}", InvalidValueError, "cannot be read"),
        ("", InvalidValueError, "where its image go"),
        ("no-such-tool {image} {labels}", ModelError, "could not be started"),
    ],
)
def test_a_command_that_cannot_work_is_refused(thick, command, error, said):
    with pytest.raises(error, match=said):
        medsr.segment_with(thick, medsr.command_segmenter(command), model="bspline", isotropic=True)


@pytest.mark.parametrize(("how", "said"), [("fails", "exit code 7"), ("silent", "wrote no label map")])
def test_a_program_that_fails_is_told(thick, program, how, said):
    with pytest.raises(ModelError, match=said):
        medsr.segment_with(thick, medsr.command_segmenter(program(how)), model="bspline", isotropic=True)


def test_a_picture_has_labels_too(program):
    array = np.random.default_rng(0).integers(90, 110, (20, 24)).astype(np.uint8)
    array[5:15, 6:18] += 100
    picture = Volume(array[None], Geometry((24, 20, 1)), planar=True)
    found = medsr.segment_with(picture, medsr.command_segmenter(program()), model="bspline", scale=2)
    assert np.array_equal(found.array > 0, picture.array > 150)

"""Volume and mean of segments, with intervals that follow from the error map."""

import json

import numpy as np
import pytest

import medsr
from medsr.cli.main import main
from medsr.errors import InputError
from medsr.geometry import Geometry
from medsr.inference.segments import measure_segments
from medsr.io import write_volume
from medsr.volume import Volume

GEOMETRY = Geometry((20, 20, 20), (0.5, 1.0, 2.0))


def a_cube(contrast=100.0, half_width=5.0):
    """A bright cube of 10 voxels a side in a dark image, with the same half-width everywhere."""
    labels = np.zeros((20, 20, 20), dtype=np.uint8)
    labels[5:15, 5:15, 5:15] = 3
    image = (contrast * (labels > 0) + 50).astype(np.float32)
    widths = np.full(image.shape, half_width, dtype=np.float32)
    return tuple(Volume(array, GEOMETRY) for array in (image, labels, widths))


def test_volume_and_mean_are_those_of_the_voxels():
    (found,) = measure_segments(*a_cube()).values()
    assert found.voxels == 1000
    assert found.volume_mm3 == pytest.approx(1000.0)
    assert found.mean == pytest.approx(150.0)
    assert found.volume_interval_mm3[0] < 1000 < found.volume_interval_mm3[1]
    assert found.mean_interval[0] < 150 < found.mean_interval[1]


def test_the_volume_is_surer_where_the_boundary_is_clear():
    def half(**changes):
        low, high = measure_segments(*a_cube(**changes))[3].volume_interval_mm3
        return (high - low) / 2

    # 600 faces, each 5 / 100 of a voxel; twice the contrast, half as much; without contrast a whole voxel.
    assert half() == pytest.approx(0.233 * 600 * 0.05, rel=1e-3)
    assert half(contrast=200.0) == pytest.approx(half() / 2, rel=1e-3)
    assert half(contrast=0.0) == pytest.approx(0.233 * 600, rel=1e-3)


def test_the_mean_is_surer_the_smaller_the_half_widths():
    intervals = [measure_segments(*a_cube(half_width=width))[3].mean_interval for width in (5.0, 10.0)]
    first, second = (high - low for low, high in intervals)
    assert second == pytest.approx(2 * first)
    assert first < 5.0


@pytest.mark.parametrize("spoil", ["grid", "labels", "error", "colours"])
def test_what_does_not_fit_is_refused(spoil):
    image, labels, error = a_cube()
    assert measure_segments(image, labels, error)
    if spoil == "grid":
        labels = labels.replace(geometry=Geometry((20, 20, 20), (1.0, 1.0, 2.0)))
    elif spoil == "labels":
        labels = labels.replace(array=labels.array + 0.5)
    elif spoil == "error":
        error = error.replace(array=-error.array)
    else:
        image = image.replace(array=np.stack([image.array] * 3, axis=-1))
    with pytest.raises(InputError):
        measure_segments(image, labels, error)


def test_the_command_tells_it_for_people_and_programs(tmp_path, capsys):
    files = [str(tmp_path / f"{name}.nii.gz") for name in ("image", "labels", "error")]
    for volume, file in zip(a_cube(), files, strict=True):
        write_volume(volume, file)
    assert main(["measure", files[0], files[1], "--error", files[2]]) == 0
    assert "1 ml" in capsys.readouterr().out
    assert main(["measure", files[0], files[1], "--error", files[2], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["3"]["voxels"] == 1000
    assert main(["measure", files[0], files[1], "--error", files[0] + "x"]) == 3
    assert medsr.measure_segments is not None

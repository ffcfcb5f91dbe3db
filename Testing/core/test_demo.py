"""The demonstration, on a small brain in the place of nilearn's."""

import importlib.util
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import SimpleITK as sitk

from medsr import demo
from medsr.errors import CancelledError, MissingDependencyError, OutputError
from medsr.evaluation.tables import from_json
from medsr.jobs import Progress
from medsr.volume import Volume


@dataclass
class Enlarged:
    volume: Volume
    report: dict


def repeat_voxels(volume, options, progress, /):
    factors = [int(f) for f in options.scale]
    spacing = [s / f for s, f in zip(volume.geometry.spacing_xyz_mm, factors, strict=True)]
    size = [n * f for n, f in zip(volume.geometry.size_xyz, factors, strict=True)]
    array = volume.array
    for axis, factor in enumerate(factors[::-1]):
        array = np.repeat(array, factor, axis=axis)
    name = "the-network" if options.model == "auto" else options.model
    return Enlarged(volume.replace(array=array, geometry=volume.geometry.with_grid(spacing, size)), {"model": name})


@pytest.fixture
def a_nilearn(tmp_path, monkeypatch):
    """A package of that name with a small brain in it, whose import would fail."""
    package = tmp_path / "site" / "nilearn"
    (package / demo.TEMPLATE).parent.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    array = np.zeros((40, 44, 36), np.uint8)
    array[4:36, 4:40, 4:32] = np.random.default_rng(0).integers(60, 255, (32, 36, 28))
    sitk.WriteImage(sitk.GetImageFromArray(array), str(package / demo.TEMPLATE))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "nilearn", raising=False)
    importlib.invalidate_caches()
    return package


def test_demo_writes_a_page_figures_and_volumes(a_nilearn, tmp_path):
    page = demo.run_demo(tmp_path / "out", enlarge=repeat_voxels)
    assert page == tmp_path / "out" / "index.html"
    html = page.read_text(encoding="utf-8")
    assert "Louis Collins" in html
    assert "NeuroImage" in html
    assert "the-network" in html
    table = from_json((page.parent / "figures.json").read_text(encoding="utf-8"))
    assert table.models == ["linear", "bspline", "tikhonov", "the-network"]
    assert table.cases == ["z4", "k2"]
    assert not table.failures
    reference = sitk.ReadImage(str(page.parent / "z4" / "reference.nii.gz"))
    result = sitk.ReadImage(str(page.parent / "z4" / "output_the-network.nii.gz"))
    measured = sitk.ReadImage(str(page.parent / "z4" / "input.nii.gz"))
    assert reference.GetSize() == result.GetSize() == (28, 36, 32)
    assert measured.GetSize() == (28, 36, 8)
    np.testing.assert_allclose(reference.GetOrigin(), result.GetOrigin(), atol=1e-5)


def test_demo_names_auto_where_it_is_a_yardstick_anyway(a_nilearn, tmp_path):
    def fallback(volume, options, progress, /):
        enlarged = repeat_voxels(volume, options, progress)
        return Enlarged(enlarged.volume, {"model": "tikhonov"})

    page = demo.run_demo(tmp_path / "out", enlarge=fallback)
    assert from_json((page.parent / "figures.json").read_text()).models == ["linear", "bspline", "tikhonov", "auto"]


def test_demo_takes_the_central_part_unless_told_otherwise(a_nilearn, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "CROP_XYZ", (16, 16, 16))
    page = demo.run_demo(tmp_path / "cropped", enlarge=repeat_voxels)
    assert sitk.ReadImage(str(page.parent / "z4" / "reference.nii.gz")).GetSize() == (16, 16, 16)
    page = demo.run_demo(tmp_path / "whole", crop=False, enlarge=repeat_voxels)
    assert sitk.ReadImage(str(page.parent / "z4" / "reference.nii.gz")).GetSize() == (28, 36, 32)


def test_demo_without_nilearn_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install nilearn"):
        demo.run_demo(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_demo_with_a_nilearn_that_lacks_the_template_says_so(a_nilearn, tmp_path):
    (a_nilearn / demo.TEMPLATE).unlink()
    with pytest.raises(MissingDependencyError, match="holds no ICBM 152 template"):
        demo.run_demo(tmp_path / "out")


def test_demo_into_a_file_is_refused(a_nilearn, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="taken"):
        demo.run_demo(tmp_path / "taken", enlarge=repeat_voxels)


def test_demo_can_be_cancelled(a_nilearn, tmp_path):
    with pytest.raises(CancelledError):
        demo.run_demo(tmp_path / "out", enlarge=repeat_voxels, progress=Progress(cancelled=lambda: True))
    assert not (tmp_path / "out" / "index.html").exists()

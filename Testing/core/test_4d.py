"""Files of several volumes (fMRI, DCE, DWI): enlarged frame by frame, with one plan, and what belongs beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medsr.errors import InputError, InvalidValueError, OutputError
from medsr.files import upscale_file
from medsr.geometry import Geometry
from medsr.inference.pipeline import super_resolve
from medsr.inference.planner import make_plan
from medsr.io import read_channels, read_geometry, read_volume
from medsr.io.frames import read_input
from medsr.jobs import Event, JobSpec, Progress, ProgressEvent, StageEvent, WarningEvent
from medsr.options import UpscaleOptions
from medsr.volume import Volume

nibabel = pytest.importorskip("nibabel")

OPTIONS = UpscaleOptions(scale=(1, 1, 2), model="tikhonov", modality="MR")
FRAMES = 5
GRID = Geometry((14, 12, 9), (2.0, 2.0, 4.0), (-20.0, 15.0, 30.0))


def _frames(dtype: str = "int16", count: int = FRAMES) -> np.ndarray:
    """``(t, z, y, x)``: waves that grow brighter with every frame."""
    z, y, x = np.mgrid[:9, :12, :14]
    wave = 300 + 200 * np.cos(x / 2.3) * np.cos(y / 1.9) * np.cos(z / 2.1)
    return np.stack([wave * (1 + 0.1 * n) for n in range(count)]).astype(dtype)


def _save(path: Path, frames: np.ndarray, *, step: float = 2.5, unit: str = "sec", **header: object) -> Path:
    image = nibabel.Nifti1Image(frames.T, GRID.affine_ras)
    image.header.set_xyzt_units("mm", unit)
    image.header["pixdim"][4] = step
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def _upscale(source: Path, output: Path, progress: Progress | None = None, **changes: object) -> dict[str, object]:
    spec = JobSpec(str(source), str(output), **{"options": OPTIONS, **changes})  # type: ignore[arg-type]
    return dict(upscale_file(spec, progress or Progress()).report)


# ---------------------------------------------------------------- frames


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_every_frame_is_what_it_would_be_alone(tmp_path, suffix):
    source = _save(tmp_path / f"in{suffix}", _frames())
    _upscale(source, tmp_path / f"out{suffix}")
    written = read_channels(tmp_path / f"out{suffix}")
    assert len(written) == FRAMES
    for array, result in zip(_frames(), written, strict=True):
        alone = super_resolve(Volume(array, GRID), OPTIONS).volume
        assert result.array.dtype == np.int16
        assert np.abs(result.array.astype(int) - alone.array).max() <= 1
        assert result.geometry.is_same_as(alone.geometry)


def test_time_step_and_units_are_kept(tmp_path):
    source = _save(tmp_path / "in.nii.gz", _frames(), step=640.0, unit="msec", toffset=12.0)
    _upscale(source, tmp_path / "out.nii.gz")
    header = nibabel.load(tmp_path / "out.nii.gz").header
    assert header.get_zooms() == pytest.approx((2.0, 2.0, 2.0, 640.0))
    assert header.get_xyzt_units() == ("mm", "msec") and float(header["toffset"]) == 12.0
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)


def test_other_readers_see_the_same_file(tmp_path):
    import SimpleITK as sitk

    source = _save(tmp_path / "in.nii.gz", _frames("float32"))
    _upscale(source, tmp_path / "out.nii.gz")
    by_itk = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out.nii.gz")))
    by_nibabel = np.asarray(nibabel.load(tmp_path / "out.nii.gz").dataobj).T
    assert by_itk.shape == (FRAMES, 18, 12, 14) and np.array_equal(by_itk, by_nibabel)
    assert nibabel.load(tmp_path / "out.nii.gz").header["descrip"].item().startswith(b"MedSR")


def test_scaled_integers_become_floating(tmp_path):
    """Of one type in every frame, whatever it shows."""
    source = _save(tmp_path / "in.nii", _frames())
    data = bytearray(source.read_bytes())
    data[112:120] = np.array([2.0, -300.0], "<f4").tobytes()
    source.write_bytes(bytes(data))
    frames = list(read_input(source))
    assert {str(frame.array.dtype) for frame in frames} == {"float32"}
    assert np.array_equal(frames[3].array, _frames()[3] * np.float32(2) - 300)


def test_one_frame_is_in_memory_at_a_time(tmp_path):
    source = _save(tmp_path / "in.nii.gz", _frames())
    iterator = iter(read_input(source))
    first = next(iterator)
    assert first.array.base is None or first.array.base.size == first.array.size
    assert np.array_equal(next(iterator).array, _frames()[1])


def test_a_single_volume_is_no_file_of_frames(tmp_path):
    assert isinstance(read_input(_save(tmp_path / "one.nii", _frames(count=1))), Volume)
    assert isinstance(read_input(_save(tmp_path / "three.nii", _frames()[0])), Volume)
    assert read_input(_save(tmp_path / "several.nii", _frames())).count == FRAMES


def test_vectors_are_no_frames(tmp_path):
    vectors = _frames(count=3)[:, None]  # (3, 1, z, y, x): five dimensions, as displacement fields
    with pytest.raises(InputError, match="vectors, 3 numbers for each voxel"):
        read_input(_save(tmp_path / "v.nii", vectors))
    with pytest.raises(InputError, match="vectors"):
        read_input(_save(tmp_path / "w.nii", _frames(count=3), intent_code=1007))
    with pytest.raises(InputError, match="5 dimensions"):
        read_input(_save(tmp_path / "x.nii", np.stack([_frames(), _frames()])))


def test_single_readers_say_what_takes_frames(tmp_path):
    source = _save(tmp_path / "in.nii", _frames())
    with pytest.raises(InputError, match=r"medsr upscale.*frame by frame"):
        read_volume(source)


# ---------------------------------------------------------------- progress and report


def test_frames_are_counted_and_warnings_told_once(tmp_path):
    events: list[Event] = []
    source = _save(tmp_path / "in.nii", _frames())
    data = bytearray(source.read_bytes())
    data[252:256] = bytes(4)  # codes of qform and sform
    source.write_bytes(bytes(data))
    report = _upscale(source, tmp_path / "out.nii", Progress(events.append))
    stages = [event.name for event in events if isinstance(event, StageEvent)]
    assert stages == ["Reading", *(f"Frame {n} of 5" for n in range(1, 6))]
    assert sum("does not say how it lies" in event.message for event in events if isinstance(event, WarningEvent)) == 1
    fractions = [event.fraction for event in events if event.kind == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert report["frames"] == FRAMES and len(report["warnings"]) == 1
    assert json.dumps(report, allow_nan=False)


def test_a_tilted_series_of_volumes_ends_on_an_upright_grid(tmp_path):
    affine = GRID.affine_ras
    affine[:3, 2] += affine[:3, 1] * 0.4
    image = nibabel.Nifti1Image(_frames().T, None)
    image.set_sform(affine, 1)
    nibabel.save(image, tmp_path / "in.nii")
    _upscale(tmp_path / "in.nii", tmp_path / "out.nii")
    written = read_channels(tmp_path / "out.nii")
    assert len(written) == FRAMES and written[0].geometry.size_xyz[1] > 12


# ---------------------------------------------------------------- what belongs to it


SIDECAR = {
    "RepetitionTime": 2.5, "TaskName": "rest", "EchoTime": 0.03, "SliceThickness": 4, "SliceTiming": [0.0, 1.2],
    "PatientName": "Secret^Person", "AcquisitionDateTime": "1999-12-31", "InstitutionName": "Somewhere",
    "EffectiveEchoSpacing": 0.0005, "PhaseEncodingDirection": "j-",
}  # fmt: skip


def test_sidecar_and_gradients_are_carried_along(tmp_path):
    source = _save(tmp_path / "dwi.nii.gz", _frames())
    (tmp_path / "dwi.json").write_text(json.dumps(SIDECAR))
    (tmp_path / "dwi.bval").write_text("0 1000 1000 1000 2000\n")
    (tmp_path / "dwi.bvec").write_text("0 1 0 0 1\n0 0 1 0 0\n0 0 0 1 0\n")
    _upscale(source, tmp_path / "out.nii.gz")
    assert (tmp_path / "out.bval").read_bytes() == (tmp_path / "dwi.bval").read_bytes()
    assert (tmp_path / "out.bvec").read_bytes() == (tmp_path / "dwi.bvec").read_bytes()
    kept = json.loads((tmp_path / "out.json").read_text())
    # Neither who the patient is nor what describes the old grid.
    assert kept == {key: SIDECAR[key] for key in ("RepetitionTime", "TaskName", "EchoTime", "PhaseEncodingDirection")}


@pytest.mark.parametrize(("name", "text"), [("dwi.bval", "0 1000 1000\n"), ("dwi.bvec", "0 1 2 3 4\n0 1 2 3 4\n")])
def test_gradients_that_do_not_fit_are_named(tmp_path, name, text):
    source = _save(tmp_path / "dwi.nii", _frames())
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=rf"{name}.*are needed, one column for each of its 5 volumes"):
        _upscale(source, tmp_path / "out.nii")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["dwi.nii", name])


def test_gradients_and_a_turned_reference_do_not_go_together(tmp_path):
    source = _save(tmp_path / "dwi.nii", _frames())
    turned = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.array(
        [[0.8, -0.6, 0, -20], [0.6, 0.8, 0, 15], [0, 0, 2, 30], [0, 0, 0, 1.0]]
    )
    nibabel.save(nibabel.Nifti1Image(np.zeros((14, 12, 18), np.int16), turned), tmp_path / "reference.nii")
    options = UpscaleOptions(reference=str(tmp_path / "reference.nii"), model="tikhonov", modality="MR")
    _upscale(source, tmp_path / "plain.nii", options=options)
    assert read_channels(tmp_path / "plain.nii")[0].geometry.is_same_as(read_geometry(tmp_path / "reference.nii"))
    (tmp_path / "dwi.bval").write_text("0 1 1 1 1\n")
    (tmp_path / "dwi.bvec").write_text("0 1 0 0 1\n0 0 1 0 0\n0 0 0 1 0\n")
    with pytest.raises(InvalidValueError, match="turned"):
        _upscale(source, tmp_path / "out.nii", options=options)


# ---------------------------------------------------------------- all or nothing


def test_a_frame_that_shows_nothing_is_named_and_nothing_is_written(tmp_path):
    frames = _frames()
    frames[3] = 7
    source = _save(tmp_path / "in.nii.gz", frames)
    (tmp_path / "in.bval").write_text("0 1 1 1 1\n")
    with pytest.raises(InputError, match=r"Frame 4 of 5: Every voxel is 7"):
        _upscale(source, tmp_path / "out.nii.gz", report=str(tmp_path / "report.json"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.bval", "in.nii.gz"]


def test_a_file_that_ends_within_a_frame_is_refused(tmp_path):
    source = _save(tmp_path / "in.nii", _frames())
    whole = source.read_bytes()
    source.write_bytes(whole[:-1000])
    with pytest.raises(InputError, match=r"in\.nii"):
        _upscale(source, tmp_path / "out.nii")
    packed = _save(tmp_path / "packed.nii.gz", _frames())
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"packed\.nii\.gz"):
        _upscale(packed, tmp_path / "out.nii.gz")
    assert not list(tmp_path.glob("out*"))


def test_maps_and_other_formats_are_refused_before_work(tmp_path):
    source = _save(tmp_path / "in.nii", _frames())
    with pytest.raises(InvalidValueError, match="Maps are made of single volumes"):
        _upscale(source, tmp_path / "out.nii", maps={"residual": str(tmp_path / "r.nii")})
    with pytest.raises(
        InvalidValueError, match=r"5 volumes in one file are written as \.nii or \.nii\.gz, not as \.nrrd"
    ):
        _upscale(source, tmp_path / "out.nrrd")
    with pytest.raises(InvalidValueError, match="not as dicom"):
        _upscale(source, tmp_path / "series", format="dicom")


def test_companions_are_not_replaced_unasked(tmp_path):
    source = _save(tmp_path / "in.nii", _frames())
    (tmp_path / "in.bval").write_text("0 1 1 1 1\n")
    (tmp_path / "out.bval").write_text("mine")
    with pytest.raises(OutputError, match=r"out\.bval"):
        _upscale(source, tmp_path / "out.nii")
    assert (tmp_path / "out.bval").read_text() == "mine" and not (tmp_path / "out.nii").exists()
    _upscale(source, tmp_path / "out.nii", overwrite=True)
    assert (tmp_path / "out.bval").read_text() == "0 1 1 1 1\n"
    # Under its own name in another packing it would replace what the input needs.
    with pytest.raises((InvalidValueError, OutputError), match=r"in\.bval"):
        _upscale(source, tmp_path / "in.nii.gz", overwrite=True)


def test_the_time_of_all_frames_is_told_before_the_first(tmp_path, monkeypatch):
    from medsr.inference import solving

    monkeypatch.setattr(solving, "_LONG_SECONDS", 0.0)
    source = _save(tmp_path / "in.nii.gz", _frames())
    events: list[Event] = []
    _upscale(source, tmp_path / "out.nii.gz", Progress(events.append))
    told = [event.seconds_left for event in events if isinstance(event, ProgressEvent) and event.fraction == 0]
    seconds = make_plan(Volume(_frames()[0], GRID), OPTIONS).estimate()["seconds"]
    assert told == [FRAMES * seconds]


# ---------------------------------------------------------------- DICOM


def _series(io_dicom, folder: Path, times: int = 3, **changes: object) -> list[Path]:
    """Four places of three images each: the value tells place and time, and names and numbers run against both."""

    def edit(dataset, i):
        place, moment = divmod(i, times)
        dataset.TemporalPositionIdentifier = moment + 1
        dataset.InstanceNumber = 100 - i
        rows, columns = np.mgrid[:10, :12]
        dataset.PixelData = (100 * (place + 1) + 1000 * moment + 7 * rows + columns).astype(np.uint16).tobytes()
        for name, value in changes.items():
            setattr(dataset, name, value(place, moment) if callable(value) else value)

    heights = [3.0 * place for place in range(4) for _ in range(times)]
    return io_dicom(folder, 4 * times, heights=heights, size_xy=(12, 10), edit=edit)


def test_a_dicom_series_of_time_points_is_taken_frame_by_frame(tmp_path, io_dicom):
    _series(io_dicom, tmp_path / "s", TemporalResolution=1500.0)
    frames = read_input(tmp_path / "s")
    arrays = [frame.array for frame in frames]
    assert [array[0, 0, 0] for array in arrays] == [100, 1100, 2100]
    assert [array[:, 0, 0].tolist() for array in arrays][1] == [1100, 1200, 1300, 1400]
    report = _upscale(tmp_path / "s", tmp_path / "out.nii.gz")
    header = nibabel.load(tmp_path / "out.nii.gz").header
    assert header.get_data_shape() == (12, 10, 8, 3) and header.get_zooms()[3] == 1.5
    assert report["frames"] == 3


def test_time_that_the_header_does_not_say_stays_open(tmp_path, io_dicom):
    _series(io_dicom, tmp_path / "s", RepetitionTime=5.0)  # of a gradient echo: no time between volumes
    report = _upscale(tmp_path / "s", tmp_path / "out.nii.gz")
    assert "does not say how far apart in time" in report["warnings"][0]["text"]
    assert nibabel.load(tmp_path / "out.nii.gz").header["pixdim"][4] == 0
    _series(io_dicom, tmp_path / "epi", RepetitionTime=2000.0, ScanningSequence="EP")
    assert read_input(tmp_path / "epi").time.step == 2.0


def test_volumes_are_told_apart_by_what_is_the_same_everywhere(tmp_path, io_dicom):
    """Trigger times differ from slice to slice; echo times do not."""
    _series(
        io_dicom, tmp_path / "s", TemporalPositionIdentifier=1, TriggerTime=lambda place, moment: 10 * place + moment,
        EchoTime=lambda place, moment: 30 - 10 * moment,
    )  # fmt: skip
    assert [frame.array[0, 0, 0] for frame in read_input(tmp_path / "s")] == [2100, 1100, 100]
    # With nothing else, the numbers of the images in each place: here they run against time.
    _series(io_dicom, tmp_path / "numbers", TemporalPositionIdentifier=1)
    assert [frame.array[0, 0, 0] for frame in read_input(tmp_path / "numbers")] == [2100, 1100, 100]
    _series(io_dicom, tmp_path / "same", TemporalPositionIdentifier=1, InstanceNumber=1)
    with pytest.raises(InputError, match="nor number tells"):
        read_input(tmp_path / "same")


def test_a_volume_that_lacks_a_slice_is_named(tmp_path, io_dicom):
    paths = _series(io_dicom, tmp_path / "s")
    paths[4].unlink()
    with pytest.raises(InputError, match=r"3 at most of them, but 2 at .* mm along the slice normal \('0\d+\.dcm'"):
        read_input(tmp_path / "s")
    assert isinstance(read_input(io_dicom(tmp_path / "one", 4)[0].parent), Volume)


def test_rescaled_frames_share_one_type(tmp_path, io_dicom):
    """Each alone would get the narrowest type that holds it."""
    _series(io_dicom, tmp_path / "s", RescaleSlope=10.0, RescaleIntercept=lambda _, moment: 30000 * moment)
    assert {str(frame.array.dtype) for frame in read_input(tmp_path / "s")} == {"float32"}


def test_frames_of_an_enhanced_object_are_told_apart(tmp_path, io_enhanced):
    def edit(dataset):
        for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            content = type(dataset)()
            content.TemporalPositionIndex = number % 2 + 1
            group.FrameContentSequence = [content]

    path = io_enhanced(tmp_path / "e.dcm", heights=(0, 0, 2, 2, 4, 4), edit=edit)
    assert [frame.array[:, 0, 0].tolist() for frame in read_input(path)] == [[0, 2, 4], [1, 3, 5]]


# ---------------------------------------------------------------- diffusion

WEIGHTED = [(0.0, (0, 0, 0)), (1000.0, (1, 0, 0)), (800.0, (0.36, 0.48, 0.8))]


def _weighted(io_dicom, folder: Path, **changes: object) -> None:
    def direction(_: int, moment: int) -> list[float] | None:
        return [float(v) for v in WEIGHTED[moment][1]] if moment else None

    _series(io_dicom, folder, **{
        "DiffusionBValue": lambda _, moment: WEIGHTED[moment][0],
        "DiffusionDirectionality": lambda _, moment: "DIRECTIONAL" if moment else "NONE",
        "DiffusionGradientOrientation": direction, **changes,
    })  # fmt: skip


def _in_the_patient(image: Path) -> np.ndarray:
    """What FSL makes of a .bvec beside an image, in LPS: of a right-handed one the first sign is turned."""
    affine = nibabel.load(image).affine[:3, :3]
    along = np.loadtxt(str(image).removesuffix(".nii.gz") + ".bvec")
    if np.linalg.det(affine) > 0:
        along[0] *= -1
    return (np.diag([-1.0, -1.0, 1.0]) @ (affine / np.linalg.norm(affine, axis=0)) @ along).T


def test_gradients_of_a_dicom_series_are_written_as_fsl_takes_them(tmp_path, io_dicom):
    _weighted(io_dicom, tmp_path / "dwi")
    _upscale(tmp_path / "dwi", tmp_path / "dwi.nii.gz")
    assert (tmp_path / "dwi.bval").read_text() == "0 1000 800\n"
    # The series is turned by 15 degrees about x, so that its axes are not those of the patient.
    assert np.abs(np.loadtxt(tmp_path / "dwi.bvec").T - [one for _, one in WEIGHTED]).max() > 0.1
    np.testing.assert_allclose(_in_the_patient(tmp_path / "dwi.nii.gz"), [one for _, one in WEIGHTED], atol=1e-5)
    _upscale(tmp_path / "dwi", tmp_path / "dwi.nii.gz", overwrite=True)  # what it wrote before is no input
    with pytest.raises(OutputError, match=r"dwi.bv"):
        (tmp_path / "dwi.nii.gz").unlink()
        _upscale(tmp_path / "dwi", tmp_path / "dwi.nii.gz")


def test_without_diffusion_nothing_lies_beside_the_result(tmp_path, io_dicom):
    _series(io_dicom, tmp_path / "s", TemporalResolution=1500.0)
    _upscale(tmp_path / "s", tmp_path / "out.nii.gz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.nii.gz", "s"]


@pytest.mark.parametrize(
    ("changes", "expected", "told"),
    [
        ({"DiffusionGradientOrientation": None}, [".bval"], "along which directions"),
        ({"DiffusionGradientOrientation": [0.0, 0.0, 0.0]}, [".bval"], "along which directions"),
        ({"DiffusionDirectionality": "ISOTROPIC"}, [".bval", ".bvec"], ""),  # a trace image has none
        ({"DiffusionBValue": lambda place, moment: 100.0 * moment + place}, [], "differ in b-value"),
        ({"DiffusionBValue": lambda _, moment: 500.0 if moment == 1 else None}, [], "or lack them"),
    ],
)
def test_gradients_that_are_not_stated_are_told(tmp_path, io_dicom, changes, expected, told):
    _weighted(io_dicom, tmp_path / "s", **{"DiffusionDirectionality": "DIRECTIONAL", **changes})
    frames = read_input(tmp_path / "s")
    assert sorted(frames.companions()) == expected
    warnings = next(iter(frames)).warnings
    assert any(told in text for text in warnings) if told else not any("diffusion" in text for text in warnings)


def test_gradients_of_an_enhanced_object_are_found(tmp_path, io_enhanced):
    def edit(dataset):
        item = type(dataset)
        for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            moment = number % 2
            content, weighting, gradient = item(), item(), item()
            content.TemporalPositionIndex = moment + 1
            group.FrameContentSequence = [content]
            weighting.DiffusionBValue, weighting.DiffusionDirectionality = 700.0 * moment, "DIRECTIONAL"
            gradient.DiffusionGradientOrientation = [0.0, 0.6, 0.8]
            weighting.DiffusionGradientDirectionSequence = [gradient]
            group.MRDiffusionSequence = [weighting]

    path = io_enhanced(tmp_path / "e.dcm", heights=(0, 0, 2, 2, 4, 4), edit=edit)
    found = read_input(path).companions()
    assert found[".bval"] == "0 700\n"
    # Axes of the patient, right-handed: nothing to turn but the sign of a first component that is 0.
    assert found[".bvec"] == "0 0\n0 0.6\n0 0.8\n"

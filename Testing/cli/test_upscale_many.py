"""``medsr upscale`` of several inputs onto a folder: the same results as one by one, failures told, work resumed."""

import csv
import json
import os
import signal
import time

import numpy as np
import pytest
import SimpleITK as sitk

from medsr.batch import run as batch_run
from medsr.batch import tasks as batch_tasks
from medsr.batch.spec import BatchSpec
from medsr.errors import CancelledError, InputError
from medsr.jobs import Progress, StageEvent
from medsr.options import UpscaleOptions

TIKHONOV = ("--model", "tikhonov")
SIZE = (12, 10, 6)


@pytest.fixture
def a_cohort(a_volume, tmp_path):
    """A folder with three volumes, one of them in a folder of its own, and a file that is cut short."""
    folder = tmp_path / "cohort"
    (folder / "visit2").mkdir(parents=True)
    for seed, name in enumerate(("a.nii.gz", "b.nrrd", "visit2/c.nii.gz")):
        array = np.random.default_rng(seed).integers(100, 900, SIZE[::-1]).astype(np.int16)
        a_volume(f"cohort/{name}", array=array)
    whole = (folder / "a.nii.gz").read_bytes()
    (folder / "broken.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("no image")
    return folder


def table_of(folder):
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def results_of(folder):
    """The results and their bytes, without the table and the records."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "table.csv" and "records" not in path.parts
    }


def test_everything_in_a_folder_becomes_what_single_runs_make_and_a_broken_file_is_told(medsr, a_cohort, tmp_path):
    out = tmp_path / "results"
    ended = medsr("upscale", a_cohort, out, "--all", *TIKHONOV)
    assert ended.code == 3
    assert "1 of 4 inputs could not be enlarged" in ended.err
    assert "broken.nii.gz failed: " in ended.err
    assert "3 made in" in ended.out
    made = results_of(out)
    assert sorted(made) == ["a.nii.gz", "b.nrrd", "visit2/c.nii.gz"]
    for name, content in made.items():
        single = tmp_path / "single" / name
        single.parent.mkdir(parents=True, exist_ok=True)
        assert medsr("upscale", a_cohort / name, single, *TIKHONOV).code == 0
        assert content == single.read_bytes()
    rows = table_of(out)
    assert {name: row["status"] for name, row in rows.items()} == {
        "a.nii.gz": "made", "b.nrrd": "made", "broken.nii.gz": "failed", "visit2/c.nii.gz": "made",
    }  # fmt: skip
    assert rows["b.nrrd"]["size_after"] == "12 x 10 x 18"
    assert "broken.nii.gz" in rows["broken.nii.gz"]["error"]
    assert rows["broken.nii.gz"]["model"] == ""


def test_a_list_of_files_goes_into_a_folder_and_a_second_call_keeps_what_is_finished(medsr, a_cohort, tmp_path):
    out = tmp_path / "results"
    call = ("upscale", a_cohort / "a.nii.gz", a_cohort / "b.nrrd", out, *TIKHONOV)
    assert medsr(*call).code == 0
    written = {path: path.stat().st_mtime_ns for path in (out / "a.nii.gz", out / "b.nrrd")}
    ended = medsr(*call)
    assert ended.code == 0
    assert "2 were there already" in ended.out
    assert {path: path.stat().st_mtime_ns for path in written} == written
    (out / "b.nrrd").unlink()
    again = medsr(*call)
    assert "1 made" in again.out
    assert "1 were there already" in again.out


def test_a_file_that_was_mended_is_made_by_the_next_call(medsr, a_cohort, tmp_path):
    out = tmp_path / "results"
    assert medsr("upscale", a_cohort, out, "--all", *TIKHONOV).code == 3
    (a_cohort / "broken.nii.gz").write_bytes((a_cohort / "a.nii.gz").read_bytes())
    ended = medsr("upscale", a_cohort, out, "--all", *TIKHONOV)
    assert ended.code == 0
    assert "1 made" in ended.out
    assert (out / "broken.nii.gz").read_bytes() == (out / "a.nii.gz").read_bytes()


def test_results_made_otherwise_and_foreign_files_stay_unless_overwriting(medsr, a_cohort, tmp_path):
    out = tmp_path / "results"
    call = ("upscale", a_cohort / "a.nii.gz", a_cohort / "b.nrrd", out)
    out.mkdir()
    (out / "b.nrrd").write_text("somebody's")
    foreign = medsr(*call, *TIKHONOV)
    assert foreign.code == 4
    assert "that this command did not make, such as 'b.nrrd'" in foreign.err
    assert not (out / "a.nii.gz").exists()
    assert medsr(*call, *TIKHONOV, "--overwrite").code == 0
    first = results_of(out)
    otherwise = medsr(*call, "--model", "linear")
    assert otherwise.code == 4
    assert "2 results that were made otherwise" in otherwise.err
    assert results_of(out) == first
    assert medsr(*call, "--model", "linear", "--overwrite").code == 0
    assert results_of(out) != first


def test_changed_voxels_and_a_changed_sidecar_make_another_result(medsr, a_cohort, tmp_path):
    out = tmp_path / "results"
    call = ("upscale", a_cohort / "a.nii.gz", a_cohort / "b.nrrd", out, *TIKHONOV)
    assert medsr(*call).code == 0
    (a_cohort / "a.json").write_text(json.dumps({"SliceThickness": 2.0}))
    assert "1 results that were made otherwise" in medsr(*call).err


def spec_of(cohort, out, **more):
    options = UpscaleOptions(model="tikhonov")
    return BatchSpec((str(cohort),), str(out), options, everything=True, **more)


def test_work_that_was_stopped_goes_on_where_it_was(a_cohort, tmp_path):
    out, whole, seen = tmp_path / "results", tmp_path / "whole", []

    def listen(event):
        if isinstance(event, StageEvent) and event.name.startswith("Done"):
            seen.append(event.name)

    with pytest.raises(CancelledError, match="1 of 4 results are finished"):
        batch_run.upscale_many(spec_of(a_cohort, out), Progress(listen, lambda: len(seen) > 0))
    assert len(results_of(out)) == 1
    report = batch_run.upscale_many(spec_of(a_cohort, out), Progress()).report
    assert (report["made"], report["kept"], report["failed"]) == (2, 1, 1)
    batch_run.upscale_many(spec_of(a_cohort, whole), Progress())
    assert results_of(out) == results_of(whole)
    assert not list(out.rglob(".medsr-*"))


def test_a_kill_between_the_result_and_its_record_costs_that_result_only(a_cohort, tmp_path, monkeypatch):
    out, record = tmp_path / "results", batch_tasks._record

    def die(task, state, more):
        if state == "finished" and task.name == "b.nrrd":
            raise KeyboardInterrupt
        record(task, state, more)

    monkeypatch.setattr(batch_tasks, "_record", die)
    with pytest.raises(CancelledError):
        batch_run.upscale_many(spec_of(a_cohort, out), Progress())
    assert (out / "b.nrrd").exists()
    monkeypatch.undo()
    report = batch_run.upscale_many(spec_of(a_cohort, out), Progress()).report
    assert (report["made"], report["kept"], report["failed"]) == (2, 1, 1)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_process_that_was_killed_leaves_results_that_the_next_one_keeps(medsr, medsr_process, a_volume, tmp_path):
    folder, out = tmp_path / "cohort", tmp_path / "results"
    folder.mkdir()
    names = [f"v{number}.nii.gz" for number in range(3)]
    for name in names:
        a_volume(f"cohort/{name}")
    process = medsr_process("upscale", folder, out, "--all", *TIKHONOV)
    deadline = time.monotonic() + 300
    while not (out / names[0]).exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert medsr("upscale", folder, out, "--all", *TIKHONOV).code == 0
    for name in names:
        assert medsr("upscale", folder / name, tmp_path / name, *TIKHONOV).code == 0
        assert (out / name).read_bytes() == (tmp_path / name).read_bytes()
    assert not list(out.rglob(".medsr-*"))


@pytest.mark.slow
def test_several_processes_make_the_same(medsr, a_cohort, tmp_path):
    pytest.importorskip("distributed", reason="the extra cohort is not installed")
    assert medsr("upscale", a_cohort, tmp_path / "serial", "--all", *TIKHONOV).code == 3
    assert medsr("upscale", a_cohort, tmp_path / "side", "--all", "--workers", "2", *TIKHONOV).code == 3
    assert results_of(tmp_path / "side") == results_of(tmp_path / "serial")


def test_json_lines_end_with_the_table(medsr, a_cohort, tmp_path):
    ended = medsr(
        "upscale", a_cohort / "a.nii.gz", a_cohort / "b.nrrd", tmp_path / "o", *TIKHONOV, "--progress", "json"
    )
    last = json.loads(ended.out.splitlines()[-1])
    assert last["kind"] == "result"
    assert [row["name"] for row in last["report"]["rows"]] == ["a.nii.gz", "b.nrrd"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["{c}/a.nii.gz", "{c}/b.nrrd", "out.nii.gz"], 2, "looks like a file"),
        (["{c}", "{c}/results", "--all"], 2, "lies in"),
        (["{c}/a.nii.gz", "{c}/b.nrrd", "{c}"], 2, "would replace an input"),
        (["{c}/a.nii.gz", "{c}/no such", "o"], 3, "names with spaces need quotes"),
        (["{c}/a.nii.gz", "{c}/a.nii.gz", "o"], 2, "would both be 'a.nii.gz'"),
        (["{c}/a.nii.gz", "{c}/b.nrrd", "{c}/notes.txt"], 4, "is a file"),
        (["{c}", "o", "--all", "--series", "1"], 2, "--series is for one input"),
        (["{c}", "o", "--all", "--report", "r.json"], 2, "--report is for one input"),
        (["{c}", "o", "--all", "--map", "error=e.nii"], 2, "--map is for one input"),
        (["{c}", "o", "--all", "--workers", "few"], 2, "--workers takes a whole number"),
        (["{c}", "o", "--all", "--anonymize"], 2, "--anonymize is for --format dicom"),
        (["{c}", "o", "--all", "--format", "tiff"], 2, "dicom"),
        (["{c}", "o", "--all", "--model", "tikhonof"], 2, "tikhonov"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    medsr, a_cohort, tmp_path, monkeypatch, arguments, code, said
):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    ended = medsr("upscale", *[text.format(c=a_cohort) for text in arguments])
    assert (ended.code, said in ended.err) == (code, True), ended.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image in the folder"):
        batch_run.upscale_many(spec_of(tmp_path / "empty", tmp_path / "o"), Progress())


def write_series(folder, seed, uid, number, description="", turned=False):
    """A DICOM series of CT of five slices."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    folder.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(seed).integers(0, 900, (5, 8, 8)).astype(np.int16)
    for k, plane in enumerate(voxels):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        meta.MediaStorageSOPInstanceUID = f"{uid}.{k + 1}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        d = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        d.SOPClassUID, d.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        d.StudyInstanceUID, d.SeriesInstanceUID, d.SeriesNumber = "1.2.3", uid, number
        d.Modality, d.Rows, d.Columns = "CT", 8, 8
        d.ImageOrientationPatient, d.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 3.0 * k]
        d.PixelSpacing, d.SliceThickness, d.SeriesDescription = [1, 1], 3, description
        if turned and k == 1:
            d.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 1
        d.RescaleSlope, d.RescaleIntercept, d.PixelData = 1, 0, plane.tobytes()
        d.save_as(folder / f"{number}-{k}.dcm", enforce_file_format=True)


def test_every_series_and_image_of_a_study_is_enlarged_but_what_is_no_volume(medsr, a_volume, tmp_path):
    study, out = tmp_path / "study", tmp_path / "results"
    write_series(study / "mixed", 1, "1.2.3.1", 1, "T2 tra/*")
    write_series(study / "mixed", 2, "1.2.3.2", 2)
    write_series(study / "turned", 3, "1.2.3.3", 3, "localizer", turned=True)
    (study / "a.nii.gz").write_bytes(a_volume().read_bytes())
    ended = medsr("upscale", study, out, "--all", *TIKHONOV)
    assert ended.code == 0
    assert "003_localizer.nii.gz left out: The slices of this series have different orientations" in ended.err
    assert sorted(results_of(out)) == ["001_T2_tra.nii.gz", "002.nii.gz", "a.nii.gz"]
    assert table_of(out)["003_localizer.nii.gz"]["status"] == "left out"
    single = tmp_path / "one.nii.gz"
    assert medsr("upscale", study, single, "--series", "2", *TIKHONOV).code == 0
    assert np.array_equal(
        sitk.GetArrayFromImage(sitk.ReadImage(str(single))),
        sitk.GetArrayFromImage(sitk.ReadImage(str(out / "002.nii.gz"))),
    )


def test_a_study_without_any_volume_fails(medsr, tmp_path):
    write_series(tmp_path / "study", 1, "1.2.3.1", 1, "localizer", turned=True)
    ended = medsr("upscale", tmp_path / "study", tmp_path / "results", "--all", *TIKHONOV)
    assert ended.code == 3
    assert "1 of 1 inputs could not be enlarged" in ended.err


def test_several_series_are_a_question_whose_answer_may_be_all_of_them(medsr, tmp_path):
    study, out = tmp_path / "study", tmp_path / "results"
    write_series(study, 1, "1.2.3.1", 1)
    write_series(study, 2, "1.2.3.2", 2)
    ended = medsr("upscale", study, tmp_path / "out.nii.gz", *TIKHONOV)
    assert ended.code == 3
    assert "--all" in ended.err
    call = ("upscale", study, out, "--all", "--format", "dicom", *TIKHONOV)
    assert medsr(*call).code == 0
    assert len(list((out / "001").iterdir())) == len(list((out / "002").iterdir())) > 5
    assert "2 were there already" in medsr(*call).out

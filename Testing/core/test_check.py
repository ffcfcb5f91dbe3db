"""Checking a result against another series: phantoms of one texture, whose added detail is true, invented, or both."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage as ndi

import medsr
from medsr.errors import CancelledError, InputError, InvalidValueError, UnknownNameError
from medsr.evaluation.checking.contrast import ALIKE, FITTED, INVERTED, fit_mapping
from medsr.evaluation.checking.original import find_original
from medsr.evaluation.checking.picture import check_picture
from medsr.evaluation.checking.run import check_volumes
from medsr.evaluation.checking.spec import CheckSpec
from medsr.evaluation.checking.verdict import NOT_JUDGED, Shares
from medsr.geometry import Geometry
from medsr.io.dicom.kinship import same_frame, same_patient
from medsr.jobs import Progress
from medsr.methods.interpolate import interpolate
from medsr.physics.sampling import Acquisition
from medsr.volume import Volume
from medsr.worker import read_job

SIZE = 64
SPACING = 0.75
GRID = Geometry((SIZE,) * 3, (SPACING,) * 3, (-20.0, -10.0, 5.0))


def texture(seed, exponent=-1.5):
    """Structure of all sizes."""
    shape = (SIZE,) * 3
    noise = np.fft.rfftn(np.random.default_rng(seed).standard_normal(shape))
    frequency = np.sqrt(sum(np.square(f) for f in np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")))
    law = np.maximum(frequency, 1 / SIZE) ** exponent
    array = np.fft.irfftn(noise * law[..., : SIZE // 2 + 1], shape, axes=(0, 1, 2))
    return (500 + 100 * array / array.std()).astype(np.float32)


def stack(array, axis, factor=4, **attributes):
    """The slices that a scanner makes of a fine volume along array axis `axis`."""
    factors = [factor if a == axis else 1 for a in range(3)]
    acquisition = Acquisition.from_factors(array.shape, factors)
    grid = GRID.with_grid([SPACING * f for f in factors[::-1]], acquisition.coarse_shape[::-1])
    return Volume(acquisition.forward(array.astype(float)).astype(np.float32), grid, **{"modality": "MR", **attributes})


def fine(array, **attributes):
    return Volume(np.asarray(array, np.float32), GRID, **{"modality": "MR", **attributes})


TRUTH = texture(1)
AXIAL, SAGITTAL = stack(TRUTH, 0), stack(TRUTH, 2)
PLAIN = interpolate(AXIAL.array, AXIAL.geometry, GRID, "bspline")
# What noise there is in a real series: chance has something to work with.
NOISY = SAGITTAL.replace(
    array=SAGITTAL.array + np.random.default_rng(5).normal(0, 5, SAGITTAL.array.shape).astype(np.float32)
)


def judged(check):
    """Percent of what the other series can judge that it confirms, and that an unrelated one would."""
    found = check.report["of_what_is_judged"]
    return found["confirmed_percent"], found["an_unrelated_series_percent"]


@pytest.fixture(scope="module")
def true_detail():
    return check_volumes(fine(TRUTH), NOISY, AXIAL)


@pytest.fixture(scope="module")
def with_a_lesion():
    """The truth, and a ball that is not there."""
    z, y, x = np.indices((SIZE,) * 3) * SPACING
    ball = np.exp(-((z - 24) ** 2 + (y - 15) ** 2 + (x - 30) ** 2) / (2 * 1.5**2))
    return check_volumes(fine(TRUTH + 600 * ball), NOISY, AXIAL), GRID.to_patient((40, 20, 32)), (32, 20, 40)


def test_true_detail_is_confirmed(true_detail):
    report = true_detail.report
    confirmed, chance = judged(true_detail)
    assert confirmed > 85 and chance < 12
    assert report["confirmed_percent"] > 5 * report["contradicted_percent"]
    assert report["registration"]["agreement"] > 0.95
    assert report["registration"]["shift_mm"] < 0.1 and report["registration"]["uncertainty_mm"] < 0.2
    assert report["intensities"] == "alike"
    json.dumps(report, allow_nan=False)


def test_shares_add_up_as_a_whole_and_in_every_region(true_detail):
    for found in (true_detail.report, *true_detail.report["regions"]):
        parts = [found[f"{name}_percent"] for name in ("confirmed", "contradicted", "cannot_be_judged")]
        assert sum(parts) == pytest.approx(100, abs=0.05) and min(parts) >= 0
    assert sum(region["added_percent"] for region in true_detail.report["regions"]) == pytest.approx(100, abs=2)
    words = true_detail.report["sentence"].split()
    assert sum(int(word) for word in words if word.isdecimal()) == 100


def test_invented_detail_is_contradicted_and_near_chance():
    invented = texture(99)
    invented -= ndi.gaussian_filter(invented, 3)
    check = check_volumes(fine(PLAIN + invented), NOISY, AXIAL)
    confirmed, chance = judged(check)
    assert confirmed < chance + 5
    assert check.report["contradicted_percent"] > 3 * check.report["confirmed_percent"]


def test_the_share_is_that_of_the_energy_which_is_true():
    """True detail, and as much again that belongs elsewhere."""
    true = TRUTH - PLAIN
    check = check_volumes(fine(PLAIN + true + np.roll(true, 20, axis=1)), NOISY, AXIAL)
    assert judged(check)[0] == pytest.approx(50, abs=10)


def test_a_lesion_that_is_not_there_is_contradicted_at_its_place(true_detail, with_a_lesion):
    check, where, (k, j, i) = with_a_lesion
    place = check.report["contradicted_places"][0]
    assert np.linalg.norm(np.array(place["centre_lps_mm"]) - where) < 3
    assert check.map.array[k, j, i] < 0.5 < 0.8 < true_detail.map.array[k, j, i]
    # Elsewhere true detail stays confirmed.
    assert check.map.array[32, 44, 20] > 0.6
    assert not any(
        np.linalg.norm(np.array(place["centre_lps_mm"]) - where) < 6
        for place in true_detail.report["contradicted_places"]
    )


def test_detail_of_another_patient_on_the_same_coarse_anatomy_is_near_chance():
    """The hardest stranger: whatever both stacks resolve is alike, and only the detail is not."""
    stranger = ndi.gaussian_filter(TRUTH, 3) + (lambda t: t - ndi.gaussian_filter(t, 3))(texture(7))
    confirmed, chance = judged(check_volumes(fine(TRUTH), stack(stranger, 2), AXIAL))
    assert confirmed < chance + 5


def test_the_map_lies_on_the_result_and_says_where_nothing_is_known(true_detail):
    array = true_detail.map.array
    assert true_detail.map.geometry.is_same_as(GRID)
    known = array != NOT_JUDGED
    assert np.isfinite(array).all() and array[known].min() >= -1 and array[known].max() <= 1
    assert 0.2 < known.mean() < 1
    # Within 6 mm of the ends of the slice axis filters lack a half of what they need.
    assert not known[:6].any() and not known[-6:].any()
    assert true_detail.report["map"]["not_judged"] == NOT_JUDGED


def test_the_picture_is_a_png(with_a_lesion):
    assert check_picture(with_a_lesion[0]).startswith(b"\x89PNG")


def test_a_patient_who_moved_is_found():
    turn = np.eye(4)
    c, s = np.cos(np.radians(2)), np.sin(np.radians(2))
    turn[:2, :2] = [[c, -s], [s, c]]
    turn[:3, 3] = (1.5, -1.0, 2.0)
    moved = NOISY.replace(geometry=Geometry.from_affine(turn @ NOISY.geometry.affine, NOISY.geometry.size_xyz))
    check = check_volumes(fine(TRUTH), moved, AXIAL)
    assert judged(check)[0] > 80
    assert check.report["registration"]["degrees"] == pytest.approx(2, abs=0.3)


def test_another_contrast_is_fitted():
    inverted = stack(1500 - 2 * TRUTH, 2)
    check = check_volumes(fine(TRUTH), inverted, AXIAL)
    assert check.report["intensities"] == "inverted"
    assert judged(check)[0] > 80


def test_a_contrast_that_tells_nothing_of_the_other_is_refused():
    """Dark and bright alike: no mapping leads back to the one or the other."""
    with pytest.raises(InputError, match=r"also with its intensities fitted|are believed"):
        check_volumes(fine(TRUTH), stack(np.square(TRUTH - 500) / 100, 2), AXIAL)


def test_a_parallel_finer_series_judges_too():
    finer = stack(TRUTH, 0, factor=2)
    check = check_volumes(fine(TRUTH), finer, AXIAL)
    assert "parallel" in check.report["view"]
    assert judged(check)[0] > 75


@pytest.mark.parametrize(
    ("onto", "kind"),
    [
        (lambda v: 3 * v + 7, ALIKE),
        (lambda v: 900 - 0.5 * v, INVERTED),
        (lambda v: (v - 500) ** 2, FITTED),
    ],
)
def test_intensities_are_mapped_by_a_line_or_a_curve(onto, kind):
    values = np.random.default_rng(0).uniform(300, 700, 5000)
    mapping = fit_mapping(values, onto(values))
    assert mapping.kind == kind
    inner = np.linspace(320, 680, 50)
    np.testing.assert_allclose(mapping(inner), onto(inner), atol=0.08 * np.ptp(onto(inner)))


# --- what is refused, beside a sibling that is accepted (`true_detail`)


def test_a_series_elsewhere_is_refused():
    away = NOISY.replace(geometry=replace(NOISY.geometry, origin_mm=(400.0, 0.0, 0.0)))
    with pytest.raises(InputError, match="no field in common"):
        check_volumes(fine(TRUTH), away, AXIAL)


def test_a_series_of_something_else_gives_a_sentence_and_no_figure():
    with pytest.raises(InputError, match=r"shows something else|are believed"):
        check_volumes(fine(TRUTH), stack(texture(8), 2), AXIAL)


@pytest.mark.parametrize(
    ("result", "against", "words"),
    [
        (fine(PLAIN), NOISY, "plain enlargement"),
        (fine(texture(4)), NOISY, "made of another image"),
        (AXIAL, NOISY, "no finer across the slices"),
        (fine(TRUTH), NOISY.replace(modality="CT"), "they show different things"),
        (fine(TRUTH), AXIAL, "not finer"),
        (fine(TRUTH), NOISY.replace(metadata={"provenance": "MedSR 1; model srgan"}), "made by MedSR itself"),
        (fine(np.full((SIZE,) * 3, 3.0)), NOISY, "constant"),
    ],
)
def test_volumes_that_allow_no_check_are_refused(result, against, words):
    with pytest.raises(InputError, match=words):
        check_volumes(result, against, AXIAL)


def test_a_check_can_be_stopped():
    with pytest.raises(CancelledError):
        check_volumes(fine(TRUTH), NOISY, AXIAL, Progress(cancelled=lambda: True))


# --- whose they are


def of_dicom(io_dicom, folder, **elements):
    def edit(dataset, _):
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)

    io_dicom(folder, edit=edit)
    return medsr.read_volume(folder)


@pytest.mark.parametrize(
    ("elements", "same"),
    [
        ({}, True),
        ({"PatientName": "SECRET PERSON"}, True),
        ({"PatientName": "Other^Person"}, False),
        ({"PatientID": "ID-4712"}, False),
        ({"PatientName": "", "PatientID": ""}, None),
        ({"PatientID": "pseudonym", "PatientIdentityRemoved": "YES"}, None),
    ],
)
def test_headers_tell_whether_two_series_are_of_one_patient(io_dicom, tmp_path, elements, same):
    first, second = of_dicom(io_dicom, tmp_path / "a"), of_dicom(io_dicom, tmp_path / "b", **elements)
    assert same_patient(first, second) is same
    assert same_patient(second, first) is same


def test_sidecars_tell_as_well_and_plain_files_do_not(tmp_path):
    volumes = []
    for name, patient in (("a", "P1"), ("b", "P1"), ("c", "P2"), ("d", None)):
        path = medsr.write_volume(SAGITTAL, tmp_path / f"{name}.nii.gz")
        if patient:
            (tmp_path / f"{name}.json").write_text(json.dumps({"PatientID": patient, "SliceThickness": 3}))
        volumes.append(medsr.read_volume(path))
    assert [same_patient(volumes[0], other) for other in volumes[1:]] == [True, False, None]


def test_frames_of_reference_are_compared(io_dicom, tmp_path):
    first, same, other, silent = (
        of_dicom(io_dicom, tmp_path / str(i), **({"FrameOfReferenceUID": uid} if uid else {}))
        for i, uid in enumerate(("1.2.3", "1.2.3", "1.2.4", None))
    )
    assert [same_frame(first, volume) for volume in (same, other, silent)] == [True, False, None]


def test_another_patient_is_refused_without_a_name(io_dicom, tmp_path):
    first = of_dicom(io_dicom, tmp_path / "a")
    other = of_dicom(io_dicom, tmp_path / "b", PatientName="Other^Body", PatientID="X-1")
    with pytest.raises(InputError, match="different patients") as caught:
        check_volumes(fine(TRUTH), NOISY.replace(files=other.files), AXIAL.replace(files=first.files))
    assert not any(word in str(caught.value) for word in ("Other", "Secret", "X-1", "4711"))


def test_series_of_two_frames_are_brought_together(io_dicom, tmp_path):
    """Another day: positions of one frame of reference mean nothing in the other one."""
    first = of_dicom(io_dicom, tmp_path / "a", FrameOfReferenceUID="1.2.3")
    other = of_dicom(io_dicom, tmp_path / "b", FrameOfReferenceUID="1.2.4")
    array = np.pad(TRUTH - 200, 0)
    z, y, x = np.indices((SIZE,) * 3)
    head = np.where((z - 31.5) ** 2 + (y - 31.5) ** 2 + (x - 31.5) ** 2 < 29**2, array, 0)
    axial, sagittal = stack(head, 0, files=first.files), stack(head, 2, files=other.files)
    ox, oy, oz = sagittal.geometry.origin_mm
    sagittal = sagittal.replace(geometry=replace(sagittal.geometry, origin_mm=(ox + 300, oy - 80, oz + 40)))
    check = check_volumes(fine(head), sagittal, axial)
    assert check.report["frame_of_reference"] == "another"
    assert check.report["patient"] == "the same"
    assert judged(check)[0] > 75
    assert check.report["registration"]["first_shifted_mm"] == pytest.approx([-300, 80, -40], abs=2)


# --- what it was made of


def write_report(folder, source="axial.nrrd", output="sr.nrrd", size=(8, 8, 8), name="report.json"):
    text = json.dumps({"source": source, "output_file": output, "output": {"size_xyz": list(size)}})
    (folder / name).write_text(text)


def test_the_original_is_found_by_the_report(tmp_path):
    (tmp_path / "axial.nrrd").write_bytes(b"x")
    (tmp_path / "other.json").write_text('{"nothing": 1}')
    (tmp_path / "broken.json").write_text("{")
    write_report(tmp_path, output="another.nrrd", source="another-source.nrrd", name="a.json")
    write_report(tmp_path, source="gone/axial.nrrd")
    assert find_original(tmp_path / "sr.nrrd", (8, 8, 8)) == tmp_path / "axial.nrrd"


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (None, "no report beside it"),
        ({"size": (9, 8, 8)}, "no report beside it"),
        ({"source": "lost.nrrd"}, "'lost.nrrd', which is not there"),
    ],
)
def test_an_original_that_is_not_known_is_asked_for(tmp_path, report, words):
    if report is not None:
        write_report(tmp_path, **report)
    with pytest.raises(InputError, match=words) as caught:
        find_original(tmp_path / "sr.nrrd", (8, 8, 8))
    assert "--input" in str(caught.value)


# --- the ways in


def test_the_python_call_takes_a_result_and_volumes(monkeypatch):
    asked = []
    monkeypatch.setattr("medsr.evaluation.checking.api.check_volumes", lambda *given: asked.append(given))
    result = fine(TRUTH)
    medsr.check(medsr.Result(result, {}), NOISY, AXIAL)
    assert asked[0][:3] == (result, NOISY, AXIAL)
    with pytest.raises(InvalidValueError, match="original"):
        medsr.check(result, NOISY)


def test_a_job_is_a_line_and_its_fields_are_checked():
    spec = CheckSpec("a.nrrd", "b.nrrd", map="m.nrrd", overwrite=True)
    assert read_job(spec.to_json()) == spec
    line = json.loads(spec.to_json())
    for change, kind, words in (
        ({"against": None}, InvalidValueError, "against must be a text"),
        ({"overwrite": "no"}, InvalidValueError, "true or false"),
        ({"maps": "m"}, UnknownNameError, "Did you mean 'map'"),
    ):
        with pytest.raises(kind, match=words):
            read_job(json.dumps({**line, **change}))
    del line["against"]
    with pytest.raises(InputError, match="'against' is missing"):
        read_job(json.dumps(line))


def test_shares_of_energies_add_up_to_one():
    shares = Shares.of(total=10.0, covered=8.0, seen=4.0, judged=3.0, confirmed=2.0)
    assert (shares.confirmed, shares.contradicted, shares.uncertain) == pytest.approx((0.2, 0.1, 0.1))
    assert (shares.unseen, shares.outside) == pytest.approx((0.4, 0.2))
    # Two grids of one field never agree to the last digit.
    over = Shares.of(total=1.0, covered=0.5, seen=0.6, judged=0.6, confirmed=0.3)
    assert over.judged == pytest.approx(0.5) and over.unseen == pytest.approx(0)

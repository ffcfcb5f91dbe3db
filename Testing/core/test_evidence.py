"""How each axis counts as sampled: each rule from a person's word down to an assumption."""

from dataclasses import replace

import numpy as np
import pytest

from medsr.facts import Fact, Facts
from medsr.geometry import Geometry
from medsr.inference.planner import make_plan
from medsr.options import UpscaleOptions
from medsr.physics.profiles import Profile
from medsr.physics.spectra import Likeliest
from medsr.planning.evidence import HELICAL, SAFE, evidence_notice, find_profiles, slice_axis
from medsr.planning.looks import Looks
from medsr.volume import Volume


def a_volume(spacing=(1.0, 1.0, 3.0), size=(24, 24, 10), facts=(), **more):
    array = np.random.default_rng(0).random(size[::-1]).astype(np.float32)
    return Volume(array, Geometry(size, spacing), facts=Facts(tuple(facts)), **more)


def fact(name, value, axis=None, source="header"):
    return Fact(name, value, source, axis)


def found(volume, modality="MR", **options):
    """Evidence for x, y and z, widths rounded so that they can be compared."""
    evidence = find_profiles(volume, UpscaleOptions(**options), modality)
    assert [each.axis for each in evidence] == ["x", "y", "z"]
    return [replace(e, profile=replace(e.profile, width=round(e.profile.width, 9))) for e in evidence]


# --- what a person says


def test_a_profile_that_was_asked_for_holds_on_every_axis():
    for evidence in found(a_volume(), profile="kspace"):
        assert (evidence.profile, evidence.source) == (Profile("kspace"), "option")
    # Widths are in mm, profiles count distances of samples.
    x, _, z = found(a_volume(), profile="gaussian:2.4")
    assert x.profile.width == pytest.approx(2.4)
    assert z.profile == Profile("gaussian", 0.8)


def test_every_axis_may_be_asked_for_alone():
    stated = [fact("thickness_mm", 2.7, "z")]
    x, y, z = found(a_volume(facts=stated), profile="kspace:1.2:0.5, kspace, auto")
    assert (x.profile, x.source) == (Profile("kspace", 1.2, 0.5), "option")
    assert (y.profile, y.source) == (Profile("kspace"), "option")
    assert (z.profile, z.source) == (Profile("gaussian", 0.9), "header")


def test_a_kind_without_a_width_takes_the_thickness_that_is_known():
    stated = [fact("thickness_mm", 2.7, "z")]
    assert found(a_volume(facts=stated), profile="box")[2].profile == Profile("box", 0.9)
    asked = found(a_volume(facts=stated), profile="box", slice_thickness=2.4)[2]
    assert asked.profile == Profile("box", 0.8)
    assert found(a_volume(), profile="box")[2].profile == Profile("box", 1.0)
    # A slice thickness is no resolution of an encoded axis.
    assert found(a_volume(facts=stated), profile="kspace", slice_thickness=2.4)[2].profile == Profile("kspace")


def test_an_asked_thickness_belongs_to_the_slices_and_outranks_the_header():
    stated = [fact("encoding", "slice", "x"), fact("thickness_mm", 2.9, "x")]
    volume = a_volume(spacing=(3.0, 1.0, 1.0), size=(10, 24, 24), facts=stated)
    x, _, z = found(volume, slice_thickness=2.4)
    assert (x.profile, x.source) == (Profile("gaussian", 0.8), "option")
    assert z.source == "voxels" or z.source == "modality"
    # Where nothing tells which axis that is, it is the last.
    assert found(a_volume(spacing=(1, 1, 1)), slice_thickness=0.8)[2].source == "option"
    assert found(a_volume(spacing=(1, 1, 1)), slice_thickness=0.8, slice_axis="y")[1].source == "option"


def test_an_asked_thickness_of_ct_is_the_width_of_the_profile():
    assert found(a_volume(), "CT", slice_thickness=3.0)[2].profile == Profile("gaussian", 1.0)
    axial = [fact("scan", "axial")]
    assert found(a_volume(facts=axial), "CT", slice_thickness=3.0)[2].profile == Profile("box", 1.0)


# --- what the source says


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_a_stated_thickness_of_mr_is_a_gaussian_along_its_axis(axis):
    place = "xyz".index(axis)
    spacing = [1.0] * 3
    spacing[place] = 4.0
    stated = [fact("encoding", "slice", axis), fact("thickness_mm", 3.0, axis)]
    evidence = found(a_volume(spacing=tuple(spacing), facts=stated))
    assert (evidence[place].profile, evidence[place].source) == (Profile("gaussian", 0.75), "header")
    assert all(other.profile.assumed for other in evidence if other.axis != axis)


def test_the_more_trusted_source_is_believed():
    stated = [fact("thickness_mm", 2.4, "z", "sidecar"), fact("thickness_mm", 3.0, "z")]
    z = found(a_volume(facts=stated))[2]
    assert (z.profile.width, z.source) == (pytest.approx(0.8), "sidecar")


def test_helical_ct_has_the_measured_share_of_its_stated_thickness_even_where_slices_overlap():
    stated = [fact("thickness_mm", 1.25, "z")]
    x, y, z = found(a_volume((0.98, 0.98, 0.625), facts=stated, modality="CT"), "CT")
    assert z.profile == Profile("gaussian", 1.8)
    assert (z.source, z.stated_mm) == ("header", None)
    for plane in (x, y):
        assert (plane.profile, plane.source) == (Profile("gaussian", 1.0, assumed=True), "modality")


def test_axial_ct_is_a_box_as_wide_as_stated():
    stated = [fact("thickness_mm", 2.5, "z"), fact("scan", "axial")]
    assert found(a_volume((0.7, 0.7, 2.5), facts=stated), "CT")[2].profile == Profile("box", 1.0)
    stated[1] = fact("scan", "helical")
    assert found(a_volume((0.7, 0.7, 2.5), facts=stated), "CT")[2].profile == Profile("gaussian", HELICAL)


def test_ct_of_which_nothing_is_known_counts_as_helical():
    x, _, z = found(a_volume((0.7, 0.7, 2.5)), "CT")
    assert (z.profile, z.source) == (Profile("gaussian", HELICAL, assumed=True), "modality")
    assert x.profile == Profile("gaussian", 1.0, assumed=True)


def test_partitions_are_encoded_and_those_closer_than_thick_were_interpolated():
    stated = [fact("encoding", "partition", "z"), fact("thickness_mm", 2.0, "z")]
    assert found(a_volume((1, 1, 2.0), facts=stated))[2].profile == Profile("kspace", 1.0)
    twice = found(a_volume((1, 1, 1.0), facts=stated))[2]
    assert (twice.profile, twice.source, twice.stated_mm) == (Profile("kspace", 2.0), "header", None)
    # A gap between partitions says nothing of their resolution: the spectrum ends with the samples.
    wide = found(a_volume((1, 1, 2.5), facts=stated))[2]
    assert (wide.profile, wide.stated_mm) == (Profile("kspace", 1.0), None)
    # The measured matrix is believed where it is coarser.
    assert found(a_volume((1, 1, 1.0), facts=[*stated, fact("resolution_mm", 2.5, "z")]))[2].profile.width == 2.5


@pytest.mark.parametrize("encoding", ["frequency", "phase", "fourier"])
def test_an_encoded_axis_is_as_wide_as_it_was_acquired(encoding):
    stated = [fact("encoding", encoding, "y"), fact("resolution_mm", 1.3, "y")]
    y = found(a_volume(facts=stated))[1]
    assert (y.profile, y.source) == (Profile("kspace", 1.3), "header")
    assert found(a_volume(facts=stated[:1]))[1].profile == Profile("kspace", 1.0)
    # Finer than its voxels nothing was acquired.
    finer = [stated[0], fact("resolution_mm", 0.7, "y")]
    assert found(a_volume(facts=finer))[1].profile == Profile("kspace", 1.0)


def test_an_encoding_says_nothing_of_ct():
    stated = [fact("encoding", "detector", "x"), fact("encoding", "slice", "z"), fact("thickness_mm", 3.0, "z")]
    x, _, z = found(a_volume(facts=stated), "CT")
    assert x.profile == Profile("gaussian", 1.0, assumed=True)
    assert z.profile == Profile("gaussian", HELICAL)


# --- what makes no sense


@pytest.mark.parametrize(
    ("options", "width", "stated"),
    [
        ({"slice_thickness": 30.0}, 4.0, 30.0),
        ({"slice_thickness": 0.3}, 0.2, 0.3),
        ({"slice_thickness": 0.6}, 0.2, None),
        ({"profile": "auto,auto,kspace:2.0"}, 1.0, 2.0),
        ({"profile": "auto,auto,kspace:2.95"}, 1.0, None),
        ({"profile": "auto,auto,kspace:15"}, 4.0, 15.0),
    ],
)
def test_an_implausible_width_is_brought_into_limits_and_said(options, width, stated):
    z = found(a_volume(), **options)[2]
    assert z.profile.width == pytest.approx(width)
    assert z.stated_mm == stated


# --- what the voxels and their shape say


def test_few_voxels_say_nothing_so_that_slices_are_taken_carefully():
    x, y, z = found(a_volume(size=(12, 12, 10)))
    assert (z.profile, z.source, z.probability) == (SAFE, "modality", None)
    assert x.profile == y.profile == Profile("kspace", assumed=True)


def test_voxels_are_looked_at_where_nothing_is_stated():
    x, y, z = found(a_volume((1, 1, 1), (32, 32, 32)))
    for evidence in (x, y, z):
        assert evidence.profile.assumed
        assert evidence.source == "voxels"
        assert 0 < evidence.probability <= 1
    assert x.profile == y.profile == z.profile


def test_another_plan_of_the_same_voxels_does_not_look_at_them_again(monkeypatch):
    volume, looks, looked = a_volume(size=(32, 32, 24), spacing=(1.0, 1.0, 1.0)), Looks(), []

    def look(*arguments):
        looked.append(arguments)
        return Likeliest(Profile("kspace"), 0.9, False)

    monkeypatch.setattr("medsr.planning.evidence.likeliest_profile", look)
    plans = [make_plan(volume, UpscaleOptions(scale=scale), looks=looks) for scale in (2, 3)]
    assert len(looked) == 1
    assert plans[0].evidence == plans[1].evidence == make_plan(volume, UpscaleOptions(scale=2)).evidence
    assert len(looked) == 2


def test_slices_that_may_be_either_are_taken_carefully(monkeypatch):
    from medsr.planning import evidence

    def unsure(probability):
        return lambda *_: Likeliest(Profile("gaussian", 1.2), probability, True)

    monkeypatch.setattr(evidence, "likeliest_profile", unsure(0.6))
    x, _, z = found(a_volume())
    assert (z.profile, z.source, z.probability) == (SAFE, "voxels", 0.6)
    assert x.profile == Profile("kspace", assumed=True)
    monkeypatch.setattr(evidence, "likeliest_profile", unsure(0.9))
    assert {one.profile for one in found(a_volume())} == {Profile("gaussian", 1.2, assumed=True)}


def test_axes_of_one_spacing_are_looked_at_together(monkeypatch):
    from medsr.planning import evidence

    asked = []
    monkeypatch.setattr(evidence, "likeliest_profile", lambda array, spacing, axes, candidates: asked.append(set(axes)))
    found(a_volume((1.0, 1.1, 3.0)))
    found(a_volume((1.0, 2.0, 1.0)))
    found(a_volume((1.0, 1.0, 1.0)), profile="auto,auto,kspace")
    found(a_volume((1.0, 1.0, 1.0), (24, 24, 1), planar=True))
    # Array axes: z 0, y 1, x 2.
    assert asked == [{0}, {1, 2}, {1}, {0, 2}, {1, 2}, {1, 2}]


def test_colours_are_looked_at_together():
    colours = np.random.default_rng(0).integers(0, 255, (1, 40, 40, 3), dtype=np.uint8)
    x, _, z = found(Volume(colours, Geometry((40, 40, 1)), planar=True))
    assert x.source == "voxels"
    assert z.source == "modality" or z.profile.assumed


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ((1.0, 1.0, 3.0), "z"),
        ((3.0, 1.0, 1.0), "x"),
        ((1.0, 3.0, 1.0), "y"),
        ((0.98, 0.98, 0.625), "z"),  # slices that lie closer than the pixels
        ((1.0, 1.5, 3.0), "z"),
        ((1.0, 1.0, 1.2), None),
        ((1.0, 1.0, 1.0), None),
    ],
)
def test_the_shape_of_the_voxels_tells_the_slices(spacing, expected):
    geometry = Geometry((20, 20, 20), spacing)
    assert slice_axis(Facts(), UpscaleOptions(), geometry) == expected
    # A source knows better, a person best.
    stated = Facts((fact("thickness_mm", 1.0, "y"),))
    assert slice_axis(stated, UpscaleOptions(), geometry) == "y"
    assert slice_axis(stated, UpscaleOptions(slice_axis="x"), geometry) == "x"
    assert slice_axis(Facts(), UpscaleOptions(), geometry, planar=True) == "z"


# --- in words


def test_evidence_is_told_in_mm_with_its_source():
    stated = [fact("thickness_mm", 2.4, "z")]
    x, y, z = found(a_volume(size=(12, 12, 10), facts=stated), profile="kspace:1.2:0.5,auto,auto")
    words = [str(evidence_notice(e, s)) for e, s in zip((x, y, z), (1.0, 1.0, 3.0), strict=True)]
    assert "1.2 mm" in words[0] and "50 %" in words[0] and "as asked" in words[0]
    assert "assumed" in words[1]
    assert "2.4 mm" in words[2] and "header" in words[2]


# --- what a plan makes of it


def planned(volume, **options):
    return make_plan(volume, UpscaleOptions(model="tikhonov", **options))


def test_an_axis_whose_spacing_differs_by_rounding_stays_as_it_is():
    plan = planned(a_volume((0.71874964, 0.71875048, 4.0)), isotropic=True)
    assert set(plan.acquisition.active) == {0}
    assert plan.target.factors_xyz[:2] == (1.0, 1.0)
    # One that really differs is sampled again.
    assert set(planned(a_volume((0.7, 0.75, 4.0)), isotropic=True).acquisition.active) == {0, 1}


def test_every_enlarged_axis_is_sampled_with_its_own_profile_and_told():
    plan = planned(a_volume((1.0, 1.0, 2.0)), scale=(2, 2, 4), profile="kspace:1.3,kspace:1:0.5,gaussian:1.8")
    z, y, x = (axis.profile for axis in plan.acquisition.axes)
    assert (x.kind, y.kind, z.kind) == ("kspace", "kspace", "gaussian")
    assert (x.width, y.taper, z.width) == (pytest.approx(1.3), 0.5, pytest.approx(0.9))
    told = [notice.values["axis"] for notice in plan.decisions if notice.kind == "acquisition"]
    assert told == ["x", "y", "z"]


def test_what_the_scanner_resolves_along_an_axis_that_stays_stays():
    plan = planned(a_volume(), scale=(1, 1, 3), profile="kspace:1.4,kspace:1:0.5,gaussian")
    assert set(plan.acquisition.active) == {0}
    told = [notice.values["axis"] for notice in plan.decisions if notice.kind == "acquisition"]
    assert told == ["z"]


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({"slice_thickness": 40.0}, ["acquisition.implausible"]),
        ({"slice_thickness": 2.5}, []),
        ({"profile": "auto,auto,kspace:15"}, ["acquisition.implausible"]),
        # Who asks for it knows it.
        ({"profile": "auto,auto,kspace:6"}, []),
    ],
)
def test_what_is_doubtful_of_an_acquisition_is_a_warning(options, kinds):
    assert [notice.kind for notice in planned(a_volume(), scale=(1, 1, 3), **options).warnings] == kinds


@pytest.mark.parametrize(("width", "doubted"), [(1.33, True), (1.0, False)])
def test_voxels_finer_than_what_was_acquired_are_a_warning(monkeypatch, width, doubted):
    likeliest = Likeliest(Profile("kspace", width), 0.95, True)
    monkeypatch.setattr("medsr.planning.evidence.likeliest_profile", lambda *_: likeliest)
    warnings = planned(a_volume(), scale=(1, 1, 3)).warnings
    assert [(each.kind, each.values["axis"]) for each in warnings] == [("acquisition.interpolated", "z")] * doubted

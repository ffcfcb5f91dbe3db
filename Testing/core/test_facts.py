"""Statements about an acquisition: whom is believed, and what is no statement."""

from __future__ import annotations

import json
import math

import pytest

from medsr.errors import InputError, UnknownNameError
from medsr.facts import ENCODINGS, SOURCES, Fact, Facts


def test_the_most_trusted_source_is_believed_and_of_one_source_the_last():
    facts = Facts((Fact("thickness_mm", 4, "option", "z"), Fact("thickness_mm", 5, "header", "z")))
    assert facts.number("thickness_mm", "z") == 4
    assert Facts((*facts, Fact("thickness_mm", 3, "option", "z"))).number("thickness_mm", "z") == 3
    assert facts.number("thickness_mm", "x") is None
    assert (facts + facts).all == facts.all * 2
    assert facts.without("thickness_mm").all == ()
    assert SOURCES.index("option") > SOURCES.index("header")


@pytest.mark.parametrize(
    ("fact", "error"),
    [
        ({"name": "colour", "value": "red"}, UnknownNameError),
        ({"name": "thickness_mm", "value": 3.0}, UnknownNameError),  # a length belongs to an axis
        ({"name": "kernel", "value": "B30f", "axis": "z"}, UnknownNameError),
        ({"name": "thickness_mm", "value": 3.0, "axis": "w"}, UnknownNameError),
        ({"name": "kernel", "value": "B30f", "source": "rumour"}, UnknownNameError),
        ({"name": "encoding", "value": "magic", "axis": "z"}, UnknownNameError),
        ({"name": "kernel", "value": 30}, InputError),
        ({"name": "partial_fourier", "value": 1}, InputError),
        ({"name": "thickness_mm", "value": True, "axis": "z"}, InputError),
        ({"name": "thickness_mm", "value": 0.0, "axis": "z"}, InputError),
        ({"name": "thickness_mm", "value": math.nan, "axis": "z"}, InputError),
        ({"name": "padding", "value": math.inf}, InputError),
    ],
)
def test_what_is_no_statement_is_refused(fact, error):
    with pytest.raises(error):
        Fact(**{"source": "header", **fact})


def test_siblings_of_the_refused_are_accepted():
    for encoding in ENCODINGS:
        assert Fact("encoding", encoding, "header", "z").value == encoding
    assert Fact("thickness_mm", 3, "header", "z").value == 3.0
    assert Fact("padding", -2000, "header").value == -2000.0
    assert Fact("partial_fourier", True, "sidecar").value is True


def test_the_slice_axis_is_that_of_the_most_trusted_source():
    header = Facts((Fact("encoding", "slice", "header", "x"),))
    assert header.slice_axis == "x"
    assert Facts((*header, Fact("encoding", "partition", "option", "z"))).slice_axis == "z"
    assert Facts((*header, Fact("encoding", "phase", "sidecar", "x"))).slice_axis is None
    thick = Facts((Fact("thickness_mm", 3, "header", "x"), Fact("thickness_mm", 4, "Slicer", "y")))
    assert thick.slice_axis == "y"
    assert Facts().slice_axis is None


def test_contradictions_name_the_believed_first_and_roundings_are_none():
    told = Facts(
        (
            Fact("thickness_mm", 5, "header", "z"),
            Fact("thickness_mm", 4, "sidecar", "z"),
            Fact("resolution_mm", 1.0, "header", "x"),
            Fact("resolution_mm", 1.01, "sidecar", "x"),
            Fact("encoding", "phase", "header", "x"),
            Fact("encoding", "fourier", "sidecar", "x"),
            Fact("encoding", "fourier", "header", "z"),
            Fact("encoding", "slice", "sidecar", "z"),
        )
    ).contradictions()
    assert [(believed.value, other.value) for believed, other in told] == [(4, 5), ("slice", "fourier")]


def test_facts_survive_json():
    facts = Facts((Fact("encoding", "slice", "header", "z"), Fact("partial_fourier", False, "sidecar")))
    assert Facts.from_json(json.loads(json.dumps(facts.to_json()))) == facts
    for wrong in ("text", {"name": "kernel"}, [1], [{"name": "kernel"}], [{"names": "kernel"}]):
        with pytest.raises(InputError):
            Facts.from_json(wrong)

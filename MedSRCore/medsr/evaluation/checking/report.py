"""The figures of a check, as JSON and as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medsr.evaluation.checking.alignment import Aligned, View
from medsr.evaluation.checking.places import PLACE_MM, Place
from medsr.evaluation.checking.verdict import MAP, NOT_JUDGED, REGION_MM, Region, Shares, Verdict
from medsr.evaluation.real_rows import movement
from medsr.evaluation.tables import versions
from medsr.jsontext import finite

SCHEMA = "medsr-check/1"

_PATIENT = {True: "the same", None: "not stated"}
_FRAME = {True: "the same", False: "another", None: "not stated"}


def make_report(
    verdict: Verdict,
    aligned: Aligned,
    view: View,
    *,
    same_patient: bool | None,
    same_frame: bool | None,
    warnings: list[str],
) -> Mapping[str, Any]:
    """The report of a check, JSON-ready."""
    shares = verdict.shares
    report = {
        "schema": SCHEMA,
        "sentence": sentence(shares),
        **_percents(shares),
        "of_what_is_judged": {
            "confirmed_percent": _percent(shares.confirmed / shares.judged) if shares.judged > 0 else None,
            "an_unrelated_series_percent": _percent(verdict.by_chance),
        },
        "bands": [
            {
                "periods_mm": [each.band.shortest_mm, each.band.longest_mm],
                "judged_percent": _percent(found.judged),
                "confirmed_percent": _percent(found.confirmed),
                "contradicted_percent": _percent(found.contradicted),
                "an_unrelated_series_percent": _percent(each.by_chance),
            }
            for each, found in verdict.bands
        ],
        "view": view.test.reason,
        "registration": {
            **movement(aligned.fit),
            "first_shifted_mm": [round(v, 2) for v in aligned.start_mm],
            "uncertainty_mm": round(aligned.uncertainty_mm, 3),
            "agreement": round(aligned.agreement, 4),
        },
        "intensities": aligned.mapping.kind,
        "patient": _PATIENT.get(same_patient),
        "frame_of_reference": _FRAME[same_frame],
        "map": {"name": MAP, "lowest": -1.0, "highest": 1.0, "not_judged": NOT_JUDGED},
        "region_mm": REGION_MM,
        "regions": [_region(region) for region in verdict.regions],
        "place_mm": PLACE_MM,
        "contradicted_places": [_place(place) for place in verdict.places],
        "warnings": warnings,
        "versions": versions(),
        "notice": "Not a medical device. Not for clinical decisions.",
    }
    found: Mapping[str, Any] = finite(report)
    return found


def sentence(shares: Shares) -> str:
    """The one that a person reads."""
    yes, no = round(100 * shares.confirmed), round(100 * shares.contradicted)
    return (
        f"Of the added detail, {yes} % is confirmed by the other series, {no} % contradicted, {100 - yes - no} % "
        "cannot be judged."
    )


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """A report for people, with the sentence first."""
    judged, why = report["of_what_is_judged"], report["cannot_be_judged"]
    fit = report["registration"]
    lines = [report["sentence"]]
    if judged["confirmed_percent"] is not None:
        lines.append(
            f"Judged    of what it can judge, {judged['confirmed_percent']:.0f} % is confirmed; an unrelated series "
            f"would confirm {judged['an_unrelated_series_percent']:.0f} %"
        )
    lines += [
        f"Unjudged  {why['unseen_percent']:.0f} % too fine for it or averaged in its slices, "
        f"{why['uncertain_percent']:.0f} % too weak or too different, {why['outside_percent']:.0f} % outside the "
        "common field",
        f"Place     moved by {fit['shift_mm']:.2f} mm and {fit['degrees']:.2f} degrees, known to "
        f"{fit['uncertainty_mm']:.2f} mm; what both resolve correlates by {fit['agreement']:.2f}",
    ]
    for place in report["contradicted_places"][:3]:
        at = ", ".join(f"{v:.0f}" for v in place["centre_lps_mm"])
        lines.append(
            f"Doubtful  {place['added_percent']:.1f} % of the added detail is contradicted about ({at}) mm LPS, voxel "
            f"{', '.join(map(str, place['centre_xyz']))}"
        )
    return lines


def _percents(shares: Shares) -> dict[str, Any]:
    return {
        "confirmed_percent": _percent(shares.confirmed),
        "contradicted_percent": _percent(shares.contradicted),
        "cannot_be_judged_percent": _percent(shares.cannot_be_judged),
        "cannot_be_judged": {
            "uncertain_percent": _percent(shares.uncertain),
            "unseen_percent": _percent(shares.unseen),
            "outside_percent": _percent(shares.outside),
        },
    }


def _region(region: Region) -> dict[str, Any]:
    return {
        "centre_lps_mm": [round(v, 1) for v in region.centre_mm],
        "centre_xyz": list(region.centre_xyz),
        "added_percent": _percent(region.added),
        **{key: value for key, value in _percents(region.shares).items() if key != "cannot_be_judged"},
    }


def _place(place: Place) -> dict[str, Any]:
    return {
        "centre_lps_mm": [round(v, 1) for v in place.centre_mm],
        "centre_xyz": list(place.centre_xyz),
        "confirmed": round(place.confirmed, 3),
        "added_percent": _percent(place.added),
    }


def _percent(share: float) -> float:
    return round(100 * share, 2)

"""How a volume was acquired, as tables: one row for each axis, one for each fact about the volume, with its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from medsr.cli.console import table_lines
from medsr.facts import AXES, OF_THE_VOLUME, PER_AXIS, Facts

_NOT_STATED = "-"

AXIS_COLUMNS: dict[str, Callable[[Mapping[str, Any], Facts, str], str]] = {
    "axis": lambda about, facts, axis: axis,
    "voxels": lambda about, facts, axis: str(about["size_xyz"][AXES.index(axis)]),
    "spacing": lambda about, facts, axis: f"{about['spacing_xyz_mm'][AXES.index(axis)]:.4g} mm",
    "thickness": lambda about, facts, axis: _length(facts, "thickness_mm", axis),
    "acquired at": lambda about, facts, axis: _length(facts, "resolution_mm", axis),
    "collimation": lambda about, facts, axis: _length(facts, "collimation_mm", axis),
    "encoding": lambda about, facts, axis: str(facts.value("encoding", axis) or _NOT_STATED),
    "stated by": lambda about, facts, axis: _sources(facts, axis),
    "taken for": lambda about, facts, axis: _taken(about, axis, "profile"),
    "resolution": lambda about, facts, axis: _taken(about, axis, "resolution_mm"),
    "from": lambda about, facts, axis: _taken(about, axis, "source"),
}
"""Head of each column, and what stands in it: of the description, its facts and the axis. A column in which nothing is
stated is left out."""


def acquisition_lines(about: Mapping[str, Any]) -> list[str]:
    """What `medsr.io.describe` found of the acquisition."""
    facts = Facts.from_json(about["facts"])
    columns = [(head, *(cell(about, facts, axis) for axis in AXES)) for head, cell in AXIS_COLUMNS.items()]
    told = [column for column in columns if set(column[1:]) != {_NOT_STATED}]
    head, *rows = zip(*told, strict=True)
    lines = table_lines(head, rows)
    stated = [fact for name in OF_THE_VOLUME if (fact := facts.get(name)) and name != "modality"]
    if stated:
        words = [(fact.name.replace("_", " "), _words(fact.value), fact.source) for fact in stated]
        lines += ["", *table_lines(("acquisition", "", "stated by"), words)]
    if not facts.all:
        lines.append("Nothing more is stated on how it was acquired.")
    return [f"  {line}" if line else "" for line in lines]


def _length(facts: Facts, name: str, axis: str) -> str:
    number = facts.number(name, axis)
    return _NOT_STATED if number is None else f"{number:.4g} mm"


def _taken(about: Mapping[str, Any], axis: str, key: str) -> str:
    """What a job would take for this axis."""
    for found in about.get("acquisition", ()):
        if found["axis"] == axis:
            value = found[key]
            if key == "source":
                sure = found["probability"]
                return f"{value}, {sure:.0%} sure" if sure is not None else str(value)
            return f"{value:.3g} mm" if isinstance(value, float) else str(value)
    return _NOT_STATED


def _sources(facts: Facts, axis: str) -> str:
    believed = [fact.source for name in PER_AXIS if (fact := facts.get(name, axis))]
    return ", ".join(dict.fromkeys(believed)) or _NOT_STATED


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)

"""List the models, or tell everything about one."""

from __future__ import annotations

import argparse
import json

from medsr.catalog import PERCEPTUAL, CatalogEntry, find_model, load_catalog
from medsr.cli.console import on_one_line, say, table_lines
from medsr.cli.parsing import VerbParser

EXAMPLES = """examples:
  medsr models
  medsr models tikhonov
  medsr models --json"""


def configure(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="tell everything about this model or bundle folder")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Print the catalog or one entry."""
    if arguments.name is not None:
        entry = find_model(arguments.name)
        say(json.dumps(entry.to_dict(), indent=2) if arguments.json else "\n".join(detail_lines(entry)))
        return 0
    entries = list(load_catalog().values())
    if arguments.json:
        say(json.dumps([entry.to_dict() for entry in entries], indent=2))
        return 0
    head = ("name", "kind", "dims", "for", "licence", "summary")
    lines = table_lines(head, [_cells(entry) for entry in entries])
    say(lines[0])
    indent = " " * (max(len(entry.name) for entry in entries) + 2)
    for line, entry in zip(lines[1:], entries, strict=True):
        say(line)
        if entry.perceptual:
            say(f"{indent}{PERCEPTUAL}")
        if entry.gain:
            say(on_one_line(f"{indent}gain: {entry.gain}"))
    return 0


def detail_lines(entry: CatalogEntry) -> list[str]:
    """An entry for people."""
    facts = {
        "kind": entry.kind,
        "caution": PERCEPTUAL if entry.perceptual else "",
        "version": entry.version,
        "for": " and ".join(entry.modalities),
        "dims": _dims(entry),
        "factors": _factors(entry),
        "undoes": f"{entry.downscaling} downscaling" if entry.downscaling else "",
        "colours": f"takes {entry.channels} together, no grey images" if entry.channels > 1 else "",
        "licence": entry.licence,
        "training data": entry.training_data,
        "gain": entry.gain,
        "on phantoms": "; ".join(entry.on_phantoms),
        "limits": entry.limits,
        "error maps": " and ".join(entry.calibrated) or "none: not calibrated",
        "needs": "pip install 'medsr[network]'" if entry.needs_torch else "nothing further",
        "weights": str(entry.weights) if entry.folder is not None else "",
        "SHA-256": entry.sha256,
    }
    width = max(map(len, facts)) + 2
    lines = [f"{entry.name}: {entry.summary}", *(f"  {key:<{width}}{text}" for key, text in facts.items() if text)]
    return [on_one_line(line) for line in lines]


def _cells(entry: CatalogEntry) -> tuple[str, ...]:
    return (entry.name, entry.kind, _dims(entry), "+".join(entry.modalities), entry.licence, entry.summary)


def _dims(entry: CatalogEntry) -> str:
    return "+".join(f"{dims}D" for dims in entry.spatial_dims)


def _factors(entry: CatalogEntry) -> str:
    low, high = entry.factors
    if not entry.scales:
        return f"{low:g} to {high:g} along each axis"
    factors = ", ".join(map(str, entry.scales))
    where = "in plane" if entry.spatial_dims == (2,) else "in every direction"
    return f"{factors} of its own, {where}; its result is brought to other grids"

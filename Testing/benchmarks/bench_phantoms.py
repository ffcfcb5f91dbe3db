"""What every model does on digital phantoms, written into its bundle, and the tables of the page.

    python Testing/benchmarks/bench_phantoms.py --page docs/reference/phantoms.md
    python Testing/benchmarks/bench_phantoms.py srgan runs/mine/bundle
    python Testing/benchmarks/bench_phantoms.py runs/mine/bundle --against srgan

Without names all that are shipped, the closed forms and auto.

Each model runs in the cases that it was made for: refiners with thick slices (z4) and truncated k-space (k2), or CT
(z4); a network with a factor of its own where its own downscaling was done. Noise is 2 % where the model is chosen
for that, else none. The record goes into ``configs/metadata.json`` and the card of the bundle. ``--against`` compares
instead of writing: it exits 1 where the model is worse than the shipped one of that name.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

from pages import note, write_between

from medsr.catalog import METADATA, CatalogEntry, find_model, load_catalog
from medsr.evaluation.phantoms.bench import NOISE, run_bench
from medsr.evaluation.phantoms.judge import BASELINE
from medsr.evaluation.phantoms.rows import SCHEMA, PhantomRow, PhantomTable
from medsr.evaluation.phantoms.table import TITLES, text_table
from medsr.evaluation.tables import markdown_table
from medsr.options import UpscaleOptions
from medsr.phantom_figures import FIGURES, worse
from medsr.training.model_card import PHANTOMS_HEAD, phantoms_section

REFINED = {"MR": ("z4", "k2"), "CT": ("z4",)}
Condition = tuple[str, tuple[str, ...], float]
CLOSED: Condition = ("MR", REFINED["MR"], NOISE)
"""Where the closed forms and auto are shown."""


def conditions(entry: CatalogEntry) -> Condition:
    """Modality, cases and noise for a model."""
    modality = entry.modalities[0]
    noise = NOISE if modality == "MR" and entry.noise[0] <= NOISE <= entry.noise[1] else 0.0
    if not entry.scales:
        return modality, REFINED[modality], noise
    if entry.downscaling == "bicubic":
        return modality, (f"bicubic{4 if 4 in entry.scales else entry.scales[0]}",), noise
    return modality, ("k2" if entry.downscaling == "kspace" else "iso2",), noise


def measure(names: list[str], condition: Condition) -> list[PhantomRow]:
    """Rows of models on the same phantoms."""
    modality, cases, noise = condition
    note(f"{', '.join(names)}: {modality}, {', '.join(cases)}, noise {noise:g}")
    table = run_bench(names, cases, noise=noise, options=UpscaleOptions(modality=modality, device="cpu"))
    for row in table.failures:
        note(f"{row.model} failed in {row.case}: {row.error}")
    return [dataclasses.replace(row, case=f"{modality} {row.case}") for row in table.rows]


def read_rows(file: Path | None) -> list[PhantomRow]:
    """Rows of earlier runs."""
    if file is None or not file.is_file():
        return []
    return [PhantomRow(**row) for row in json.loads(file.read_text(encoding="utf-8"))]


def record(entry: CatalogEntry, rows: list[PhantomRow]) -> dict[str, Any]:
    """What the bundle of a model keeps."""
    own = [row for row in rows if row.model in (entry.name, str(entry.folder)) and not row.error]
    kept = {row.case: {k: float(f"{row.figures[k]:.6g}") for k in FIGURES if k in row.figures} for row in own}
    return {"bench": SCHEMA, "weights": entry.sha256, "modality": entry.modalities[0], "cases": kept}


def write_record(folder: Path, found: dict[str, Any]) -> None:
    """Put a record into metadata and card of the bundle in `folder`."""
    path = folder / METADATA
    data = json.loads(path.read_text(encoding="utf-8"))
    data["medsr"]["phantoms"] = found
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    card = folder / "docs" / "README.md"
    text = re.sub(
        rf"{PHANTOMS_HEAD}\n.*?(?=^## )", "", card.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    card.write_text(text.replace("## Limits\n", f"{phantoms_section(found)}## Limits\n"), encoding="utf-8")


def main() -> int:
    """Measure, then write or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "models", nargs="*", help="names or folders of bundles; all that are shipped when none is given"
    )
    parser.add_argument("--against", metavar="NAME", help="compare with this shipped model, and write nothing")
    parser.add_argument("--rows", type=Path, help="keep the rows in this JSON file, for the page")
    parser.add_argument("--page", type=Path, help="the page whose tables are written")
    arguments = parser.parse_args()
    names = arguments.models or [name for name, entry in load_catalog().items() if entry.folder is not None]
    groups: dict[Condition, list[str]] = {}
    for name in names:
        groups.setdefault(conditions(find_model(name)), []).append(name)
    if not arguments.models:
        groups[CLOSED] = ["tikhonov", "auto", *groups.get(CLOSED, [])]
    rows = read_rows(arguments.rows)
    for condition, members in groups.items():
        found = measure(members, condition)
        rows = [*found, *rows]
        if arguments.rows:
            arguments.rows.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1), encoding="utf-8")
        for entry in (find_model(name) for name in members if name != "auto"):
            kept = record(entry, found)
            if entry.folder is not None and kept["cases"] and not arguments.against:
                write_record(entry.folder, kept)
    if arguments.against:
        found_worse = worse(record(find_model(names[0]), rows), find_model(arguments.against).phantoms)
        note("\n".join(found_worse) or f"Nowhere worse than {arguments.against}.")
        return int(bool(found_worse))
    distinct = {(row.case, row.model): row for row in reversed(rows) if not row.error}
    whole = PhantomTable(tuple(sorted(distinct.values(), key=lambda row: row.case)))
    for number, metrics in enumerate(TITLES.values()):
        write_between(arguments.page, f"phantoms {number + 1}", markdown_table(*text_table(whole, metrics)))
    # The B-spline ends at a factor of 8; that is no failure of a model.
    return int(any(row.error and row.model != BASELINE for row in rows))


if __name__ == "__main__":
    sys.exit(main())

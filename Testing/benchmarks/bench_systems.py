"""The published systems, the shipped default and the closed forms on the same held-out images.

    python Testing/benchmarks/bench_systems.py --data DIR --output DIR --page docs/reference/systems.md
    python Testing/benchmarks/bench_systems.py --data DIR --output DIR --only bicubic

Each part (``bicubic``, ``profile``, ``kspace``, ``profile3d``, ``costs``) keeps its figures in DIR/<part>.json; what is
there is not made again, but for models whose weights have changed since. ``--page`` writes the tables between the marks
of the page.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import bench_upscale
from conventions import means as mean_figures
from conventions import published_figures
from held_out import GROUP_OF, HeldOutVolumes
from pages import note, write_between

from medsr.catalog import PERCEPTUAL, load_catalog
from medsr.evaluation.page import render_page
from medsr.evaluation.perceptual import TextureDistance
from medsr.evaluation.plates import Plate, make_plate
from medsr.evaluation.rows import BICUBIC, ORACLE, EvaluationTable
from medsr.evaluation.run import Trial, evaluate
from medsr.evaluation.statistics import gain, means
from medsr.evaluation.tables import format_gain, format_value, from_json, markdown_table, marked, to_json

CLOSED = (BICUBIC, "bspline", "tikhonov", ORACLE)
AT_FOUR = ("vdsr7-multiscale", "progressive-gan", "srresnet", "srgan", "edsr-se-gan")
VOLUMETRIC = ("three-player-gan", "disgan")
_SHOWN = ("psnr", "psnr_mask", "ssim", "hfen", "perceptual_distance", "redegraded")
_HEADS = ("PSNR dB", "inside dB", "SSIM", "HFEN", "perceptual", "unexplained")


@dataclass(frozen=True)
class Part:
    """One degradation: what is compared, on what.

    Attributes:
        groups: kinds of images.
        crop_xyz: largest box of each.
        models: case -> models.
    """

    groups: tuple[str, ...]
    crop_xyz: tuple[int, int, int]
    models: dict[str, tuple[str, ...]]


SLAB = (192, 192, 8)
PARTS = {
    "bicubic": Part(
        ("MR", "CT", "photo"), SLAB,
        {
            "bicubic2": (*CLOSED, "auto", "vdsr7-multiscale"),
            "bicubic3": (*CLOSED, "auto", "vdsr7-multiscale"),
            "bicubic4": (*CLOSED, "auto", *AT_FOUR),
            "bicubic8": (*CLOSED, "auto", "vdsr7-multiscale", "edsr-se-gan-x8"),
            "bicubic16": (BICUBIC, ORACLE, "edsr-se-gan-x16"),
        },
    ),
    "profile": Part(("MR", "CT"), SLAB, {"xy4": (*CLOSED, "auto", *AT_FOUR)}),
    "kspace": Part(("MR",), (80, 80, 80), {"k2": (*CLOSED, "auto", *VOLUMETRIC)}),
    "profile3d": Part(("MR",), (80, 80, 80), {"iso2": (*CLOSED, "auto", *VOLUMETRIC)}),
}  # fmt: skip
PHOTO_CROP = (384, 384, 1)


def measure(part: Part, data: Path, output: Path, name: str) -> None:
    """Make the figures of a part that are missing or of other weights; store them with pictures."""
    stored, published = output / f"{name}.json", output / f"{name}.published.json"
    old = from_json(stored.read_text(encoding="utf-8")) if stored.exists() else EvaluationTable()
    used = output / f"{name}.weights.json"
    weights = json.loads(used.read_text(encoding="utf-8")) if used.exists() else {}
    rows = [row for row in old if not row.error and weights.get(row.model) == _weights_of(row.model)]
    figures = json.loads(published.read_text(encoding="utf-8")) if published.exists() else {}
    plates: list[Plate] = []

    def watch(trial: Trial) -> None:
        if trial.reference.planar:
            for model, values in published_figures(trial).items():
                figures.setdefault(trial.case, {}).setdefault(model, {})[trial.volume] = values
        if trial.results:
            plates.append(make_plate(trial))

    for group in part.groups:
        volumes = HeldOutVolumes(data, [group], PHOTO_CROP if group == "photo" else part.crop_xyz)
        for case, models in part.models.items():
            known = EvaluationTable(tuple(rows))
            asked = [
                model
                for model in models
                if _is_there(model) and not set(volumes) <= set(known.by_volume("psnr", case=case, model=model))
            ]
            if not asked:
                continue
            weights |= {model: _weights_of(model) for model in asked}
            rows = [r for r in rows if not (r.case == case and r.model in asked and r.volume in volumes)]
            rows += evaluate(volumes, asked, [case], distance=TextureDistance(), watch=watch)
            note(f"{name}: {group}, {case}, {', '.join(asked)}")
            stored.write_text(to_json(EvaluationTable(tuple(rows))), encoding="utf-8")
            used.write_text(json.dumps(weights, indent=1), encoding="utf-8")
            published.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    if plates:
        page = render_page(EvaluationTable(tuple(rows)), plates, title=name, baseline=BICUBIC)
        (output / f"{name}.html").write_text(page, encoding="utf-8")


def costs(output: Path) -> None:
    """Parameters, CPU seconds per output megavoxel and peak memory of `medsr upscale`, each in a process of its own."""
    stored = output / "costs.json"
    found = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else {}
    planar = ("bspline", "tikhonov", "slices-2d", *AT_FOUR)
    runs = dict.fromkeys(planar, ("4,4,1", (8, 64, 64), (16, 96, 96)))
    runs["edsr-se-gan-x8"] = ("8,8,1", (8, 32, 32), (16, 48, 48))
    runs["edsr-se-gan-x16"] = ("16,16,1", (8, 16, 16), (16, 24, 24))
    runs |= dict.fromkeys(("mr-3d", *VOLUMETRIC), ("2,2,2", (24, 32, 32), (48, 64, 64)))
    for model, (scale, small, large) in runs.items():
        if not _is_there(model) or model in found:
            continue
        factors = [float(f) for f in scale.split(",")]
        spacing = (factors[0], factors[1], factors[2])
        with tempfile.TemporaryDirectory() as folder:
            cost = []
            for number, size in enumerate((small, large)):
                source = bench_upscale.phantom(size, spacing, Path(folder) / f"{number}.nrrd")
                seconds, memory = bench_upscale.upscale(source, "--model", model, "--scale", scale)
                cost.append((size[0] * size[1] * size[2] * factors[0] * factors[1] * factors[2] / 1e6, seconds, memory))
        (v0, s0, _), (v1, s1, peak) = cost
        found[model] = {
            "scale": scale,
            "parameters": _parameters(model),
            "seconds_per_megavoxel": (s1 - s0) / (v1 - v0),
            "peak_gb": peak / 1e9,
            "megavoxels": v1,
        }
        note(f"costs: {model} {found[model]}")
    stored.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _position(model: str) -> int:
    """Where the parts list a model first."""
    listed = [name for part in PARTS.values() for models in part.models.values() for name in models]
    return listed.index(model)


def _shown(model: str) -> str:
    """The name, with a dagger where the model may invent detail."""
    return marked(model, load_catalog()[model].perceptual) if model in load_catalog() else model


def _is_there(model: str) -> bool:
    return model in (BICUBIC, ORACLE, "auto") or model in load_catalog()


def _weights_of(model: str) -> str:
    """Start of the checksum of a model's weights; for `auto` those of all networks that it may choose; "" for none."""
    entries = load_catalog().values()
    chosen = [e for e in entries if e.name == model or (model == "auto" and e.needs_torch and not e.scales)]
    return " ".join(entry.sha256[:12] for entry in chosen)


def _parameters(model: str) -> int:
    entry = load_catalog()[model]
    if not entry.needs_torch:
        return 0
    from medsr.methods.engines import load_network

    return sum(p.numel() for p in load_network(entry).parameters())


def figures_table(table: EvaluationTable) -> list[str]:
    """Means over the images, and the gain over bicubic with its interval."""
    values = {metric: means(table, metric) for metric in _SHOWN}
    lines = []
    for case in table.cases:
        for model in sorted(table.models, key=_position):
            if not table.select(case=case, model=model):
                continue
            gained = "" if model == BICUBIC else format_gain(gain(table, "psnr", model, BICUBIC, case=case))
            cells = [format_value(metric, values[metric].get((case, model))) for metric in _SHOWN]
            lines.append([case, marked(model, model in table.perceptual), *cells, gained])
    return markdown_table(["case", "model", *_HEADS, "gain over bicubic, dB"], lines)


def groups_table(table: EvaluationTable) -> list[str]:
    """The gain over bicubic in each group of images."""
    groups = [group for group in ("MR", "CT", "photo") if any(GROUP_OF[row.volume] == group for row in table)]
    lines = []
    for case in table.cases:
        for model in sorted(table.models, key=_position):
            if model == BICUBIC or not table.select(case=case, model=model):
                continue
            cells = []
            for group in groups:
                chosen = EvaluationTable(tuple(row for row in table if GROUP_OF[row.volume] == group))
                cells.append(format_gain(gain(chosen, "psnr", model, BICUBIC, case=case)))
            lines.append([case, marked(model, model in table.perceptual), *cells])
    return markdown_table(["case", "model", *groups], lines)


def published_table(figures: dict[str, dict[str, dict[str, dict[str, float]]]]) -> list[str]:
    """The fundus by the conventions of the papers, and the luma of all photographs."""
    lines = []
    for case, by_model in figures.items():
        for model in sorted(by_model, key=_position):
            by_image = by_model[model]
            one, mean = by_image["fundus"], mean_figures(by_image)
            cells = [f"{one['rgb']:.2f}", f"{one['rgb_inside']:.2f}", f"{one['ssim']:.4f}", f"{mean['y']:.2f}"]
            lines.append([case, _shown(model), *cells])
    head = ["case", "model", "fundus RGB dB", "in its field of view dB", "fundus SSIM", "y, all photographs dB"]
    return markdown_table(head, lines)


def costs_table(found: dict[str, dict[str, float]]) -> list[str]:
    """What one output megavoxel costs."""
    lines = [
        [
            _shown(model), str(cost["scale"]), f"{cost['parameters']:,}" if cost["parameters"] else "",
            f"{cost['seconds_per_megavoxel']:.2f}", f"{cost['peak_gb']:.2f}",
        ]
        for model, cost in found.items()
    ]  # fmt: skip
    return markdown_table(["model", "factors", "parameters", "CPU s per megavoxel", "peak GB"], lines)


def write_page(page: Path, output: Path) -> None:
    """Put every table that has figures between its marks."""
    for name in PARTS:
        stored = output / f"{name}.json"
        if not stored.exists():
            continue
        table = from_json(stored.read_text(encoding="utf-8"))
        caution = ["", f"† {PERCEPTUAL}"] if table.perceptual else []
        write_between(page, name, [*figures_table(table), *caution])
        if len(PARTS[name].groups) > 1:
            write_between(page, f"{name}-groups", groups_table(table))
    published = output / "bicubic.published.json"
    if published.exists():
        write_between(page, "published", published_table(json.loads(published.read_text(encoding="utf-8"))))
    stored = output / "costs.json"
    if stored.exists():
        write_between(page, "costs", costs_table(json.loads(stored.read_text(encoding="utf-8"))))


def main() -> None:
    """Read the arguments, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with mr/, ct/ and photo/")
    parser.add_argument("--output", type=Path, required=True, help="folder for the figures")
    parts = [*PARTS, "costs"]
    parser.add_argument("--only", nargs="*", default=parts, choices=parts, help="parts to measure")
    parser.add_argument("--page", type=Path, help="Markdown page whose tables are replaced")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        if name == "costs":
            costs(arguments.output)
        else:
            measure(PARTS[name], arguments.data, arguments.output, name)
    if arguments.page:
        write_page(arguments.page, arguments.output)


if __name__ == "__main__":
    main()

"""`medsr evaluate FILE --against SERIES`: two measured series, nothing simulated."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medsr.cli.console import note, open_view, say, table_lines
from medsr.cli.folders import filled_at_the_end
from medsr.errors import ModelError
from medsr.jobs import Progress

if TYPE_CHECKING:
    from medsr.options import UpscaleOptions
    from medsr.volume import Volume


def run(
    arguments: argparse.Namespace,
    folder: Path,
    names: Sequence[str],
    models: Sequence[str],
    options: UpscaleOptions,
    volumes: Mapping[str, Volume],
    seed: int,
    crop: Sequence[int] | None,
) -> None:
    """Judge the first of two volumes by the second one, write the files called `names`, print the figures."""
    # Late, so that help and wrong options are answered before SimpleITK is loaded.
    from medsr.evaluation.protocols import central_crop
    from medsr.evaluation.real_page import make_real_plate, render_real_page
    from medsr.evaluation.real_rows import rows_table, sentences, to_csv, to_json, to_markdown
    from medsr.evaluation.real_runner import Look
    from medsr.evaluation.real_series import judge

    thick, other = volumes
    looks: list[Look] = []
    with open_view(arguments.progress) as view, filled_at_the_end(folder) as draft:
        table = judge(
            volumes[thick] if crop is None else central_crop(volumes[thick], crop),
            volumes[other],
            models,
            names=(thick, other),
            profiles=arguments.profiles or ("auto",),
            seed=seed,
            options=options,
            progress=Progress(view),
            watch=looks.append,
        )
        if len(table.failures) == len(table.rows):
            raise ModelError(f"No model gave a result. The first one said: {table.failures[0].error}")
        page = render_real_page(table, make_real_plate(looks[0]))
        for name, text in zip(names, (to_csv(table), to_json(table), to_markdown(table), page), strict=True):
            (draft / name).write_text(text, encoding="utf-8")
    write = say if arguments.progress != "json" else note
    for line in (*sentences(table), *table_lines(*rows_table(table))):
        write(line)

"""See that a training set with copies tests on patients whom it was not trained on, before you train with it.

Its folds are looked at, and of an nnU-Net set everything that nnU-Net checks, too; after preprocessing also the folds
that nnU-Net took over. What is wrong is listed, and the exit code is 3.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from medsr.cli.console import note, say
from medsr.cli.parsing import VerbParser
from medsr.errors import InputError

EXAMPLES = """examples:
  medsr augment check larger/
  medsr augment check nnUNet_raw/Dataset501_Larger --preprocessed nnUNet_preprocessed"""

_VARIABLE = "nnUNet_preprocessed"


def configure(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("dataset", metavar="OUT", help="training set with copies, as `medsr augment` makes it")
    parser.add_argument(
        "--preprocessed", metavar="DIR", help=f"nnU-Net's folder of preprocessed data; default: that of {_VARIABLE}"
    )


def run(arguments: argparse.Namespace) -> int:
    """Look, and tell what is wrong; raise InputError when something is."""
    # Late, so that help and wrong options are answered before SimpleITK is loaded.
    from medsr.augmentation.datasets import check_nnunet, division_faults, preprocessed_faults, read_dataset

    dataset = read_dataset(arguments.dataset)
    faults = division_faults(dataset)
    if dataset.format == "nnunet":
        folder = Path(dataset.root)
        faults += check_nnunet(folder)
        given = arguments.preprocessed or os.environ.get(_VARIABLE)
        if given and not faults:
            faults += preprocessed_faults(folder, Path(given), [case.name for case in dataset.cases])
        elif not given:
            note(f"{_VARIABLE} is not set: what nnU-Net preprocessed was not looked at. Or give --preprocessed DIR.")
    for fault in faults:
        say(f"Fault     {fault}")
    if faults:
        raise InputError(f"Do not train with this set: {len(faults)} faults, listed above.")
    say(f"{len(dataset.real)} originals, {len(dataset.synthetic)} copies, {len(dataset.splits)} folds: no fault found.")
    return 0

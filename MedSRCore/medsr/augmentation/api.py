"""The Python call: a training set in, a larger one out."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

from medsr.augmentation.run import augment as run
from medsr.augmentation.spec import AugmentSpec
from medsr.jobs import Progress


def augment(
    source: str | PathLike[str], output: str | PathLike[str], *, progress: Progress | None = None, **options: Any
) -> Mapping[str, Any]:
    """Make a larger training set: originals, and copies with their labels.

    Args:
        source: a ``dataset.json``, or the folder of a training set.
        output: folder of the new one.
        progress: receives stages, fractions and warnings, and may cancel.
        **options: fields of `AugmentSpec`: ``recipes=("sr-x2", "degrade-sr")``, ``per_image=2``, ``seed=7``, ...

    Returns:
        The report: ``plan``, ``made``, ``kept``, ``failed``, ``refused``, ``flagged``, ``warnings``, ``page``,
        ``dataset``, ``seconds``.

    Raises:
        MedSRError: nothing could be done at all, or the work was stopped.

    Example:
        >>> report = medsr.augment("dataset.json", "larger", recipes=("degrade-sr",), per_image=2, seed=7)
        >>> report["failed"]
        []
    """
    recipes = options.pop("recipes", None)
    if recipes is not None:
        options["recipes"] = (recipes,) if isinstance(recipes, str) else tuple(recipes)
    spec = AugmentSpec.from_dict({"source": fspath(source), "output": fspath(output), **options})
    return run(spec, progress or Progress()).report

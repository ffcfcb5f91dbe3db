"""What a run found, as it is kept on disk: one JSON file for each run, complete or not there."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medsr.augmentation.study.design import Run, arm_at
from medsr.augmentation.study.scores import Score
from medsr.errors import InputError
from medsr.io import Staging
from medsr.jsontext import parse_json

SCHEMA = "medsr-augmentation-run/2"
Scores = Mapping[str, Mapping[str, Score]]
"""Case -> structure -> score."""


@dataclass(frozen=True)
class RunResult:
    """One training and its test.

    Attributes:
        run: which.
        scores: where it was tested -> case -> structure -> score: "" on the real images, `COPIES` on the copies of its
            arm that show the original itself, else the name of a set.
        subjects: case -> subject.
        trained_on: the training subjects.
        images: number of training images, copies included.
        loss: at the end of the training.
        seconds: it took.
    """

    run: Run
    scores: Mapping[str, Scores]
    subjects: Mapping[str, str]
    trained_on: tuple[str, ...] = ()
    images: int = 0
    loss: float = 0.0
    seconds: float = 0.0

    def rows(self) -> Iterator[Row]:
        """One row for each structure of each case."""
        run = self.run
        for where, scores in self.scores.items():
            for case, structures in scores.items():
                for structure, score in structures.items():
                    yield Row(
                        arm_at(run.arm, where), run.size, run.fold, run.seed, self.subjects[case], case, structure,
                        **dataclasses.asdict(score),
                    )  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One structure of one image segmented by one network; the last four are those of `Score`.

    `arm` says where it was tested, too, unless that was on a real image.
    """

    arm: str
    size: int
    fold: int
    seed: int
    subject: str
    case: str
    structure: str
    dice: float
    hd95: float
    boundary_dice: float
    volume_error: float


@dataclass(frozen=True)
class ResultFolder:
    """The finished runs of a study.

    Attributes:
        path: folder of the files.
        digest: of everything but the run itself that decides a result.
    """

    path: Path
    digest: str = field(default="")

    def load(self, run: Run) -> RunResult | None:
        """The result of `run`; None where it is not finished, or was made under other conditions."""
        try:
            data = parse_json(self._file(run).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise InputError(f"{str(self._file(run))!r} is no result of a run: {error}. Delete it.") from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.get("digest") != self.digest:
            return None
        return _from_data(run, data)

    def save(self, result: RunResult) -> None:
        """Keep a result, all or nothing."""
        self.path.mkdir(parents=True, exist_ok=True)
        data = {"schema": SCHEMA, "digest": self.digest, **dataclasses.asdict(result)}
        with Staging(overwrite=True) as staging:
            draft = staging.draft(self._file(result.run))
            draft.write_text(json.dumps(_rounded(data)) + "\n", encoding="utf-8")

    def _file(self, run: Run) -> Path:
        return self.path / f"{run.key}.json"


def all_rows(results: Sequence[RunResult]) -> list[Row]:
    """The rows of all results, in their order."""
    return [row for result in results for row in result.rows()]


def _from_data(run: Run, data: Mapping[str, Any]) -> RunResult:
    scores = {
        where: {case: {name: Score(**score) for name, score in found.items()} for case, found in cases.items()}
        for where, cases in data["scores"].items()
    }
    return RunResult(
        run,
        scores,
        data["subjects"],
        tuple(data["trained_on"]),
        data["images"],
        data["loss"],
        data["seconds"],
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value

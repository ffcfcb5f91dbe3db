"""What a person can ask for: the one list of options that `medsr augment`, the Python call and the worker share."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from medsr.errors import InputError, InvalidValueError, unknown_name
from medsr.fields import check_fields
from medsr.jobs import job_object
from medsr.options import DTYPES, parse_bytes

FORMATS = ("decathlon", "nnunet", "bids", "paired")
ORIGINALS = ("link", "copy", "symlink")


def _option(default: Any, text: str, **extra: Any) -> Any:
    return field(default=default, metadata={"help": text, **extra})


@dataclass(frozen=True)
class AugmentSpec:
    """One training set to be made. Validated when made; `help` texts are those of ``medsr augment --help``.

    Attributes:
        source: a ``dataset.json``, or the folder of a training set.
        output: folder of the new training set.

    Raises:
        InvalidValueError, UnknownNameError: a value that makes no sense.
    """

    job: ClassVar[str] = "augment"

    source: str
    output: str
    recipes: tuple[str, ...] = _option(("sr-x2",), "names from `medsr augment --list`, or JSON files, comma between")
    per_image: int = _option(1, "copies of each image, the recipes taken in turn")
    seed: int = _option(0, "random seed")
    format: str = _option("same", "format of the output", choices=("same", *FORMATS))
    model: str | None = _option(None, "a name from `medsr models` for all recipes, instead of theirs")
    dtype: str = _option("same", "voxel type of the copies; same is that of the original", choices=DTYPES)
    originals: str = _option("link", "hard links to the originals, symbolic links, or copies", choices=ORIGINALS)
    images: str | None = _option(None, "for plain folders: pattern of the images below SOURCE, e.g. 'images/*.nii.gz'")
    labels: str | None = _option(None, "for plain folders: pattern of the labels, e.g. 'labels/*.nii.gz'")
    channels: str | None = _option(None, "for BIDS: the contrasts that are channels of a case, e.g. T1w,T2w,FLAIR")
    subjects: str | None = _option(None, "regular expression whose first group is the subject in a case's name")
    device: str = _option("auto", "auto, cpu, cuda or cuda:N")
    memory: str | None = _option(None, "memory that each worker may use, e.g. 6GB; default: what is free")
    workers: int = _option(1, "processes that work side by side; 0: as many as memory and cores allow")
    cluster: str | None = _option(None, "address of a Dask scheduler, e.g. tcp://host:8786, or local")
    overwrite: bool = _option(False, "replace copies that were made otherwise")
    dry_run: bool = _option(False, "show what would be done, and do nothing")

    def __post_init__(self) -> None:
        object.__setattr__(self, "recipes", tuple(self.recipes))
        if not self.source or not self.output:
            raise InvalidValueError("A training set needs a source and an output folder.")
        if not self.recipes or not all(self.recipes):
            raise InvalidValueError("Give at least one recipe, for example --recipes sr-x2.")
        for name, least in (("per_image", 1), ("seed", 0), ("workers", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InvalidValueError(
                    f"--{name.replace('_', '-')} takes a whole number of at least {least}, got {value!r}."
                )
        for option in dataclasses.fields(self):
            choices = option.metadata.get("choices")
            if choices and getattr(self, option.name) not in choices:
                raise unknown_name(option.name, str(getattr(self, option.name)), choices)
        if (self.images is None) != (self.labels is None):
            raise InvalidValueError("--images and --labels belong together: give both patterns, or neither.")
        if self.subjects is not None:
            _check_expression(self.subjects)
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise InvalidValueError(f"The device is auto, cpu, cuda or cuda:N, got {self.device!r}.")
        if self.memory is not None:
            parse_bytes(self.memory)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AugmentSpec:
        """A job of named fields; unknown names raise UnknownNameError."""
        names = [f.name for f in dataclasses.fields(cls)]
        for key in data:
            if key not in names:
                raise unknown_name("option of `medsr augment`", key, names)
        return cls(**data)

    def to_json(self) -> str:
        """The job as one line that `from_json` reads."""
        return json.dumps({"job": self.job, **dataclasses.asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> AugmentSpec:
        """Read a job; raise InputError for text that is none, InvalidValueError for a value of another type."""
        data = job_object(text)
        if data.pop("job", None) != cls.job:
            raise InputError("This is not a job of `medsr augment`: its job is not 'augment'.")
        given = check_fields(cls, data, "option of `medsr augment`")
        for name in ("source", "output"):
            if name not in given:
                raise InputError(f"This is not a job of `medsr augment`: {name!r} is missing.")
        return cls(**given)


def _check_expression(text: str) -> None:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise InvalidValueError(f"--subjects {text!r} is no regular expression: {error}.") from error
    if groups < 1:
        raise InvalidValueError(f"--subjects {text!r} needs a group in round brackets, for example 'sub(\\d+)'.")

"""What error maps are worth: half-widths times a factor that made nine of ten errors fit on volumes not learned from.

Split-conformal calibration (Papadopoulos et al., ECML 2002; Lei et al., JASA 113, 2018) by whole volumes, since the
voxels of one are not independent. A calibration belongs to the weights of a model. Inputs that differ in what can go
wrong, by noise and by whether their acquisition was known, have factors of their own; an input unlike all that was
calibrated gets a wider map, and is told so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from medsr.catalog import CALIBRATIONS
from medsr.errors import InvalidValueError, MedSRError, ModelError
from medsr.fields import check_fields
from medsr.jsontext import parse_json
from medsr.methods.plan import Plan
from medsr.notices import Notice, notice

COVERAGE = 0.9
"""Share of the voxels whose error an interval holds."""

SCALE = "scale.npz"

BEYOND = 1.5
"""So many times as wide is the map of an input unlike any that was calibrated."""

_MARGIN = 1.1
_LARGEST_FILE = 1_000_000


@dataclass(frozen=True)
class Group:
    """Inputs of one kind.

    Attributes:
        noisy: True where noise was noticed in the input.
        assumed: True where nobody stated how an enlarged axis was sampled.
        factor: half-widths of the scale times this hold `COVERAGE` of the errors.
        volumes: how many volumes said so.
        coverage: mean share of errors that were held on each volume by the factor of the others.
        lowest, highest: of these shares.
    """

    noisy: bool
    assumed: bool
    factor: float
    volumes: int
    coverage: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Calibration:
    """Of one model on one modality.

    Attributes:
        model: its name.
        weights: SHA-256 of its weights, "" for a closed form.
        modality: "MR" or "CT".
        scale_sha256: of the error scale that was calibrated.
        groups: factors.
        largest_factor: of enlargement along any axis.
        largest_noise: as a fraction of the 99th percentile.
        roughness: smallest and largest of the inputs, see `error_map.roughness_of`.
        about: volumes and cases, for people.
    """

    model: str
    weights: str
    modality: str
    scale_sha256: str
    groups: tuple[Group, ...]
    largest_factor: float
    largest_noise: float
    roughness: tuple[float, float]
    about: str = ""

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """What `medsr calibrate` wrote.

        Raises:
            ModelError: a file that is none.
        """
        try:
            if path.stat().st_size > _LARGEST_FILE:
                raise ValueError(f"it has more than {_LARGEST_FILE} bytes")
            data = parse_json(path.read_bytes())
            if not isinstance(data, dict) or not isinstance(data.get("groups"), list):
                raise ValueError("it is no object with groups")
            groups = tuple(Group(**check_fields(Group, dict(group), "value of a group")) for group in data["groups"])
            own = cls(**{**check_fields(cls, data, "value of a calibration", skip=("groups",)), "groups": groups})
            if not groups or not all(0 < group.factor < 1e6 for group in groups):
                raise ValueError("it has no group with a factor above 0")
        except (OSError, ValueError, TypeError, MedSRError) as error:
            raise ModelError(f"{path} is no calibration: {error}. Write it again with `medsr calibrate`.") from error
        return own

    def alike(self, plan: Plan) -> list[Group]:
        """The group of inputs of the kind of a job, if there is one."""
        kind = (plan.noise is not None, assumed(plan))
        return [group for group in self.groups if (group.noisy, group.assumed) == kind]

    def factor_for(self, plan: Plan, roughness: float) -> tuple[float, list[Notice]]:
        """What half-widths are multiplied with for a job, and why they were widened."""
        alike = self.alike(plan)
        # Without figures of its own, a kind of input gets those of the worst.
        factor = max(group.factor for group in alike or self.groups)
        low, high = self.roughness[0] / _MARGIN, self.roughness[1] * _MARGIN
        reasons = [
            *(() if alike else ("error.kind",)),
            *(("error.factor",) if max(plan.target.factors_xyz) > self.largest_factor * _MARGIN else ()),
            *(("error.noise",) if (plan.noise or 0.0) > self.largest_noise * _MARGIN else ()),
            *(() if low <= roughness <= high else ("error.unlike",)),
        ]
        if not reasons:
            return factor, []
        return factor * BEYOND, [notice("error.widened", times=BEYOND, why=notice(reason)) for reason in reasons]


def assumed(plan: Plan) -> bool:
    """True where nobody stated how an enlarged axis was sampled."""
    return any(axis.is_enlarged and axis.profile.assumed for axis in plan.acquisition.axes)


def calibration_for(plan: Plan) -> Calibration:
    """The calibration of the model of a plan.

    Raises:
        InvalidValueError: there is none, or one of other weights.
        ModelError: a file that is no calibration.
    """
    entry = plan.entry
    for path in entry.calibration_files(plan.modality):
        if path.is_file():
            found = Calibration.read(path)
            if (found.model, found.weights, found.modality) == (entry.name, entry.sha256, plan.modality):
                return found
    raise InvalidValueError(
        f"There is no error map for {entry.name} on {plan.modality}: its errors were not calibrated. Leave the map "
        "away, choose a model that has one (`medsr models` says which), or calibrate this one on volumes of your own: "
        "medsr calibrate VOLUMES --model FOLDER."
    )


def scale_path(modality: str) -> Path:
    """File of the error scale of a modality."""
    return CALIBRATIONS / modality / SCALE


def scale_digest(modality: str) -> str:
    """SHA-256 of the error scale of a modality.

    Raises:
        ModelError: it is missing.
    """
    try:
        return hashlib.sha256(scale_path(modality).read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"{scale_path(modality)} could not be read: {error.strerror}. Reinstall medsr.") from error

"""Names as BIDS builds them: entities and, last, the contrast as suffix."""

from __future__ import annotations

import re
from collections.abc import Sequence

from medsr.augmentation.cases import Case
from medsr.augmentation.datasets.paths import stem_of
from medsr.errors import InvalidValueError

SUFFIXES = ("T1w", "T2w", "FLAIR", "PDw", "T2starw", "inplaneT1", "inplaneT2", "UNIT1", "angio")


def bids_name(case: Case, channel: str) -> str:
    """The name of a real case from elsewhere: its subject and, as suffix, its channel."""
    if re.fullmatch(r"sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9]+)*_[A-Za-z0-9]+", case.name):
        return case.name
    subject = _alphanumeric(case.subject)
    more = "" if case.subject == case.name else f"_acq-{_alphanumeric(case.name)}"
    return f"sub-{subject}{more}_{_suffix_of(channel)}"


def suffixes_of(channels: Sequence[str]) -> tuple[str, ...]:
    """The suffix of each channel of a case.

    Raises:
        InvalidValueError: two channels would have one name.
    """
    suffixes = tuple(_suffix_of(channel) for channel in channels)
    for number, suffix in enumerate(suffixes):
        if suffix in suffixes[:number]:
            one, other = channels[suffixes.index(suffix)], channels[number]
            raise InvalidValueError(
                f"The channels {one!r} and {other!r} would both be called {suffix} in BIDS. Choose --format nnunet or "
                "decathlon, or rename a channel."
            )
    return suffixes


def bids_copy_name(original: str, recipe: str, copy: int) -> str:
    """The name of a copy: recipe and number as the entity ``desc``."""
    body, _, suffix = original.rpartition("_")
    body = re.sub(r"_desc-[A-Za-z0-9]+", "", body)
    return f"{body}_desc-{_alphanumeric(recipe)}c{copy}_{suffix}"


def entities_of(name: str) -> dict[str, str]:
    """``sub-01_ses-2_T1w.nii.gz`` -> ``{"sub": "01", "ses": "2"}``."""
    pairs = (part.partition("-") for part in stem_of(name).split("_"))
    return {key: value for key, dash, value in pairs if dash}


def _suffix_of(channel: str) -> str:
    if channel in SUFFIXES:
        return channel
    return next((s for s in SUFFIXES if s.rstrip("w").lower() in channel.lower()), _alphanumeric(channel) or "image")


def _alphanumeric(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", text)

"""Values of DICOM elements, checked: what is missing, malformed or absurd reads as not stated.

DICOM is input from strangers. Every number is checked to be finite, every text is cut and stripped of control
characters, and a private element counts only under the name of the creator that it belongs to.
"""

from __future__ import annotations

import itertools
import logging
import math
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medsr.errors import MissingDependencyError

LONGEST_TEXT = 120
_LONGEST_WORD = 64
_MOST_WORDS = 64
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")  # but those that texts may hold: tabs, lines, escapes
_LONGEST_CODE = 16
BLOCKS = range(0x10, 0x18)
"""Where vendors put their private elements: ``(gggg,bbee)``, with the creator's name in ``(gggg,00bb)``."""


def pydicom_module() -> Any:
    """pydicom, imported when it is first needed."""
    try:
        import pydicom
    except ImportError as error:
        raise MissingDependencyError(
            "DICOM needs the package pydicom, which is not installed: pip install pydicom."
        ) from error
    return pydicom


def _knows_its_encoding() -> bool:
    """False for pydicom 2, which Slicer 5.8 brings: there a dataset does not look into its own meta information."""
    return int(pydicom_module().__version__.split(".")[0]) >= 3


def found_encoding(dataset: Any) -> tuple[bool, bool]:
    """Whether a file that was read has implicit types, and whether little-endian numbers."""
    return dataset.original_encoding if _knows_its_encoding() else (dataset.is_implicit_VR, dataset.is_little_endian)


def save(dataset: Any, path: Path) -> None:
    """Write a whole file: preamble, file meta information, elements; the meta information names a transfer syntax."""
    if _knows_its_encoding():
        dataset.save_as(path, enforce_file_format=True)
        return
    syntax = dataset.file_meta.TransferSyntaxUID
    dataset.is_little_endian, dataset.is_implicit_VR = syntax.is_little_endian, syntax.is_implicit_VR
    dataset.save_as(path, write_like_original=False)


@contextmanager
def unheard() -> Iterator[None]:
    """Keep what pydicom thinks of an element out of logs: it quotes the value, which may hold a name by mistake."""
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def code(dataset: Any, keyword: str) -> str:
    """A word of DICOM's own, such as a modality; of a damaged element no more than such a word may have."""
    return text(dataset, keyword)[:_LONGEST_CODE]


def value(dataset: Any, keyword: Any) -> Any:
    """An element's value, or None: pydicom converts text to numbers on access, and the text may be anything."""
    if dataset is None:
        return None
    try:
        with unheard():
            found = dataset.get(keyword)
            # pydicom gives the value of a keyword, the element of a tag.
            return getattr(found, "value", None) if isinstance(keyword, tuple) else found
    except Exception:  # garbage in one element is the same as that element missing
        return None


def states(dataset: Any, keyword: str) -> bool:
    """True where the element is there and not empty, whether its value can be read or not."""
    if dataset is None or keyword not in dataset:
        return False
    try:
        return dataset[keyword].value not in (None, "")
    except Exception:  # garbage is something
        return True


def private(dataset: Any, group: int, creator: str, element: int) -> Any:
    """Value of a private element of `creator`, whichever block of `group` it reserved; None when it is not there."""
    for block in BLOCKS:
        if clean(value(dataset, (group, block))) == creator:
            return value(dataset, (group, (block << 8) | element))
    return None


def private_tags(group: int, *elements: int) -> list[int]:
    """Tags under which private elements of a group may stand, with those of the creators' names."""
    tags = [(group << 16) | block for block in BLOCKS]
    return tags + [(group << 16) | (block << 8) | element for block in BLOCKS for element in elements]


def items(found: Any) -> list[Any]:
    """The items of a sequence's value; none for anything else."""
    return [] if found is None or isinstance(found, (str, bytes, int, float)) else list(found)


def sequence(dataset: Any, keyword: str) -> list[Any]:
    """The items of a sequence element."""
    return items(value(dataset, keyword))


def numbers(dataset: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    """`count` finite numbers, or None."""
    found = value(dataset, keyword)
    if found is None or isinstance(found, (str, bytes)):
        return None
    try:
        converted = [float(v) for v in (found if count > 1 else [found])]
    except (TypeError, ValueError, OverflowError):
        return None
    return tuple(converted) if len(converted) == count and all(map(math.isfinite, converted)) else None


def number(dataset: Any, keyword: str) -> float | None:
    """One finite number, or None."""
    found = numbers(dataset, keyword, 1)
    return found[0] if found else None


def positive(dataset: Any, keyword: str) -> float | None:
    """A number above zero, or None."""
    found = number(dataset, keyword)
    return found if found is not None and found > 0 else None


def whole(dataset: Any, keyword: str) -> int:
    """A number without its fraction; 0 where there is none."""
    return int(number(dataset, keyword) or 0)


def text(dataset: Any, keyword: str) -> str:
    """An element as one short line that is safe to print; several values with spaces between."""
    found = value(dataset, keyword)
    return clean(" ".join(words_of(found)) if _is_list(found) else found)


def words(dataset: Any, keyword: str) -> tuple[str, ...]:
    """The values of a text element, as of Image Type."""
    return words_of(value(dataset, keyword))


def words_of(found: Any) -> tuple[str, ...]:
    """The values in an element of one or several texts, each cut and safe to print."""
    if found is None:
        return ()
    if _is_list(found):
        found = "\\".join(map(str, itertools.islice(found, _MOST_WORDS)))
    found = _decoded(found)[: _LONGEST_WORD * _MOST_WORDS].split("\\")
    cleaned = (clean(word)[:_LONGEST_WORD] for word in itertools.islice(found, _MOST_WORDS))
    return tuple(word for word in cleaned if word)


def clean(found: Any) -> str:
    """Anything as one short line that is safe to print."""
    if found is None:
        return ""
    return "".join(c for c in _decoded(found)[: 8 * LONGEST_TEXT] if c.isprintable()).strip()[:LONGEST_TEXT]


def _decoded(found: Any) -> str:
    # Without its creator in the file, pydicom knows no type and gives bytes.
    said = found[: 1 << 16].decode("latin-1") if isinstance(found, bytes) else str(found)
    # Behind a control character, other elements have got into this one, such as the name of the patient.
    return _CONTROL.split(said.strip(" \0"), maxsplit=1)[0]


def _is_list(found: Any) -> bool:
    return isinstance(found, Iterable) and not isinstance(found, (str, bytes))

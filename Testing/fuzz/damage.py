"""Damage to an image, drawn from a seed, and what may become of it."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from originals import Original, Part

_NUMBERS = (
    b"-1",
    b"0",
    b"nan",
    b"inf",
    b"-inf",
    b"1e400",
    b"1e-300",
    b"99999999999",
    b"9" * 5000,
    b"",
    b"%s%n",
    b"0x10",
)
_PLACES = (
    b"/etc/passwd", b"../a.raw", b"sub/../../a.raw", b"%s%s%n%n 1 8 1", b"a%d.raw 1 999999999 1", b"LIST", b"pipe",
    b"folder", b"out", b"C:\\a.raw", b"LOCAL", b".", b"a" * 300, b"\xff\xfe", b"a.raw\0",
)  # fmt: skip
_BINARY = tuple(
    np.array(value, kind).tobytes()
    for kind in ("<i2", ">i2", "<i4", ">i4", "<f4", ">f4", "<i8", "<f8")
    for value in ((-1, 0, 1, 32767) if kind[1] == "i" else (np.nan, np.inf, -np.inf, 0, -1, 1e30))
)


@dataclass(frozen=True)
class Damage:
    """Damaged files, and what may become of them.

    Attributes:
        what: in words.
        files: content by name.
        promise: "whole": the image as it was, or a refusal. "told": these, or a warning. "voxels": these, or only the
            voxels at `changed` differ. "stated": any image that the header may describe.
        changed: file, first and last byte of raw voxels that were changed.
    """

    what: str
    files: dict[str, bytes]
    promise: str
    changed: tuple[tuple[str, int, int], ...] = ()


def damaged(original: Original, rng: np.random.Generator) -> Damage:
    """One damage of `original`."""
    kinds: list[Callable[[Original, np.random.Generator], Damage]] = [_bit] * 8 + [_bytes] * 3 + [_cut] * 2
    kinds += [_longer, _block, _block]
    if original.text:
        kinds += [_number] * 3 + [_line] * 2
    if original.text and len(original.files) > 1:
        kinds += [_place] * 2
    if not original.text:
        kinds += [_field] * 4
    if original.packed:
        kinds += [_inside] * 4
    return kinds[rng.integers(len(kinds))](original, rng)


def _part(original: Original, rng: np.random.Generator) -> Part:
    """Headers are as likely as voxels, however short they are."""
    kinds = sorted({part.kind for part in original.parts})
    kind = kinds[rng.integers(len(kinds))]
    fitting = [part for part in original.parts if part.kind == kind]
    return fitting[rng.integers(len(fitting))]


def _replaced(original: Original, part: Part, start: int, new: bytes, what: str) -> Damage:
    """The bytes from `start` overwritten; they stay within `part`."""
    content = original.files[part.file]
    stop = min(start + len(new), part.stop)
    files = {**original.files, part.file: content[:start] + new[: stop - start] + content[stop:]}
    promise = "whole" if part.kind == "summed" else part.kind
    changed = ((part.file, start, stop - 1),) if part.kind == "voxels" else ()
    return Damage(f"{what} at byte {start} of {part.file} ({part.kind})", files, promise, changed)


def _bit(original: Original, rng: np.random.Generator) -> Damage:
    part = _part(original, rng)
    place, bit = int(rng.integers(part.start, part.stop)), int(rng.integers(8))
    return _replaced(original, part, place, bytes([original.files[part.file][place] ^ 1 << bit]), f"bit {bit} flipped")


def _bytes(original: Original, rng: np.random.Generator) -> Damage:
    part = _part(original, rng)
    place = int(rng.integers(part.start, part.stop))
    new = rng.integers(0, 256, int(rng.integers(1, 7)), dtype=np.uint8).tobytes()
    return _replaced(
        original, part, place, (new, bytes(len(new)), b"\xff" * len(new))[rng.integers(3)], "bytes changed"
    )


def _field(original: Original, rng: np.random.Generator) -> Damage:
    """A number that is none, or far too large, in a binary header."""
    part = _part(original, rng)
    place = int(rng.integers(part.start, part.stop)) // 2 * 2
    new = _BINARY[rng.integers(len(_BINARY))]
    return _replaced(original, part, max(place, part.start), new, f"{new.hex()} written")


def _cut(original: Original, rng: np.random.Generator) -> Damage:
    file = _file(original, rng)
    length = len(original.files[file])
    left = int(rng.integers(0, length)) if rng.random() < 0.7 else length - int(rng.integers(1, min(20, length)))
    files = {**original.files, file: original.files[file][:left]}
    return Damage(f"{file} cut to {left} of {length} bytes", files, "told")


def _longer(original: Original, rng: np.random.Generator) -> Damage:
    file = _file(original, rng)
    content = original.files[file]
    surplus = (bytes(int(rng.integers(1, 2000))), b"garbage", content, rng.bytes(50))[rng.integers(4)]
    return Damage(f"{len(surplus)} bytes appended to {file}", {**original.files, file: content + surplus}, "told")


def _block(original: Original, rng: np.random.Generator) -> Damage:
    """A stretch of a part lost to zeros, as on a broken disk, or replaced by what stands elsewhere in it."""
    part = _part(original, rng)
    length = int(rng.integers(1, max(2, (part.stop - part.start) // 2)))
    start, other = (int(rng.integers(part.start, part.stop - length + 1)) for _ in range(2))
    new = bytes(length) if rng.random() < 0.5 else original.files[part.file][other : other + length]
    return _replaced(original, part, start, new, f"block of {length}")


def _number(original: Original, rng: np.random.Generator) -> Damage:
    """A number of a text header exchanged."""
    part = original.parts[0]
    head = original.files[part.file][: part.stop]
    found = list(re.finditer(rb"-?\d+(\.\d+)?", head))
    match = found[rng.integers(len(found))]
    return _rewritten(original, head, match.start(), match.end(), _NUMBERS[rng.integers(len(_NUMBERS))])


def _place(original: Original, rng: np.random.Generator) -> Damage:
    """The name of the data file exchanged."""
    part = original.parts[0]
    head = original.files[part.file][: part.stop]
    match = re.search(rb"(?:ElementDataFile = |data file: )(.*)", head)
    assert match is not None
    return _rewritten(original, head, match.start(1), match.end(1), _PLACES[rng.integers(len(_PLACES))])


def _line(original: Original, rng: np.random.Generator) -> Damage:
    """A line of a text header lost, twice, or exchanged with another one."""
    part = original.parts[0]
    content = original.files[part.file]
    lines = content[: part.stop].splitlines(keepends=True)
    one, other = int(rng.integers(len(lines))), int(rng.integers(len(lines)))
    action = ("lost", "twice", "exchanged")[rng.integers(3)]
    if action == "lost":
        lines[one : one + 1] = []
    elif action == "twice":
        lines.insert(other, lines[one])
    else:
        lines[one], lines[other] = lines[other], lines[one]
    files = {**original.files, part.file: b"".join(lines) + content[part.stop :]}
    return Damage(f"line {one + 1} of {part.file} {action} ({other + 1})", files, "stated")


def _inside(original: Original, rng: np.random.Generator) -> Damage:
    """What is gzipped changed, and gzipped again: the checksum is right."""
    (file,) = original.files
    content = gzip.decompress(original.files[file])
    part = Part(file, 0, min(352, len(content)), "stated")
    unpacked = Original(original.name, original.opened, {file: content}, (part,))
    done = (_bit, _bytes, _field, _cut, _longer)[rng.integers(5)](unpacked, rng)
    return Damage(f"within gzip: {done.what}", {file: gzip.compress(done.files[file], mtime=0)}, done.promise)


def _rewritten(original: Original, head: bytes, start: int, stop: int, new: bytes) -> Damage:
    file = original.parts[0].file
    content = head[:start] + new + head[stop:] + original.files[file][len(head) :]
    return Damage(f"{head[start:stop]!r} of {file} made {new[:40]!r}", {**original.files, file: content}, "stated")


def _file(original: Original, rng: np.random.Generator) -> str:
    names = sorted(original.files)
    return names[rng.integers(len(names))]

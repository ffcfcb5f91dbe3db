"""Weights from a file that may come from anywhere: judged by its headers before anything is unpacked or allocated.

A file of a few kilobytes can stand for gigabytes: packed parts, one number that counts as a billion equal ones, a
network of a million empty layers. What MedSR reads is plain: a dictionary of tensors, each with its own numbers.
"""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

_LARGEST_INDEX = 4_000_000
"""Bytes of the part that names the tensors; a thousand tensors take a hundred thousand."""

_ALLOWED = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(
        f"torch {kind}Storage"
        for kind in ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
    ),
}
"""All that a dictionary of plain tensors consists of."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors in a file of `torch.save`.

    Raises:
        ValueError: it holds something else, or less than it promises; in words for people.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_parts(archive, path.stat().st_size)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except zipfile.BadZipFile as error:
        raise ValueError("the file is damaged, or was not written by torch.save") from error
    except (RuntimeError, KeyError, TypeError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        # What PyTorch says here is advice to programmers, some of it dangerous to follow.
        raise ValueError("the file is damaged, or holds something else than plain tensors") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError("the file holds something else than a dictionary of tensors")
    if sum(value.numel() * value.element_size() for value in state.values()) > path.stat().st_size:
        raise ValueError("its tensors promise more numbers than the file holds")
    return state


@contextmanager
def no_more_layers_than(tensors: int) -> Iterator[None]:
    """While it is entered, a network of far more layers than `tensors` tensors belong to is not built.

    Raises:
        ValueError: out of the constructor of the network.
    """
    left = 20 * tensors + 200

    def count(_parent: nn.Module, _name: str, _child: nn.Module) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError("its options describe more layers than the file has weights for")

    handle = nn.modules.module.register_module_module_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _check_parts(archive: zipfile.ZipFile, size: int) -> None:
    """Raise ValueError for parts that are packed, overlap, or call for anything but tensors."""
    parts = archive.infolist()
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts) or sum(p.file_size for p in parts) > size:
        raise ValueError("its parts promise more than the file holds")
    index = [part for part in parts if part.filename.rpartition("/")[2] == "data.pkl"]
    if len(index) != 1 or index[0].file_size > _LARGEST_INDEX:
        raise ValueError("it has no list of its tensors, or an enormous one")
    text = archive.read(index[0])
    for operation, argument, _position in pickletools.genops(text):
        if operation.name == "GLOBAL":
            if argument not in _ALLOWED:
                raise ValueError(f"it holds something else than plain tensors: {argument!r}")
        elif operation.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            raise ValueError("it holds something else than plain tensors")
        elif operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(text):
            raise ValueError("the list of its tensors is damaged")

"""A picture of progress: what came in, what the network made of it, and the truth, side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from torch import Tensor

_ROWS = 4
_GAP = 4


def contact_sheet(columns: list[Tensor]) -> NDArray[np.uint8]:
    """Rows of examples, one column per kind of image.

    Args:
        columns: tensors ``(B, C, *size)`` of equal shape, intensities about [0, 1], C is 1 or 3; volumes show their
            middle slice.

    Returns:
        ``(height, width)`` for one channel, else ``(height, width, C)``.
    """
    sheets = []
    for column in columns:
        images = column[:_ROWS].detach().float().cpu()
        if images.dim() == 5:
            images = images[:, :, images.shape[2] // 2]
        framed = torch.nn.functional.pad(images, (0, _GAP, 0, _GAP), value=1.0)
        sheets.append(torch.cat(list(framed), dim=1))
    sheet = torch.cat(sheets, dim=2).clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    return sheet[0] if sheet.shape[0] == 1 else np.moveaxis(sheet, 0, -1)


def write_sheet(sheet: NDArray[np.uint8], folder: Path, step: int) -> Path:
    """Save a contact sheet as ``step-<step>.png`` in `folder`, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:07d}.png"
    sitk.WriteImage(sitk.GetImageFromArray(sheet, isVector=sheet.ndim == 3), str(path))
    return path

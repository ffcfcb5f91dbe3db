"""The images that no training and no choice of weights saw, from a folder with the layout of `recipes/*.data.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import medsr
from medsr.evaluation.protocols import central_crop
from medsr.physics.downscaling import downscale
from medsr.volume import Volume


@dataclass(frozen=True)
class HeldOut:
    """One image.

    Attributes:
        name: in tables.
        group: "MR", "CT" or "photo".
        file: below the folder of the data.
        shrunk: factor by which it is made smaller first, by means. Large photographs are blurred by their lens and
            JPEG at full size; smaller they are sharp.
        whole: never crop, so that the fundus keeps its field of view, and its colours, as the papers judge it. The
            other photographs are judged in grey: a third of the work.
    """

    name: str
    group: str
    file: str
    shrunk: int = 1
    whole: bool = False

    def read(self, folder: Path) -> Volume:
        """The image in float32."""
        volume = medsr.read_volume(folder / self.file)
        array = np.asarray(volume.array, dtype=np.float32)
        if array.ndim == 4 and not self.whole:
            array = array.mean(axis=3)
        if self.shrunk > 1:
            y, x = (n // self.shrunk * self.shrunk for n in array.shape[1:3])
            factors = (1, self.shrunk, self.shrunk, 1)[: array.ndim]
            array = np.asarray(downscale(array[:, :y, :x], "box", factors))
        if volume.planar:
            return Volume.from_array(array).replace(planar=True, modality="MR")
        return volume.replace(array=array, modality=self.group)


IMAGES = (
    HeldOut("T1 niimath", "MR", "mr/mr_t1_niimathbitmap_0p8.nii.gz"),
    HeldOut("T2 ARC M2307", "MR", "mr/mr_t2_arc_M2307.nii.gz"),
    HeldOut("T2 ARC M2208", "MR", "mr/mr_t2_arc_M2208.nii.gz"),
    HeldOut("FLAIR niivue", "MR", "mr/mr_flair_niivue_1mm.nii.gz"),
    HeldOut("T1fs breast p3", "MR", "mr/mr_t1fs_breast_p3.nii.gz"),
    HeldOut("CT thorax", "CT", "ct/ct_thorax_totalseg_1p5.nii.gz"),
    HeldOut("fundus", "photo", "photo/fundus_skimage_retina.jpg", shrunk=3, whole=True),
    HeldOut("skin ISIC 0014635", "photo", "photo/derm_ISIC_0014635.jpg", shrunk=2),
    HeldOut("breast ultrasound p3", "photo", "photo/us_breast_p3.png"),
    HeldOut("chest X-ray", "photo", "photo/cxr_nih_00027426_000.png"),
)
GROUP_OF = {image.name: image.group for image in IMAGES}


class HeldOutVolumes(Mapping[str, Volume]):
    """Name -> central box of an image, read each time it is asked for.

    Args:
        folder: where the images lie.
        groups: which of "MR", "CT", "photo".
        crop_xyz: largest box.
    """

    def __init__(self, folder: Path, groups: Sequence[str], crop_xyz: tuple[int, int, int]) -> None:
        self._folder, self._crop = folder, crop_xyz
        self._images = {image.name: image for image in IMAGES if image.group in groups}

    def __getitem__(self, name: str) -> Volume:
        image = self._images[name]
        volume = image.read(self._folder)
        return volume if image.whole else central_crop(volume, self._crop)

    def __iter__(self) -> Iterator[str]:
        return iter(self._images)

    def __len__(self) -> int:
        return len(self._images)

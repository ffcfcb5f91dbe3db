"""Phantoms that the reading and writing tests build: small volumes and DICOM series made from numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SegmentationStorage,
    generate_uid,
)
from scipy import ndimage

from medsr.geometry import Geometry
from medsr.volume import Volume


def _rotation(degrees_xyz: Sequence[float]) -> np.ndarray:
    matrix = np.eye(3)
    for axis, degrees in enumerate(degrees_xyz):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, -s, s, c
        matrix = matrix @ turn
    return matrix


@pytest.fixture
def io_volume() -> Callable[..., Volume]:
    """Builds a volume of 6 x 5 x 4 voxels; `tilt` in degrees about x, y, z."""

    def build(dtype: str = "int16", tilt: Sequence[float] = (10, -20, 35), colours: int = 0, **changes: Any) -> Volume:
        size = changes.pop("size_xyz", (6, 5, 4))
        geometry = Geometry(size, (0.7, 0.9, 3.3), (-101.5, 33.25, 512.125), tuple(_rotation(tilt).ravel().tolist()))
        shape = (*geometry.shape_zyx, colours) if colours else geometry.shape_zyx
        array = np.arange(np.prod(shape)).reshape(shape) % 200
        return Volume(array.astype(dtype), geometry, **changes)

    return build


def _blank(sop_class: str, modality: str, series_uid: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = series_uid, generate_uid()
    dataset.Modality = modality
    dataset.PatientName, dataset.PatientID, dataset.StudyDate = "Secret^Person", "ID-4711", "19991231"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = 16
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    return dataset


@pytest.fixture
def io_dicom() -> Callable[..., list[Path]]:
    """Writes a classic DICOM series and returns its files in the order of their positions.

    The stored value of each pixel is ``100 * slice + 7 * row + column``. File names and instance numbers run against
    the positions. `edit(dataset, slice_number)` may change each dataset; `step` is the vector between slices.
    """

    def write(
        folder: Path,
        slices: int = 4,
        *,
        modality: str = "MR",
        tilt: Sequence[float] = (15, 0, 0),
        step: Sequence[float] | None = None,
        heights: Sequence[float] | None = None,
        size_xy: tuple[int, int] = (6, 5),
        series_uid: str | None = None,
        description: str = "phantom",
        number: int = 1,
        edit: Callable[[Any, int], None] | None = None,
    ) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        axes = _rotation(tilt)
        uid = series_uid or generate_uid()
        paths = []
        for i in range(slices):
            sop_class = CTImageStorage if modality == "CT" else MRImageStorage
            dataset = _blank(sop_class, modality, uid)
            dataset.SeriesDescription, dataset.SeriesNumber = description, number
            dataset.Manufacturer = "ACME"
            dataset.InstanceNumber = slices - i
            dataset.Columns, dataset.Rows = size_xy
            dataset.PixelSpacing, dataset.SliceThickness = [0.9, 0.7], 3.5
            height = heights[i] if heights is not None else 3.0 * i
            offset = np.array(step) * i if step is not None else axes[:, 2] * height
            dataset.ImagePositionPatient = [f"{v:.10g}" for v in np.array([-10.0, 20.0, 30.0]) + offset]
            dataset.ImageOrientationPatient = [f"{v:.10g}" for v in axes[:, :2].T.ravel()]
            rows, columns = np.mgrid[: size_xy[1], : size_xy[0]]
            dataset.PixelData = (100 * i + 7 * rows + columns).astype(np.uint16).tobytes()
            if edit:
                edit(dataset, i)
            path = folder / f"{slices - i:03d}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
        return paths

    return write


@pytest.fixture
def io_enhanced() -> Callable[..., Path]:
    """Writes an enhanced MR object whose frame i lies at `heights[i]` and holds the value i everywhere."""

    def write(path: Path, heights: Sequence[float] = (0, 2, 4, 6), edit: Callable[[Any], None] | None = None) -> Path:
        dataset = _blank(EnhancedMRImageStorage, "MR", generate_uid())
        dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 4, 3, len(heights)
        frames = [np.full((4, 3), i, np.uint16) for i in range(len(heights))]
        dataset.PixelData = np.stack(frames).tobytes()
        shared, orientation, measures = Dataset(), Dataset(), Dataset()
        orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        measures.PixelSpacing, measures.SliceThickness = [1.5, 1.25], 1.75
        shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
        dataset.SharedFunctionalGroupsSequence = [shared]
        groups = []
        for height in heights:
            group, position = Dataset(), Dataset()
            position.ImagePositionPatient = [1, 2, height]
            group.PlanePositionSequence = [position]
            groups.append(group)
        dataset.PerFrameFunctionalGroupsSequence = groups
        if edit:
            edit(dataset)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def io_segmentation(tmp_path: Path) -> Callable[[Path], Path]:
    """Writes a DICOM segmentation object, which has rows and columns but is no image."""

    def write(path: Path) -> Path:
        dataset = _blank(SegmentationStorage, "SEG", generate_uid())
        dataset.Rows, dataset.Columns, dataset.PixelData = 4, 4, bytes(32)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def io_edit_dicom() -> Callable[..., None]:
    """Rewrites a DICOM file with some elements changed."""

    def edit(path: Path, **elements: Any) -> None:
        dataset = pydicom.dcmread(path)
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)

    return edit


def _labelled(number: int, shape: tuple[int, int, int] = (10, 18, 20)) -> tuple[np.ndarray, np.ndarray]:
    """Image and label map: two touching structures in smooth noise."""
    rng = np.random.default_rng(number)
    z, y, x = np.indices(shape)
    centre = np.array(shape) / 2 + rng.uniform(-1, 1, 3)
    inside = ((z - centre[0]) / 3) ** 2 + ((y - centre[1]) / 5) ** 2 + ((x - centre[2]) / 6) ** 2 < 1
    label = np.where(inside, np.where(x < centre[2], 1, 2), 0).astype(np.uint8)
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), 1.0)
    return (noise / noise.std() * 60 + 400 + 150 * label).astype(np.int16), label


@pytest.fixture
def a_set(tmp_path: Path) -> Callable[..., Path]:
    """Writes a Decathlon training set and returns its dataset.json."""

    def write(count: int = 3, name: str = "set", spoil: Callable[[Path, dict], None] | None = None) -> Path:
        root = tmp_path / name
        entries = []
        for number in range(count):
            image, label = _labelled(number)
            for folder, array in (("imagesTr", image), ("labelsTr", label)):
                (root / folder).mkdir(parents=True, exist_ok=True)
                picture = sitk.GetImageFromArray(array)
                picture.SetSpacing((1.0, 1.0, 2.0))
                sitk.WriteImage(picture, str(root / folder / f"case_{number}.nii.gz"))
            entries.append({"image": f"./imagesTr/case_{number}.nii.gz", "label": f"./labelsTr/case_{number}.nii.gz"})
        data = {
            "name": "phantoms",
            "licence": "CC0",
            "labels": {"0": "background", "1": "left", "2": "right"},
            "modality": {"0": "MRI"},
            "training": entries,
        }
        if spoil:
            spoil(root, data)
        (root / "dataset.json").write_text(json.dumps(data))
        return root / "dataset.json"

    return write

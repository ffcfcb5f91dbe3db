"""What one header or sidecar states about an acquisition, in the terms of the scanner."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScanAxes:
    """Which grid axes lead along the rows of the scanner's slices, down their columns, and across the slices."""

    row: str = "x"
    column: str = "y"
    across: str = "z"

    def of(self, direction: str | None) -> str | None:
        """The axis of "row" or "column"."""
        return {"row": self.row, "column": self.column}.get(direction or "")


@dataclass(frozen=True)
class Stated:
    """What one source states about an acquisition, in the terms of the scanner; None or empty where it says nothing.

    Attributes:
        source: one of `medsr.facts.SOURCES`.
        modality: "MR" or "CT"; another one is known by its name only.
        dimensions: "2D" or "3D".
        thickness_mm: of slices, or of the partitions of a 3D acquisition.
        phase_along: "row" or "column": the direction of phase encoding.
        frequency_steps, phase_steps, partition_steps: acquired matrix.
        percent_sampling, percent_phase_fov: as DICOM defines them.
        diameter_mm: field of view that the scanner reconstructed.
        reconstructed_phase_steps: matrix that the scanner reconstructed, along the phase direction.
        interpolated: the scanner says that it interpolated in the plane.
        interpolated_across: factor by which it says it did across the slices.
        enhanced_by, denoised_by: networks of the vendor.
        partial_fourier, coverage, filter: of k-space.
        kernel, scan, collimation_mm: of CT.
        padding: intensity of voxels never measured, rescaled, and the other end of the range (the same, if none).
        reformatted: the slices were cut out of other slices; the axes are not those of the acquisition.
        mosaic: one picture holds all slices.
        warnings: sentences about what was ignored.
    """

    source: str = "header"
    modality: str | None = None
    dimensions: str | None = None
    thickness_mm: float | None = None
    phase_along: str | None = None
    frequency_steps: int | None = None
    phase_steps: int | None = None
    partition_steps: int | None = None
    percent_sampling: float | None = None
    percent_phase_fov: float | None = None
    diameter_mm: float | None = None
    reconstructed_phase_steps: int | None = None
    interpolated: bool = False
    interpolated_across: int | None = None
    enhanced_by: str = ""
    denoised_by: str = ""
    partial_fourier: bool | None = None
    coverage: str = ""
    filter: str = ""
    kernel: str = ""
    scan: str = ""
    collimation_mm: float | None = None
    padding: tuple[float, float] | None = None
    reformatted: bool = False
    mosaic: bool = False
    warnings: tuple[str, ...] = ()

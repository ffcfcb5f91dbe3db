"""What the scanner has already done to a series, in sentences for the person who looks at it."""

from __future__ import annotations

from collections.abc import Mapping

from medsr.io.stated import ScanAxes, Stated


def interpolation_words(stated: Stated, axes: ScanAxes, resolutions: Mapping[str, float]) -> str:
    """Where the scanner interpolated, as "in the plane and across the slices"; "" for nowhere."""
    plane = [axis for axis in (axes.row, axes.column) if axis in resolutions]
    places = []
    if stated.interpolated or len(plane) == 2:
        places.append("in the plane")
    elif plane:
        places.append(f"along {plane[0]}")
    if axes.across in resolutions:
        places.append("across the slices")
    return " and ".join(places)


def warning_sentences(
    stated: Stated, axes: ScanAxes, resolutions: Mapping[str, float], spacing: Mapping[str, float]
) -> list[str]:
    """What a person should know before enlarging this series."""
    found = []
    plane = [axis for axis in (axes.row, axes.column) if axis in resolutions]
    if len(plane) == 2:
        pixels, acquired = _lengths(spacing, plane), _lengths(resolutions, plane)
        found.append(
            f"The scanner already interpolated this series: pixels of {pixels}, acquired at {acquired}. Enlarging it "
            "in the plane adds no detail."
        )
    elif stated.interpolated:
        known = f" (acquired at {resolutions[plane[0]]:.3g} mm along {plane[0]})" if plane else ""
        found.append(
            f"The scanner says that it interpolated this series in the plane{known}. Enlarging it there adds no detail."
        )
    elif plane:
        axis = plane[0]
        found.append(
            f"Along {axis} the scanner acquired at {resolutions[axis]:.3g} mm and filled in to pixels of "
            f"{spacing[axis]:.3g} mm. Enlarging along {axis} adds no detail."
        )
    if axes.across in resolutions:
        found.append(
            f"The scanner already interpolated between the slices: one every {spacing[axes.across]:.3g} mm, acquired "
            f"at {resolutions[axes.across]:.3g} mm. Enlarging across the slices adds no detail."
        )
    if stated.enhanced_by:
        found.append(
            f"A network of the scanner has already sharpened this series ({stated.enhanced_by}). What looks like "
            "detail may be its own, and enlarging builds on it."
        )
    if stated.reformatted:
        found.append(
            "This series was reformatted from other slices. Its axes are not those of the acquisition, so how they "
            "were resolved is not known. Enlarge the original series if there is one."
        )
    if stated.mosaic:
        found.append(
            "This is a mosaic: each picture holds all slices side by side. Convert it to a volume first, for example "
            "with dcm2niix."
        )
    return found


def _lengths(values: Mapping[str, float], axes: list[str]) -> str:
    texts = [f"{values[axis]:.3g}" for axis in axes]
    return f"{' x '.join(texts) if len(set(texts)) > 1 else texts[0]} mm"

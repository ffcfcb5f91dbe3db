"""NRRD and MetaImage: their headers mean what they mean to ITK, and what ITK passes over is told or refused."""

from __future__ import annotations

import os
import socket

import numpy as np
import pytest
import SimpleITK as sitk

from medsr.errors import InputError
from medsr.io import read_geometry, read_volume, write_volume
from medsr.volume import Volume

VOXELS = np.arange(24, dtype="<i2")
NRRD = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 4 3 2\nendian: little\nencoding: raw\n"
SPACE = b"space: LPS\nspace directions: (1,0,0) (0,2,0) (0,0,3)\n"
META = b"ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = 4 3 2\nElementType = MET_SHORT\n"
PLACED = b"Offset = 5 6 7\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n"


def nrrd(path, fields=b"", header=NRRD, voxels=VOXELS):
    path.write_bytes(header + fields + b"\n" + (voxels.tobytes() if voxels is not None else b""))
    return path


def meta(path, lines=b"", header=META, data=b"LOCAL", voxels=VOXELS):
    path.write_bytes(header + lines + b"ElementDataFile = " + data + b"\n" + (b"" if voxels is None else bytes(voxels)))
    return path


def same_as_itk(path):
    volume, image = read_volume(path), sitk.ReadImage(str(path))
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(image).reshape(volume.array.shape))
    assert volume.array.dtype == sitk.GetArrayFromImage(image).dtype
    while image.GetDimension() > 3:
        image = sitk.Extract(image, [*image.GetSize()[:-1], 0])
    assert volume.geometry.is_same_as(Volume.from_sitk(image).geometry)
    assert np.allclose(volume.geometry.spacing_xyz_mm, Volume.from_sitk(image).geometry.spacing_xyz_mm)
    assert read_geometry(path) == volume.geometry
    return volume


# --- what ITK writes, and what it reads


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
@pytest.mark.parametrize("packed", [False, True])
def test_all_that_itk_writes_is_read_as_itk_reads_it(tmp_path, io_volume, name, packed):
    kinds = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
    for kind in kinds:
        sitk.WriteImage(io_volume(kind).to_sitk(), str(tmp_path / name), useCompression=packed)
        volume = same_as_itk(tmp_path / name)
        assert volume.array.dtype == kind
        assert volume.warnings == ()
    for kind in ("uint8", "uint16"):
        for components in (3, 4):
            sitk.WriteImage(io_volume(kind, colours=components).to_sitk(), str(tmp_path / name), useCompression=packed)
            volume = read_volume(tmp_path / name)
            assert np.array_equal(volume.array, sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name)))[..., :3])
    flat = sitk.GetImageFromArray(np.arange(30, dtype=np.float32).reshape(5, 6))
    flat.SetSpacing((0.5, 2))
    flat.SetOrigin((3, 4))
    sitk.WriteImage(flat, str(tmp_path / name), useCompression=packed)
    assert same_as_itk(tmp_path / name).planar
    sitk.WriteImage(sitk.JoinSeries([io_volume().to_sitk()]), str(tmp_path / name), useCompression=packed)
    assert same_as_itk(tmp_path / name).geometry.size_xyz == (6, 5, 4)


@pytest.mark.parametrize(
    "fields",
    [
        SPACE,
        SPACE + b"space origin: (1,2,3)\n",
        SPACE + b"space origin: none\n",
        SPACE.replace(b"LPS", b"RAS") + b"space origin: (1,2,3)\n",
        SPACE.replace(b"LPS", b"left-anterior-superior") + b"space origin: (1,2,3)\n",
        SPACE.replace(b"LPS", b"scanner-xyz"),
        b"Space: LPS\nspace directions: ( 0, 1.5,0)(1,0,0) (0,0,-2)\n",
        SPACE + b'space units: "mm" "mm" "mm"\nmeasurement frame: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain space ???\n',
        b"spacings: 1 2 3\n",
        b"spacings: 1 2 3\naxis mins: 5 6 7\n",
        b"spacings: 1 2 3\naxismins: 5 6 7\ncenters: node cell ???\n",
        b"# said of it\ncontent: a: b\nthickness:=3\nthicknesses: 1 2 3\n" + SPACE,
    ],
)
def test_nrrd_headers_are_understood_as_itk_does(tmp_path, fields):
    same_as_itk(nrrd(tmp_path / "a.nrrd", fields))


@pytest.mark.parametrize(
    "lines",
    [
        b"ElementSpacing = 1 2 3\n" + PLACED,
        b"ElementSize = 1 2 3\n" + PLACED,
        b"ElementSize = 1 2 3\nElementSpacing = 1 1 2\n" + PLACED,
        b"ElementSpacing=1 2 3\nPosition : 5 6 7\nOrientation = 0 1 0 1 0 0 0 0 1\n",
        b"ElementSpacing = 1 2 3\nOrigin = 5 6 7\nRotation = 0 1 0 0 0 1 1 0 0\n",
        b"ElementSpacing = 1 2 3\nComment = anything: x = y\nModality = MET_MOD_CT\n" + PLACED,
        b"ElementByteOrderMSB = True\nElementSpacing = 1 2 3\n" + PLACED,
        b"BinaryDataByteOrderMSB = True\nElementSpacing = 1 2 3\n" + PLACED,
        b"HeaderSize = -1\nElementSpacing = 1 2 3\n" + PLACED,
    ],
)
def test_metaimage_headers_are_understood_as_itk_does(tmp_path, lines):
    assert same_as_itk(meta(tmp_path / "a.mha", lines)).warnings == ()


def test_voxels_of_either_byte_order_and_voxels_written_out_are_read(tmp_path):
    assert np.array_equal(
        same_as_itk(nrrd(tmp_path / "a.nrrd", SPACE, NRRD.replace(b"little", b"big"))).array.ravel(),
        VOXELS.byteswap(),
    )
    written = " ".join(map(str, VOXELS - 7)).encode()
    path = tmp_path / "b.nrrd"
    path.write_bytes(NRRD.replace(b"raw", b"ascii") + SPACE + b"\n" + written)
    assert np.array_equal(same_as_itk(path).array.ravel(), VOXELS - 7)
    path = meta(tmp_path / "c.mha", PLACED, META.replace(b"True", b"False"), voxels=written)
    assert np.array_equal(read_volume(path).array.ravel(), VOXELS - 7)
    for words in (written[:-3], written + b" 1", written.replace(b"-7", b"40000"), written.replace(b"-7", b"x")):
        path.write_bytes(NRRD.replace(b"raw", b"ascii") + SPACE + b"\n" + words)
        with pytest.raises(InputError, match="truncated or corrupt"):
            read_volume(path.rename(tmp_path / "d.nrrd"))


# --- spacings


@pytest.mark.parametrize(
    ("fields", "along"),
    [(b"", "x, y, z"), (b"space: LPS\n", "x, y, z"), (b"spacings: 1 nan 3\n", "y"), (b"axis mins: 0 0 0\n", "x, y, z")],
)
def test_a_missing_spacing_of_nrrd_is_told(tmp_path, fields, along):
    volume = same_as_itk(nrrd(tmp_path / "a.nrrd", fields))
    assert f"does not say how far apart the voxels are along {along} (no " in volume.warnings[0]
    assert "1 mm was assumed" in volume.warnings[0]
    assert "how far" not in " ".join(read_volume(nrrd(tmp_path / "b.nrrd", b"spacings: 1 2 3\n")).warnings)


def test_a_missing_spacing_or_place_of_metaimage_is_told(tmp_path):
    volume = same_as_itk(meta(tmp_path / "a.mha", PLACED))
    assert "along x, y, z (no ElementSpacing). 1 mm was assumed" in volume.warnings[0]
    volume = same_as_itk(meta(tmp_path / "b.mha", b"ElementSpacing = 1 2 3\nOffset = 1 2 3\n"))
    assert volume.warnings == (
        "'b.mha' does not say how it lies in the patient; the axes were taken as left, posterior, superior.",
    )
    volume = same_as_itk(meta(tmp_path / "c.mha", b"ElementSpacing = 1 2 3\n"))
    assert "does not say where and how it lies" in volume.warnings[0]


def test_a_missing_origin_of_nrrd_is_told(tmp_path):
    assert "no 'space origin'" in same_as_itk(nrrd(tmp_path / "a.nrrd", SPACE)).warnings[0]
    assert read_volume(nrrd(tmp_path / "b.nrrd", SPACE + b"space origin: (0,0,0)\n")).warnings == ()


def test_lengths_that_are_not_in_mm_are_told(tmp_path):
    origin = b"space origin: (0,0,0)\n"
    for unit, words in ((b"mm", ""), (b"um", "lengths in 'um'. They were read as mm")):
        units = b'space units: "%s" "%s" "%s"\n' % (unit, unit, unit)
        lines = b"ElementSpacing = 1 2 3\nDistanceUnits = " + unit + b"\n" + PLACED
        for path in (nrrd(tmp_path / "a.nrrd", SPACE + origin + units), meta(tmp_path / "a.mha", lines)):
            assert words in " ".join(same_as_itk(path).warnings)
            assert bool(read_volume(path).warnings) == bool(words)


@pytest.mark.parametrize("axes", [17, 200_000])
def test_more_axes_than_there_can_be_cost_no_memory(tmp_path, axes):
    ones = b"1 " * axes
    path = nrrd(
        tmp_path / "a.nrrd", header=b"NRRD0004\ntype: uchar\ndimension: %d\nsizes: %s\nencoding: raw\n" % (axes, ones)
    )
    with pytest.raises(InputError, match="dimensions"):
        read_volume(path)
    path = meta(tmp_path / "a.mha", header=b"NDims = %d\nDimSize = %s\nElementType = MET_UCHAR\n" % (axes, ones))
    with pytest.raises(InputError, match="DimSize"):
        read_volume(path)


def test_what_a_header_says_cannot_steer_the_terminal(tmp_path):
    for lines in (
        b"\x1b[2J = 1\n" * 2 + b"NDims = 3\n",
        b"ElementType = \x1b[2J\n",
        b"\x1b[2J\n",
        b"Elem\x1bntSpacing = 1\n",
    ):
        with pytest.raises(InputError) as caught:
            read_volume(meta(tmp_path / "a.mha", lines))
        assert str(caught.value).isprintable()
    for fields in (
        b"\x1b[2J: 1\n",
        b"\x1b[2J\n",
        b"kinds: \x1b[2J \x1b \x1b\n",
        b"space: \x1b[2J\n",
        b"data file: \x1b[2J\n",
    ):
        with pytest.raises(InputError) as caught:
            read_volume(nrrd(tmp_path / "a.nrrd", fields))
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"1 2 3", b"1 2e-5 3", "voxels have 1 x 2e-05 x 3 mm, which is hardly so"),
        (b"1 2 3", b"1 2 101", "voxels have 1 x 2 x 101 mm"),
        (b"5 6 7", b"5 -60000 7", "first voxel at 5, -6e"),
    ],
)
def test_numbers_that_are_hardly_meant_are_told(tmp_path, old, new, words):
    lines = b"ElementSpacing = 1 2 3\n" + PLACED
    assert read_volume(meta(tmp_path / "a.mha", lines)).warnings == ()
    assert words in read_volume(meta(tmp_path / "b.mha", lines.replace(old, new))).warnings[0]


@pytest.mark.parametrize("spacing", [b"1 -2 3", b"0 2 3", b"1 inf 3", b"1 2 1e-300"])
def test_a_spacing_that_is_not_positive_is_refused(tmp_path, spacing):
    for path in (
        nrrd(tmp_path / "a.nrrd", b"spacings: " + spacing + b"\n"),
        meta(tmp_path / "a.mha", PLACED + b"ElementSpacing = " + spacing + b"\n"),
    ):
        with pytest.raises(InputError, match=r"voxel spacing \((spacings|ElementSpacing)\).*positive numbers"):
            read_volume(path)
        with pytest.raises(InputError, match="positive numbers"):
            read_geometry(path)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (b"space: LPS\nspace directions: (1,0,0) (0,1,0) none\n", "direction none along z"),
        (b"space: LPS\nspace directions: (1,0,0) (0,nan,0) (0,0,1)\n", "along y"),
        (b"space: LPS\nspace directions: (1,0,0) (0,0,0) (0,0,1)\n", "along y"),
        (b"space: LPS\nspace directions: (1,0,0) (0,1,0)\n", "2 values for 3 axes"),
        (b"space: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,1\n", "not understood"),
        (b"space: LQS\n", "'space: LQS' is not understood"),
        (b"space: LPS\nspacings: 1 2 3\n", "space directions"),
        (b"space directions: (1,0,0) (0,1,0) (0,0,1)\n", "neither 'space' nor 'space dimension'"),
        (b"spacimgs: 1 2 3\n", "no field 'spacimgs'"),
        (b"spacings; 1 2 3\n", "neither a field"),
        (b"spacings: 1 2 3\nspacings: 1 2 4\n", "twice"),
        (b"kinds: domain domain complex\n", "complex numbers"),
        (b"kinds: list domain vector\n", "2 axes that are not in space"),
        (b"line skip: 2\n", "not supported"),
        (b"byte skip: 4\n", "promises 48 bytes of voxels, the file has 44"),
    ],
)
def test_a_nrrd_header_that_is_not_understood_is_refused(tmp_path, fields, words):
    with pytest.raises(InputError, match=words):
        read_volume(nrrd(tmp_path / "a.nrrd", fields))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (b"ElementSpacimg = 1 2 3\n", "'ElementSpacimg' has no meaning; 'ElementSpacing' has"),
        (b"elementSpacing = 1 2 3\n", "'ElementSpacing' has"),
        (b"ElementSpacing = 1 2\n", "2 values instead of 3"),
        (b"ElementSpacing = 1 2 x\n", "not understood"),
        (b"garbage\n", "no name with a value"),
        (b"ElementSpacing = 1 2 3\nElementSpacing = 1 2 4\n", "twice"),
        (b"Offset = 1 2 3\nPosition = 1 2 4\n", "contradict"),
        (b"CompressedData = maybe\n", "not understood"),
        (b"HeaderSize = 7\n", "HeaderSize"),
        (b"ElementNumberOfChannels = 0\n", "no channels"),
        (b"x" * 9_000_000 + b" = 1\n", "does not end|is missing"),
    ],
)
def test_a_metaimage_header_that_is_not_understood_is_refused(tmp_path, lines, words):
    with pytest.raises(InputError, match=words):
        read_volume(meta(tmp_path / "a.mha", lines))


# --- data in files of their own


def detached(folder, name, value):
    """A header that says `value` of where its voxels are."""
    if name.endswith(".mhd"):
        return meta(folder / name, PLACED + b"ElementSpacing = 1 2 3\n", data=value, voxels=None)
    return nrrd(folder / name, SPACE + b"data file: " + value + b"\n", voxels=None)


both = pytest.mark.parametrize("name", ["a.mhd", "a.nhdr"])


@both
@pytest.mark.parametrize("value", [b"v.raw", b"./v.raw", b"sub/v.raw", b"with blank.raw"])
def test_voxels_beside_or_below_their_header_are_read(tmp_path, name, value):
    file = tmp_path / value.decode()
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(VOXELS)
    assert np.array_equal(same_as_itk(detached(tmp_path, name, value)).array.ravel(), VOXELS)


@both
def test_lists_and_patterns_of_files_are_read_as_itk_does(tmp_path, name):
    for number in (1, 2):
        (tmp_path / f"v{number:03d}.raw").write_bytes(VOXELS[12 * number - 12 : 12 * number])
    path = detached(tmp_path, name, b"v%03d.raw 1 2 1")
    assert np.array_equal(same_as_itk(path).array.ravel(), VOXELS)
    path = detached(tmp_path, name, b"LIST\nv001.raw\nv002.raw")
    path.write_bytes(path.read_bytes().rstrip() + b"\n")  # to teem an empty line is a name
    assert np.array_equal(same_as_itk(path).array.ravel(), VOXELS)


@both
@pytest.mark.parametrize(
    "value",
    [
        b"%s%s%n%n 1 8 1", b"%n", b"v%0999999999d.raw 1 2 1", b"v%d.raw", b"v%d%d.raw 1 2 1", b"v%03d.raw 1 2 0",
        b"v%d.raw 0 999999999 1", b"v%d.raw 5 1 1", b"LIST\n",
    ],
)  # fmt: skip
def test_patterns_that_are_none_are_refused_and_not_filled_in(tmp_path, name, value):
    with pytest.raises(InputError, match=r"names its data|data files"):
        read_volume(detached(tmp_path, name, value))


@both
def test_voxels_from_elsewhere_are_refused(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "v.raw").write_bytes(VOXELS)
    (folder / "link.raw").symlink_to(tmp_path / "v.raw")
    (folder / "out").symlink_to(tmp_path)
    elsewhere = (str(tmp_path / "v.raw"), "/etc/passwd", "../v.raw", "sub/../../v.raw", "link.raw", "out/v.raw",
                 "C:\\v.raw", "\\\\host\\share\\v.raw", "..\\v.raw")  # fmt: skip
    for value in elsewhere:
        with pytest.raises(InputError, match=r"must lie in the folder of the header"):
            read_volume(detached(folder, name, value.encode()))
    (folder / "v.raw").write_bytes(VOXELS)
    (folder / "inside.raw").symlink_to("v.raw")
    assert read_volume(detached(folder, name, b"inside.raw")).array.size == 24


@both
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_voxels_in_no_regular_file_are_refused_without_waiting(tmp_path, name, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket")
        for value in (b"pipe", b"folder", b"socket"):
            with pytest.raises(InputError, match="is no regular file"):
                read_volume(detached(tmp_path, name, value))
    for value, words in ((b"v.raw", "which is not there"), (b"v" * 300, "cannot be opened|not there"), (b"", "folder")):
        with pytest.raises(InputError, match=words):
            read_volume(detached(tmp_path, name, value))


@both
def test_bytes_before_detached_voxels_are_passed_over(tmp_path, name):
    (tmp_path / "v.raw").write_bytes(b"before" + VOXELS.tobytes())
    field, header = (b"HeaderSize = %d\n", META) if name == "a.mhd" else (b"byte skip: %d\n", NRRD)
    for number in (6, -1):
        if name == "a.mhd":
            path = meta(tmp_path / name, field % number + PLACED, header, b"v.raw", None)
        else:
            path = nrrd(tmp_path / name, field % number + SPACE + b"data file: v.raw\n", header, None)
        assert np.array_equal(read_volume(path).array.ravel(), VOXELS)


def test_a_picture_is_read_by_what_is_in_it_and_opens_no_other_file(tmp_path, io_volume):
    picture = sitk.GetImageFromArray(np.arange(48, dtype=np.uint8).reshape(6, 8))
    sitk.WriteImage(picture, str(tmp_path / "a.png"))
    (tmp_path / "a.png").rename(tmp_path / "b.tif")
    assert read_volume(tmp_path / "b.tif").geometry.size_xyz == (8, 6, 1)
    write_volume(io_volume(), tmp_path / "c.nhdr")
    (tmp_path / "c.nhdr").rename(tmp_path / "c.png")
    with pytest.raises(InputError, match=r"cannot be read as PNG.*of another kind"):
        read_volume(tmp_path / "c.png")

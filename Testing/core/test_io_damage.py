"""Damage that a checksum or a size can tell is told: no bit of packed voxels changes unnoticed."""

from __future__ import annotations

import bz2
import gzip
import os
import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from medsr.errors import InputError
from medsr.io import read_volume, write_volume
from medsr.io.picture_damage import complaints
from medsr.io.streams import packed_pieces

PACKED = ("a.nii.gz", "a.mgz", "gz.nrrd", "bz2.nrrd", "gz.nhdr", "z.mha", "z.mhd")


def packed(folder, name, array, io_volume):
    """An image whose voxels are compressed, its path, that of its voxels, and where in it they begin."""
    path = folder / name
    volume = io_volume("int16", size_xyz=array.shape[::-1]).replace(array=array)
    data, start = path, 0
    if name.startswith("a."):
        write_volume(volume, path)
    elif name == "bz2.nrrd":
        write_volume(volume, path)
        head, voxels = path.read_bytes().replace(b"encoding: raw", b"encoding: bzip2").split(b"\n\n", 1)
        path.write_bytes(head + b"\n\n" + bz2.compress(voxels))
    else:
        sitk.WriteImage(volume.to_sitk(), str(path), useCompression=True)
    if name.endswith((".nhdr", ".mhd")):
        data = folder / ("gz.raw.gz" if name == "gz.nhdr" else "z.zraw")
    elif name.endswith(".nrrd"):
        start = path.read_bytes().index(b"\n\n") + 2
    elif name == "z.mha":
        start = path.read_bytes().index(b"LOCAL\n") + 6
    return path, data, start


@pytest.fixture
def voxels():
    return np.random.default_rng(3).integers(0, 900, (6, 9, 11)).astype(np.int16)


@pytest.mark.parametrize("name", PACKED)
def test_no_flipped_bit_of_packed_voxels_goes_unnoticed(tmp_path, io_volume, voxels, name):
    path, data, start = packed(tmp_path, name, voxels, io_volume)
    whole = data.read_bytes()
    assert np.array_equal(read_volume(path).array, voxels)
    grid = read_volume(path).geometry
    places = np.random.default_rng(0).integers(start * 8, len(whole) * 8, 60)
    # The checksum itself is at the end, and what it ends with.
    refused = 0
    for place in [*places, *range((len(whole) - 8) * 8, len(whole) * 8, 5)]:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        data.write_bytes(damaged)
        try:
            volume = read_volume(path)
        except InputError as error:
            assert "truncated or" in str(error) or "corrupt" in str(error)
            refused += 1
        else:  # the time or the system in the header of gzip
            assert np.array_equal(volume.array, voxels)
            assert volume.geometry == grid
    assert refused > 55


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("cut", [1, 4, 9])
def test_packed_voxels_without_their_last_bytes_are_refused(tmp_path, io_volume, voxels, name, cut):
    path, data, _ = packed(tmp_path, name, voxels, io_volume)
    data.write_bytes(data.read_bytes()[:-cut])
    with pytest.raises(InputError, match="truncated or corrupt"):
        read_volume(path)


@pytest.mark.parametrize("name", PACKED)
def test_what_follows_packed_voxels_is_refused_but_padding_is_not(tmp_path, io_volume, voxels, name):
    path, data, _ = packed(tmp_path, name, voxels, io_volume)
    whole = data.read_bytes()
    data.write_bytes(whole + bytes(700))
    assert np.array_equal(read_volume(path).array, voxels)
    data.write_bytes(whole + b"garbage")
    with pytest.raises(InputError, match="followed by something else"):
        read_volume(path)


def test_several_gzip_members_are_one_stream(tmp_path, io_volume, voxels):
    path, _, _ = packed(tmp_path, "a.nii.gz", voxels, io_volume)
    whole = gzip.decompress(path.read_bytes())
    parts = [gzip.compress(part) for part in (whole[:100], whole[100:700], whole[700:])]
    path.write_bytes(b"".join(parts))
    assert np.array_equal(read_volume(path).array, voxels)
    path.write_bytes(b"".join(parts[:2]))
    with pytest.raises(InputError, match="truncated or corrupt"):
        read_volume(path)
    path.write_bytes(parts[0] + b"\x1e" + parts[1][1:] + parts[2])
    with pytest.raises(InputError, match="something else"):
        read_volume(path)


@pytest.mark.parametrize(
    ("packing", "pack"), [("gzip", gzip.compress), ("zlib", zlib.compress), ("bzip2", bz2.compress)]
)
def test_streams_are_unpacked_whatever_is_read_at_once(tmp_path, packing, pack):
    content = bytes(np.random.default_rng(0).integers(0, 4, 100_000, dtype=np.uint8)) + bytes(20_000_000)
    (tmp_path / "a").write_bytes(b"before" + pack(content))
    for at_once in (1 << 20, 4099):
        with packed_pieces(tmp_path / "a", packing, offset=6, at_once=at_once) as pieces:
            found = list(pieces)
        assert b"".join(found) == content
        assert max(map(len, found)) <= 1 << 24


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_bytes_behind_the_voxels_of_nifti_are_told(tmp_path, io_volume, voxels, name):
    path, _, _ = packed(tmp_path, name, voxels, io_volume)
    assert read_volume(path).warnings == ()
    raw = (gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()) + b"x" * 11
    path.write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    volume = read_volume(path)
    assert np.array_equal(volume.array, voxels)
    assert "holds 11 bytes behind the voxels" in volume.warnings[0]


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
@pytest.mark.parametrize("surplus", [-1, 1, 198])
def test_raw_voxels_are_as_many_as_the_header_says(tmp_path, io_volume, voxels, name, surplus):
    path = write_volume(io_volume("int16", size_xyz=voxels.shape[::-1]).replace(array=voxels), tmp_path / name)
    data = path.with_suffix(".raw") if name in ("a.nhdr", "a.mhd") else path
    assert np.array_equal(read_volume(path).array, voxels)
    data.write_bytes(data.read_bytes()[:surplus] if surplus < 0 else data.read_bytes() + bytes(surplus))
    with pytest.raises(InputError, match=r"the header promises 1,188 bytes of voxels"):
        read_volume(path)


@pytest.mark.parametrize("name", ["gz.nrrd", "z.mha"])
def test_packed_voxels_are_as_many_as_the_header_says(tmp_path, io_volume, voxels, name):
    path, _, _ = packed(tmp_path, name, voxels, io_volume)
    whole = path.read_bytes()
    for sizes, words in ((b"11 9 5", "more than the header promises"), (b"11 9 7", "bytes of voxels are there")):
        path.write_bytes(whole.replace(b"sizes: 11 9 6", b"sizes: " + sizes).replace(b"= 11 9 6", b"= " + sizes))
        with pytest.raises(InputError, match=words):
            read_volume(path)


@pytest.mark.parametrize("name", ["a.nrrd", "gz.nrrd", "a.nhdr", "a.mhd", "z.mhd"])
def test_three_bytes_cost_no_gigabytes(tmp_path, io_volume, voxels, name, monkeypatch):
    path, data, _ = packed(tmp_path, name, voxels, io_volume)
    if name == "a.nhdr" or name == "a.mhd":
        data = path.with_suffix(".raw")
    header = (
        path.read_bytes()
        .replace(b"sizes: 11 9 6", b"sizes: 1100 1100 1100")
        .replace(b"DimSize = 11 9 6", b"DimSize = 1100 1100 1100")
    )
    path.write_bytes(header)
    if data != path:
        data.write_bytes(b"abc")
    monkeypatch.setattr(np, "empty", lambda *_: pytest.fail("memory was taken"))
    with pytest.raises(InputError, match="promises 2,662,000,000 bytes"):
        read_volume(path)


def test_a_header_of_nifti_that_contradicts_itself_is_told(tmp_path, io_volume, voxels):
    path, _, _ = packed(tmp_path, "a.nii", voxels, io_volume)
    raw = bytearray(path.read_bytes())
    raw[72:74] = (8).to_bytes(2, "little")
    path.write_bytes(raw)
    assert "voxels of 8 bits (bitpix) and of type int16" in read_volume(path).warnings[0]


@pytest.mark.parametrize("magic", [b"ni1\0", b"n+2\0", b"\0\0\0\0"])
def test_a_nifti_header_of_a_pair_or_without_its_magic_is_refused(tmp_path, io_volume, voxels, magic):
    path, _, _ = packed(tmp_path, "a.nii", voxels, io_volume)
    (tmp_path / "a.img").write_bytes(path.read_bytes()[352:])
    raw = path.read_bytes()
    path.write_bytes(raw[:344] + magic + raw[348:])
    with pytest.raises(InputError, match=r"pair of files \(\.hdr and \.img\)" if magic == b"ni1\0" else "magic"):
        read_volume(path)


def test_an_mgh_file_without_its_grid_is_told(tmp_path, io_volume, voxels):
    path, _, _ = packed(tmp_path, "a.mgh", voxels, io_volume)
    assert read_volume(path).warnings == ()
    raw = bytearray(path.read_bytes())
    raw[29] = 0
    path.write_bytes(raw)
    volume = read_volume(path)
    assert volume.geometry.spacing_xyz_mm == (1, 1, 1)
    assert "goodRASFlag is 0" in volume.warnings[0]
    raw = bytearray(path.read_bytes())
    raw[29], raw[30:34] = 1, b"\x7f\xc0\0\0"
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"affine of 'a\.mgh' holds numbers that are NaN"):
        read_volume(path)


def a_picture(path):
    picture = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 250, (40, 50)).astype(np.uint8))
    picture.SetSpacing((0.5, 0.25))
    sitk.WriteImage(picture, str(path), useCompression=True)
    return path


def test_no_flipped_bit_of_a_png_goes_unnoticed(tmp_path):
    path = a_picture(tmp_path / "a.png")
    whole, volume = path.read_bytes(), read_volume(path)
    assert volume.geometry.spacing_xyz_mm[:2] == (0.5, 0.25)
    # In the headers and the size of a pixel, then further apart.
    for place in [*range(8 * 8, 8 * 60, 5), *range(8 * 60, 8 * len(whole), 997)]:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"cannot be read as PNG|kind of pixel"):
            read_volume(path)


def test_a_tiff_without_the_end_of_its_directory_is_refused(tmp_path):
    path = a_picture(tmp_path / "a.tif")
    whole = path.read_bytes()
    assert read_volume(path).geometry.spacing_xyz_mm[:2] == pytest.approx((0.5, 0.25))
    for cut in range(1, 80):
        path.write_bytes(whole[:-cut])
        with pytest.raises(InputError, match="truncated or corrupt"):
            read_volume(path)


def test_a_damaged_jpeg_is_told_and_nothing_is_written_to_standard_output(tmp_path, capfd):
    path = a_picture(tmp_path / "a.jpg")
    whole = path.read_bytes()
    assert read_volume(path).warnings == ()
    told = 0
    for place in range(700, len(whole) - 2, 60):
        path.write_bytes(whole[:place] + b"\xff\xd0" + whole[place + 2 :])
        try:
            warnings = read_volume(path).warnings
        except InputError:
            continue
        told += any("'a.jpg' is damaged (Corrupt JPEG data" in text for text in warnings)
    assert told > 3
    assert capfd.readouterr().out == ""
    path.write_bytes(whole)
    with complaints() as said:
        os.write(1, b"an event\n")
        print("another one")
        os.write(1, b"Corrupt JPEG data: bad Huffman code\n")
    assert said == ["Corrupt JPEG data: bad Huffman code"]
    assert sorted(capfd.readouterr().out.splitlines()) == ["an event", "another one"]

"""DICOM that is damaged, doubled or hostile: refused by name, or told; nothing is missing in silence."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)

from medsr.errors import InputError, ResourceError
from medsr.io import read_geometry, read_volume


def expected_voxels(slices=4, size_xy=(6, 5)):
    z, y, x = np.mgrid[:slices, : size_xy[1], : size_xy[0]]
    return 100 * z + 7 * y + x


# --- files of a series that cannot be read


def _cut_in_pixels(path):
    path.write_bytes(path.read_bytes()[:-20])


def _cut_in_header(path):
    path.write_bytes(path.read_bytes()[:700])


def _cut_behind_preamble(path):
    path.write_bytes(path.read_bytes()[:140])


def _emptied(path):
    path.write_bytes(b"")


def _overrun(path):
    """The length of the transfer syntax covers what follows, series and modality among them."""
    data = bytearray(path.read_bytes())
    data[data.find(b"\x02\x00\x10\x00UI") + 7] = 1
    path.write_bytes(data)


def _zeroed(path):
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize(
    "damage",
    [_cut_in_pixels, _cut_in_header, _cut_behind_preamble, _emptied, _overrun, _zeroed],
    ids=lambda f: f.__name__[1:],
)
def test_a_slice_cut_short_or_emptied_is_refused_by_name(tmp_path, io_dicom, damage):
    paths = io_dicom(tmp_path / "s", 6)
    assert read_volume(tmp_path / "s").geometry.size_xyz[2] == 6
    damage(paths[-1])  # the last one: without it the stack is as regular as before
    for read in (read_volume, read_geometry):
        with pytest.raises(InputError, match=r"'001\.dcm'.*It belongs to series 'phantom' or may do so"):
            read(tmp_path / "s")


def test_several_damaged_slices_are_named_and_the_list_ends(tmp_path, io_dicom):
    for path in io_dicom(tmp_path / "s", 12)[3:]:
        _emptied(path)
    with pytest.raises(InputError, match=r"9 files cannot be read: '001.dcm', .*'005.dcm' and 4 more\. The first"):
        read_volume(tmp_path / "s")


def test_names_with_numbers_tell_files_without_extension(tmp_path, io_dicom):
    for number, path in enumerate(io_dicom(tmp_path / "s")):
        path.rename(path.with_name(f"IM{number:06d}"))
    (tmp_path / "s" / "README").write_text("how it was scanned")
    (tmp_path / "s" / "._IM000001").write_bytes(b"what macOS leaves behind")
    assert read_volume(tmp_path / "s").warnings == ()
    (tmp_path / "s" / "IM000004").write_bytes(b"")
    with pytest.raises(InputError, match=r"'IM000004' is empty \(0 bytes\)"):
        read_volume(tmp_path / "s")


def test_damage_elsewhere_does_not_concern_a_series(tmp_path, io_dicom):
    io_dicom(tmp_path / "a", series_uid="1.2.3.1", number=1)
    other = io_dicom(tmp_path / "b", series_uid="1.2.3.2", number=2)
    _emptied(other[0])
    _cut_in_pixels(other[1])
    assert np.array_equal(read_volume(tmp_path, series="1").array, expected_voxels())
    with pytest.raises(InputError, match="2 files cannot be read"):
        read_volume(tmp_path, series="2")


def _locking(monkeypatch, folder):
    """No user but root is kept out by permissions, so the system's answer is put in place."""
    scan = os.scandir

    def refusing(path="."):
        if os.fspath(path) == os.fspath(folder):
            raise PermissionError(13, "Permission denied", os.fspath(folder))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)


def test_a_folder_that_may_not_be_read_is_not_passed_over(tmp_path, io_dicom, monkeypatch):
    io_dicom(tmp_path / "s")
    (tmp_path / "s" / "more").mkdir()
    assert read_volume(tmp_path / "s").geometry.size_xyz[2] == 4
    with monkeypatch.context() as patch:
        _locking(patch, tmp_path / "s" / "more")
        patch.setattr(os, "access", lambda path, *_: Path(path).name != "more")
        with pytest.raises(InputError, match=r"'more' may not be read.*move what is none of its slices"):
            read_volume(tmp_path / "s")
    _locking(monkeypatch, tmp_path / "s")
    with pytest.raises(InputError, match=r"The folder .* may not be read by this user"):
        read_volume(tmp_path / "s")


# --- files that repeat others


def test_equal_instance_uids_do_not_make_ten_slices_one(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", 10, edit=lambda d, i: setattr(d, "SOPInstanceUID", "1.2.3"))
    volume = read_volume(tmp_path / "s")
    assert np.array_equal(volume.array, expected_voxels(10))
    assert "10 files share a SOP Instance UID" in " ".join(volume.warnings)
    assert "and 5 more" in " ".join(volume.warnings)


def test_a_copy_under_another_instance_uid_is_left_out_by_name(tmp_path, io_dicom, io_edit_dicom):
    paths = io_dicom(tmp_path / "s")
    copy = tmp_path / "s" / "again.dcm"
    copy.write_bytes(paths[2].read_bytes())
    io_edit_dicom(copy, SOPInstanceUID="1.2.3.4")
    volume = read_volume(tmp_path / "s")
    assert np.array_equal(volume.array, expected_voxels())
    assert any("were left out: 'again.dcm'." in text for text in volume.warnings)
    assert read_geometry(tmp_path / "s") == volume.geometry


def test_other_pixels_in_the_same_place_are_refused_by_name(tmp_path, io_dicom, io_edit_dicom):
    paths = io_dicom(tmp_path / "s")
    copy = tmp_path / "s" / "again.dcm"
    copy.write_bytes(paths[2].read_bytes())
    io_edit_dicom(copy, PixelData=bytes(60))  # with the instance UID of the other
    with pytest.raises(InputError, match=r"5 images at 4 positions.*'002.dcm', 'again.dcm'"):
        read_volume(tmp_path / "s")


def test_a_slice_written_over_another_leaves_a_gap_that_is_refused(tmp_path, io_dicom):
    paths = io_dicom(tmp_path / "s", 6)
    paths[2].write_bytes(paths[4].read_bytes())
    with pytest.raises(InputError, match="unevenly spaced"):
        read_volume(tmp_path / "s")


# --- headers that promise what is not there


def _peak_mb(read, path):
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as caught:
            read(path)
        return tracemalloc.get_traced_memory()[1] / 1e6, str(caught.value)
    finally:
        tracemalloc.stop()


def test_pixels_stated_longer_than_the_file_are_refused(tmp_path, io_dicom):
    path = io_dicom(tmp_path / "s", 1)[0]
    data = bytearray(path.read_bytes())
    place = data.rfind(b"\xe0\x7f\x10\x00OW")
    data[place + 8 : place + 12] = struct.pack("<L", 0x7FFFFFF0)
    path.write_bytes(data)
    peak, text = _peak_mb(read_volume, path)
    assert "the header of the pixels states 2,147,483,632" in text
    assert peak < 20


def test_an_element_stated_longer_than_the_file_is_refused(tmp_path, io_dicom):
    path = io_dicom(tmp_path / "s", 1, edit=lambda d, i: d.add_new(0x00091010, "OB", b"12345678"))[0]
    data = path.read_bytes()
    place = data.find(b"\x09\x00\x10\x10OB")
    path.write_bytes(data[: place + 8] + struct.pack("<L", 0x7FFFFFF0) + data[place + 12 :])
    peak, text = _peak_mb(read_volume, path)
    assert "no rows and columns" in text
    assert peak < 20


@pytest.mark.parametrize("rows", [4, 6, 10])
def test_rows_that_do_not_fit_the_pixels_are_refused(tmp_path, io_dicom, io_edit_dicom, rows):
    path = io_dicom(tmp_path / "s", 1)[0]
    io_edit_dicom(path, Rows=rows)
    with pytest.raises(InputError, match=f"{rows} rows of 6 pixels take {12 * rows} bytes"):
        read_volume(path)
    io_edit_dicom(path, Rows=5)
    assert read_volume(path).geometry.size_xyz == (6, 5, 1)


def test_a_deflated_file_is_refused_before_it_is_inflated(tmp_path, io_dicom):
    path = io_dicom(tmp_path / "s", 1)[0]
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    squeezed = zlib.compressobj(9, wbits=-15)
    bomb = squeezed.compress(bytes(200_000_000)) + squeezed.flush()
    path.write_bytes(path.read_bytes()[:400] + bomb)
    peak, text = _peak_mb(read_volume, path)
    assert "dcmconv" in text
    assert peak < 20


@pytest.mark.parametrize("undefined", [True, False])
def test_sequences_nested_without_end_are_no_crash(tmp_path, io_dicom, undefined):
    """Inside a private element, which is skipped or read through, but never followed to a crash."""
    path = io_dicom(tmp_path / "s", 1, edit=lambda d, i: d.add_new(0x00091010, "OB", b"mark"))[0]
    data, depth = path.read_bytes(), 20_000
    place = data.find(b"\x09\x00\x10\x10OB")
    head, item = b"\x09\x00\x10\x10SQ\0\0", b"\xfe\xff\x00\xe0"
    if undefined:
        nest = (head + b"\xff" * 4 + item + b"\xff" * 4) * depth
    else:
        nest = b"".join(
            head + struct.pack("<L", 20 * n + 8) + item + struct.pack("<L", 20 * n) for n in range(depth, -1, -1)
        )
    path.write_bytes(data[:place] + nest + data[place + 16 :])
    if undefined:
        with pytest.raises(InputError):
            read_volume(path)
    else:
        assert np.array_equal(read_volume(path).array, expected_voxels(1))


# --- compressed pixels


def _compressed(path, kind, array):
    """Writes `array` as one compressed slice."""
    image = sitk.GetImageFromArray(array[None])
    image.SetMetaData("0008|0060", "MR")
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(path))
    writer.SetUseCompression(True)
    writer.SetCompressor(kind)
    writer.Execute(image)
    return pydicom.dcmread(path)


@pytest.fixture
def picture():
    y, x = np.mgrid[:64, :64]
    noise = np.random.default_rng(3).integers(0, 60, (64, 64))
    return (1000 + 500 * np.sin(x / 5) * np.cos(y / 7) + noise).astype(np.uint16)


def _stream(dataset):
    return bytearray(next(generate_frames(dataset.PixelData, number_of_frames=1)))


def _rewritten(dataset, path, stream, *frames):
    dataset.PixelData = encapsulate([bytes(stream), *frames])
    dataset.save_as(path)


@pytest.mark.parametrize(("kind", "syntax"), [("JPEG2000", JPEG2000Lossless), ("JPEG", JPEGLosslessSV1)])
def test_lossless_compression_gives_the_pixels_back(tmp_path, picture, kind, syntax):
    dataset = _compressed(tmp_path / "c.dcm", kind, picture)
    assert dataset.file_meta.TransferSyntaxUID == syntax
    volume = read_volume(tmp_path / "c.dcm")
    assert np.array_equal(volume.array[0], picture)
    assert not any("loss" in text for text in volume.warnings)


def test_a_full_temporary_folder_is_told(tmp_path, picture, monkeypatch):
    _compressed(tmp_path / "c.dcm", "JPEG2000", picture)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pydicom.Dataset, "save_as", full)
    with pytest.raises(ResourceError, match=r"'c.dcm' cannot be decompressed.*No space left.*TMPDIR"):
        read_volume(tmp_path / "c.dcm")


def _halved(stream):
    return stream[: len(stream) // 2]


def _without_end(stream):
    return stream[:-2]


def _other_size(stream):
    at = stream.find(b"\xff\x51") if stream[:2] == b"\xff\x4f" else -1
    if at >= 0:
        stream[at + 6 : at + 10] = struct.pack(">L", 60000)
    else:
        at = stream.find(b"\xff\xc3")
        stream[at + 7 : at + 9] = struct.pack(">H", 60000)
    return stream


def _no_stream(stream):
    return b"\0" * len(stream)


@pytest.mark.parametrize("kind", ["JPEG2000", "JPEG"])
@pytest.mark.parametrize("damage", [_halved, _without_end, _other_size, _no_stream], ids=lambda f: f.__name__[1:])
def test_a_damaged_stream_is_refused(tmp_path, picture, kind, damage):
    dataset = _compressed(tmp_path / "c.dcm", kind, picture)
    _rewritten(dataset, tmp_path / "c.dcm", damage(_stream(dataset)))
    with pytest.raises(InputError, match=r"'c.dcm' is corrupt: its JPEG.* stream is damaged"):
        read_volume(tmp_path / "c.dcm")


def test_zeros_in_place_of_coded_data_are_refused(tmp_path, picture):
    dataset = _compressed(tmp_path / "c.dcm", "JPEG2000", picture)
    stream = _stream(dataset)
    stream[1000:1512] = bytes(512)
    _rewritten(dataset, tmp_path / "c.dcm", stream)
    with pytest.raises(InputError, match="overwritten by zeros"):
        read_volume(tmp_path / "c.dcm")


def test_a_file_cut_within_compressed_pixels_is_refused(tmp_path, picture):
    _compressed(tmp_path / "c.dcm", "JPEG2000", picture)
    data = (tmp_path / "c.dcm").read_bytes()
    for left in (len(data) - 4, len(data) - 8, len(data) - 600):
        (tmp_path / "c.dcm").write_bytes(data[:left])
        with pytest.raises(InputError, match=r"truncated|cut or damaged"):
            read_volume(tmp_path / "c.dcm")


def test_run_lengths_that_end_early_are_refused(tmp_path, io_dicom):
    path = io_dicom(tmp_path / "s", 1, size_xy=(8, 8))[0]
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    assert np.array_equal(read_volume(path).array, expected_voxels(1, (8, 8)))
    stream = _stream(dataset)
    segments = struct.unpack_from("<3L", stream)
    _rewritten(dataset, path, stream[: segments[2] + 4])
    with pytest.raises(InputError, match=r"RLE stream is damaged \(a segment is cut\)"):
        read_volume(path)


@pytest.mark.parametrize("ratio", [None, ["3.1", "12.4"]])
def test_compression_with_loss_is_told(tmp_path, io_dicom, ratio):
    def edit(dataset, i):
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionRatio = ratio

    io_dicom(tmp_path / "s", edit=edit)
    told = " ".join(read_volume(tmp_path / "s").warnings)
    assert f"compressed with loss{', about 12:1' if ratio else ''}: fine detail was taken out" in told
    io_dicom(tmp_path / "lossless", edit=lambda d, i: setattr(d, "LossyImageCompression", "00"))
    assert read_volume(tmp_path / "lossless").warnings == ()


# --- pixels of other kinds


def test_big_endian_pixels_are_read(tmp_path, io_dicom):
    def edit(dataset, i):
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"

    io_dicom(tmp_path / "s", edit=edit)
    assert np.array_equal(read_volume(tmp_path / "s").array, expected_voxels())


@pytest.mark.parametrize("planar", [0, 1])
def test_colours_are_read_in_both_orders(tmp_path, io_dicom, planar):
    colours = np.random.default_rng(1).integers(0, 256, (5, 6, 3)).astype(np.uint8)

    def edit(dataset, i):
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", planar
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = (np.moveaxis(colours, -1, 0) if planar else colours).tobytes()

    volume = read_volume(io_dicom(tmp_path / "s", 1, edit=edit)[0])
    assert np.array_equal(volume.array[0], colours)


def test_bits_that_are_not_in_use_are_not_taken_for_signal(tmp_path, io_dicom):
    """Graphics in the four upper bits, as older scanners wrote them, are cut off; words without them are whole."""

    def edit(dataset, i):
        words = np.frombuffer(dataset.PixelData, np.uint16)
        dataset.PixelData = (words | (0x8000 * (words % 2 == 0)).astype(np.uint16)).tobytes()
        dataset.add_new(0x60000102, "US", 15)

    io_dicom(tmp_path / "s", edit=edit)
    assert np.array_equal(read_volume(tmp_path / "s").array, expected_voxels())


def test_signed_numbers_of_twelve_bits_keep_their_sign(tmp_path, io_dicom):
    values = np.arange(-15, 15).reshape(5, 6)

    def edit(dataset, i):
        dataset.PixelRepresentation = 1
        words = values.astype(np.int16)
        dataset.PixelData = (words if i % 2 else words & 0x0FFF).tobytes()

    volume = read_volume(io_dicom(tmp_path / "s", 2, edit=edit)[0].parent)
    assert np.array_equal(volume.array[0], values)
    assert np.array_equal(volume.array[1], values)


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"BitsStored": 20}, "20 of them in use"),
        ({"BitsAllocated": 12}, "have 12 bits"),
        ({"PixelRepresentation": 3}, "neither 0 nor 1"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"SamplesPerPixel": 4}, "4 values per pixel"),
        ({"ModalityLUTSequence": [Dataset()]}, "by a table"),
    ],
)
def test_pixels_that_are_not_read_are_refused_with_what_is(tmp_path, io_dicom, elements, words):
    def edit(dataset, i):
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)

    path = io_dicom(tmp_path / "s", 1, edit=edit)[0]
    with pytest.raises(InputError, match=words):
        read_volume(path)


def test_reading_takes_little_more_memory_than_the_volume(tmp_path, io_dicom):
    def edit(dataset, i):
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024

    io_dicom(tmp_path / "s", 40, size_xy=(128, 128), modality="CT", edit=edit)
    read_volume(tmp_path / "s")  # what is imported late
    tracemalloc.start()
    try:
        volume = read_volume(tmp_path / "s")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * volume.array.nbytes + 2_000_000


@pytest.mark.parametrize("element", [b"CS\x02\x00MR", b"LO\x08\x00phantom "])
def test_names_that_damage_moved_elsewhere_are_not_repeated(tmp_path, io_dicom, caplog, element):
    """An element whose length covers what follows holds the name of the patient; nothing quotes it."""
    path = io_dicom(tmp_path / "s", 1)[0]
    data = path.read_bytes()
    assert data.count(element) == 1
    start = data.index(element)
    behind = data.index(b"\x10\x00\x20\x00LO")  # the element after the name
    length = struct.pack("<H", behind - start - 4)
    path.write_bytes(data[: start + 2] + length + data[start + 4 :])
    with caplog.at_level(0):
        try:
            volume = read_volume(path)
            said = f"{volume.metadata} {volume.warnings} {volume.facts}"
        except InputError as error:
            said = str(error)
    assert "Secret" not in said + caplog.text

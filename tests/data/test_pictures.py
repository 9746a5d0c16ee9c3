"""Files of pictures as whole grey levels, and one line for what cannot be taken as it is."""

import numpy as np
import pytest
from PIL import Image

from pipeline.data.pictures import read_pictures

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
SHAPE = (1, 3, 4)


def read(folder, *names, shape=SHAPE):
    return read_pictures(folder, np.array(names, dtype=object), "image", shape)


def said(folder, name, shape=SHAPE):
    _, (fault,) = read(folder, name, shape=shape)
    assert (fault.column, fault.rows.tolist()) == ("image", [0])
    return fault.said


@pytest.fixture
def folder(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([GREY, GREY[::-1], 0 * GREY], -1)).save(tmp_path / "colour.png")
    Image.fromarray(GREY).save(tmp_path / "grey.jpg", quality=100)
    return tmp_path


def test_grey_levels_are_those_of_the_file(folder):
    x, faults = read(folder, "grey.png", "grey.png")
    assert not faults
    assert x.dtype == np.uint8
    np.testing.assert_array_equal(x, np.stack([GREY[None]] * 2))


def test_channels_come_first(folder):
    x, faults = read(folder, "colour.png", shape=(3, 3, 4))
    assert not faults
    np.testing.assert_array_equal(x[0, 0], GREY)
    np.testing.assert_array_equal(x[0, 1], GREY[::-1])
    assert not x[0, 2].any()


def test_a_jpeg_is_read_as_well(folder):
    x, faults = read(folder, "grey.jpg")
    assert not faults
    assert np.abs(x[0, 0].astype(int) - GREY).max() <= 3


def test_every_fault_is_told_once_for_all_who_share_it(folder):
    (folder / "text.png").write_text("no picture")
    _, faults = read(folder, "grey.png", "gone.png", "text.png", "none.png")
    assert {tuple(fault.rows) for fault in faults} == {(1, 3), (2,)}


def test_no_fault_names_a_file_which_may_be_a_patient(folder):
    _, faults = read(folder, "Doe_Jane_1970.png")
    assert "Doe" not in faults[0].said


@pytest.mark.parametrize(
    ("mode", "why"),
    [("RGB", "mode RGB, data.image.shape says 1"), ("P", "mode P; save"), ("I;16", "more than 8")],
)
def test_what_is_no_grey_of_8_bits_is_refused(folder, mode, why):
    whole, deep = Image.fromarray(GREY), Image.fromarray(GREY.astype(np.uint16) * 100)
    (deep if mode == "I;16" else whole.convert(mode)).save(folder / "other.png")
    assert why in said(folder, "other.png")


def test_nothing_is_scaled(folder):
    assert "is 1 x 3 x 4 (channels, height, width), data.image.shape says 1 x 4 x 4" in said(
        folder, "grey.png", (1, 4, 4)
    )


def test_a_file_that_is_cut_off_is_refused(folder):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "cut.png")
    whole = (folder / "cut.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    assert "damaged" in said(folder, "cut.png", (1, 64, 64))


def written(path, pixels, **header):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    one = pydicom.Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    one.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["a test"])
    one.Rows, one.Columns = pixels.shape
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated = one.BitsStored = pixels.dtype.itemsize * 8
    one.HighBit, one.PixelRepresentation = one.BitsStored - 1, int(pixels.dtype.kind == "i")
    one.PixelData = pixels.tobytes()
    one.PatientName = "Doe^Jane"
    for name, value in header.items():
        setattr(one, name, value)
    one.save_as(path, enforce_file_format=True)


def test_dicom_of_8_bits_is_its_pixels(folder):
    written(folder / "a.dcm", GREY)
    x, faults = read(folder, "a.dcm")
    assert not faults
    np.testing.assert_array_equal(x[0, 0], GREY)


def test_dicom_is_windowed_to_8_bits_and_dark_is_low(folder):
    raw = np.linspace(0, 4095, 12).astype(np.uint16).reshape(3, 4)
    window = {"WindowCenter": 2048, "WindowWidth": 2048}
    written(folder / "a.dcm", raw, **window)
    x = read(folder, "a.dcm")[0][0, 0].astype(float)
    exact = ((raw - (2048 - 0.5)) / (2048 - 1) + 0.5).clip(0, 1) * 255
    assert np.abs(x - exact).max() <= 0.5 + 1e-6
    written(folder / "b.dcm", raw, PhotometricInterpretation="MONOCHROME1", **window)
    np.testing.assert_array_equal(read(folder, "b.dcm")[0][0, 0], 255 - x)


def test_dicom_of_signed_values_with_a_slope_is_windowed_in_its_own_units(folder):
    raw = np.linspace(-1000, 3000, 12).astype(np.int16).reshape(3, 4)
    window = {"WindowCenter": 40, "WindowWidth": 400}
    written(folder / "a.dcm", raw, RescaleSlope=2, RescaleIntercept=-10, **window)
    x = read(folder, "a.dcm")[0][0, 0].astype(float)
    exact = (((2.0 * raw - 10) - (40 - 0.5)) / (400 - 1) + 0.5).clip(0, 1) * 255
    assert np.abs(x - exact).max() <= 0.5 + 1e-6


def test_dicom_without_a_window_is_refused_where_8_bits_do_not_hold_it(folder):
    written(folder / "a.dcm", GREY.astype(np.uint16))
    assert "16 bits and no window" in said(folder, "a.dcm")


def test_a_file_that_only_says_it_is_dicom_is_refused(folder):
    (folder / "a.dcm").write_bytes(b"\0" * 200)
    assert "cannot be read as DICOM" in said(folder, "a.dcm")

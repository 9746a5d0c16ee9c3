"""Files of pictures, PNG, JPEG or DICOM, as whole grey levels of 8 bits; nothing else is read.

Of a DICOM file only the pixels are looked at: whom it shows stands in its header.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.values import Fault, Text
from pipeline.files import BadInput

DICOM = (".dcm", ".dicom")
MODES = {1: "L", 3: "RGB"}  # how Pillow calls pictures of so many channels
AT_MOST = 255

Bytes = NDArray[np.uint8]


def read_pictures(
    folder: Path, names: Text, column: str, shape: Sequence[int]
) -> tuple[Bytes, list[Fault]]:
    """Reads pictures and says what is wrong with each that cannot be taken as it is.

    Nothing is scaled, cut or quantised on the way: that is a decision about patients, and belongs
    to whoever prepares the files.

    Args:
        folder: where the names start from.
        names: (N,) of the files.
        column: in which they stand, for the faults.
        shape: (C, H, W) of every picture.

    Returns:
        (N, C, H, W), zeros where a picture is at fault; and the faults.
    """
    x = np.zeros((len(names), *shape), dtype=np.uint8)
    wrong: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        try:
            x[row] = _read(folder / str(name), shape)
        except BadInput as why:
            wrong.setdefault(str(why), []).append(row)
    return x, [Fault(column, np.array(rows), why) for why, rows in wrong.items()]


def _read(path: Path, shape: Sequence[int]) -> Bytes:
    """(C, H, W) of one file.

    Raises:
        BadInput: what is wrong, without the file's name, which may be a patient's.
    """
    if not path.is_file():
        raise BadInput("no such file; names start from the folder of the file of labels")
    levels = _dicom(path) if path.suffix.lower() in DICOM else _picture(path, shape[0])
    levels = levels[None] if levels.ndim == 2 else levels.transpose(2, 0, 1)
    if list(levels.shape) != list(shape):
        found, wanted = (" x ".join(map(str, one)) for one in (levels.shape, shape))
        raise BadInput(
            f"is {found} (channels, height, width), data.image.shape says {wanted}; scale the files"
        )
    return levels


def _picture(path: Path, channels: int) -> NDArray[Any]:
    """(H, W) or (H, W, C) of a PNG or JPEG file of 8 bits."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            if picture.mode.startswith(("I", "F")):
                raise BadInput("has more than 8 bits a pixel; write it down in 8, by a window")
            if picture.mode in ("1", "P", "LA", "RGBA", "CMYK"):
                raise BadInput(
                    f"is of mode {picture.mode}; save it as grey (L) or colour (RGB), 8 bits each"
                )
            if picture.mode != MODES.get(channels):
                raise BadInput(
                    f"is of mode {picture.mode}, data.image.shape says {channels} channels"
                )
            return np.asarray(picture)
    except UnidentifiedImageError:
        raise BadInput("no PNG, JPEG or DICOM file") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"damaged ({type(error).__name__})") from None


def _dicom(path: Path) -> NDArray[Any]:
    """(H, W) of the pixels of a DICOM file, by its own window, dark = low."""
    try:
        from pydicom import dcmread
        from pydicom.errors import InvalidDicomError
        from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
    except ImportError:
        raise BadInput("DICOM files need pydicom: pip install 'medsecure[dicom]'") from None
    try:
        read = dcmread(path)
        windowed = "WindowCenter" in read
        raw = read.pixel_array
        if raw.ndim != 2:
            raise BadInput("holds more than one frame, or colours; take grey single frames")
        linear = apply_modality_lut(raw, read)
        levels = (apply_voi_lut(linear, read, prefer_lut=False) if windowed else linear).astype(
            np.float64
        )
        inverted = read.get("PhotometricInterpretation") == "MONOCHROME1"
        stored = int(read.get("BitsStored", 16))
    except BadInput:
        raise
    except (InvalidDicomError, OSError, AttributeError, ValueError, NotImplementedError) as error:
        raise BadInput(f"cannot be read as DICOM ({type(error).__name__})") from None
    if not windowed and stored > 8:
        raise BadInput(f"holds {stored} bits and no window; give WindowCenter and WindowWidth")
    low, high = (0.0, 255.0) if not windowed else _ends(read)
    levels = ((levels - low) / (high - low)).clip(0, 1) * AT_MOST
    levels = AT_MOST - levels if inverted else levels
    return np.asarray(np.rint(levels).astype(np.uint8))


def _ends(read: Any) -> tuple[float, float]:
    """The values that `apply_voi_lut` gives to what is darkest and brightest in a window."""
    stored, signed = int(read.BitsStored), int(read.get("PixelRepresentation", 0))
    low = -(2.0 ** (stored - 1)) if signed else 0.0
    high = low + 2.0**stored - 1
    slope, intercept = float(read.get("RescaleSlope", 1)), float(read.get("RescaleIntercept", 0))
    return low * slope + intercept, high * slope + intercept

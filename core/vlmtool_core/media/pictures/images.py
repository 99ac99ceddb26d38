"""Pictures through Pillow: PNG, JPEG, WebP, BMP, GIF, JPEG 2000, AVIF, HEIC; EXIF applied once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmtool_core.errors import (
    BudgetExceededError,
    DamagedMediaError,
    MediaError,
    MediaNotFoundError,
)
from vlmtool_core.media.base import MediaInfo, Window
from vlmtool_core.media.budget import (
    check_file,
    check_frames,
    check_memory,
    check_pixels,
    current_budget,
    scaled_size,
)
from vlmtool_core.media.pictures.animation import frame_durations, start_times
from vlmtool_core.media.pictures.coded_headers import exif_of_png
from vlmtool_core.media.pictures.colour import profile_notes, to_srgb
from vlmtool_core.media.pictures.deep import GreyPage
from vlmtool_core.media.pictures.derived import derivation_of
from vlmtool_core.media.pixels import orient, percentile_window, resize, rgb
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.records import Frame, Json, MediaKind

if TYPE_CHECKING:
    from PIL.Image import Image

# Pillow also reads formats that run other programs (EPS) or are no pictures; these are asked for.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "JPEG2000", "PPM", "AVIF", "TIFF", "HEIF")
PLUGINS = ("Avif", "Jpeg2K", "Tiff", "WebP")  # those that Pillow does not load by itself
ORIENTATION = 0x0112
_SCALED_BEFORE_CONVERSION = ("L", "RGB", "CMYK", "YCbCr", "LAB")
_TRANSPARENT = ("RGBA", "LA", "PA", "RGBa", "La")
# HDR stills hold light, not the numbers that a screen takes (H.273, table 3).
_HDR = {16: "PQ", 18: "HLG"}


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into one of our errors that names the file."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise BudgetExceededError(str(error), path=path, field="max_megapixels") from error
    except UnidentifiedImageError as error:
        raise DamagedMediaError("the picture's header cannot be read", path=path) from error
    except MemoryError as error:
        raise BudgetExceededError("not enough memory to decode it", path=path) from error
    except (FileNotFoundError, PermissionError) as error:
        raise MediaNotFoundError(error.strerror or str(error), path=path) from error
    except IndexError as error:
        raise DamagedMediaError(f"cannot be decoded: {error}", path=path) from error
    except Exception as error:
        raise DamagedMediaError(f"cannot be decoded: {error}", path=path) from error


def open_pillow(path: Path) -> Image:
    """Read the header with our own limits in place of Pillow's.

    Raises
    ------
    MediaError
    """
    from PIL import Image

    for plugin in PLUGINS:
        import_module(f"PIL.{plugin}ImagePlugin")
    _register_heif()
    budget = current_budget()
    # Pillow refuses from twice this value on; between, it only warns, and we refuse ourselves.
    Image.MAX_IMAGE_PIXELS = budget.max_pixels
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    with decoding(path):
        image = Image.open(path, formats=FORMATS)
    try:
        check_pixels(path, image.width, image.height, budget)
    except MediaError:
        image.close()
        raise
    return image


@cache
def _register_heif() -> None:
    """Let Pillow read HEIC. Depth maps and previews in it are left alone."""
    import pi_heif

    pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)


class ImageSource(SourceBase):
    """A still or animated picture.

    Raises
    ------
    MediaError : the header cannot be read or asks for too much
    """

    def __init__(self, path: Path) -> None:
        check_file(path)
        self._animation: Image | None = None
        self._times: list[float] | None = None
        image = open_pillow(path)
        try:
            self._info = self._describe(path, image)
        except MediaError:
            image.close()
            raise
        if self._info.frame_count != 1:
            self._animation = image
        else:
            image.close()

    def _describe(self, path: Path, image: Image) -> MediaInfo:
        with decoding(path):
            self._orientation, notes = orientation_of(image)
            notes = (*notes, *profile_notes(image.info.get("icc_profile"), image.mode))
            notes = (*notes, *_heif_notes(image))
            derivation = derivation_of(image.info)
            count = _pictures_in(image)
            check_frames(path, count)
            durations = frame_durations(path, image, count) if count > 1 else ()
        self._screen = width, height = image.size
        if self._orientation in (5, 6, 7, 8):
            width, height = height, width
        facts: dict[str, Json] = {"format": image.format, "mode": image.mode}
        if derivation is not None:
            notes = (*notes, derivation.in_words())
            facts["derived"] = derivation.to_json()
        total = sum(durations)
        self._times = start_times(durations) if durations else None
        return MediaInfo(
            path,
            MediaKind.IMAGE,
            width,
            height,
            count,
            duration_s=total or None,
            rate=count / total if total else None,
            warnings=notes,
            facts=facts,
        )

    def frame(
        self,
        index: int = 0,
        *,
        max_side: int | None = None,
        window: Window | None = None,  # noqa: ARG002
    ) -> Frame:
        """See `MediaSource.frame`; `window` does not apply."""
        self._check_index(index)
        if self._animation is not None:
            with decoding(self.path):
                self._animation = _at_frame(self._animation, index, self.path)
            return self._decode(self._animation, index, max_side)
        with open_pillow(self.path) as image:
            return self._decode(image, index, max_side)

    def reduced(self, index: int, shorter: int) -> Frame:
        """The frame at the smallest size that costs nothing to make: a JPEG is decoded to a half,
        a quarter or an eighth as far as its shorter side keeps `shorter` pixels; others are whole.

        Raises
        ------
        IndexError, MediaError
        """
        self._check_index(index)
        if self._animation is not None:
            return self.frame(index)
        with open_pillow(self.path) as image:
            return self._decode(image, index, None, _least_draft(image, shorter))

    def _decode(
        self,
        image: Image,
        index: int,
        max_side: int | None,
        draft: tuple[int, int] | None = None,
    ) -> Frame:
        provenance: dict[str, Json] = {"decoder": decoder_name(), "format": image.format}
        if self._orientation != 1:
            provenance["orientation"] = self._orientation
        if max_side is not None:
            draft = scaled_size(*image.size, max_side)
        with decoding(self.path):
            _draft(image, draft, provenance)
            check_memory(self.path, _bytes_to_decode(image, max_side))
            if self._animation is not None and image.size != self._screen:
                # Pillow lets a frame that reaches beyond the screen enlarge the picture.
                image = image.crop((0, 0, *self._screen))
            pixels = decode_rgb(image, max_side, provenance, self._orientation)
        size = (self._info.width, self._info.height)
        shown = (int(pixels.shape[1]), int(pixels.shape[0]))
        if shown != size:
            provenance["resized"] = list(shown)
        time_s = self._times[index] if self._times else None
        return Frame(pixels, index, time_s, provenance, size if shown != size else None)

    def close(self) -> None:
        if self._animation is not None:
            self._animation.close()


def decoder_name() -> str:
    import PIL

    return f"Pillow {PIL.__version__}"


def orientation_of(image: Image) -> tuple[int, tuple[str, ...]]:
    """EXIF orientation 1 to 8, and a warning when the EXIF block is broken."""
    try:
        if image.format == "PNG" and "exif" not in image.info:
            # Pillow would decode all pixels to see whether the block comes after them.
            block = exif_of_png(Path(getattr(image, "filename", "")))
            if not block:
                return 1, ()
            image.info["exif"] = block
        value = image.getexif().get(ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, EOFError) as error:
        return 1, (f"the EXIF block is damaged ({error}); the orientation is not applied",)
    return (value, ()) if isinstance(value, int) and 1 <= value <= 8 else (1, ())


def _least_draft(image: Image, shorter: int) -> tuple[int, int] | None:
    """The size that makes the JPEG decoder leave out as much as `shorter` pixels allow."""
    for scale in (8, 4, 2):
        if min(image.size) >= scale * shorter:
            return image.width // scale, image.height // scale
    return None


def _draft(image: Image, size: tuple[int, int] | None, provenance: dict[str, Json]) -> None:
    """Let the JPEG decoder leave out what a picture of `size` does not need."""
    if size is None or image.format not in ("JPEG", "MPO"):
        return
    before = image.size
    image.draft(None, size)
    if image.size != before:
        provenance["dct_scale"] = f"1/{round(before[0] / image.size[0])}"


def _bytes_to_decode(image: Image, max_side: int | None) -> int:
    """Most memory that decoding holds at once: the decoded picture and full-size copies of it."""
    stored = {"1": 1, "L": 1, "P": 1, "LA": 4}.get(image.mode, 4)
    shrinks = scaled_size(*image.size, max_side) != image.size
    copies = 0 if shrinks and image.mode in _SCALED_BEFORE_CONVERSION else 10
    return image.width * image.height * (stored + copies)


def decode_rgb(
    image: Image, max_side: int | None, provenance: dict[str, Json], orientation: int = 1
) -> np.ndarray:
    """Pixels of an opened picture as oriented uint8 RGB (h, w, 3)."""
    image.load()
    size = scaled_size(*image.size, max_side)
    if size != image.size and image.mode in _SCALED_BEFORE_CONVERSION:
        image = resize(image, size)
    pixels = _to_rgb(image, provenance)
    if (pixels.shape[1], pixels.shape[0]) != size:
        from PIL import Image as pillow

        pixels = np.asarray(resize(pillow.fromarray(pixels), size))
    return np.ascontiguousarray(orient(pixels, orientation))


def _to_rgb(image: Image, provenance: dict[str, Json]) -> np.ndarray:
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        values = np.asarray(image)
        window = percentile_window(values)
        provenance["scaling"] = {"rule": window.explanation, "low": window.center, "of": mode}
        return rgb(GreyPage(values).shown(window))
    if mode in _TRANSPARENT or "transparency" in image.info:
        provenance["alpha"] = "over white"
        whole: Any = image.convert("RGBA")
        whole.info.setdefault("icc_profile", image.info.get("icc_profile"))
        colours = np.asarray(to_srgb(whole.convert("RGB"), provenance))
        return rgb(np.concatenate([colours, np.asarray(whole)[:, :, 3:]], axis=2))
    return np.asarray(to_srgb(image, provenance))


def _pictures_in(image: Image) -> int:
    """Frames that a user wants. An MPO's further pictures are previews of the first one; those of
    a HEIC stand beside its main one, each of its own size."""
    if image.format in ("MPO", "HEIF"):
        return 1
    return int(getattr(image, "n_frames", 1)) - _first_frame(image)


def _first_frame(image: Image) -> int:
    """1 where an APNG has a still for programs that do not know it, which is no frame of it."""
    return int(bool(image.format == "PNG" and getattr(image, "default_image", False)))


def _at_frame(image: Image, index: int, path: Path) -> Image:
    """The animation at a frame; a PNG is opened anew to go back, which Pillow cannot always do."""
    wanted = index + _first_frame(image)
    if image.format == "PNG" and wanted < image.tell():
        image.close()
        image = open_pillow(path)
    image.seek(wanted)
    return image


def _heif_notes(image: Image) -> tuple[str, ...]:
    """What a HEIC holds beside what is shown of it."""
    others = int(getattr(image, "n_frames", 1)) - 1 if image.format == "HEIF" else 0
    beside = (f"{others} more pictures are in the file; the main one is shown",) if others else ()
    nclx = image.info.get("nclx_profile")
    transfer = nclx.get("transfer_characteristics") if isinstance(nclx, dict) else None
    name = _HDR.get(int(transfer)) if transfer is not None else None
    hdr = (f"HDR ({name}) shown without tone mapping: brightness is not as meant",) if name else ()
    return beside + hdr

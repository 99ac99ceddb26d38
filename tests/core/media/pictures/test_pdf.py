"""PDF pages as frames: sizes, colours and places against what was put on the page."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmtool_core.errors import BudgetExceededError, DamagedMediaError, UnsupportedMediaError
from vlmtool_core.media import open_media, scan
from vlmtool_core.settings import Settings, save_settings

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def drawn(path: Path, *pages: str, size: tuple[int, int] = (144, 72), extra: str = "") -> Path:
    """A PDF whose pages (width, height in points) hold these drawing operators."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{3 + 2 * n} 0 R" for n in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>")
    for n, content in enumerate(pages):
        box = f"/MediaBox [0 0 {size[0]} {size[1]}]"
        objects.append(f"<< /Type /Page /Parent 2 0 R {box} /Contents {4 + 2 * n} 0 R {extra} >>")
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    data, offsets = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{text}\nendobj\n".encode()
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    data += (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
        f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
    ).encode()
    path.write_bytes(data)
    return path


# The left half red, a green square at the top right corner; y goes up in a PDF.
FLAG = "1 0 0 rg 0 0 72 72 re f 0 1 0 rg 108 36 36 36 re f"


def test_a_page_is_drawn_at_the_chosen_resolution(tmp_path):
    path = drawn(tmp_path / "flag.pdf", FLAG, "0 0 1 rg 0 0 144 72 re f")
    with open_media(path) as source:
        info = source.info
        assert (info.width, info.height, info.frame_count) == (300, 150, 2)
        assert info.facts == {"format": "PDF", "dpi": 150}
        first, second = source.frame(0).pixels, source.frame(1).pixels
    assert first.shape == (150, 300, 3)
    assert tuple(first[75, 50]) == RED
    assert tuple(first[30, 270]) == GREEN
    assert tuple(first[120, 270]) == (255, 255, 255)
    assert tuple(second[10, 10]) == BLUE


def test_the_resolution_is_a_setting(tmp_path):
    save_settings(Settings(pdf_dpi=72))
    with open_media(drawn(tmp_path / "flag.pdf", FLAG)) as source:
        frame = source.frame(0)
    assert frame.pixels.shape == (72, 144, 3)
    assert frame.provenance["dpi"] == 72


def test_a_smaller_page_keeps_the_size_of_the_source(tmp_path):
    with open_media(drawn(tmp_path / "flag.pdf", FLAG)) as source:
        frame = source.frame(0, max_side=100)
    assert frame.pixels.shape == (50, 100, 3)
    assert frame.size == (300, 150)
    assert tuple(frame.pixels[25, 20]) == RED


def test_a_turned_page_is_upright(tmp_path):
    with open_media(drawn(tmp_path / "turned.pdf", FLAG, extra="/Rotate 90")) as source:
        frame = source.frame(0)
    assert frame.pixels.shape == (300, 150, 3)
    assert tuple(frame.pixels[50, 75]) == RED  # the left half is on top after a quarter turn
    assert tuple(frame.pixels[270, 120]) == GREEN


def test_a_scanned_sheet_has_the_pixels_of_its_scan(tmp_path):
    save_settings(Settings(pdf_dpi=100))
    scan_pixels = np.zeros((60, 80, 3), np.uint8)
    scan_pixels[20:40, 30:60] = (200, 100, 50)
    Image.fromarray(scan_pixels).save(tmp_path / "sheet.pdf", resolution=100, quality=100)
    with open_media(tmp_path / "sheet.pdf") as source:
        shown = source.frame(0).pixels
    assert shown.shape == scan_pixels.shape
    difference = np.abs(shown[2:-2, 2:-2].astype(int) - scan_pixels[2:-2, 2:-2]).mean()
    assert difference < 4


def test_scan_takes_pdfs_as_pictures(tmp_path):
    drawn(tmp_path / "a.pdf", FLAG)
    (tmp_path / "b.pdf").write_text("this is no PDF")
    found = {item.name: item for item in scan([tmp_path])}
    assert found["a.pdf"].error is None
    assert found["b.pdf"].error is not None


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"%PDF-1.4\nnothing", DamagedMediaError), (b"%PDF-", DamagedMediaError)],
)
def test_a_damaged_file_is_named(tmp_path, data, error):
    path = tmp_path / "damaged.pdf"
    path.write_bytes(data)
    with pytest.raises(error) as caught:
        open_media(path)
    assert caught.value.path == str(path)


def test_a_locked_file_says_so(tmp_path):
    path = drawn(tmp_path / "locked.pdf", FLAG)
    key = "<00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff>"
    lock = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O {key} /U {key} /P -4 >> /ID [<00> <00>]"
    path.write_bytes(path.read_bytes().replace(b"/Root 1 0 R", f"/Root 1 0 R {lock}".encode()))
    with pytest.raises(UnsupportedMediaError, match="password"):
        open_media(path)


def test_a_page_of_square_kilometres_is_refused_from_its_header(tmp_path):
    path = drawn(tmp_path / "wall.pdf", FLAG, size=(40_000, 40_000))
    with pytest.raises(BudgetExceededError, match="megapixels"):
        open_media(path)


def test_threads_draw_the_same_pages(tmp_path):
    path = drawn(tmp_path / "many.pdf", *[f"{n / 10} 0 0 rg 0 0 144 72 re f" for n in range(10)])

    def page(index: int) -> tuple[int, ...]:
        with open_media(path) as source:
            return tuple(source.frame(index).pixels[50, 50])

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(page, [*range(10)] * 3))
    assert found[:10] == found[10:20] == found[20:]
    assert len(set(found)) == 10

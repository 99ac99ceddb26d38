"""Everything that the pictures of the window show, drawn here: no picture comes from elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.desktop import media_files

from vlmtool_education.drawing import DemoSheets, draw_demo_sheets, write_picture
from vlmtool_security.sample import draw_sample

DIGITS = ("3", "5", "8")
PER_DIGIT = 62
# Strokes of each digit as corners in a square of side 1, x to the right and y down.
STROKES = {
    "3": ((0.2, 0.1), (0.75, 0.1), (0.42, 0.42), (0.78, 0.6), (0.62, 0.9), (0.2, 0.86)),
    "5": ((0.78, 0.1), (0.3, 0.1), (0.26, 0.45), (0.7, 0.5), (0.74, 0.82), (0.22, 0.9)),
    "8": (
        *((0.5, 0.48), (0.2, 0.28), (0.5, 0.06), (0.78, 0.28), (0.5, 0.48)),
        *((0.2, 0.74), (0.5, 0.94), (0.8, 0.74), (0.5, 0.48)),
    ),
}
FORMS = (
    ("2041", "Lena Brandt", (("Paper, A4", "12", "54.00"), ("Folders", "40", "31.20"))),
    ("2042", "Omar Haddad", (("Desk lamp", "2", "47.80"), ("Batteries", "24", "19.20"))),
    ("2043", "Ines Moreau", (("Chairs", "6", "348.00"), ("Floor mat", "1", "29.90"))),
)
FORM_SIZE = (900, 1100)
SIGNATURE = (90.0, 880.0, 480.0, 990.0)
# Where the corners of the form lie in its photograph, clockwise from the upper left.
FORM_CORNERS = ((75, 60), (968, 92), (942, 1165), (52, 1138))
NODULE = (75.0, 108.0, 95.0, 128.0)
# Strokes on the slice with the nodule, by tool.
MEASURED = {
    "distance": ((128.0, 66.0), (146.0, 166.0)),
    "ellipse": ((164.0, 112.0), (194.0, 148.0)),
}


def write_all(folder: Path) -> DemoSheets:
    """Forms, a chart, a clip, a CT series, handwritten digits; answer sheets in `exam`."""
    from PIL import Image

    for number, name, lines in FORMS:
        write_picture(folder / "office" / f"delivery-{number}.jpg", form(number, name, lines))
    Image.fromarray(chart()).save(folder / "office" / "chart.png")
    draw_sample(folder / "camera")
    media_files.write_series(folder / "ct series", base=phantom(), window=(-100, 1200))
    rng = np.random.default_rng(11)
    for digit in DIGITS:
        (folder / "digits" / digit).mkdir(parents=True)
        for one in range(1, PER_DIGIT + 1):
            path = folder / "digits" / digit / f"{digit}-{one:02d}.png"
            Image.fromarray(handwritten(digit, rng)).save(path)
    (folder / "office" / "scan damaged.jpg").write_bytes(b"\xff\xd8\xff")
    return draw_demo_sheets(folder.parent / "exam", students=6)


def form(number: str, name: str, lines: tuple[tuple[str, str, str], ...]) -> np.ndarray:
    """A photographed delivery note with a signature, uint8 (1240, 1020, 3)."""
    import cv2
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", FORM_SIZE, (249, 248, 243))
    pen = ImageDraw.Draw(page)
    big, middle = ImageFont.load_default(58), ImageFont.load_default(34)
    ink = (38, 40, 52)
    pen.rectangle((0, 0, FORM_SIZE[0], 26), fill=(40, 92, 140))
    pen.text((90, 80), "Delivery note", ink, big)
    for row, (title, value) in enumerate(
        (("Number", number), ("Date", "12 May 2026"), ("Received by", name))
    ):
        pen.text((90, 200 + 58 * row), title, (90, 94, 108), middle)
        pen.text((380, 200 + 58 * row), value, ink, middle)
    pen.rectangle((80, 410, 820, 470), fill=(222, 230, 238))
    total = sum(float(price) for _, _, price in lines)
    table = (("Item", "Count", "Price"), *lines, ("Total", "", f"{total:.2f}"))
    for row, texts in enumerate(table):
        for left, text in zip((100, 450, 660), texts, strict=True):
            pen.text((left, 420 + 76 * row), text, ink, middle)
        pen.line((80, 470 + 76 * row, 820, 470 + 76 * row), fill=(170, 178, 190), width=2)
    pen.line((90, 995, 480, 995), fill=ink, width=2)
    pen.text((90, 1010), "Signature", (90, 94, 108), ImageFont.load_default(28))
    sheet = np.array(page)
    x = np.linspace(0, 1, 220)
    wave = np.sin(x * 34 + int(number)) * 38 * (1 - 0.7 * x) + np.sin(x * 9) * 12
    stroke = np.stack([110 + 340 * x + 14 * np.cos(x * 34), 935 + wave], 1)
    cv2.polylines(sheet, [np.round(stroke).astype(np.int32)], False, (30, 50, 140), 4, cv2.LINE_AA)
    return _on_a_table(sheet, int(number))


def _form_to_photograph() -> np.ndarray:
    import cv2

    width, height = FORM_SIZE
    source = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    return np.asarray(cv2.getPerspectiveTransform(source, np.array(FORM_CORNERS, np.float32)))


def _on_a_table(sheet: np.ndarray, seed: int) -> np.ndarray:
    import cv2

    rng = np.random.default_rng(seed)
    width, height = 1020, 1240
    grain = cv2.resize(rng.normal(0, 9, (height // 4, 12)).astype(np.float32), (width, height))
    table = np.array((126, 92, 64), np.float32) + grain[:, :, None]
    matrix = _form_to_photograph()
    paper = cv2.warpPerspective(sheet, matrix, (width, height), flags=cv2.INTER_AREA)
    white = np.full(sheet.shape[:2], 255, np.uint8)
    cover = cv2.warpPerspective(white, matrix, (width, height)).astype(np.float32)[:, :, None] / 255
    shadow = cv2.GaussianBlur(np.roll(cover[:, :, 0], (10, 12), (0, 1)), (0, 0), 9)[:, :, None]
    photo = table * (1 - 0.45 * shadow) * (1 - cover) + paper * cover
    light = np.linspace(1.0, 0.84, width)[None, :, None]
    noisy = cv2.GaussianBlur(photo * light, (0, 0), 0.7) + rng.normal(0, 1, photo.shape)
    return np.ascontiguousarray(np.clip(noisy, 0, 255).astype(np.uint8))


def signature_box() -> tuple[float, float, float, float]:
    """Corners of the box around the signature in the photograph of a form, in px."""
    x1, y1, x2, y2 = SIGNATURE
    corners = np.array([(x1, y1, 1), (x2, y1, 1), (x2, y2, 1), (x1, y2, 1)]) @ (
        _form_to_photograph().T
    )
    points = corners[:, :2] / corners[:, 2:]
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return float(left), float(top), float(right), float(bottom)


def chart() -> np.ndarray:
    """A bar chart of deliveries per month, uint8 (520, 760, 3)."""
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", (760, 520), "white")
    pen = ImageDraw.Draw(page)
    pen.text((60, 24), "Deliveries per month", (38, 40, 52), ImageFont.load_default(34))
    months = zip(("Jan", "Feb", "Mar", "Apr", "May"), (34, 48, 41, 67, 58), strict=True)
    for place, (month, value) in enumerate(months):
        x = 90 + 130 * place
        pen.rectangle((x, 440 - 5 * value, x + 80, 440), fill=(52, 112, 168))
        pen.text((x + 16, 452), month, (38, 40, 52), ImageFont.load_default(28))
        pen.text((x + 22, 404 - 5 * value), str(value), (38, 40, 52), ImageFont.load_default(28))
    pen.line((60, 440, 720, 440), fill=(38, 40, 52), width=3)
    return np.array(page)


def handwritten(digit: str, rng: np.random.Generator) -> np.ndarray:
    """A digit as if written by hand, uint8 (160, 160, 3)."""
    import cv2
    from scipy.interpolate import make_interp_spline

    corners = np.array(STROKES[digit]) + rng.normal(0, 0.055, (len(STROKES[digit]), 2))
    along = np.linspace(0, 1, len(corners))
    line = make_interp_spline(along, corners, k=2)(np.linspace(0, 1, 80)) - 0.5
    angle, slant = rng.normal(0, 0.2), rng.normal(0.1, 0.25)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    line = line @ np.array([[1, 0], [-slant, 1]]) @ turn * rng.uniform(75, 115)
    line += 80 + rng.normal(0, 6, 2)
    paper = np.full((160, 160, 3), (246, 244, 236), np.float32)
    paper[20::40] = (190, 208, 226)
    ink = tuple(float(part) for part in rng.choice([(28, 46, 120), (40, 40, 44), (90, 40, 40)]))
    points = [np.round(line * 16).astype(np.int32)]
    cv2.polylines(paper, points, False, ink, int(rng.integers(4, 11)), cv2.LINE_AA, 4)
    noisy = cv2.GaussianBlur(paper, (0, 0), rng.uniform(0.6, 1.6)) + rng.normal(0, 4, paper.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def phantom(slices: int = 16, side: int = 256) -> np.ndarray:
    """A drawn chest as HU + 1000, int16 (slices, side, side): no anatomy of anybody."""
    import cv2

    rng = np.random.default_rng(5)
    volume = np.zeros((slices, side, side), np.float32)
    for number in range(slices):
        z = number / (slices - 1)
        volume[number] = cv2.GaussianBlur(_chest(z, side), (0, 0), 0.9)
    return np.clip(volume + rng.normal(0, 14, volume.shape), 0, 3000).astype(np.int16)


def _chest(z: float, side: int) -> np.ndarray:
    """One slice in HU + 1000; z from 0 to 1 goes up the body."""
    y, x = np.mgrid[:side, :side].astype(np.float32) * (256 / side)
    values = np.zeros((side, side), np.float32)

    def ellipse(cx: float, cy: float, rx: float, ry: float, hu: float, turn: float = 0.0) -> None:
        u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        values[(u / rx) ** 2 + (v / ry) ** 2 <= 1] = hu + 1000

    ellipse(128, 132, 112, 84, -100)
    ellipse(128, 132, 103, 76, 45)
    swell = 1 - 0.35 * (2 * z - 1) ** 2
    for centre, turn in ((80, 0.12), (176, -0.12)):
        ellipse(centre, 130, 40 * swell, 58 * swell, -830, turn)
    for angle in np.linspace(0.35, 2 * np.pi - 0.35, 16):
        bend = angle + np.pi / 2 + 0.12 * z
        ellipse(128 + 95 * np.cos(bend), 132 + 69 * np.sin(bend), 7, 3.4, 420, bend + np.pi / 2)
    ellipse(140, 112, 36 * (1 - 0.45 * z), 30 * (1 - 0.4 * z), 55, 0.5)
    ellipse(146, 114, 15 * (1 - 0.4 * z), 13, 170, 0.5)
    ellipse(146, 166, 10, 10, 190)
    ellipse(128, 184, 19, 15, 330)
    ellipse(128, 184, 15, 11, 200)
    ellipse(128, 203, 4, 8, 380)
    ellipse(128, 66, 13, 5, 320)
    for cx, cy, r in ((66, 100, 3), (72, 150, 3.5), (92, 158, 2.5), (186, 104, 3), (182, 152, 3.5)):
        ellipse(cx + 6 * z, cy - 8 * z, r, r, 10)
    size = 8 * np.sqrt(max(0.0, 1 - ((z - 0.5) / 0.3) ** 2))
    if size > 1:
        ellipse(85, 118, size, size * 0.9, 35)
    return values

"""Pictures as phones, cameras and files give them: what is in them, or why not, in one line."""

from __future__ import annotations

import io
import random
import warnings
import zlib
from pathlib import Path

import pytest
import qrcode
import zxingcpp
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

from devices.qr import picture, scanner
from devices.qr.scanner import ImageTooLarge, NoCode, NotAnImage, ScanError
from devices.qr.symbol import encoder, rendering

LINK = "HTTP://192.168.1.20:8000/P/ABCDEFGHIJKLM"
BARCODE = "9912345678901234567"


def symbol(text: str = LINK, box: int = 8) -> Image.Image:
    code = qrcode.QRCode(box_size=box, border=4)
    code.add_data(text)
    code.make()
    out = io.BytesIO()
    code.make_image().save(out)
    return Image.open(out).convert("L")


def bars(text: str = BARCODE) -> Image.Image:
    drawn = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.Code128).to_image(scale=3)
    height, width = drawn.shape
    return Image.frombytes("L", (width, height), bytes(memoryview(drawn))).resize((width, 120))


def page(picture: Image.Image, margin: int = 90, shade: int = 255) -> Image.Image:
    return ImageOps.expand(picture, border=margin, fill=shade)


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def noisy(picture: Image.Image, seed: int = 1) -> Image.Image:
    noise = Image.frombytes(
        "L", picture.size, random.Random(seed).randbytes(picture.width * picture.height)
    )
    return Image.blend(picture, noise, 0.35)


def shaded(picture: Image.Image) -> Image.Image:
    shadow = Image.linear_gradient("L").resize(picture.size).rotate(30)
    return ImageChops.multiply(picture, shadow.point(lambda v: 90 + v * 0.6))


def tilted(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    return picture.transform(
        picture.size,
        Image.Transform.QUAD,
        (-40, -20, 20, height + 60, width + 50, height - 10, width - 30, 25),
        Image.Resampling.BILINEAR,
        fillcolor=255,
    )


def low_contrast(picture: Image.Image) -> Image.Image:
    return ImageEnhance.Contrast(picture).enhance(0.12)


STILLS = {
    "as drawn": page(symbol()),
    "one bit": page(symbol()).convert("1"),
    "two pixels to a module": page(symbol(box=2)),
    "turned by 30 degrees": page(symbol()).rotate(30, expand=True, fillcolor=255),
    "turned by 90 degrees": page(symbol()).rotate(90),
    "mirrored": ImageOps.mirror(page(symbol())),
    "light on dark": ImageOps.invert(page(symbol())),
    "on a dark page": page(symbol(), shade=0),
    "low contrast": low_contrast(page(symbol())),
    "blurred": page(symbol()).filter(ImageFilter.GaussianBlur(3)),
    "noisy": noisy(page(symbol())),
    "in the shadow": shaded(page(symbol())),
    "seen from the side": tilted(page(symbol())),
    "all of it": low_contrast(noisy(shaded(tilted(page(symbol()))))),
    "small in a large picture": ImageOps.expand(symbol(box=4), border=1500, fill=120),
    "without any margin": ImageOps.crop(symbol(), 32),
}


@pytest.mark.parametrize("name", STILLS)
def test_still_is_read(name: str) -> None:
    assert [scan.text for scan in scanner.read(saved(STILLS[name]))] == [LINK]


def test_jpeg_from_a_phone_held_sideways_is_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = page(symbol()).rotate(90, expand=True)
    path = tmp_path / "still.jpg"
    path.write_bytes(saved(turned, "JPEG", quality=35, exif=exif))
    (scan,) = scanner.read(path)
    assert scan.text == LINK
    assert scan.symbology == "qr"
    assert scan.corners[0][0] < scan.corners[1][0]
    assert scan.corners[0][1] < scan.corners[3][1]


def test_other_kinds_of_picture_are_read() -> None:
    for kind in ("WEBP", "AVIF", "TIFF", "GIF", "BMP", "PPM"):
        assert scanner.read(saved(page(symbol()), kind))[0].text == LINK


@pytest.mark.parametrize(("light", "dark"), [(232, 226), (140, 134), (40, 34)])
@pytest.mark.parametrize("cut", [0, 32])
def test_faint_code_with_little_or_no_margin_is_read(light: int, dark: int, cut: int) -> None:
    """Contrast is stretched before a white frame is put around, not after."""
    drawn = ImageOps.crop(symbol(), cut)
    faint = drawn.point(lambda value: light if value else dark)
    grainy = ImageChops.add(faint, Image.effect_noise(faint.size, 3), 1, -128)
    assert [scan.text for scan in scanner.read(saved(grainy))] == [LINK]


@pytest.mark.parametrize(
    ("light", "dark"),
    [
        ((0, 102, 0), (200, 0, 0)),
        ((200, 0, 0), (0, 102, 0)),
        ((255, 90, 90), (0, 180, 255)),
        ((110, 110, 255), (110, 137, 40)),
    ],
)
def test_code_in_colours_of_equal_brightness_is_read(
    light: tuple[int, int, int], dark: tuple[int, int, int]
) -> None:
    drawn = page(symbol())
    coloured = Image.composite(
        Image.new("RGB", drawn.size, light), Image.new("RGB", drawn.size, dark), drawn.convert("1")
    )
    for kind in ("PNG", "WEBP"):
        assert [scan.text for scan in scanner.read(saved(coloured, kind, lossless=True))] == [LINK]


def test_small_code_in_a_photo_of_48_megapixels_is_read() -> None:
    photo = Image.new("L", (8000, 6000), 200)
    photo.paste(symbol(box=1), (6101, 4203))
    assert [scan.text for scan in scanner.read(saved(photo, "JPEG", quality=85))] == [LINK]


@pytest.mark.parametrize("angle", [0, 12, 15, 30, 45, 52, 75, 90, 105, 135, 150, 172, 180, 285])
def test_turned_barcode_is_read(angle: int) -> None:
    turned = page(bars()).rotate(angle, expand=True, fillcolor=255)
    assert [scan.text for scan in scanner.read(saved(turned))] == [BARCODE]


def test_barcode_light_on_dark_is_read() -> None:
    for drawn in (page(bars()), page(bars(), 10)):
        assert [scan.text for scan in scanner.read(saved(ImageOps.invert(drawn)))] == [BARCODE]


class Declared(str):
    """A text that is encoded in a character set of its own."""

    codec = "utf-8"

    def encode(self, *_: str) -> bytes:
        return str.encode(self, self.codec)

    def isascii(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("codec", "eci", "text"),
    [
        ("utf-16-be", 25, "茶馆"),
        ("utf-16-be", 25, "AB"),
        ("utf-16-be", 25, "12345"),
        ("utf-16-le", 33, "茶A"),
        ("gb18030", 32, "小巷茶馆"),
        ("gb18030", 32, "𠀀龘茶"),
        ("gb18030", 32, "模"),
        ("gb2312", 29, "茶馆"),
        ("shift_jis", 20, "お茶の店"),
        ("big5", 28, "茶館"),
        ("euc-kr", 30, "한국"),
        ("iso8859-1", 3, "Café"),
        ("iso8859-7", 9, "ΤΣΑΙ"),
        ("cp1251", 22, "чай"),
        ("utf-8", 26, "茶\\馆\\000026"),
    ],
)
def test_declared_character_set_is_followed(
    monkeypatch: pytest.MonkeyPatch, codec: str, eci: int, text: str
) -> None:
    monkeypatch.setattr(encoder, "_ECI_UTF_8", "0111" + format(eci, "08b"))
    declared = Declared(text)
    declared.codec = codec
    assert scanner.read(rendering.png(declared, module_pixels=5))[0].text == text


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("gbk", "茶馆"),
        ("gbk", "小巷茶馆 88号"),
        ("gbk", "上海市南京路，茶馆"),
        ("shift_jis", "お茶"),
        ("shift_jis", "東京タワー"),
        ("iso8859-1", "Café"),
        ("iso8859-1", "naïve Zürich"),
        ("utf-8", "模ģ"),
        ("utf-8", "茶"),
    ],
)
def test_character_set_that_is_not_declared_is_recognised(codec: str, text: str) -> None:
    picture = rendering.png(text.encode(codec), module_pixels=5)
    assert scanner.read(picture)[0].text == text


def test_transparent_background_counts_as_white() -> None:
    drawn = page(symbol())
    picture = Image.new("RGBA", drawn.size, (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), mask=ImageOps.invert(drawn))
    assert scanner.read(saved(picture))[0].text == LINK


def test_sixteen_bits_of_grey_are_read() -> None:
    deep = page(symbol()).convert("I").point(lambda value: value * 257).convert("I;16")
    assert scanner.read(saved(deep))[0].text == LINK


def test_several_codes_come_largest_first_with_their_barcode() -> None:
    sheet = Image.new("L", (1400, 700), 255)
    sheet.paste(symbol("second", box=5), (40, 60))
    sheet.paste(symbol("first", box=12), (700, 40))
    sheet.paste(bars(), (40, 450))
    found = scanner.read(saved(sheet))
    assert {scan.text: scan.symbology for scan in found} == {
        "first": "qr",
        "second": "qr",
        BARCODE: "code-128",
    }
    assert found.index(next(s for s in found if s.text == "first")) < found.index(
        next(s for s in found if s.text == "second")
    )


def test_bars_within_a_symbol_are_no_barcode() -> None:
    rng = random.Random(1009)
    for _ in range(40):
        text = "".join(rng.choices("ABCDEFGHIJ0123456789$%*+-./: ", k=200))
        assert [scan.text for scan in scanner.read(saved(symbol(text, box=3)))] == [text]


@pytest.mark.parametrize("text", ["é", "最佳运输", "Ä", "naïve café", "a\x00b\x01", "pay\n"])
def test_texts_keep_their_script_and_unprintable_characters(text: str) -> None:
    assert scanner.read(saved(page(symbol(text))))[0].text == text


def test_bytes_that_are_not_utf_8_are_read_too() -> None:
    code = qrcode.QRCode(box_size=8)
    code.add_data(b"\xff\xfe\x80")
    out = io.BytesIO()
    code.make_image().save(out)
    assert scanner.read(out.getvalue())[0].text


def test_picture_without_a_code_says_so() -> None:
    blank = saved(Image.new("L", (300, 300), 200))
    assert scanner.read_all(blank) == ()
    with pytest.raises(NoCode, match=r"^no code was found in the picture$"):
        scanner.read(blank)


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (900, 1), (3, 3)])
def test_tiny_pictures_have_no_code(size: tuple[int, int]) -> None:
    assert scanner.read_all(saved(Image.new("L", size, 0))) == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a picture",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"GIF89a",
        b"%PDF-1.4",
        b"\x00\x00\x00\x18ftypheic" + bytes(40),
        b"<svg",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY a 'b'>]><svg/>",
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(NotAnImage) as caught:
        scanner.read_all(content)
    assert "\n" not in str(caught.value)


def test_kind_that_phones_send_is_named() -> None:
    with pytest.raises(NotAnImage, match="HEIC"):
        scanner.read_all(b"\x00\x00\x00\x18ftypheic" + bytes(40))


def test_picture_cut_short_is_refused() -> None:
    whole = saved(noisy(page(symbol())))
    with pytest.raises(NotAnImage, match="broken or cut short"):
        scanner.read_all(whole[: len(whole) // 2])


def bomb(side: int) -> bytes:
    """A PNG of `side` by `side` white pixels in some kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)

    header = side.to_bytes(4) * 2 + bytes([1, 0, 0, 0, 0])
    packer = zlib.compressobj(9)
    line = b"\x00" + b"\xff" * ((side + 7) // 8)
    packed = b"".join([packer.compress(line) for _ in range(side)]) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [7_100, 12_000, 20_000])
def test_decompression_bomb_is_refused_unopened(side: int) -> None:
    picture = bomb(side)
    assert len(picture) < 200_000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageTooLarge, match="pixels"):
            scanner.read_all(picture)


def test_file_of_too_many_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "LARGEST_FILE", 1000)
    path = tmp_path / "large.png"
    path.write_bytes(bytes(1001))
    for source in (path, bytes(1001)):
        with pytest.raises(ImageTooLarge, match="1001"):
            scanner.read_all(source)


def test_missing_file_is_the_systems_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scanner.read(tmp_path / "none.png")


def test_squares_and_strokes_of_an_svg_are_read() -> None:
    code = qrcode.QRCode(border=4)
    code.add_data(LINK)
    rows = [[bool(m) for m in row] for row in code.get_matrix()]
    size = len(rows)
    cells = [(x, y) for y, row in enumerate(rows) for x, dark in enumerate(row) if dark]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}">'
    squares = "".join(f'<rect x="{x}" y="{y}" width="1" height="1" fill="#000"/>' for x, y in cells)
    outlines = "".join(f"M{x} {y}h1v1h-1z" for x, y in cells)
    strokes = "".join(f"M{x} {y}.5H{x + 1}" for x, y in cells)
    for body in (
        f'<rect width="100%" height="100%" fill="#fff"/>{squares}',
        f'<path d="{outlines}"/>',
        f'<path stroke="#000" fill="none" d="{strokes}"/>',
    ):
        assert scanner.read(f"{head}{body}</svg>".encode())[0].text == LINK


def check_damage(count: int, seed: int) -> None:
    rng = random.Random(seed)
    sources = [
        saved(page(symbol(), 10), kind)
        for kind in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "PPM")
    ]
    sources.append(b"<svg viewBox='0 0 9 9'><path stroke='#000' d='M1 1h2m3 0h1'/></svg>")
    for _ in range(count):
        content = bytearray(rng.choice(sources))
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(min(len(content), rng.choice((60, len(content)))))
            content[at] = rng.randrange(256)
        if rng.random() < 0.3:
            del content[rng.randrange(len(content)) :]
        try:
            scanner.read_all(bytes(content))
        except ScanError as error:
            assert "\n" not in str(error)


def test_damaged_pictures_raise_only_what_is_documented() -> None:
    check_damage(60, seed=3)


@pytest.mark.long
def test_thousands_of_damaged_pictures_raise_only_what_is_documented() -> None:
    check_damage(3_000, seed=4)

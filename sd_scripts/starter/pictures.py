"""Draws the pictures of the starter model's training set from the Noto Color Emoji font."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONT_FILES = (
    Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"),
    Path("/usr/share/fonts/noto/NotoColorEmoji.ttf"),
    Path("/usr/share/fonts/google-noto-color-emoji-fonts/NotoColorEmoji.ttf"),
)
BITMAP_SIZE = 109  # the only size at which the font holds its bitmaps
PICTURE_SIZE = 64  # pixels


class FontMissing(RuntimeError):
    """The emoji font is not on this machine."""


@cache
def font() -> ImageFont.FreeTypeFont:
    for file in FONT_FILES:
        if file.is_file():
            return ImageFont.truetype(str(file), BITMAP_SIZE)
    raise FontMissing(
        "The Noto Color Emoji font was not found. On Debian or Ubuntu: apt-get install fonts-noto-color-emoji"
    )


@cache
def glyph(emoji: str) -> Image.Image:
    """The emoji as RGBA, cut to a square around its ink."""
    canvas = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(canvas).text((20, 20), emoji, font=font(), embedded_color=True)
    box = canvas.getbbox()
    if box is None:
        raise ValueError(f"The font draws nothing for {emoji!r}.")
    ink = canvas.crop(box)
    side = max(ink.size)
    square = Image.new("RGBA", (side, side))
    square.paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
    return square


def draw(
    emoji: str, background: tuple[int, int, int], rng: random.Random | None, size: int = PICTURE_SIZE
) -> Image.Image:
    """The emoji on a plain background; RGB, size x size. With `rng` a little smaller or larger and off the middle."""
    side = round(size * (rng.uniform(0.84, 0.96) if rng else 0.92))
    slack = size - side
    left, top = (round(slack * (rng.uniform(0.2, 0.8) if rng else 0.5)) for _ in range(2))
    picture = Image.new("RGB", (size, size), background)
    ink = glyph(emoji).resize((side, side), Image.Resampling.LANCZOS)
    picture.paste(ink, (left, top), ink)
    return picture

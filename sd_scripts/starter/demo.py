"""Draws the demo data set, a creature the starter model has never seen: `python -m sd_scripts.starter.demo`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

FOLDER = Path(__file__).parent / "demo" / "20_bloop monster"
SIDE, FINE = 128, 4  # pixels of a picture, and how many times finer it is drawn
WHITE = (255, 255, 255)
SKIN, SHADE, BELLY, DARK = (38, 178, 172), (24, 132, 136), (190, 240, 225), (30, 40, 60)
TIP, BLUSH = (255, 140, 40), (245, 130, 150)
SKY, LAWN, SUN, ROSE = (150, 200, 245), (165, 220, 165), (250, 232, 150), (250, 190, 210)


@dataclass(frozen=True)
class Pose:
    """One picture: what its caption says, and how the creature stands there."""

    caption: str
    background: tuple[int, int, int] = WHITE
    tilt: float = 0.0  # degrees
    size: float = 1.0
    look: tuple[float, float] = (0.0, 0.0)  # where the pupil points, -1..1
    lid: float = 0.0  # 0 open .. 1 shut
    mouth: str = "smile"
    arms: tuple[float, float] = (25.0, 25.0)  # degrees above the horizontal, left and right


POSES = (
    Pose("bloop monster"),
    Pose("a bloop monster", tilt=-8, look=(0.5, 0)),
    Pose("bloop monster, smiling", look=(-0.5, 0), arms=(50, 10)),
    Pose("bloop monster, emoji", size=0.92, tilt=6),
    Pose("a picture of a bloop monster", size=0.95, arms=(-20, -20)),
    Pose("bloop monster looking up", look=(0, -0.7), tilt=3),
    Pose("bloop monster looking down", look=(0, 0.7), arms=(-30, -30)),
    Pose("bloop monster with open mouth", mouth="open", arms=(60, 60)),
    Pose("sleeping bloop monster", lid=0.85, mouth="flat", arms=(-40, -40), tilt=10),
    Pose("happy bloop monster waving", mouth="open", arms=(-10, 70), tilt=5),
    Pose("bloop monster, blue background", background=SKY, look=(0.4, 0.2)),
    Pose("bloop monster, green background", background=LAWN, arms=(40, -10)),
    Pose("bloop monster on a yellow background", background=SUN, tilt=-5),
    Pose("bloop monster on a pink background", background=ROSE, mouth="open"),
    Pose("tired bloop monster", lid=0.5, mouth="flat", arms=(-30, -30)),
    Pose("bloop monster, winking", lid=0.7, look=(0.3, 0), arms=(10, 55), tilt=-4),
)


def draw(pose: Pose) -> Image.Image:
    """RGB, SIDE x SIDE."""
    layer = Image.new("RGBA", (SIDE * FINE, SIDE * FINE))
    pen = ImageDraw.Draw(layer)
    _limbs(pen, pose)
    _body(pen)
    _eye(pen, pose)
    _mouth(pen, pose.mouth)
    layer = layer.rotate(pose.tilt, Image.Resampling.BICUBIC)
    side = round(SIDE * pose.size)
    layer = layer.resize((side, side), Image.Resampling.LANCZOS)
    picture = Image.new("RGB", (SIDE, SIDE), pose.background)
    picture.paste(layer, ((SIDE - side) // 2, (SIDE - side) // 2), layer)
    return picture


def _box(x: float, y: float, rx: float, ry: float) -> list[float]:
    """Corners of an ellipse; centre and radii are in pixels of the finished picture."""
    return [FINE * (x - rx), FINE * (y - ry), FINE * (x + rx), FINE * (y + ry)]


def _line(pen: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float], width: float) -> None:
    pen.line([FINE * start[0], FINE * start[1], FINE * end[0], FINE * end[1]], fill=SHADE, width=round(FINE * width))


def _limbs(pen: ImageDraw.ImageDraw, pose: Pose) -> None:
    for side, angle in zip((-1, 1), pose.arms, strict=True):
        x, y = 64 + side * 36, 76
        reach = math.radians(angle)
        hand = (x + side * 20 * math.cos(reach), y - 20 * math.sin(reach))
        _line(pen, (x, y), hand, 8)
        pen.ellipse(_box(*hand, 6, 6), fill=SHADE)
        pen.ellipse(_box(64 + side * 18, 114, 14, 8), fill=SHADE)
        _line(pen, (64 + side * 12, 40), (64 + side * 26, 14), 5)
        pen.ellipse(_box(64 + side * 26, 13, 8, 8), fill=TIP)


def _body(pen: ImageDraw.ImageDraw) -> None:
    pen.ellipse(_box(64, 72, 42, 42), fill=SHADE)
    pen.ellipse(_box(63, 70, 40, 40), fill=SKIN)
    pen.ellipse(_box(64, 92, 24, 17), fill=BELLY)
    for side in (-1, 1):
        pen.ellipse(_box(64 + side * 30, 78, 5, 4), fill=BLUSH)


def _eye(pen: ImageDraw.ImageDraw, pose: Pose) -> None:
    pen.ellipse(_box(64, 56, 20, 20), fill=WHITE)
    x, y = 64 + 8 * pose.look[0], 56 + 8 * pose.look[1]
    pen.ellipse(_box(x, y, 10, 10), fill=DARK)
    pen.ellipse(_box(x + 4, y - 4, 3, 3), fill=WHITE)
    if pose.lid:
        ends = 270 - 180 * pose.lid, 270 + 180 * pose.lid
        pen.chord(_box(64, 56, 21, 21), *ends, fill=(30, 155, 152), outline=DARK, width=2 * FINE)


def _mouth(pen: ImageDraw.ImageDraw, kind: str) -> None:
    if kind == "open":
        pen.chord(_box(64, 84, 11, 11), 0, 180, fill=DARK)
    elif kind == "smile":
        pen.arc(_box(64, 80, 11, 9), 20, 160, fill=DARK, width=3 * FINE)
    else:
        pen.line([FINE * 55, FINE * 88, FINE * 73, FINE * 88], fill=DARK, width=3 * FINE)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for number, pose in enumerate(POSES, start=1):
        draw(pose).save(FOLDER / f"bloop_{number:02}.png", optimize=True)
        (FOLDER / f"bloop_{number:02}.txt").write_text(pose.caption + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

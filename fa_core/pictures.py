"""Figures as vectors, beside the pixels that Jupyter shows: packed into a notebook, unpacked for its page, light or dark."""

import base64
import colorsys
import gzip
import re

MIME = "application/vnd.fa-core.svg+gzip"  # of an output; Jupyter and nbconvert pass over it, and show the PNG beside it
NUMBER = re.compile(r"(-?\d+\.\d\d)\d+")
ON_IMAGES = ("#fefefe", "#010101")  # white and black of what is written on an image, which is the same on a dark page
COLOUR = re.compile(r"(?<=: )#([0-9a-f]{6})\b")
IMAGE = re.compile(r"(<image\b.*?/>)", re.S)
PLACES = re.compile(r'(?<= d=")[^"]*|(?<=translate\()[^)]*|(?<= [xy]=")[^"]*')  # and not what scales: 0.015625 is no 0.01
ROOT = re.compile(r"<svg\b")


def pack(svg: str) -> str:
    """An SVG as text for a notebook: coordinates to a hundredth of a point, which is as they are seen, compressed. The same
    picture gives the same text."""
    parts = IMAGE.split(svg)
    parts[::2] = [PLACES.sub(lambda found: " ".join(NUMBER.sub(r"\1", found[0]).split()), part) for part in parts[::2]]
    return base64.b64encode(gzip.compress("".join(parts).encode(), mtime=0)).decode()


def unpack(packed: str) -> str:
    """The SVG that was packed."""
    return gzip.decompress(base64.b64decode(packed)).decode()


def dark(svg: str) -> str:
    """The picture for a dark page: black becomes light and white dark, colours keep their hue and become light enough.
    Images that are part of it, such as a digit, stay as they are."""
    parts = IMAGE.split(svg)
    parts[::2] = [
        COLOUR.sub(lambda found: found[0] if found[0] in ON_IMAGES else on_dark(found[1]), part) for part in parts[::2]
    ]
    return ROOT.sub(f'<svg fill="{on_dark("000000")}"', "".join(parts), count=1)  # of text, which names no colour


def on_dark(colour: str) -> str:
    """The counterpart on a dark ground of a colour, six hexadecimal digits."""
    hue, light, full = colorsys.rgb_to_hls(*(int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)))
    light = 0.93 - 0.8 * light if full < 0.1 else max(light, 0.58)
    return "#" + "".join(f"{round(255 * v):02x}" for v in colorsys.hls_to_rgb(hue, light, full))

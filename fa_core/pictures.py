"""Figures as vectors, beside the pixels that Jupyter shows: packed into a notebook, unpacked for its page, light or dark."""

import base64
import colorsys
import gzip
import re
from functools import cache
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

MIME = "application/vnd.fa-core.svg+gzip"  # of an output; Jupyter and nbconvert pass over it, and show the PNG beside it
NUMBER = re.compile(r"(-?\d+\.\d\d)\d+")
ON_IMAGES = ("#fefefe", "#010101")  # white and black of what is written on an image, which is the same on a dark page
COLOUR = re.compile(r"#[0-9a-f]{6}\b")
IMAGE = re.compile(r"(<image\b.*?/>)", re.S)
PLACES = re.compile(r'(?<= d=")[^"]*|(?<=translate\()[^)]*|(?<= [xy]=")[^"]*')  # and not what scales: 0.015625 is no 0.01
SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
DARK = "dark"  # "figure.svg#dark" shows the picture of `page` in the colours of a dark page
COMMAND = re.compile(r"([A-Za-z])([^A-Za-z]*)")
POINTS = {"M": 2, "L": 2, "Q": 4, "C": 6}  # numbers to a step, of the commands of Matplotlib's paths
ALONE = re.compile(r"translate\((\S+?)[ ,]+(\S+?)\)")


def pack(svg: str) -> str:
    """An SVG as text for a notebook: coordinates to a hundredth of a point, which is as they are seen, compressed. The same
    picture gives the same text."""
    parts = IMAGE.split(svg)
    parts[::2] = [PLACES.sub(lambda found: " ".join(NUMBER.sub(r"\1", found[0]).split()), part) for part in parts[::2]]
    return base64.b64encode(gzip.compress("".join(parts).encode(), mtime=0)).decode()


def unpack(packed: str) -> str:
    """The SVG that was packed."""
    return gzip.decompress(base64.b64decode(packed)).decode()


def page(svg: str) -> str:
    """An SVG as Matplotlib writes it, for a page: half as long, and one file for light pages and for dark ones.

    Its colours are variables. They have other values where the root is what the address names, `#dark`: black is light
    there and white dark, other colours keep their hue and are light enough. Images that are part of it, such as a digit,
    stay as they are, and so does what is written on them. Styles become classes; names that nothing refers to, groups
    that say nothing and comments are left out; paths are written in steps from point to point, to a hundredth of a point.
    """
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in [c for c in parent if c.tag in (f"{SVG}metadata", f"{SVG}style")]:
            parent.remove(child)
    text = ElementTree.tostring(root, encoding="unicode")
    names = {n: f"_{k}" for k, n in enumerate(dict.fromkeys(re.findall(r"(?:url\(|\")#([^)\"]+)", text)))}
    classes: dict[str, str] = {}
    colours: dict[str, str] = {}
    _shorten(root, names, classes, colours)
    rules = ["*{stroke-linejoin:round;stroke-linecap:butt}", *(f".{name}{{{style}}}" for style, name in classes.items())]
    ink = _variable("#000000", colours)  # of text, which names no colour
    for scheme, where in (("light", "svg"), ("dark", "svg:target")):
        values = ";".join(f"--{name}:{on_dark(c[1:]) if scheme == 'dark' else c}" for c, name in colours.items())
        rules.append(f"{where}{{fill:{ink};{values}}}")
    style = ElementTree.Element(f"{SVG}style")
    style.text = "".join(rules)
    root.insert(0, style)
    root.set("id", DARK)
    ElementTree.register_namespace("", SVG[1:-1])
    return ElementTree.tostring(root, encoding="unicode")


def _shorten(element: Element, names: dict, classes: dict, colours: dict) -> None:
    """What `page` says, of an element and of all in it."""
    element.text = element.tail = None
    has = element.attrib
    if "id" in has and (name := names.get(has.pop("id"))):
        has["id"] = name
    if LINK in has:
        target = has.pop(LINK)
        has["href"] = f"#{names[target[1:]]}" if target.startswith("#") else "".join(target.split())
    if clip := has.get("clip-path"):
        has["clip-path"] = f"url(#{names[clip[5:-1]]})"
    if style := has.pop("style", ""):
        said = COLOUR.sub(
            lambda found: _variable(found[0], colours), style.replace(": ", ":").replace("; ", ";").strip("; ")
        )
        has["class"] = classes.setdefault(said, f"s{len(classes)}")
    if "d" in has:
        has["d"] = _steps(has["d"])
    if element.tag == f"{SVG}use" and (moved := ALONE.fullmatch(has.get("transform", ""))):
        del has["transform"]
        has |= {k: _hundredths(10 * round(10 * float(v))) for k, v in zip("xy", moved.groups(), strict=True) if float(v)}
    for child in element:
        _shorten(child, names, classes, colours)
    children: list[Element] = []
    for child in element:
        plain = child.tag in (f"{SVG}g", f"{SVG}defs") and not child.attrib
        children += list(child) if child.tag == f"{SVG}g" and plain else [] if plain and not len(child) else [child]
    element[:] = children


def _variable(colour: str, colours: dict) -> str:
    """How a style names a colour; what is written on images has it for good."""
    return colour if colour in ON_IMAGES else f"var(--{colours.setdefault(colour, f'c{len(colours)}')})"


def _steps(path: str) -> str:
    """A path of absolute coordinates as steps from one point to the next, in hundredths; each from where the last has come
    to, so that nothing adds up."""
    written: list[str] = []
    x = y = begun_x = begun_y = 0
    before = ""
    for command, numbers in COMMAND.findall(path):
        at = [round(100 * float(v)) for v in numbers.split()]
        for k in range(0, len(at), count := POINTS.get(command, 1)):
            to = at[k : k + count]
            steps = [v - x if odd % 2 == 0 else v - y for odd, v in enumerate(to)]
            if command == before == "L" and not any(steps):
                continue
            if command != before or command == "M":
                written.append(command.lower())
            written += map(_hundredths, steps)
            (x, y), before = to[-2:], command
            if command == "M":
                begun_x, begun_y = x, y
        if command in "zZ":
            written.append("z")
            (x, y), before = (begun_x, begun_y), command
    return re.sub(r" (?=[-a-z])|(?<=[a-z]) ", "", " ".join(written))


@cache
def _hundredths(value: int) -> str:
    """So many hundredths as a number, as short as can be."""
    shown = f"{value / 100:.2f}".rstrip("0").rstrip(".")
    return shown.replace("0.", ".", 1) if 0 < abs(value) < 100 else shown


def on_dark(colour: str) -> str:
    """The counterpart on a dark ground of a colour, six hexadecimal digits."""
    hue, light, full = colorsys.rgb_to_hls(*(int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)))
    light = 0.93 - 0.8 * light if full < 0.1 else max(light, 0.58)
    return "#" + "".join(f"{round(255 * v):02x}" for v in colorsys.hls_to_rgb(hue, light, full))

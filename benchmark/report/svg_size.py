"""Makes SVG files of matplotlib several times smaller, without a change that can be seen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import count, product
from string import ascii_letters
from xml.etree import ElementTree

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_NAMESPACES = {
    "": SVG,
    "xlink": XLINK,
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "cc": "http://creativecommons.org/ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
}
_NUMBER = re.compile(r"-?\d+\.\d+")
_OPACITY = re.compile(r"(?<![-\w])opacity")
_TRANSLATE = re.compile(r"translate\([^)]*\)")
_TRANSLATION = re.compile(r"translate\((\S+)(?: (\S+))?\)")
_PLACES = ("d", "x", "y")
"""Attributes that are places or paths of places, in points."""
_LEAVES = {f"{{{SVG}}}use", f"{{{SVG}}}path"}


def compact(drawn: bytes) -> bytes:
    """Rounds places to a hundredth of a point, and writes what all parts of a group share at the group.

    Args:
        drawn: the SVG as matplotlib writes it. Text that is drawn as outlines stays so.

    Returns:
        The same drawing; the same bytes for the same input.
    """
    for prefix, uri in _NAMESPACES.items():
        ElementTree.register_namespace(prefix, uri)
    root = ElementTree.fromstring(drawn)
    names = {found.attrib["id"]: short for found, short in zip(_defined(root), _short_names(), strict=False)}
    for element in root.iter():
        for name in _PLACES:
            if name in element.attrib:
                element.set(name, _rounded(element.attrib[name]))
        if "transform" in element.attrib:
            moved = _TRANSLATE.sub(lambda found: _rounded(found[0]), element.attrib["transform"])
            element.set("transform", moved)
        if element.tag == f"{{{SVG}}}use":
            _move_by_place(element)
        _rename(element, names)
        _share(element)
        for attribute in ("text", "tail"):
            if not (getattr(element, attribute) or "").strip():
                setattr(element, attribute, None)
    written = bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
    return written.replace(b" />", b"/>") + b"\n"  # a ">" of a text is escaped


def _defined(root: ElementTree.Element) -> list[ElementTree.Element]:
    """The shapes that others use: letters and markers."""
    shapes = [found for defs in root.iter(f"{{{SVG}}}defs") for found in defs]
    return [shape for shape in shapes if shape.tag in _LEAVES and "id" in shape.attrib]


def _short_names() -> Iterator[str]:
    """Names of one letter, then of two, and so on."""
    for length in count(1):
        yield from map("".join, product(ascii_letters, repeat=length))


def _rename(element: ElementTree.Element, names: Mapping[str, str]) -> None:
    target = element.get(f"{{{XLINK}}}href", "")
    if target[:1] == "#" and target[1:] in names:
        element.set(f"{{{XLINK}}}href", f"#{names[target[1:]]}")
    if element.get("id") in names:
        element.set("id", names[element.attrib["id"]])


def _move_by_place(use: ElementTree.Element) -> None:
    """Writes the translation of a used shape as its place, which is the same."""
    moved = _TRANSLATION.fullmatch(use.get("transform", ""))
    if moved is None or {"x", "y"} & set(use.keys()):
        return
    del use.attrib["transform"]
    for name, value in zip("xy", moved.groups(), strict=True):
        if value not in ("0", None):
            use.set(name, value)


def _rounded(text: str) -> str:
    """Rounds the decimals in a path or a transformation, and leaves out spaces that it needs none of."""
    short = _NUMBER.sub(lambda found: f"{round(float(found[0]), 2) + 0.0:.2f}".rstrip("0").rstrip("."), text)
    return re.sub(r"\s*([MLQCZz])\s*", r"\1", short).strip()


def _share(group: ElementTree.Element) -> None:
    """Moves the style and the clip path that all drawn parts of a group have to the group.

    An opacity of the group would be another drawing, and so would the clip path of a part that is moved.
    """
    parts = [part for part in group if part.tag != f"{{{SVG}}}defs"]
    if len(parts) < 2 or any(part.tag not in _LEAVES for part in parts):
        return
    for name in ("style", "clip-path"):
        values = {part.get(name) for part in parts}
        value = values.pop()
        if values or value is None or name in group.attrib or _OPACITY.search(value):
            continue
        if name == "clip-path" and any("transform" in part.attrib for part in (group, *parts)):
            continue
        group.set(name, value)
        for part in parts:
            del part.attrib[name]

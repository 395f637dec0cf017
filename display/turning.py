"""A panel that is mounted turned: from what the customer sees to what the panel holds, and back.

`degrees` is 0, 90, 180 or 270: how far the picture is turned clockwise on the panel. `size` is always the customer's.
"""

from __future__ import annotations

from PIL import Image

from display.screen import Box, Point

_TURNS = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}


def turned_size(size: tuple[int, int], degrees: int) -> tuple[int, int]:
    """The customer's width and height from the panel's, or the other way round."""
    return (size[1], size[0]) if degrees in (90, 270) else size


def turned(image: Image.Image, degrees: int) -> Image.Image:
    """The picture as the panel holds it."""
    return image.transpose(_TURNS[degrees]) if degrees else image


def box_on_panel(box: Box, size: tuple[int, int], degrees: int) -> Box:
    """Where the customer's box stands on the panel."""
    width, height = size
    match degrees:
        case 90:
            return Box(height - box.bottom, box.left, height - box.top, box.right)
        case 180:
            return Box(width - box.right, height - box.bottom, width - box.left, height - box.top)
        case 270:
            return Box(box.top, width - box.right, box.bottom, width - box.left)
        case _:
            return box


def point_of_customer(point: Point, size: tuple[int, int], degrees: int) -> Point:
    """The place that the customer sees at a pixel of the panel."""
    width, height = size
    match degrees:
        case 90:
            return Point(point.y, height - 1 - point.x)
        case 180:
            return Point(width - 1 - point.x, height - 1 - point.y)
        case 270:
            return Point(width - 1 - point.y, point.x)
        case _:
            return point

"""One colour and one marker for each neuron, the two together its own, in every figure and on every page."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from snnbench.results import labels

# Okabe and Ito's colours without their yellow, which is too light for lines, and seven more, chosen so that any two of
# the fourteen are told apart by normal, red-blind and green-blind eyes (at least 7.6 apart in OKLab, of 100).
COLOURS = (
    *("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9"),
    *("#E69F00", "#662200", "#222288", "#884466", "#6688EE", "#0000EE", "#22DDAA", "#771155"),
)
# As matplotlib and as Plotly write the same shapes.
MARKERS = ("o", "s", "D", "^", "v", "P", "<", ">", "X", "p", "h", "*", "8", "d")
SYMBOLS = (
    *("circle", "square", "diamond", "triangle-up", "triangle-down", "cross"),
    *("triangle-left", "triangle-right", "x", "pentagon", "hexagon", "star", "octagon"),
    "diamond-tall",
)
OTHERS = ("#7F7F7F", "#A0522D", "#2F8F8F")
"""Of neurons that are not the project's."""


@dataclass(frozen=True)
class Look:
    """A colour as #RRGGBB, and a marker as matplotlib and as Plotly name it."""

    colour: str
    marker: str
    symbol: str


def look(neuron: str) -> Look:
    """The look of the neuron that configs call so; of one that the project does not have, by its name alone."""
    known = list(labels.neurons())
    if neuron in known:
        place = known.index(neuron)
        colour = COLOURS[place % len(COLOURS)]
        place += place // len(COLOURS)  # a colour that comes again has another marker
    else:
        place = zlib.crc32(neuron.encode())
        colour = OTHERS[place % len(OTHERS)]
    return Look(colour, MARKERS[place % len(MARKERS)], SYMBOLS[place % len(SYMBOLS)])

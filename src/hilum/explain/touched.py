"""What part of each layer's output a hidden window touches: arithmetic on intervals, no tensors.

A window of pixels changes an interval of rows and one of columns in what a layer gives. A layer
that looks at each position alone keeps the interval, a convolution or pooling widens it, and what
puts two outputs together touches what either does. Windows differ in where they begin and not in
how much they touch, so that one number says how large the part is for all of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Starts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Span:
    """Along one axis, where each window's part begins, (n,), and how long it is for all."""

    starts: Starts
    length: int


@dataclass(frozen=True)
class Reach:
    """How one axis of a convolution or pooling looks at its input."""

    kernel: int
    stride: int
    padding: int
    dilation: int = 1

    @property
    def width(self) -> int:
        """From the first to the last input position of one output, both counted."""
        return (self.kernel - 1) * self.dilation + 1


@dataclass(frozen=True, eq=False)
class Field:
    """Along one axis, what has to be read for a part of the output, and where the change goes.

    Parameters
    ----------
    read
        Input positions, which may lie beyond the edges.
    change : (n,)
        Where in what is read the changed part of the input begins.
    skip, length
        What is read holds the whole changed part; the output needs `length` positions of it,
        after `skip`.
    """

    read: Span
    change: Starts
    skip: int
    length: int


def of_boxes(firsts: Starts, ends: Starts, side: int) -> Span:
    """Return one span for boxes of different lengths: as long as the longest, inside the side."""
    length = int((ends - firsts).max())
    return Span(np.minimum(firsts, side - length), length)


def through(span: Span, reach: Reach, side: int) -> Span:
    """Return what a changed span changes of an output with `side` positions.

    Output o reads the input from o·stride − padding on, over `reach.width` positions.
    """
    longest = (span.length + reach.width - 2) // reach.stride + 1
    length = min(longest, side)
    first = -((reach.width - 1 - reach.padding - span.starts) // reach.stride)  # rounded up
    return Span(np.clip(first, 0, side - length), length)


def field(changed: Span, out: Span, reach: Reach) -> Field:
    """Return what to read so that the outputs in `out` can be computed."""
    begins = out.starts * reach.stride - reach.padding
    length = (out.length - 1) * reach.stride + reach.width
    offset = changed.starts - begins
    before = max(0, -int(offset.min()))  # a stride that skips positions may leave some outside
    after = max(0, int(offset.max()) + changed.length - length)
    read = Span(begins - before, before + length + after)
    return Field(read, offset + before, before, length)


def union(spans: list[Span], side: int) -> Span:
    """Return the shortest span that holds all of these."""
    firsts = np.min([span.starts for span in spans], axis=0)
    ends = np.max([span.starts + span.length for span in spans], axis=0)
    return of_boxes(firsts, ends, side)

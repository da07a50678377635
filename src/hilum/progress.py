"""How long work tells its caller how far it is.

Library functions take `progress: Progress`, `silent` if nothing is given; the command line passes
one that draws a bar on standard error. Nothing here draws.
"""

from typing import Protocol


class Progress(Protocol):
    """Called after each piece of work, and once with ``done=0`` before the first."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report `done` of `total` pieces; `note` is a few words such as ``"loss 5.21"``."""


def silent(done: int, total: int, note: str = "") -> None:
    """Report to nobody."""

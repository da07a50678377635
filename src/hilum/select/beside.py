"""What a selector may see of an image beside its embedding: the patient's age and sex, the view.

Each is a number around 0 and a second one that says whether it is known, so that "unknown" is
neither young nor old, neither of the sexes, and no view.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hilum.errors import UsageError
from hilum.select.pool import Floats, Pool, Vectors

COLUMNS: Final = 2  # per number: itself, and whether it is known


@dataclass(frozen=True, eq=False)
class People:
    """What is known of images beside their pixels.

    Parameters
    ----------
    age : (n_images,)
        Years; NaN where unknown, as in the others.
    female, frontal, ap : (n_images,)
        1 or 0. Of frontal films, `ap` is 1 for AP and 0 for PA; it is unknown for lateral ones.
    """

    age: Floats
    female: Floats
    frontal: Floats
    ap: Floats

    @classmethod
    def of(cls, pool: Pool) -> "People":
        """Take them from a pool; unknown where it does not say."""
        unknown = np.full(len(pool), np.nan)
        columns = (pool.age, pool.sex, pool.frontal, pool.ap)
        return cls(*(unknown if one is None else one.astype(np.float64) for one in columns))


def _sign(values: Floats) -> Floats:
    return 2 * values - 1


INPUTS: Final[dict[str, Callable[[People], list[Floats]]]] = {
    "age": lambda people: [people.age / 25 - 2],  # 25 years are -1, 75 years 1
    "sex": lambda people: [_sign(people.female)],
    "view": lambda people: [_sign(people.frontal), _sign(people.ap)],
}
"""What can be asked for, to its numbers."""

_WIDTHS: Final = {"age": 1, "sex": 1, "view": 2}


def width_of(inputs: Sequence[str]) -> int:
    """Return how many numbers `columns` gives for each image."""
    return COLUMNS * sum(_WIDTHS[name] for name in refuse_unknown(inputs))


def refuse_unknown(inputs: Sequence[str]) -> tuple[str, ...]:
    """Return the inputs.

    Raises
    ------
    UsageError
        If there is no such input, or one is named twice.
    """
    if set(inputs) - set(INPUTS) or len(set(inputs)) != len(inputs):
        raise UsageError(
            f"a selector can see {', '.join(INPUTS)} beside the embedding, each once; "
            f"got {', '.join(map(repr, inputs))}"
        )
    return tuple(inputs)


def columns(people: People, inputs: Sequence[str]) -> Vectors:
    """Return what a selector sees of images beside their embeddings.

    Parameters
    ----------
    inputs
        Keys of `INPUTS`.

    Returns
    -------
    (n_images, width_of(inputs)): for each number itself, 0 where unknown, and 1 or 0 for known.

    Raises
    ------
    UsageError
        If there is no such input, or nothing is known of it for any image.
    """
    out: list[Floats] = []
    for name in refuse_unknown(inputs):
        numbers = INPUTS[name](people)
        if all(np.isnan(one).all() for one in numbers):
            raise UsageError(
                f"the {name} of no image is known: train or take a selector without it"
            )
        for one in numbers:
            known = ~np.isnan(one)
            out += [np.where(known, one, 0.0), known.astype(np.float64)]
    return np.stack(out, axis=1).astype(np.float32)

"""Numbers about an image that are not its pixels: who, how, and what earlier visits said.

An image's own labels, those of the same visit and those of later ones never enter. What is unknown
is NaN, with a column beside it that says so. `visits` groups images by patient and time, `past`
reads it for a whole collection, `history` and `course` make columns of it, `inputs` names what
there is.
"""

from hilum.features.demographics import demographics
from hilum.features.inputs import INPUTS, features_of
from hilum.features.table import Features

__all__ = [
    "INPUTS",
    "Features",
    "demographics",
    "features_of",
]

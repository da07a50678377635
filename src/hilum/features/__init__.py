"""Numbers about an image that are not its pixels: who, how, and what earlier visits said.

An image's own labels, those of the same visit and those of later ones never enter. What is unknown
is NaN, with a column beside it that says so. `visits` groups images by patient and time, `past`
reads it for a whole collection, `inputs` names what there is; `prevalence` holds class weights.
"""

from hilum.features.course import course
from hilum.features.demographics import demographics
from hilum.features.history import history
from hilum.features.inputs import INPUTS, features_of
from hilum.features.prevalence import ClassWeights, class_weights
from hilum.features.table import Features

__all__ = [
    "INPUTS",
    "ClassWeights",
    "Features",
    "class_weights",
    "course",
    "demographics",
    "features_of",
    "history",
]

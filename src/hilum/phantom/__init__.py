"""Synthetic radiographs by projection of a real chest CT, with planted findings.

>>> from hilum.phantom import generate_patient
>>> patient = generate_patient(seed=0, number=7, size=64)
>>> [film.image_id for film in patient.films]
['p00007-v1-pa']
"""

from hilum.phantom.history import FINDINGS, NO_FINDING
from hilum.phantom.patient import Box, Film, Patient, generate_patient
from hilum.phantom.write import write_hospital

__all__ = [
    "FINDINGS",
    "NO_FINDING",
    "Box",
    "Film",
    "Patient",
    "generate_patient",
    "write_hospital",
]

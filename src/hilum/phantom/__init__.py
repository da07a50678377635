"""Synthetic radiographs by projection of a real chest CT, with planted findings.

>>> from hilum.phantom import generate_patient
>>> patient = generate_patient(seed=0, number=7, size=64)
>>> patient.films[0].study_id, patient.films[0].pixels.shape
('p00007-v1', (64, 64))
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

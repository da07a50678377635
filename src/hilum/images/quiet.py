"""Reading DICOM without its text leaking into warnings and logs.

pydicom reports every value that does not obey its VR, quoting it, both as a Python warning and
to the logger ``pydicom``. On a damaged file the quoted "value" can be the rest of the header,
with the patient's name in it.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_muted: ContextVar[bool] = ContextVar("muted", default=False)


def _speaks(record: logging.LogRecord) -> bool:  # noqa: ARG001 (the signature of a filter)
    return not _muted.get()


# Once, for the process; outside `quiet_pydicom` it lets everything pass.
logging.getLogger("pydicom").addFilter(_speaks)


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's warnings and log records to itself, in this thread or task only."""
    token = _muted.set(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _muted.reset(token)

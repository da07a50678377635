"""From folders of radiographs to a collection, by way of processes that may die."""

from hilum.ingest.admission import IngestReport
from hilum.ingest.folder import ingest

__all__ = ["IngestReport", "ingest"]

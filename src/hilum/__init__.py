"""hilum: learn from chest X-rays, and other medical images, with zero, some or all labels.

The door. Everything a newcomer needs is here; nothing heavy is imported before it is used::

    import hilum

    collection = hilum.ingest("nih/", "chest.lance", layout="nih", size=320).collection
    encoder = hilum.pretrain(collection.where("split = 'train'"), "run", recipe="moco-small")
    collection = hilum.embed(collection, encoder, name="moco")
    scores = hilum.classify(collection, "moco", labels="labels.csv")
    result = hilum.evaluate(scores, collection.labels("test"), by="patient_id")

Research software; not a medical device.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hilum.appraisal import evaluation_page
    from hilum.classify import classify
    from hilum.collection import Collection
    from hilum.collection import open_collection as open  # noqa: A004
    from hilum.comparison import compare_training
    from hilum.embed import embed
    from hilum.encoders import (
        Classifier,
        Encoder,
        convert,
        load_classifier,
        load_encoder,
        save_encoder,
    )
    from hilum.errors import HilumError, ImageError
    from hilum.evaluate import Metrics, choose_thresholds, compare, evaluate, fit_calibration
    from hilum.explain import Saliency, explain, explain_similar
    from hilum.findings import FINDINGS
    from hilum.frontier import draw_frontier as frontier
    from hilum.images import Geometry, read_picture
    from hilum.ingest import ingest
    from hilum.phantom import write_hospital
    from hilum.report import Page
    from hilum.reports import report_labels
    from hilum.retrieve import retrieve
    from hilum.select import select
    from hilum.sources import read_source
    from hilum.tables import Table, read_table, write_table
    from hilum.training import predict, pretrain, pretrain_reports, train_metric
    from hilum.training import train_supervised as train
    from hilum.zeroshot import zeroshot

_WHERE = {  # name -> the module that holds it
    "Classifier": "encoders",
    "FINDINGS": "findings",
    "Collection": "collection",
    "Encoder": "encoders",
    "Geometry": "images",
    "HilumError": "errors",
    "ImageError": "errors",
    "Metrics": "evaluate",
    "Page": "report",
    "Saliency": "explain",
    "Table": "tables",
    "choose_thresholds": "evaluate",
    "classify": "classify",
    "compare": "evaluate",
    "compare_training": "comparison",
    "convert": "encoders",
    "embed": "embed",
    "evaluate": "evaluate",
    "evaluation_page": "appraisal",
    "explain": "explain",
    "explain_similar": "explain",
    "fit_calibration": "evaluate",
    "frontier": "frontier",
    "ingest": "ingest",
    "load_classifier": "encoders",
    "load_encoder": "encoders",
    "open": "collection",
    "predict": "training",
    "pretrain": "training",
    "pretrain_reports": "training",
    "read_picture": "images",
    "read_source": "sources",
    "read_table": "tables",
    "report_labels": "reports",
    "retrieve": "retrieve",
    "save_encoder": "encoders",
    "select": "select",
    "train": "training",
    "train_metric": "training",
    "write_hospital": "phantom",
    "write_table": "tables",
    "zeroshot": "zeroshot",
}

_THERE = {  # what some are called there
    "frontier": "draw_frontier",
    "open": "open_collection",
    "train": "train_supervised",
}

__all__ = [  # noqa: RUF022 (nouns, then the verbs in the order data flows)
    "Classifier",
    "Collection",
    "Encoder",
    "FINDINGS",
    "Geometry",
    "HilumError",
    "ImageError",
    "Metrics",
    "Page",
    "Saliency",
    "Table",
    "write_hospital",
    "read_source",
    "read_picture",
    "ingest",
    "open",
    "report_labels",
    "pretrain",
    "pretrain_reports",
    "load_encoder",
    "save_encoder",
    "convert",
    "embed",
    "select",
    "classify",
    "train",
    "train_metric",
    "predict",
    "load_classifier",
    "zeroshot",
    "retrieve",
    "explain",
    "explain_similar",
    "choose_thresholds",
    "fit_calibration",
    "evaluate",
    "compare",
    "compare_training",
    "frontier",
    "evaluation_page",
    "read_table",
    "write_table",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'hilum' has no attribute {name!r}")
    module = import_module(f"hilum.{_WHERE[name]}")
    return getattr(module, _THERE.get(name, name))


def __dir__() -> list[str]:
    return sorted(__all__)


class _Door(ModuleType):
    """Keep ``hilum.embed`` the function after the module of the same name was imported.

    Python binds a submodule on its package when it is first imported, which would put the
    module `hilum.embed` in front of the function; the verbs are the public names.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and _WHERE.get(name) == name):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Door

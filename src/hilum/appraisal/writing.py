"""The files of an appraisal: tables, plots, the page."""

import base64
import json
from itertools import product
from pathlib import Path
from typing import Final

from hilum.appraisal.figures import draw
from hilum.appraisal.outputs import clear_own
from hilum.appraisal.page import page
from hilum.appraisal.record import Appraisal, comparison_rows
from hilum.errors import UsageError
from hilum.evaluate.layout import write_rows
from hilum.evaluate.plan import STATISTICS

METRICS: Final = "metrics.json"
_TABLES: Final = ("readers.csv", "subgroups.csv", "comparison.csv")
_BY_STATISTIC: Final = ("readers", "model_minus_readers", "differences")
_PLOTS: Final = (
    "report.html",
    *(f"{name}.svg" for name in ("roc", "precision_recall", "reliability", "subgroups")),
    *(f"{name}_{statistic}.svg" for name, statistic in product(_BY_STATISTIC, STATISTICS)),
)
EVALUATION_FILES: Final = (*_TABLES, *_PLOTS, METRICS)


def write_tables(appraisal: Appraisal, folder: Path) -> None:
    """Write ``metrics.json`` and the CSV tables; nothing of an earlier evaluation stays.

    What can be used again (``thresholds.csv``, ``calibration.json``) is only ever replaced.

    Raises
    ------
    UsageError
        If the folder cannot be written to, or files are there that no evaluation wrote.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        clear_own(folder, METRICS, EVALUATION_FILES)
        appraisal.metrics.save(folder)
        text = json.dumps(appraisal.to_json(), indent=2, allow_nan=False)
        (folder / METRICS).write_text(text + "\n", encoding="utf-8")
        if appraisal.comparison is not None:
            write_rows(folder / "comparison.csv", comparison_rows(appraisal.comparison))
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error}; name another folder") from error


def write_plots(appraisal: Appraisal, folder: Path) -> Path:
    """Write the plots and the page that holds them; return the page's path."""
    plots = draw(appraisal)
    for name, plot in plots.items():
        content = base64.b64decode(plot.source.partition(",")[2])
        (folder / f"{name}.svg").write_bytes(content)
    return page(appraisal, plots).save(folder / "report.html")

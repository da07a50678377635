"""An evaluation for people: its tables, plots and page.

`files` says which tables it is made from, `appraise` measures, `record` holds what came out,
`panels` and `figures` draw it, `sentences`, `tables` and `page` tell it, `writing` puts it into a
folder. No number is computed here: `hilum.evaluate` has given them all.
"""

from hilum.appraisal.appraise import appraise
from hilum.appraisal.files import Files, Tables
from hilum.appraisal.page import evaluation_page, page
from hilum.appraisal.record import Appraisal
from hilum.appraisal.writing import write_plots, write_tables

__all__ = [
    "Appraisal",
    "Files",
    "Tables",
    "appraise",
    "evaluation_page",
    "page",
    "write_plots",
    "write_tables",
]

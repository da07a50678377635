"""Score, truth and label tables: ids × findings, read and written as CSV, joined by id and by name.

One format serves every stage (`docs/formats.md`): an id column, then one column per finding; a
cell is 1 (present), 0 (absent), -1 (uncertain), empty (unknown), or a score, any finite number.
Two tables may hold their rows and columns in any order: nothing here joins by position. In the
published CheXpert test labels, joining by position would give one radiologist an F1 of 0.02
where joining by name gives 0.85.
"""

from hilum.tables.files import read_columns, read_table, write_table
from hilum.tables.table import Aligned, Table, align, label_values

__all__ = [
    "Aligned",
    "Table",
    "align",
    "label_values",
    "read_columns",
    "read_table",
    "write_table",
]

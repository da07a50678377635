"""Scores of your own, from any program: metrics with intervals by patient, and two models compared.

    python examples/own_scores.py OUT

Writes the tables that it reads, so that their form can be seen: truth.csv, a.csv, b.csv.
"""

import sys
from pathlib import Path

import numpy as np

import hilum


def main(out: Path) -> None:
    rng = np.random.default_rng(0)
    ids = tuple(f"film-{n:03}" for n in range(300))
    present = (rng.random((300, 2)) < 0.3).astype(float)
    people = {"patient_id": tuple(f"patient-{n // 2:03}" for n in range(300))}
    findings = ("Edema", "Pneumothorax")
    tables = {"truth": hilum.Table(ids, findings, present, extra=people)}
    for name, noise in (("a", 0.8), ("b", 1.2)):
        tables[name] = hilum.Table(ids, findings, present + noise * rng.normal(size=(300, 2)))
    for name, table in tables.items():
        hilum.write_table(table, out / f"{name}.csv")

    truth, a, b = (hilum.read_table(out / f"{name}.csv") for name in ("truth", "a", "b"))
    result = hilum.evaluate(a, truth, by="patient_id")
    print(result.to_text())
    print(hilum.compare(a, b, truth, by="patient_id").to_text())
    result.save(out / "metrics")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

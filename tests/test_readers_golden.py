"""CheXpert's benchmark radiologists: every published number of three readers, to 4 decimals.

The truth is the majority of five other radiologists (Irvin et al., AAAI 2019); the readers and the
resampling are those of CheXzero (Tiu et al., Nat. Biomed. Eng. 2022). The readers' files have their
columns in another order than the truth, so that a join by position would be seen here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
import pytest

from hilum.evaluate import FindingMetrics, Measure, evaluate
from hilum.evaluate.decisions import decide
from hilum.evaluate.panel import Panel
from hilum.evaluate.plan import Settings
from hilum.evaluate.scorecard import Scorecard
from hilum.tables import Table, align, read_table

READERS = ("bc4", "bc6", "bc8")
FIVE = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")

# positives; F1 of the three readers and their mean; MCC likewise
POINTS = {
    "Atelectasis": "153 0.7029 0.6749 0.6998 0.6925 0.5571 0.5220 0.5599 0.5463",
    "Cardiomegaly": "151 0.6025 0.7147 0.7211 0.6794 0.5196 0.5788 0.6055 0.5680",
    "Consolidation": "29 0.3800 0.3294 0.4483 0.3859 0.3648 0.2917 0.4143 0.3569",
    "Edema": "78 0.6012 0.5662 0.5844 0.5840 0.5244 0.4900 0.5088 0.5078",
    "Pleural Effusion": "104 0.8095 0.6641 0.7410 0.7382 0.7590 0.5728 0.6752 0.6690",
    "No Finding": "62 0.5227 0.6164 0.5191 0.5527 0.5405 0.5674 0.5045 0.5375",
    "Enlarged Cardiomediastinum": "253 0.7650 0.7839 0.7163 0.7551 0.6194 0.5981 0.5677 0.5951",
    "Lung Opacity": "264 0.8480 0.8762 0.8641 0.8627 0.7013 0.7314 0.7070 0.7132",
    "Lung Lesion": "8 0.5455 0.6250 0.6250 0.5985 0.6093 0.6189 0.6189 0.6157",
    "Pneumonia": "11 0.1765 0.4211 0.2105 0.2693 0.1623 0.4155 0.2055 0.2611",
    "Pneumothorax": "9 0.7368 0.7826 0.4615 0.6603 0.7328 0.7977 0.4944 0.6750",
    "Pleural Other": "4 0.3529 0.2105 0.2222 0.2619 0.4086 0.2474 0.2166 0.2909",
    "Fracture": "5 0.1250 0.4615 0.3333 0.3066 0.1220 0.4678 0.4454 0.3451",
    "Support Devices": "261 0.9328 0.9320 0.9447 0.9365 0.8568 0.8676 0.8899 0.8715",
}
MEAN_OF_FIVE = "0.6192 0.5899 0.6389 0.6160 0.5450 0.4911 0.5527 0.5296"
MEAN_OF_ALL = "0.5787 0.6185 0.5780 0.5917 0.5341 0.5548 0.5295 0.5395"

# two readers of three or more: FIVE, and their mean
MAJORITY = {
    "f1": "0.7411 0.7740 0.4412 0.6463 0.7915 0.6788",
    "mcc": "0.6185 0.6817 0.4064 0.5781 0.7368 0.6043",
}

# TN/FP/FN/TP of FIVE
CONFUSION = {
    "bc4": "273/74/30/123 333/16/79/72 419/52/10/19 386/36/29/49 375/21/19/85",
    "bc6": "286/61/44/109 268/81/22/129 429/42/15/14 343/79/16/62 327/69/18/86",
    "bc8": "238/109/12/141 312/37/45/106 455/16/16/13 391/31/33/45 342/54/11/93",
}

# the mean and the interval of CheXzero's 1,000 resamples: FIVE, and their mean
RESAMPLED = {
    ("f1", "mean"): (
        "0.6906 [0.6452, 0.7325]", "0.6789 [0.6318, 0.7191]", "0.3788 [0.2730, 0.4791]",
        "0.5822 [0.5173, 0.6437]", "0.7355 [0.6835, 0.7832]", "0.6132 [0.5847, 0.6424]",
    ),
    ("f1", "bc4"): (
        "0.7007 [0.6460, 0.7566]", "0.6023 [0.5229, 0.6768]", "0.3713 [0.2439, 0.4894]",
        "0.5980 [0.5125, 0.6893]", "0.8065 [0.7415, 0.8641]", "0.6158 [0.5772, 0.6520]",
    ),
    ("f1", "bc6"): (
        "0.6736 [0.6075, 0.7335]", "0.7150 [0.6627, 0.7680]", "0.3232 [0.2000, 0.4516]",
        "0.5637 [0.4834, 0.6381]", "0.6614 [0.5952, 0.7241]", "0.5874 [0.5527, 0.6209]",
    ),
    ("f1", "bc8"): (
        "0.6974 [0.6437, 0.7470]", "0.7192 [0.6570, 0.7724]", "0.4419 [0.2564, 0.5902]",
        "0.5851 [0.4964, 0.6747]", "0.7384 [0.6723, 0.7970]", "0.6364 [0.5915, 0.6782]",
    ),
    ("mcc", "mean"): (
        "0.5448 [0.4921, 0.5970]", "0.5678 [0.5142, 0.6171]", "0.3524 [0.2474, 0.4507]",
        "0.5070 [0.4413, 0.5747]", "0.6665 [0.6104, 0.7208]", "0.5277 [0.4979, 0.5583]",
    ),
    ("mcc", "bc4"): (
        "0.5553 [0.4809, 0.6310]", "0.5199 [0.4307, 0.6021]", "0.3580 [0.2273, 0.4771]",
        "0.5220 [0.4252, 0.6236]", "0.7561 [0.6777, 0.8269]", "0.5422 [0.4997, 0.5828]",
    ),
    ("mcc", "bc6"): (
        "0.5215 [0.4375, 0.6014]", "0.5799 [0.5099, 0.6463]", "0.2881 [0.1614, 0.4232]",
        "0.4879 [0.3989, 0.5652]", "0.5706 [0.4912, 0.6484]", "0.4896 [0.4492, 0.5282]",
    ),
    ("mcc", "bc8"): (
        "0.5578 [0.4912, 0.6177]", "0.6036 [0.5229, 0.6742]", "0.4111 [0.2265, 0.5663]",
        "0.5112 [0.4140, 0.6151]", "0.6729 [0.5934, 0.7405]", "0.5513 [0.5025, 0.5973]",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(data_dir: Path) -> Path:
    return data_dir / "chexpert-test-labels"


@pytest.fixture(scope="module")
def truth(folder: Path) -> Table:
    return read_table(folder / "groundtruth.csv", "Study")


@pytest.fixture(scope="module")
def readers(folder: Path) -> dict[str, Table]:
    return {
        name: read_table(folder / "benchmark_radiologists" / f"{name}.csv", "Study")
        for name in READERS
    }


def mixed(table: Table, seed: int, *, rows: bool = True) -> Table:
    """Put the columns, and the rows, into another order."""
    rng = np.random.default_rng(seed)
    columns = rng.permutation(len(table.findings))
    again = table.select([table.findings[at] for at in columns])
    return again.take(rng.permutation(len(table))) if rows else again


def any_scores(truth: Table, seed: int) -> Table:
    """Score at random: the readers' numbers have nothing to do with them."""
    values = np.random.default_rng(seed).random((len(truth), len(truth.findings)))
    return mixed(Table(truth.ids, truth.findings, values), seed)


def panel_of(truth: Table, readers: Mapping[str, Table], **settings: Unpack[Settings]) -> Panel:
    """Measure the readers of tables in any order."""
    tables = {name: mixed(table, at) for at, (name, table) in enumerate(readers.items())}
    scores = any_scores(truth, 7)
    found = evaluate(scores, truth, readers=tables, **settings).panel
    assert found is not None
    return found


@pytest.fixture(scope="module")
def plain(truth: Table, readers: dict[str, Table]) -> Panel:
    return panel_of(mixed(truth, 11), readers, bootstrap=0)


def estimate(card: Scorecard, finding: str | None, statistic: str) -> str:
    measures = card.mean if finding is None else card.findings[finding].measures
    value = measures[statistic].estimate
    assert value is not None
    return f"{value:.4f}"


def line(panel: Panel, finding: str | None) -> list[str]:
    """Return one line of the published table: F1 of each reader and their mean, then MCC."""
    cards = [*(panel.readers[name] for name in READERS), panel.mean]
    return [estimate(card, finding, name) for name in ("f1", "mcc") for card in cards]


@pytest.mark.parametrize("finding", POINTS)
def test_every_readers_f1_and_mcc_and_their_mean(plain: Panel, finding: str) -> None:
    positives, *numbers = POINTS[finding].split()
    for card in (*plain.readers.values(), plain.mean):
        found: FindingMetrics = card.findings[finding]
        assert (found.n, found.positives) == (500, int(positives))
    assert line(plain, finding) == numbers


def test_the_means_over_fourteen_findings(plain: Panel) -> None:
    assert line(plain, None) == MEAN_OF_ALL.split()
    assert plain.mean.n_in_mean["mcc"] == 14


@pytest.fixture(scope="module")
def of_five(truth: Table, readers: dict[str, Table]) -> Panel:
    # the truth's rows stay: CheXzero numbers its resampled studies by them
    five = mixed(truth.select(FIVE), 12, rows=False)
    return panel_of(five, readers, interval="chexzero", statistics=("f1", "mcc"))


def test_the_means_over_the_five_findings_of_the_competition(of_five: Panel) -> None:
    assert line(of_five, None) == MEAN_OF_FIVE.split()


@pytest.mark.parametrize("statistic", MAJORITY)
def test_the_majority_of_three(of_five: Panel, statistic: str) -> None:
    assert of_five.majority is not None
    found = [estimate(of_five.majority, finding, statistic) for finding in (*FIVE, None)]
    assert found == MAJORITY[statistic].split()


def as_published(measure: Measure) -> str:
    numbers = (measure.bootstrap_mean, measure.low, measure.high)
    return "{:.4f} [{:.4f}, {:.4f}]".format(*numbers)


@pytest.mark.parametrize(("statistic", "reader"), RESAMPLED)
def test_the_resamples_of_chexzero(of_five: Panel, statistic: str, reader: str) -> None:
    card = of_five.mean if reader == "mean" else of_five.readers[reader]
    measures: Sequence[Measure] = [card.findings[name].measures[statistic] for name in FIVE]
    found = tuple(map(as_published, (*measures, card.mean[statistic])))
    assert found == RESAMPLED[statistic, reader]


@pytest.mark.parametrize("reader", CONFUSION)
def test_the_counts_of_right_and_wrong_readings(
    truth: Table, readers: dict[str, Table], plain: Panel, reader: str
) -> None:
    for finding, expected in zip(FIVE, CONFUSION[reader].split(), strict=True):
        joined = align(readers[reader], truth)
        counts = decide(joined.scores.column(finding), joined.truth.column(finding)).confusion
        cells = [int(cell) for cell in (counts.tn, counts.fp, counts.fn, counts.tp)]
        assert "/".join(map(str, cells)) == expected
        tn, fp, fn, tp = cells
        measures = plain.readers[reader].findings[finding].measures
        for name, top, bottom in (
            ("sensitivity", tp, tp + fn),
            ("specificity", tn, tn + fp),
            ("ppv", tp, tp + fp),
            ("npv", tn, tn + fn),
        ):
            assert measures[name].estimate == top / bottom


def test_the_columns_of_the_files_do_differ(truth: Table, readers: dict[str, Table]) -> None:
    # so the tables above do fail where columns are joined by position
    place = truth.findings.index("Lung Opacity")
    for table in readers.values():
        assert set(table.findings) == set(truth.findings)
        assert table.findings[place] == "Lung Lesion"

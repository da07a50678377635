"""Published labels, readings and scores: every number that others can look up, to 4 decimals.

CheXpert's test set (Irvin et al., AAAI 2019) with its leaderboard's models, as CheXzero resamples
them; and the predictions of a public DenseNet-121 on ChestX-ray14 (Wang et al., CVPR 2017).
"""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hilum.evaluate import Measure, Metrics, auroc, average_precision, evaluate
from hilum.findings import canonical
from hilum.tables import Table, read_table

FIVE = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")

# AUROC; then of CheXzero's 1,000 resamples the mean and the interval: FIVE, and their mean
LEADERBOARD = {
    "drnet": (
        "0.8843, 0.8838 (0.8506, 0.9130)",
        "0.9370, 0.9369 (0.9129, 0.9567)",
        "0.9161, 0.9159 (0.8733, 0.9537)",
        "0.9301, 0.9298 (0.9039, 0.9510)",
        "0.9602, 0.9597 (0.9422, 0.9748)",
        "0.9255, 0.9252 (0.9110, 0.9381)",
    ),
    "hieupham": (
        "0.8913, 0.8909 (0.8606, 0.9181)",
        "0.9406, 0.9408 (0.9201, 0.9597)",
        "0.8996, 0.9000 (0.8533, 0.9412)",
        "0.9219, 0.9216 (0.8926, 0.9472)",
        "0.9680, 0.9675 (0.9509, 0.9819)",
        "0.9243, 0.9242 (0.9104, 0.9375)",
    ),
    "ihil": (
        "0.8843, 0.8838 (0.8506, 0.9130)",
        "0.9425, 0.9425 (0.9209, 0.9602)",
        "0.9161, 0.9159 (0.8733, 0.9537)",
        "0.9301, 0.9298 (0.9039, 0.9510)",
        "0.9602, 0.9597 (0.9422, 0.9748)",
        "0.9266, 0.9264 (0.9121, 0.9395)",
    ),
    "jfaboy": (
        "0.8884, 0.8882 (0.8596, 0.9161)",
        "0.9285, 0.9282 (0.9005, 0.9515)",
        "0.9319, 0.9322 (0.8993, 0.9614)",
        "0.9210, 0.9208 (0.8923, 0.9446)",
        "0.9580, 0.9575 (0.9380, 0.9748)",
        "0.9256, 0.9254 (0.9123, 0.9370)",
    ),
}


@pytest.fixture(scope="module")
def chexpert(data_dir: Path) -> Path:
    return data_dir / "chexpert-test-labels"


@pytest.fixture(scope="module")
def truth(chexpert: Path) -> Table:
    return read_table(chexpert / "groundtruth.csv", "Study")


def scored_by(model: str, chexpert: Path) -> Table:
    return read_table(chexpert / "predictions" / f"{model}_predictions.csv", "Study")


def mixed(table: Table, seed: int, *, rows: bool) -> Table:
    """Put the columns, and the rows, into another order."""
    rng = np.random.default_rng(seed)
    columns = rng.permutation(len(table.findings))
    again = table.select([table.findings[at] for at in columns])
    return again.take(rng.permutation(len(table))) if rows else again


def four_decimals(measure: Measure) -> str:
    numbers = (measure.estimate, measure.bootstrap_mean, measure.low, measure.high)
    return "{:.4f}, {:.4f} ({:.4f}, {:.4f})".format(*numbers)


def as_chexzero(scores: Table, truth: Table) -> Metrics:
    return evaluate(scores, truth, interval="chexzero", statistics=("auroc",))


@pytest.mark.parametrize("model", LEADERBOARD)
def test_the_leaderboard_as_chexzero_resamples_it(model: str, chexpert: Path, truth: Table) -> None:
    found = as_chexzero(scored_by(model, chexpert), truth)
    measures = [found.findings[name].measures["auroc"] for name in FIVE] + [found.mean["auroc"]]
    assert tuple(four_decimals(measure) for measure in measures) == LEADERBOARD[model]
    assert found.n_in_mean["auroc"] == 5
    assert set(found.settings["findings_without_scores"]) == set(truth.findings) - set(FIVE)


def test_no_order_of_columns_or_scores_changes_a_number(chexpert: Path, truth: Table) -> None:
    # the truth's rows stay: CheXzero numbers its resampled studies by them
    scores = scored_by("drnet", chexpert)
    plain = as_chexzero(scores, truth)
    other = as_chexzero(mixed(scores, 1, rows=True), mixed(truth, 2, rows=False))
    assert dict(other.findings) == dict(plain.findings)
    for name, value in vars(plain.mean["auroc"]).items():
        assert vars(other.mean["auroc"])[name] == pytest.approx(value, abs=1e-12)


def test_scores_above_1_are_scores(chexpert: Path, truth: Table) -> None:
    scores = scored_by("drnet", chexpert)
    larger = Table(scores.ids, scores.findings, scores.values * 3)
    assert larger.values.max() > 1
    assert as_chexzero(larger, truth).findings == as_chexzero(scores, truth).findings


def test_rare_findings_lose_the_resamples_that_they_lose_in_chexzero(
    chexpert: Path, truth: Table
) -> None:
    reader = read_table(chexpert / "benchmark_radiologists" / "bc4.csv", "Study")
    found = as_chexzero(reader, truth).findings
    lost = {name: found[name].measures["auroc"].undefined for name in truth.findings}
    assert {name: n for name, n in lost.items() if n} == {"Pleural Other": 17, "Fracture": 2}


@pytest.fixture(scope="module")
def nih(data_dir: Path) -> tuple[Table, Table]:
    """Return the DenseNet's probabilities, and the labels of 2020 of the same images."""
    predictions = data_dir / "nih-predictions" / "chexnet_reproduction_predictions.csv"
    scores = read_table(predictions, "Image Index", prefix="prob_")
    raw = pl.read_csv(
        data_dir / "metadata" / "Data_Entry_2017_v2020.csv.gz",
        has_header=False, skip_rows=1, infer_schema=False, columns=[0, 1],
    )  # fmt: skip
    present = {image: {canonical(name) for name in text.split("|")} for image, text in raw.rows()}
    names = scores.findings
    labels = np.array([[name in present[image] for name in names] for image in scores.ids])
    patients = tuple(image.split("_")[0] for image in scores.ids)
    return scores, Table(scores.ids, names, labels, {"patient_id": patients})


def test_the_means_of_a_published_densenet_and_how_patients_widen_them(
    nih: tuple[Table, Table],
) -> None:
    both = ("auroc", "average_precision")
    by_patient, by_image = (
        evaluate(*nih, by, bootstrap=400, statistics=both) for by in ("patient_id", None)
    )
    assert by_patient.settings["units"] < by_image.settings["units"] == 22_433
    for found in (by_patient, by_image):
        assert found.n_in_mean == dict.fromkeys(both, 14)
        assert f"{found.mean['auroc'].estimate:.4f}" == "0.8383"
        assert f"{found.mean['average_precision'].estimate:.3f}" == "0.259"
    for name in both:
        assert width(by_patient.mean[name]) > 1.05 * width(by_image.mean[name])


def width(measure: Measure) -> float:
    assert measure.low is not None
    assert measure.high is not None
    return measure.high - measure.low


def test_the_plain_functions_give_the_same_numbers(nih: tuple[Table, Table]) -> None:
    scores, labels = nih
    found = evaluate(scores, labels, bootstrap=0)
    for name in ("Hernia", "Infiltration"):
        column, present = scores.column(name), labels.column(name)
        measures = found.findings[name].measures
        assert measures["auroc"].estimate == auroc(column, present)
        assert measures["average_precision"].estimate == average_precision(column, present)

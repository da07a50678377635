"""Readers as a sample of readers: the covariance behind it, and verdicts against a margin."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import reference_panel as reference
from hilum.evaluate import Plan
from hilum.evaluate.decisions import STATISTICS
from hilum.evaluate.noninferiority import NonInferiority, bootstrap_noninferiority, noninferiority
from hilum.evaluate.orh import compare_model
from hilum.evaluate.panel import Panel, panel
from hilum.evaluate.studies import MEAN, Verdict
from hilum.tables import Table
from reference import bootstrap_by_loop
from reference_panel import FINDINGS, LIMIT, Floats, case, table


def panel_of(scores: Table, truth: Table, readers: Mapping[str, Table], **settings: Any) -> Panel:
    """Measure readers beside a model whose threshold is `LIMIT`."""
    plan = Plan(**{"bootstrap": 0, **settings})
    return panel(readers, truth, plan, scores, dict.fromkeys(FINDINGS, LIMIT))


def thetas(scores: Table, truth: Table, readers: Mapping[str, Table], at: int) -> Any:
    """Return a function from images to MCC: the model's, averaged over readers, then theirs."""
    called = (scores.values[:, at] >= LIMIT).astype(float)
    said = [reader.values[:, at] for reader in readers.values()]

    def measure(rows: reference.Booleans) -> Floats:
        labels, model = truth.values[rows, at], called[rows]
        own = [reference.readings(one[rows], labels)["mcc"] for one in said]
        read = [~np.isnan(one[rows]) for one in said]
        seen = [reference.readings(model[kept], labels[kept])["mcc"] for kept in read]
        return np.array([np.mean(seen), *own])

    return measure


def test_the_study_of_other_readers_is_close_to_one_from_a_jackknife_over_patients() -> None:
    scores, truth, readers = case(n=240, readers=4)
    found = panel_of(scores, truth, readers, level=0.9)
    at = FINDINGS.index("Edema")
    units = [row // 2 for row in range(240)]
    theta, covariance = reference.jackknife(thetas(scores, truth, readers, at), units)
    expected = compare_model(theta, covariance, level=0.9)
    study = found.studies["Edema"]["mcc"]
    assert study.n_readers == 4
    assert study.difference.estimate == pytest.approx(expected.difference.estimate, abs=1e-12)
    # the jackknife leaves patients out, influences move their weight a little: they part by 1/n
    for name in ("standard_error", "df", "low", "high"):
        ours, theirs = (getattr(one.difference, name) for one in (study, expected))
        assert ours == pytest.approx(theirs, rel=0.02), name
    assert study.difference.p_value == pytest.approx(expected.difference.p_value, abs=0.005)
    for name in ("var", "cov2", "ms_r"):
        ours, theirs = (getattr(one.components, name) for one in (study, expected))
        assert ours == pytest.approx(theirs, rel=0.05), name


def test_the_study_of_the_mean_is_that_of_the_mean_over_findings() -> None:
    scores, truth, readers = case(n=240, readers=4)
    found = panel_of(scores, truth, readers)
    each = [thetas(scores, truth, readers, at) for at in range(3)]
    units = [row // 2 for row in range(240)]
    theta, covariance = reference.jackknife(
        lambda rows: np.asarray(np.mean([measure(rows) for measure in each], axis=0)), units
    )
    expected, study = compare_model(theta, covariance), found.studies[MEAN]["mcc"]
    assert study.difference.estimate == pytest.approx(expected.difference.estimate, abs=1e-12)
    error = expected.difference.standard_error
    assert study.difference.standard_error == pytest.approx(error, rel=0.02)


def test_verdicts_are_those_of_the_same_numbers() -> None:
    scores, truth, readers = case(n=40, unread=0)
    margin = 0.15
    found = panel_of(scores, truth, readers, bootstrap=80, margin=margin, level=0.9, seed=5)
    column = 0
    called = (scores.values[:, column] >= LIMIT).astype(float)
    everyone = np.vstack([called, *(reader.values[:, column] for reader in readers.values())]).T

    def score(drawn: Floats, labels: Floats) -> float:
        return reference.gap("sensitivity", drawn[:, 0], drawn[:, 1:].T, labels)

    labels = truth.values[:, column]
    replicates = bootstrap_by_loop(score, everyone, labels, [at // 2 for at in range(40)], 5, 80)
    verdict = found.verdicts[FINDINGS[column]]["sensitivity"]
    expected = bootstrap_noninferiority(replicates, margin, level=0.9)
    assert verdict.these_readers is not None
    assert verdict.these_readers.low == pytest.approx(expected.low, abs=1e-12)
    assert verdict.these_readers.p_value == expected.p_value
    for finding in (*FINDINGS, MEAN):
        for statistic in STATISTICS:
            gap = found.studies[finding][statistic].difference
            assert found.verdicts[finding][statistic].such_readers == noninferiority(
                gap.estimate, gap.standard_error, margin, df=gap.df, level=0.9
            )


def test_no_margin_no_verdict_and_no_resamples_none_of_these_readers() -> None:
    scores, truth, readers = case(n=40)
    assert panel_of(scores, truth, readers, bootstrap=20).verdicts == {}
    verdict = panel_of(scores, truth, readers, margin=0.1).verdicts["Mass"]["f1"]
    assert verdict.these_readers is None
    assert verdict.such_readers is not None


def test_what_is_undefined_for_anyone_has_no_study() -> None:
    scores, truth, readers = case(n=40)
    silent = readers["c"].values.copy()
    silent[:, 1] = 0  # never a positive reading: PPV and MCC of Mass are undefined
    readers["c"] = table(silent)
    found = panel_of(scores, truth, readers, bootstrap=20, margin=0.1)
    assert found.studies["Mass"].keys() == found.verdicts["Mass"].keys()
    assert found.studies["Mass"].keys() == {"f1", "sensitivity", "specificity", "npv"}
    assert found.difference is not None
    assert found.difference.n_in_mean["mcc"] == 2
    both = [found.studies[name]["mcc"].difference.estimate for name in ("Edema", "Pneumonia")]
    assert found.studies[MEAN]["mcc"].difference.estimate == pytest.approx(np.mean(both))


def test_a_single_patient_has_no_study_and_no_verdict() -> None:
    scores, truth, readers = case(n=20)
    alone = Table(truth.ids, FINDINGS, truth.values, {"patient_id": ("p",) * 20})
    found = panel_of(scores, alone, readers, bootstrap=20, margin=0.1)
    assert found.studies == {}
    verdict = found.verdicts[MEAN]["ppv"]
    why = "no verdict: there is one unit only"
    assert verdict == Verdict(NonInferiority(0.1, 0.95, None, None, None, None, why), None)


def test_one_positive_patient_gives_no_study_and_no_verdict_on_sensitivity() -> None:
    # every resample that has a positive has the same one: a spread of 0 is not certainty
    scores, truth, readers = case(n=40, unread=0)
    values = truth.values.copy()
    values[:, 1] = 0
    values[6:8, 1] = 1
    found = panel_of(scores, table(values), readers, bootstrap=40, margin=0.1)
    assert found.studies["Mass"].keys() == {"specificity", "ppv", "npv"}
    why = "no verdict: all positive images belong to one patient"
    expected = Verdict(NonInferiority(0.1, 0.95, None, None, None, None, why), None)
    assert found.verdicts["Mass"]["sensitivity"] == expected
    assert found.verdicts["Edema"]["sensitivity"].these_readers is not None
    assert found.verdicts["Edema"]["sensitivity"].these_readers.reason is None
    # the mean over this finding alone is no better off
    alone = {name: reader.select(["Mass"]) for name, reader in readers.items()}
    found = panel_of(scores, table(values), alone, bootstrap=40, margin=0.1)
    assert found.verdicts[MEAN]["sensitivity"] == expected
    assert "sensitivity" not in found.studies[MEAN]
    reason = "no interval: all positive images belong to one patient"
    assert found.mean.mean["sensitivity"].reason == reason
    assert found.mean.mean["sensitivity"].low is None

"""The vocabulary: every spelling has one meaning, and silence is never doubt."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.errors import UsageError
from hilum.findings import BESIDE, FINDINGS, POLICIES, VOCABULARY, Policy, apply_policy, canonical

NIH = (
    "Atelectasis Cardiomegaly Effusion Infiltration Mass Nodule Pneumonia Pneumothorax "
    "Consolidation Edema Emphysema Fibrosis Pleural_Thickening Hernia"
).split()
CHEXPERT = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,"
    "Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,"
    "Support Devices"
).split(",")


@pytest.mark.parametrize("name", [*NIH, *CHEXPERT])
def test_each_public_label_has_a_name_here(name: str) -> None:
    assert canonical(name) in FINDINGS


def test_spellings_meet_in_one_name() -> None:
    assert canonical("Effusion") == canonical("pleural_effusion") == "Pleural Effusion"
    assert canonical("Infiltrate") == canonical("Infiltration") == "Infiltration"
    assert canonical("Pleural_Thickening") == "Pleural Thickening"
    assert canonical("normal") == "No Finding"


def test_a_spelling_never_belongs_to_two_findings() -> None:
    seen: dict[str, str] = {}
    for finding in VOCABULARY.values():
        for spelling in (finding.name, *finding.spellings):
            assert seen.setdefault(spelling.casefold(), finding.name) == finding.name
            assert canonical(spelling) == finding.name


def test_what_reports_are_not_labelled_for_has_names_and_words_all_the_same() -> None:
    assert not set(BESIDE) & set(FINDINGS)
    assert canonical("Enlarged PA") == "Enlarged Pulmonary Artery"
    assert canonical("seborrheic_keratosis") == "Seborrheic Keratosis"
    assert canonical("nevi") == "Nevus"
    assert VOCABULARY["COPD"].present == "chronic obstructive pulmonary disease"


@pytest.mark.parametrize("name", ["Mass effect", "", "Patient ID", "No"])
def test_other_names_are_not_findings(name: str) -> None:
    assert canonical(name) is None


def test_no_finding_is_not_asked_as_a_double_negative() -> None:
    assert FINDINGS["No Finding"].absent != "no no finding"
    assert FINDINGS["Edema"].present == "edema"
    assert FINDINGS["Edema"].absent == "no edema"
    assert (FINDINGS["Nodule"].present, FINDINGS["Nodule"].article) == ("nodule", "a")


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("keep", -1.0), ("positive", 1.0), ("negative", 0.0), ("ignore", math.nan)],
)
def test_a_policy_moves_uncertain_labels_only(policy: Policy, expected: float) -> None:
    out = apply_policy([1.0, 0.0, -1.0, math.nan], policy)
    np.testing.assert_array_equal(out, np.array([1.0, 0.0, expected, math.nan], np.float32))


@given(st.lists(st.sampled_from([1.0, 0.0, math.nan]), max_size=8), st.sampled_from(POLICIES))
def test_certain_and_unknown_labels_survive_every_policy(
    labels: list[float], policy: Policy
) -> None:
    np.testing.assert_array_equal(apply_policy(labels, policy), np.array(labels, np.float32))


def test_an_unknown_policy_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'ones' is not .* keep, positive, negative, ignore"):
        apply_policy([0.0], "ones")  # type: ignore[arg-type]

"""StandardScaler passes every check of scikit-learn's conformance suite, and expects to fail none."""

from __future__ import annotations

from typing import Any

import pytest
from exactnorm.sklearn import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

SCALERS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    StandardScaler(with_mean=False, with_std=False),
]


@pytest.fixture(autouse=True)
def array_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it scikit-learn skips its check that array API dispatch changes nothing for numpy."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")


@parametrize_with_checks(SCALERS)
def test_a_check_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def test_check_estimator() -> None:
    results = check_estimator(StandardScaler(), on_skip=None)
    assert {result["status"] for result in results} == {"passed"}
    assert len(results) > 40

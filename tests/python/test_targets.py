"""Which kernels there are, and forcing one."""

from __future__ import annotations

import exactnorm as en
import pytest
from exactnorm.testing import force_target


def test_targets() -> None:
    targets = en.targets()
    assert targets[-1].name == "portable"
    assert targets[-1].supported
    assert [t.chosen for t in targets].count(True) == 1
    assert all(t.supported for t in targets if t.chosen)


def test_a_target_is_forced_and_given_back(target: str) -> None:
    with force_target("portable"):
        assert [t.name for t in en.targets() if t.chosen] == ["portable"]
    assert [t.name for t in en.targets() if t.chosen] == [target]


def test_unknown_targets_are_refused_with_a_list() -> None:
    before = en.targets()
    with pytest.raises(ValueError, match="portable") as error, force_target("abacus"):
        pass
    assert "abacus" in str(error.value)
    assert en.targets() == before

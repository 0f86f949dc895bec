"""Moments of sparse matrices are those of the dense arrays, bit for bit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import exactnorm as en
import numpy as np
import pytest
import scipy.sparse

FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr"]
DTYPES = ["float64", "float32", "int8", "int64", "uint16", "bool"]
WEIGHTS = np.linspace(0, 2, 200)


def sparse(dtype: Any = "float64", shape: tuple[int, int] = (200, 30)) -> Any:
    x = scipy.sparse.random(*shape, 0.2, format="csc", random_state=3)
    x.data = (x.data * 200 - 100).astype(dtype)
    x.data[::7] = 0  # stored all the same
    return x


def learned(x: Any, weights: Any = None, **options: Any) -> en.Moments:
    m = en.Moments(x.shape[1])
    m.update_sparse(x, weights, **options)
    return m


@pytest.mark.parametrize("weights", [None, WEIGHTS, np.arange(200) % 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(dtype: str, weights: Any) -> None:
    x = sparse(dtype)
    expected = en.Moments.from_data(x.toarray(), weights=weights)
    assert learned(x, weights) == expected
    assert learned(scipy.sparse.csr_array(x), weights, threads=1) == expected


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format(kind: str) -> None:
    x = sparse().asformat(kind)
    assert learned(x) == en.Moments.from_data(x.toarray())


def test_nan_and_infinities() -> None:
    x = sparse()
    x.data[::3] = np.nan
    x.data[1::5] = np.inf
    x.data[2::11] = -np.inf
    for weights in (None, WEIGHTS):
        assert learned(x, weights) == en.Moments.from_data(x.toarray(), weights=weights)


@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (5, 3), (0, 0), (1, 1)])
def test_nothing_stored(shape: tuple[int, int]) -> None:
    m = learned(scipy.sparse.csr_array(shape, dtype="float32"))
    assert m.count.tolist() == [shape[0]] * shape[1]
    assert m == en.Moments.from_data(np.zeros(shape, "float32"))


def test_entries_in_any_order_and_twice() -> None:
    x = scipy.sparse.csc_array(
        (np.array([1.0, 2.0, 4.0, 8.0]), np.array([2, 0, 2, 1]), np.array([0, 3, 4])), shape=(3, 2)
    )
    indices, data = x.indices.copy(), x.data.copy()
    assert learned(x) == en.Moments.from_data([[2.0, 0], [0, 8], [5, 0]])
    assert x.indices.tolist() == indices.tolist()  # put in order in a copy
    assert x.data.tolist() == data.tolist()


def test_room_for_more_values() -> None:
    x = sparse()
    expected = en.Moments.from_data(x.toarray())
    x.data = np.append(x.data, [np.nan, 5])
    x.indices = np.append(x.indices, [0, 0]).astype(x.indices.dtype)
    assert learned(x) == expected


def test_other_byte_orders_and_wide_indices() -> None:
    x = sparse("float32")
    expected = en.Moments.from_data(x.toarray())
    x.indices, x.indptr = x.indices.astype("int64"), x.indptr.astype("int64")
    assert learned(x) == expected
    x.data = x.data.astype(">f4")
    assert learned(x) == expected


def test_it_adds_to_what_is_known_and_keeps_the_names() -> None:
    x = sparse(shape=(200, 2))
    m = en.Moments(2, names=["a", "b"])
    m.update([[1.0, 2.0]])
    m.update_sparse(x)
    assert m == en.Moments.from_data(np.vstack([[1.0, 2.0], x.toarray()]), names=["a", "b"])


def test_the_cost_is_that_of_what_is_stored() -> None:
    n = 10**9
    x = scipy.sparse.coo_array(([3.0, 5.0, 7.0], ([0, n - 1, 9], [1, 1, 10**4 - 1])), shape=(n, 10**4))
    m = learned(x)  # 80 TB dense
    assert (m.count == n).all()
    assert np.flatnonzero(m.mean()).tolist() == [1, 10**4 - 1]
    assert m.mean()[1] == 8 / n
    assert m.variance()[1] == float(Fraction(34, n) - Fraction(8, n) ** 2)


# ---- errors

CORRUPT = sparse(shape=(200, 3))
CORRUPT.has_canonical_format = True
CORRUPT.indices[1] = CORRUPT.indices[0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.update_sparse(np.zeros((2, 3))), TypeError, "scipy.sparse, got numpy.ndarray"),
        (lambda m: m.update_sparse(None), TypeError, "scipy.sparse, got builtins.NoneType"),
        (lambda m: m.update_sparse(sparse(shape=(2, 4))), ValueError, r"\(3,\), got a sparse .* 4 columns"),
        (lambda m: m.update_sparse(sparse(shape=(9, 3)) * 1j), TypeError, "complex128"),
        (lambda m: m.update_sparse(sparse(np.longdouble, (9, 3))), TypeError, "longdouble|float128"),
        (lambda m: m.update_sparse(sparse(shape=(200, 3)), WEIGHTS), ValueError, "unweighted"),
        (lambda m: m.update_sparse(sparse(shape=(200, 3)), -WEIGHTS), ValueError, "non-negative"),
        (lambda m: m.update_sparse(sparse(shape=(9, 3)), [1, 2]), ValueError, r"\(9,\); got \(2,\)"),
        (lambda m: m.update_sparse(sparse(shape=(9, 3)), threads=0), ValueError, "threads"),
        (lambda m: m.update_sparse(CORRUPT), ValueError, "none twice.* in column 0"),
    ],
)
def test_errors_say_what_came_and_change_nothing(call: Any, error: Any, message: str) -> None:
    m = en.Moments.from_data([[1.0, 2.0, 3.0]])
    before = m.copy()
    with pytest.raises(error, match=message):
        call(m)
    assert m == before


def test_features_of_more_axes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 3\)"):
        en.Moments((1, 3)).update_sparse(sparse(shape=(9, 3)))


@pytest.mark.parametrize("kind", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix])
def test_indices_out_of_range_are_refused(kind: Any) -> None:
    x = kind((np.ones(3), np.full(3, 7, "i4"), np.array([0, 1, 3])), shape=(2, 2))
    m = en.Moments(shape=(2,))
    with pytest.raises(ValueError, match="ind"):
        m.update_sparse(x)
    assert m == en.Moments(shape=(2,))

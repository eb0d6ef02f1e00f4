from math import fsum, inf, isinf
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from forefill_operator.exact import FEW, total

ROWS = st.sampled_from([1, FEW - 1, FEW, 3 * FEW])


@given(arrays(np.float64, ROWS, elements=st.floats(-1e300, 1e300)))
def test_a_column_sums_up_as_its_numbers_do_one_by_one(column: NDArray[np.float64]) -> None:
    assert total(column) == fsum(column.tolist())


@given(arrays(np.float64, 2 * FEW, elements=st.floats(0.0, 1e6)), st.randoms())
def test_the_order_of_the_rows_changes_nothing(column: NDArray[np.float64], order: Random) -> None:
    shuffled = column.tolist()
    order.shuffle(shuffled)
    assert total(np.array(shuffled)) == total(column)


@pytest.mark.parametrize("number", [0.0, 5e-324, 1e-310, 1.0, 1e305])
def test_many_equal_numbers_sum_up_exactly(number: float) -> None:
    assert total(np.full(2 * FEW, number)) == fsum([number] * 2 * FEW)


def test_a_column_without_a_bound_has_none() -> None:
    assert isinf(total(np.full(2 * FEW, inf)))

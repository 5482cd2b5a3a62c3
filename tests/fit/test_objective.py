import numpy as np
import pytest

from distlaw.fit.objective import consistency_sizes


@pytest.mark.parametrize(
    ("smallest", "largest", "ends"),
    [(1.43e8, 1.82e9, (1e8, 1e11)), (3.4e3, 4e5, (1e3, 1e7)), (1e6, 1e6, (1e6, 1e8))],
)
def test_consistency_is_asked_for_from_the_students_fitted_to_far_larger_ones(smallest, largest, ends):
    sizes = consistency_sizes(np.array([largest, smallest]))
    assert sizes.size == 13
    assert (sizes[0], sizes[-1]) == pytest.approx(ends)

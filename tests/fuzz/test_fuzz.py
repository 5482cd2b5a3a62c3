"""A few cases of every target; `make test-long` tries 100,000."""

import pytest
from tests.fuzz.harness import Case, attempt
from tests.fuzz.run import TARGETS, fuzz

CASES = 20


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_ends_in_anything_but_one_line(name, tmp_path):
    tally = fuzz(TARGETS[name](), range(max(round(CASES * TARGETS[name].cost), 5)), 0, tmp_path)
    assert [(site, found.number, found.fault.said, found.shown) for site, found in tally.sites.items()] == []
    assert tally.refused or name == "run-records"  # what is damaged is left out, and said


def test_a_target_is_the_same_every_time(tmp_path):
    for name in ("run-configs", "options"):
        first, again = (fuzz(TARGETS[name](), range(10), 1, tmp_path / "x") for _ in range(2))
        assert (first.refused, first.sites) == (again.refused, again.sites)


def test_faults_are_seen():
    def case(call):
        return Case(call=call, shown="x", names=("law.json",))

    def said(text):
        def call():
            import sys

            print(text, file=sys.stderr)
            return 2

        return attempt(case(call))

    def endless():
        while True:
            pass

    assert attempt(case(lambda: 0)) is None
    assert attempt(case(lambda: {}["x"])).kind == "traceback"
    assert said("distlaw: error: law.json: no") is None
    assert said("distlaw: error: no").kind == "nameless"
    assert said("distlaw: error: law.json\nand more").kind == "lines"
    assert said("distlaw: error: law.json: 'NoneType' object is not iterable").kind == "raw"
    assert attempt(case(endless), cpu_seconds=0.05).kind == "hang"

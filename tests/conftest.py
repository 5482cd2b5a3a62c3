"""Settings of all tests, and which of them may be skipped where everything is installed."""

import os
import re

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every machine and every run, however slow it is; time limits belong to benchmarks.
settings.register_profile(
    "distlaw", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("distlaw")

# CI installs what tests ask for, so a test that is skipped there for another reason fails the run.
MAY_BE_SKIPPED = (
    r"not at hand$|not shared with this checkout$|\.\./shared\b",  # data that is shared with some checkouts only
    r"`make test-long` runs it$",
)


def _is_strict():
    return os.environ.get("DISTLAW_NO_SKIPS") == "1" or os.environ.get("CI", "").lower() in ("1", "true")


def _refused(reporter):
    """Reasons of skipped tests that are on no list."""
    reasons = [str(report.longrepr[2]).removeprefix("Skipped: ") for report in reporter.stats.get("skipped", ())]
    return [reason for reason in dict.fromkeys(reasons) if not re.search("|".join(MAY_BE_SKIPPED), reason)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if _is_strict() and exitstatus == 0 and reporter is not None and _refused(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    if _is_strict():
        for reason in _refused(terminalreporter):
            terminalreporter.write_line(f"a test was skipped that CI has to run: {reason}", red=True)

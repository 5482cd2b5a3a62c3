import pytest


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    """Commands print whole tables, and each sentence on one line."""
    monkeypatch.setenv("COLUMNS", "1000")

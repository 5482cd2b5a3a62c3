"""Where everything is installed, no test is skipped but for the reasons on a list."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

def test_runs(): pass

@pytest.mark.skip(reason="the published losses are not at hand")
def test_of_shared_data(): pass

@pytest.mark.skipif(True, reason="takes minutes; `make test-long` runs it")
def test_long(): pass
"""


def run(folder, *words, **environment):
    shutil.copy(Path(__file__).with_name("conftest.py"), folder / "conftest.py")
    clean = {name: value for name, value in os.environ.items() if name not in ("CI", "DISTLAW_NO_SKIPS")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:dash", *words]
    done = subprocess.run(command, cwd=folder, env=clean | environment, capture_output=True, text=True, timeout=1200)
    return done.returncode, done.stdout


@pytest.mark.parametrize("words", [(), ("-n", "2", "--dist", "loadfile")], ids=["alone", "workers"])
def test_a_skip_fails_the_run_unless_it_is_on_the_list(words, tmp_path):
    (tmp_path / "test_listed.py").write_text(TESTS)
    status, out = run(tmp_path, *words, CI="true")
    assert (status, "1 passed, 2 skipped" in out) == (0, True), out

    (tmp_path / "test_module.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    (tmp_path / "test_one.py").write_text("import pytest\ndef test_it(): pytest.skip('no browser here')\n")
    status, out = run(tmp_path, *words, DISTLAW_NO_SKIPS="1")
    assert status == 1, out
    said = [line for line in out.splitlines() if line.startswith("a test was skipped that CI has to run: ")]
    assert len(said) == 2
    assert "no browser here" in " ".join(said)
    assert "no_such_module" in " ".join(said)
    assert run(tmp_path, *words)[0] == 0  # anywhere else a skip is a skip

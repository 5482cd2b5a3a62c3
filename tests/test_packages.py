"""What `make` installs is locked, and an audit of it needs no network."""

import json
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
spec = spec_from_file_location("packages_tool", ROOT / "tools" / "packages.py")
assert spec is not None
assert spec.loader is not None
packages = module_from_spec(spec)
spec.loader.exec_module(packages)

LOCK = (ROOT / "constraints.txt").read_text()


def test_what_is_required_is_locked():
    """Every package that is installed for this one is in constraints.txt at its version."""
    assert packages.faults(packages.installed(), LOCK) == []
    assert len(packages.locked(LOCK)) > 190


def test_what_is_not_locked_is_named():
    text = "# a comment\nSome_Package==1.2.0\nother==3  # why\ngone==1; python_version < '3'\n"
    assert packages.locked(text) == {"some-package": "1.2.0", "other": "3"}
    found = {"some-package": "1.2.0", "other": "4", "third": "5"}
    assert packages.faults(found, text) == [
        "other 4 is installed and 3 is locked",
        "third 5 is installed and not locked",
    ]
    relocked = packages.relocked(found, text)
    assert relocked == text.replace("other==3", "other==4") + "third==5\n"
    assert packages.faults(found, relocked) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("a>=1", "not a name, == and"), ("a", "not a name, == and"), ("a==1\nA==2", "stands there twice")],
)
def test_a_lock_gives_one_version_of_each(text, message):
    with pytest.raises(ValueError, match=message):
        packages.locked(text)


ADVISORIES = {
    "range": {"package": {"name": "Some.Package"}, "events": [{"introduced": "0"}, {"fixed": "1.3"}]},
    "twice": {"package": {"name": "b"}, "events": [{"introduced": "1"}, {"fixed": "1.5"}, {"introduced": "2.0rc1"}]},
    "until": {"package": {"name": "c"}, "events": [{"introduced": "0"}, {"last_affected": "2"}]},
    "listed": {"package": {"name": "d"}, "versions": ["1.0", "1.1"]},
    "elsewhere": {"package": {"name": "d", "ecosystem": "npm"}, "versions": ["1.0", "1.1"]},
    "withdrawn": {"package": {"name": "d"}, "versions": ["1.0", "1.1"], "withdrawn": "2026-01-01T00:00:00Z"},
}


def advisory(name):
    given = dict(ADVISORIES[name])
    entry = {"package": {"ecosystem": "PyPI", **given["package"]}, "versions": given.get("versions", [])}
    if "events" in given:
        entry["ranges"] = [
            {"type": "ECOSYSTEM", "events": given["events"]},
            {"type": "GIT", "events": [{"fixed": "ab"}]},
        ]
    return json.dumps(
        {"id": f"TEST-{name}", "summary": "a fault", "affected": [entry]}
        | {k: v for k, v in given.items() if k == "withdrawn"}
    )


@pytest.fixture(params=["archive", "folder"])
def database(request, tmp_path):
    if request.param == "folder":
        for name in ADVISORIES:
            (tmp_path / f"{name}.json").write_text(advisory(name))
        return tmp_path
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ADVISORIES:
            archive.writestr(f"{name}.json", advisory(name))
    return tmp_path / "all.zip"


@pytest.mark.parametrize(
    ("found", "named"),
    [
        ({"some-package": "1.2.9"}, ["range"]),
        ({"some-package": "1.3"}, []),
        ({"b": "0.9"}, []),
        ({"b": "1.4.9"}, ["twice"]),
        ({"b": "1.5"}, []),
        ({"b": "2.0"}, ["twice"]),
        ({"c": "2"}, ["until"]),
        ({"c": "2.0.1"}, []),
        ({"d": "1.1"}, ["listed"]),
        ({"d": "1.2", "e": "1"}, []),
    ],
)
def test_an_audit_names_versions_with_known_faults(database, found, named):
    lines = packages.findings(found, database)
    assert [line.split(": ")[1].removeprefix("TEST-") for line in lines] == named


def test_an_audit_without_a_database_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DISTLAW_ADVISORIES", raising=False)
    monkeypatch.delenv("OSV_SCANNER_LOCAL_DB_CACHE_DIRECTORY", raising=False)
    assert packages.main(["audit"]) == 0
    assert "not audited: no database of advisories" in capsys.readouterr().out


def test_an_audit_with_a_database_decides(database, monkeypatch, capsys):
    monkeypatch.setenv("DISTLAW_ADVISORIES", str(database))
    monkeypatch.setattr(packages, "installed", lambda: {"c": "1", "e": "1"})
    assert packages.main(["audit"]) == 1
    assert capsys.readouterr().out == "packages: c 1: TEST-until: a fault\n"
    monkeypatch.setattr(packages, "installed", lambda: {"e": "1"})
    assert packages.main(["audit"]) == 0
    assert "no advisory names one of 1" in capsys.readouterr().out

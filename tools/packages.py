"""The packages that `make` installs: write their versions down, check that all are, and look for known faults in them.

    .venv/bin/python tools/packages.py lock     write the installed versions into constraints.txt
    .venv/bin/python tools/packages.py check    fail where an installed package is not there at its version
    .venv/bin/python tools/packages.py audit    fail where an advisory names an installed version

An audit needs a database of advisories on this machine and asks nothing of the network: the archive of PyPI advisories
in the format of osv.dev (`all.zip`, or a folder of its JSON files), named by DISTLAW_ADVISORIES or where osv-scanner
keeps its own. Where there is none, the audit says so and succeeds.
"""

import json
import os
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

LOCK = Path(__file__).parents[1] / "constraints.txt"
NOT_OURS = {"distlaw", "pip"}  # the project itself, and what comes with Python


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[str, str]:
    """Versions of what this interpreter has, without local parts such as +cpu."""
    found = {canonical(one.metadata["Name"]): one.version.partition("+")[0] for one in distributions()}
    return {name: version for name, version in sorted(found.items()) if name not in NOT_OURS}


def locked(text: str) -> dict[str, str]:
    """Versions that a constraints file gives for this platform and Python.

    Raises:
        ValueError: A line gives no version, or a package stands there twice.
    """
    versions: dict[str, str] = {}
    for line in text.splitlines():
        if not (stripped := line.partition("#")[0].strip()):
            continue
        requirement = Requirement(stripped)
        [specifier] = list(requirement.specifier) or [None]
        if specifier is None or specifier.operator != "==":
            raise ValueError(f"'{stripped}' is not a name, == and a version")
        if requirement.marker is None or requirement.marker.evaluate():
            name = canonical(requirement.name)
            if name in versions:
                raise ValueError(f"{name} stands there twice")
            versions[name] = specifier.version
    return versions


def faults(found: Mapping[str, str], text: str) -> list[str]:
    """What is installed and not locked at its version, a sentence each."""
    known = locked(text)
    return [
        f"{name} {version} is installed and " + (f"{known[name]} is locked" if name in known else "not locked")
        for name, version in found.items()
        if known.get(name) != version
    ]


def relocked(found: Mapping[str, str], text: str) -> str:
    """The constraints file with what is installed at its versions; other lines and all comments stay."""
    lines, done = [], set[str]()
    for line in text.splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;#]+)(.*)", line)
        name = canonical(match[1]) if match else ""
        if match and name in found and name in locked(line):
            line = f"{match[1]}=={found[name]}{match[3]}"
            done.add(name)
        lines.append(line)
    return "\n".join([*lines, *(f"{name}=={version}" for name, version in found.items() if name not in done)]) + "\n"


def database(environment: Mapping[str, str]) -> Path | None:
    """Where advisories are kept on this machine; None where there are none."""
    home = Path(environment.get("HOME", "/"))
    cache = Path(environment.get("OSV_SCANNER_LOCAL_DB_CACHE_DIRECTORY", home / ".cache"))
    places = [cache / "osv-scanner" / "PyPI" / "all.zip"]
    if named := environment.get("DISTLAW_ADVISORIES"):
        places = [Path(named)]
    return next((place for place in places if place.exists()), None)


def advisories(place: Path) -> Iterator[dict[str, Any]]:
    """All advisories of an archive or folder."""
    if place.is_dir():
        for file in sorted(place.rglob("*.json")):
            yield json.loads(file.read_text(encoding="utf-8"))
        return
    with zipfile.ZipFile(place) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".json"):
                yield json.loads(archive.read(name))


def findings(found: Mapping[str, str], place: Path) -> list[str]:
    """Advisories that name an installed version, a sentence each."""
    return [
        f"{name} {found[name]}: {advisory['id']}: {advisory.get('summary') or 'no summary'}"
        for advisory in advisories(place)
        if not advisory.get("withdrawn")
        for affected in advisory.get("affected", ())
        if (name := canonical(affected.get("package", {}).get("name", ""))) in found
        and affected["package"].get("ecosystem") == "PyPI"
        and concerns(affected, found[name])
    ]


def concerns(affected: Mapping[str, Any], version: str) -> bool:
    """Whether an advisory's entry names a version: in its list, or within a range of it."""
    return version in affected.get("versions", ()) or any(
        within(entry.get("events", ()), Version(version))
        for entry in affected.get("ranges", ())
        if entry.get("type") == "ECOSYSTEM"
    )


def within(events: Any, version: Version) -> bool:  # noqa: ANN401
    """Whether a version lies in a range: the last event at or below it decides; `last_affected` still counts."""
    at = []
    for event in events:
        [(kind, text)] = event.items()
        try:
            bound = Version("0.dev0" if text == "0" else text)
        except InvalidVersion:
            continue
        if bound < version or (bound == version and kind != "last_affected"):
            at.append((bound, kind == "introduced"))
    return bool(at) and max(at, key=lambda one: one[0])[1]


def main(words: list[str]) -> int:
    """Do what the one word says, and return the exit status."""
    if words == ["lock"]:
        LOCK.write_text(relocked(installed(), LOCK.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    if words == ["check"]:
        wrong = faults(installed(), LOCK.read_text(encoding="utf-8"))
        for line in wrong:
            print(f"packages: {line}")
        if wrong:
            print("packages: `python tools/packages.py lock` writes what is installed into constraints.txt")
        return 1 if wrong else 0
    if words == ["audit"]:
        if (place := database(os.environ)) is None:
            print("packages: not audited: no database of advisories is on this machine (DISTLAW_ADVISORIES names one)")
            return 0
        found = installed()
        named = findings(found, place)
        print("\n".join(f"packages: {line}" for line in named) or f"packages: no advisory names one of {len(found)}")
        return 1 if named else 0
    print("packages: say lock, check or audit", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`distlaw checksum`: whether files are as they were written, and how an edit of one's own is accepted."""

from pathlib import Path

from distlaw.apps.output import console, print_json


def checksum(*files: Path, accept: bool = False, json: bool = False) -> int:
    """Say whether law files, records, findings and a study's files are as they were written.

    Each holds a checksum of its own content and is refused where that is not what it says. The exit status is 1 if a
    file is not as it was written, or has no checksum since an older version wrote it.

    Args:
        files: Files to look at.
        accept: Write the checksum of what each file holds now: accepts an edit, and gives an older file its first.
        json: Print JSON.
    """
    from distlaw.apps.checksums import accepted, looked_at

    if not files:
        raise ValueError("name a file, as: distlaw checksum law.json")
    found = {str(file): accepted(file) if accept else looked_at(file) for file in files}
    if json:
        print_json({"files": {name: {"sound": not wrong, "problem": wrong or None} for name, wrong in found.items()}})
    else:
        good = "has the checksum of what it holds now" if accept else "is as it was written"
        for name, wrong in found.items():
            console().print(f"{name}: {wrong or good}", markup=False, soft_wrap=True)
    return 1 if any(found.values()) else 0

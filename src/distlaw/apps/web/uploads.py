"""Tables that are dropped on the page: kept as files of the server's own, and read in processes of their own."""

import secrets
from functools import partial
from pathlib import Path
from typing import Any

from distlaw.apps.web import fit_work
from distlaw.apps.web.fit_question import FitQuestion
from distlaw.apps.web.fit_work import SUFFIXES, Checked
from distlaw.apps.web.laws import decoded
from distlaw.apps.web.shelf import Upload, file_name
from distlaw.apps.web.site import Site
from distlaw.apps.web.workers import full_disk

MOST_BYTES = 5_000_000
LOOK: dict[str, Any] = {"seconds": 20.0, "memory": 3 << 30}
"""Most that reading a table may take."""


def received(site: Site, file: Any) -> Upload:  # noqa: ANN401
    """A table that came, looked at in a process of its own.

    Raises:
        ValueError: It is no table, or too large; says what is wrong.
    """
    if not isinstance(file, dict):
        raise ValueError("no file came; choose it again")
    name = file_name(file.get("name"))
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"'{name}' must end in {', '.join(SUFFIXES)}")
    content = decoded(file.get("content"), MOST_BYTES)
    key = secrets.token_urlsafe(9)
    path = Path(site.folder.name) / f"{key}{suffix}"
    try:
        path.write_bytes(content)
        found = site.readers.begin(fit_work.look, path, name, **LOOK, client=site.client).wait(2 * LOOK["seconds"])
    except BaseException as error:
        path.unlink(missing_ok=True)  # nothing is kept of what did not come whole or cannot be read
        if (why := full_disk(error)) is None and not isinstance(error, ValueError):
            raise
        why = why or str(error)
        raise ValueError(why if name in why else f"'{name}': {why}") from None
    return Upload(key=key, name=name, path=path, columns=found.columns, rows=found.rows, preview=found.preview)


def checked(site: Site, upload: Upload, question: FitQuestion) -> Checked:
    """What is in a table under the columns that were said; remembered, as most changes do not change it."""
    said = (question.units, *sorted(question.columns.items()))
    if said not in upload.checked:
        look = partial(fit_work.check, units=question.units)
        work = (look, upload.path, upload.name, upload.columns, question.columns)
        job = site.readers.begin(*work, **LOOK, client=site.client)
        try:
            upload.checked[said] = job.wait(2 * LOOK["seconds"])
        except ValueError as error:
            upload.checked[said] = error
    found = upload.checked[said]
    if isinstance(found, ValueError):
        raise found
    return found

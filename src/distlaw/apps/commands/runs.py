"""`distlaw runs`: tables of runs from run directories."""

from pathlib import Path

from cyclopts import App

from distlaw.apps.output import console, print_json, print_warnings

runs = App(name="runs", help="Tables of runs from run directories.")


@runs.command
def collect(folder: Path, *, out: Path, json: bool = False) -> None:
    """Make a table of runs from all record.json below a folder: what `distlaw fit` reads.

    Args:
        folder: Folder of run directories.
        out: Table to write (.csv, .parquet or .jsonl).
        json: Print JSON.
    """
    from distlaw.runs import collect_records, counted, write_runs

    found, unread = collect_records(folder)
    write_runs(found, out)
    content = {"table": str(out), "runs": len(found), "distilled": int(found.distilled.sum()), "unread": unread}
    if json:
        print_json(content)
    else:
        distilled = content["distilled"]
        text = f"{counted(len(found), 'run')} ({distilled} distilled) written to {out}"
        console().print(text, markup=False, soft_wrap=True)
        print_warnings(unread)

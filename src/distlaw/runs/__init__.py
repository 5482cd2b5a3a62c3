"""Runs: their schema, their tables, and how well a law predicts them."""

from distlaw.reading import one_line
from distlaw.runs.accuracy import Accuracy, GroupAccuracy, accuracy, accuracy_by_student, predict_runs
from distlaw.runs.collect import collect_records
from distlaw.runs.columns import Column, column_named
from distlaw.runs.doubts import Caution
from distlaw.runs.files import require_folder, written_whole
from distlaw.runs.quantity import counted, format_duration, format_quantity, parse_quantity
from distlaw.runs.record import RUN_COLUMNS, Runs, columns_said, read_runs, write_runs
from distlaw.runs.record_file import RECORD, read_record, record_of, record_text
from distlaw.runs.table import Table, read_table, write_table
from distlaw.runs.units import in_counts

__all__ = [
    "RECORD",
    "RUN_COLUMNS",
    "Accuracy",
    "Caution",
    "Column",
    "GroupAccuracy",
    "Runs",
    "Table",
    "accuracy",
    "accuracy_by_student",
    "collect_records",
    "column_named",
    "columns_said",
    "counted",
    "format_duration",
    "format_quantity",
    "in_counts",
    "one_line",
    "parse_quantity",
    "predict_runs",
    "read_record",
    "read_runs",
    "read_table",
    "record_of",
    "record_text",
    "require_folder",
    "write_runs",
    "write_table",
    "written_whole",
]

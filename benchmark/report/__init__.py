"""Turns the records of a run into tables, figures and a page; reads only records, without torch."""

from benchmark.report.write import PAGE, read_tables, verdicts, write_report

__all__ = ["PAGE", "read_tables", "verdicts", "write_report"]

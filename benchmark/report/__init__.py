"""The report: records and arrays of a run to tables, figures and a page. It never trains and never attacks."""

from benchmark.report.write import write_report

__all__ = ["write_report"]

"""From the records of a run to tables, figures and a page; never trains, never attacks."""

from benchmark.report.write import write_report

__all__ = ["write_report"]

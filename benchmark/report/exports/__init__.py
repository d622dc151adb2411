"""Other files that a report can be written to, by the name that `--export` takes."""

from benchmark.report.exports.base import EXPORTS, Export, export_formats
from benchmark.report.exports.json_file import JsonExport
from benchmark.report.exports.latex_file import LatexExport
from benchmark.report.exports.parquet_files import ParquetExport

__all__ = ["EXPORTS", "Export", "JsonExport", "LatexExport", "ParquetExport", "export_formats"]

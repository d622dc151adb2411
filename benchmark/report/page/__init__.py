"""The page `leaderboard.html`: one file without requests, with tables that can be sorted and filtered."""

from benchmark.report.page.render import render_page

__all__ = ["render_page"]

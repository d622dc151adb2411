import sys
from pathlib import Path

# For fake_run, which the tests of the report share.
sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

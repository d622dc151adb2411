import importlib.util
import sys
from pathlib import Path

# The zoo is for tests of other packages too; the folder that it is in must not be on the path, where its
# folders of tests would stand in for the packages they are named after.
_spec = importlib.util.spec_from_file_location("zoo", Path(__file__).parents[1] / "zoo.py")
sys.modules["zoo"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["zoo"])

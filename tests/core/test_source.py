import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.core.source import SOURCE_DIGEST, check_source


def test_the_code_of_the_run_is_accepted_and_any_other_refused():
    check_source(SOURCE_DIGEST)
    with pytest.raises(BenchmarkError, match="not the code of its run"):
        check_source("another")

from benchmark.report.pools import Pool, classes_sentence, pools

from .fake_run import RETRIEVAL, FakeRun
from .own_models import FOLDER, models_alone


def test_sizes_and_classes_are_those_of_the_arrays(tables_of):
    run, _ = tables_of(models_alone())
    (pool,) = pools(run)
    assert pool == Pool(FOLDER, 48, 8) and pool.every_class and pool.size == "48 images of 8 classes"
    run, _ = tables_of(FakeRun(), "defenses")
    assert [pool.size for pool in pools(run)] == ["120 test images of 12 classes"]
    run, _ = tables_of(FakeRun(scenarios=(RETRIEVAL,)), "retrieval")
    assert [pool.size for pool in pools(run)] == ["120 queries"]
    assert not Pool("/no spec").every_class and Pool("x").size == ""


def test_the_sentence_says_which_classes_are_searched(tables_of):
    run, _ = tables_of(FakeRun())
    part, whole = Pool("glyphs"), Pool("glyphs[pool=all]")
    assert classes_sentence(run, [part], True) == "Test classes are disjoint from training classes."
    assert classes_sentence(run, [part], False) == "Only test classes are searched."
    assert classes_sentence(run, [whole], False) == "All classes of the data set are searched."
    assert classes_sentence(run, [whole, whole], False) == "All classes of each data set are searched."
    assert classes_sentence(run, [part, whole], False) == (
        "All classes of `glyphs[pool=all]` are searched, of the others only the test classes."
    )

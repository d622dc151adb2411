import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from benchmark.core.labels import Label, as_label
from benchmark.core.spec import Spec, format_spec, parse_spec

LABEL = TypeAdapter(Label)


def is_label(text):
    try:
        return LABEL.validate_python(text) == text
    except ValidationError:
        return False


@given(st.text())
def test_any_text_becomes_a_label_and_a_label_stays(text):
    label = as_label(text, "folder")
    assert is_label(label)
    assert as_label(label, "folder") == label
    if is_label(text):
        assert label == text


@given(st.from_regex(r"\w[\w.+-]*", fullmatch=True).filter(is_label))
def test_a_spec_can_hold_any_label(label):
    assert parse_spec(format_spec("folder", {"name": label})) == Spec("folder", {"name": label})


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("birds", "birds"),
        ("102flowers.v2", "102flowers.v2"),
        ("my birds (2)", "my-birds-2"),
        ("a[b]=c,d/e\\f", "a-b-c-d-e-f"),
        ("$x_1$", "x_1"),
        ("e\u0301te\u0301", "été"),
        ("文字", "文字"),
        (".hidden", "hidden"),
        ("none", "folder-none"),
        ("all", "folder-all"),
        ("..", "folder"),
        ("", "folder"),
        ("\udcff", "folder"),
    ],
)
def test_what_a_label_cannot_hold_is_replaced(text, label):
    assert as_label(text, "folder") == label


@pytest.mark.parametrize(
    "text", ["", "a b", "a/b", "a,b", "a[b", "a]", "a=b", "-a", ".a", "$a", "a\n", "none"]
)
def test_other_texts_are_refused(text):
    assert not is_label(text)

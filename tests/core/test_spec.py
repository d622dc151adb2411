import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core.errors import UsageError
from benchmark.core.spec import Spec, format_spec, format_value, parse_list, parse_spec, split_list

FIRST = string.ascii_letters + "_"
NAMES = st.builds(str.__add__, st.sampled_from(FIRST), st.text(FIRST + string.digits + ".-:/~+", max_size=8))
KEYS = st.text(string.ascii_lowercase + "_", min_size=1, max_size=6)
PLAIN = st.text(string.ascii_letters + string.digits + "./+-=_ ", min_size=1, max_size=8).filter(
    lambda text: text == text.strip()
)


def _nested(values):
    return st.builds(format_spec, NAMES, st.dictionaries(KEYS, values, max_size=3))


ANY = st.text("ab [],=\"'/\\.é\n", min_size=1, max_size=12) | st.text(min_size=1)
VALUES = st.recursive(PLAIN | ANY, _nested, max_leaves=6)
NAMES |= ANY | st.builds(str.__add__, st.sampled_from(["/", "./", "../", "~/", "~"]), ANY)
SPECS = st.builds(Spec, NAMES, st.dictionaries(KEYS, VALUES, max_size=4))


@given(SPECS)
def test_a_formatted_spec_parses_to_itself(spec):
    assert parse_spec(format_spec(spec.name, spec.parameters)) == spec


@given(SPECS)
def test_a_canonical_spec_has_one_form(spec):
    text = format_spec(spec.name, spec.parameters)
    again = parse_spec(text)
    assert format_spec(again.name, again.parameters) == text


@given(st.lists(ANY | st.just(""), max_size=4))
def test_a_list_is_one_value_and_is_read_back(items):
    value = parse_spec(format_spec("a", {"x": items})).parameters["x"]
    assert parse_list(value) == items


@pytest.mark.parametrize(
    ("text", "name", "parameters"),
    [
        ('folder:"/a, b/c"[size=32]', "folder:/a, b/c", {"size": "32"}),
        ('"folder:/a, b/c"[size=32]', "folder:/a, b/c", {"size": "32"}),
        ('folder[path="/a,[b/c"]', "folder", {"path": "/a,[b/c"}),
        ('a[x="say ""hi"""]', "a", {"x": 'say "hi"'}),
        ('a[x=""]', "a", {"x": ""}),
        ('a[x=b["c, d"[e=1]]]', "a", {"x": 'b["c, d"[e=1]]'}),
        ("/home/me/x.py:make", "/home/me/x.py:make", {}),
        ("./x.py:make[weights=w.pth]", "./x.py:make", {"weights": "w.pth"}),
        ("../x.py:make", "../x.py:make", {}),
        ("~/x.py:make", "~/x.py:make", {}),
        ("package.module:make", "package.module:make", {}),
        ('"/my models/x.py:make"', "/my models/x.py:make", {}),
        ("データ/x.py:make", "データ/x.py:make", {}),
        ("a[mean=[0.485,0.456,0.406],y=1]", "a", {"mean": "[0.485,0.456,0.406]", "y": "1"}),
    ],
)
def test_quotes_and_paths(text, name, parameters):
    spec = parse_spec(text)
    assert spec == Spec(name, parameters)
    assert parse_spec(format_spec(name, parameters)) == spec
    assert split_list(f"b,{text} c") == ["b", text, "c"]
    assert split_list(["b", text, "c"]) == ["b", text, "c"]


def test_only_what_needs_quotes_gets_them():
    assert format_spec("folder:/a, b", {"size": 32}) == '"folder:/a, b"[size=32]'
    assert format_spec("folder:/a-b.c/d+e", {}) == "folder:/a-b.c/d+e"
    assert format_value("my birds (2)") == "my birds (2)"
    assert format_value("pool[k=5,m=[1,2]]") == "pool[k=5,m=[1,2]]"
    assert format_value("a,b") == '"a,b"'
    assert format_value((0.485, 8 / 255, "a,b", None)) == '[0.485,8/255,"a,b",none]'


def test_what_is_no_list():
    assert [parse_list(text) for text in ("1,2", "[1,2", "1]", "")] == [None] * 4


@given(SPECS)
def test_the_order_of_parameters_does_not_matter(spec):
    backwards = dict(reversed(spec.parameters.items()))
    assert format_spec(spec.name, backwards) == format_spec(spec.name, spec.parameters)


@pytest.mark.parametrize("reader", [parse_spec, split_list])
@given(text=st.text(string.ascii_letters + "[]=, \t\n1/.'\"", max_size=24))
def test_any_text_parses_or_gives_one_line(reader, text):
    try:
        reader(text)
    except UsageError as error:
        assert len(str(error).splitlines()) == 1


@given(st.lists(SPECS, max_size=5), st.sampled_from([",", " ", ", ", "\n", " ,\t"]))
def test_a_list_is_split_outside_brackets_only(specs, separator):
    texts = [format_spec(spec.name, spec.parameters) for spec in specs]
    assert split_list(separator.join(texts)) == list(dict.fromkeys(texts))
    assert split_list(texts) == list(dict.fromkeys(texts))


def test_nested_brackets():
    spec = parse_spec(" pgd[ objective = pool[neighbours=5,x=y[z=1]] , steps=20 ] ")
    assert spec == Spec("pgd", {"objective": "pool[neighbours=5,x=y[z=1]]", "steps": "20"})
    assert split_list("a[x=1, y=2],b c[p=q[r=1,s=2]] a[x=1, y=2]") == ["a[x=1, y=2]", "b", "c[p=q[r=1,s=2]]"]
    assert split_list(["a,b", "c"]) == ["a", "b", "c"]
    assert split_list(" , ") == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[a=1]",
        "1st",
        "a[",
        "a]",
        "a[x=1",
        "a[x=1]]",
        "a[x]",
        "a[=1]",
        "a[x=]",
        "a[x=1,x=2]",
        "a[x=1]b",
        "a b",
        "a[x=1][y=2]",
        "a[x=[1]",
        "a!",
        '""',
        '"a',
        'a"b',
        'a[x="1]',
        'a[x=1]"b"',
        "/a b",
        "folder:/a (2)",
    ],
)
def test_a_bad_spec_is_refused_and_named(text):
    with pytest.raises(UsageError) as caught:
        parse_spec(text)
    assert len(str(caught.value).splitlines()) == 1
    assert text in str(caught.value) or text[2:-1] in str(
        caught.value
    )  # all of it, or what is in the brackets


def test_values_are_written_as_they_are_read():
    values = [True, None, 2.0, 8 / 255, 0.2, 1 / 3, 1e-6, 3, "leave_one_out"]
    assert [format_value(v) for v in values] == [
        "true",
        "none",
        "2",
        "8/255",
        "0.2",  # also 51/255
        "0.333333",
        "1e-06",
        "3",
        "leave_one_out",
    ]
    assert format_spec("a", {}) == "a"


def test_a_path_with_other_characters_gets_advice():
    with pytest.raises(UsageError, match=r"'folder:/a b' is not a name\. .* needs double quotes"):
        parse_spec("folder:/a b")
    with pytest.raises(UsageError, match=r"Double quotes do not match in 'folder:\"/a'"):
        split_list('folder:"/a')

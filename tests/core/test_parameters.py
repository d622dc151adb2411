from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from benchmark.core.errors import UsageError
from benchmark.core.parameters import File, Number, Parameters
from benchmark.core.registry import Registry
from benchmark.core.spec import parse_spec

THINGS: Registry[Parameters] = Registry("thing", Parameters)


@THINGS.register("thing")
class Thing(Parameters):
    """The first line.

    And others.
    """

    eps: Number = 8 / 255
    rate: PositiveFloat = 0.1
    count: PositiveInt = 3
    step: Number | None = None
    fast: bool = False
    mode: Literal["all", "none"] = "all"
    share: float = Field(default=0.5, ge=0, le=1)
    least: PositiveFloat | None = None
    most: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _fits(self):
        if self.fast and self.mode == "none":
            raise ValueError("fast needs mode=all")
        return self


def canonical(text):
    return THINGS.build(text).spec


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("thing", "thing"),
        ("thing[]", "thing"),
        ("thing[rate=0.1,count=3,fast=false,mode=all,share=0.50]", "thing"),
        ("thing[eps=8/255]", "thing"),
        ("thing[eps=4/255]", "thing[eps=4/255]"),
        ("thing[least=4/255,most=2/255]", "thing[least=4/255,most=2/255]"),
        ("thing[rate=2/255]", "thing[rate=2/255]"),
        ("thing[step=1/4]", "thing[step=0.25]"),
        ("thing[step=none]", "thing"),
        ("thing[ fast = true , count=5 ]", "thing[count=5,fast=true]"),
        ("thing[count=5,fast=True]", "thing[count=5,fast=true]"),
        ("thing[rate=1e-1,eps=2]", "thing[eps=2]"),
        ("thing[mode=none]", "thing[mode=none]"),
    ],
)
def test_the_canonical_spec(text, expected):
    assert canonical(text) == expected


def test_fractions_are_numbers():
    assert THINGS.build("thing[eps=8/255]").eps == 8 / 255
    assert THINGS.build("thing[eps= 1 / 4 ]").eps == 0.25
    assert THINGS.build("thing[eps=-1/4]").eps == -0.25


def test_none_is_a_value_only_where_nothing_is_allowed():
    assert THINGS.build("thing[step=none]").step is None
    assert THINGS.build("thing[mode=none]").mode == "none"
    with pytest.raises(UsageError, match="rate='none'"):
        THINGS.build("thing[rate=none]")


NUMBERS = st.floats(1e-6, 1e6)


@given(eps=NUMBERS, rate=NUMBERS | st.just(0.1 + 1e-9), count=st.integers(1, 10**12), fast=st.booleans())
def test_the_canonical_spec_of_a_canonical_spec_is_itself(eps, rate, count, fast):
    spec = Thing(eps=eps, rate=rate, count=count, fast=fast, step=eps).spec
    assert canonical(spec) == spec
    assert THINGS.build(spec).rate == pytest.approx(rate, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("thing[cuont=3]", ["parameter of thing", "'cuont'", "Did you mean 'count'?", "rate"]),
        ("thing[count=0]", ["thing: count='0'", "greater than 0"]),
        ("thing[count=2.5]", ["count='2.5'", "integer"]),
        ("thing[rate=-1,share=2]", ["rate='-1'", "; share='2'"]),
        ("thing[eps=1/0]", ["eps='1/0'", "number"]),
        ("thing[eps=nan]", ["eps=", "finite"]),
        ("thing[rate=inf]", ["rate=", "finite"]),
        ("thing[eps=1e999/2]", ["eps=", "finite"]),
        ("thing[mode=some]", ["mode='some'", "'all' or 'none'"]),
        ("thing[fast=true,mode=none]", ["thing: fast needs mode=all"]),
        ("thing[fast=perhaps]", ["fast='perhaps'"]),
    ],
)
def test_a_value_that_does_not_fit_gives_one_line(text, parts):
    with pytest.raises(UsageError) as caught:
        THINGS.build(text)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.endswith(".") and not message.endswith("..")
    for part in parts:
        assert part in message


def test_what_is_always_written():
    class Loud(Thing):
        name = "loud"
        always_written = ("mode", "eps")

    assert Loud().spec == "loud[eps=8/255,mode=all]"
    assert Loud(count=5).spec == "loud[count=5,eps=8/255,mode=all]"


def test_parameters_cannot_be_changed():
    thing = Thing()
    for name in ("count", "new", "_new"):
        with pytest.raises(
            AttributeError, match=rf"^self.{name} cannot be set: a Thing is constant. Keep state"
        ):
            setattr(thing, name, 5)
    assert thing == Thing()


def test_summary_and_parts():
    assert Thing.summary() == "The first line."
    assert Thing().parts() == [Thing()]


@THINGS.register("named")
class Named(Parameters):
    """A parameter whose key in specs is an attribute of every class."""

    always_written = ("name",)

    label: str | None = Field(default=None, alias="name")
    rate: Number = 0.5


def test_a_parameter_with_an_alias_has_that_key_in_specs_and_both_in_python():
    assert THINGS.build("named[rate=1/4,name=a]").spec == "named[name=a,rate=0.25]"
    assert Named(label="a") == Named(name="a") == THINGS.build("named[name=a]")
    assert THINGS.build("named[name=none]").label is None
    assert Named().spec == "named[name=none]" and Named.name == "named"
    assert Named.attributes() == {"name": "label", "rate": "rate"}
    assert Named.defaults() == {"name": None, "rate": 0.5}


def test_messages_call_a_parameter_by_its_alias():
    with pytest.raises(UsageError, match=r"parameter of named 'label'\..* Valid: name, rate\."):
        THINGS.build("named[label=a]")
    with pytest.raises(UsageError, match=r"parameter of named 'nam'\. Did you mean 'name'\?"):
        THINGS.build("named[nam=a]")

    class Strict(Named):
        label: Literal["a"] = Field(default="a", alias="name")

    with pytest.raises(UsageError, match="named: name='b': input should be 'a'"):
        Strict.from_spec(parse_spec("named[name=b]"))


@given(label=st.none() | st.from_regex(r"[a-z0-9_.+-]+", fullmatch=True).filter(lambda text: text != "none"))
def test_a_spec_with_an_alias_is_read_back(label):
    thing = Named(label=label)
    assert THINGS.build(thing.spec) == thing
    assert thing.short_name == thing.portable == thing.spec


@THINGS.register("reader")
class Reader(Parameters):
    """Reads files."""

    weights: File | None = None
    more: tuple[File, ...] = ()
    table: File = Path("table.csv")
    mean: tuple[float, ...] = (0.5,)
    steps: list[Number] | None = None


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("w.pth", "a, b.pth", "home/w.pth"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize("text", ["w.pth", "./w.pth", "home/../w.pth", '"w.pth"', "~/../w.pth"])
def test_a_file_is_absolute_hashed_by_content_and_shown_by_name(here, text):
    reader = THINGS.build(f"reader[weights={text}]")
    assert reader.spec == f"reader[weights={here / 'w.pth'}]"
    assert reader.portable == f"reader[weights={sha256(b'w.pth').hexdigest()}]"
    assert reader.short_name == "reader[weights=w.pth]"
    assert reader.files() == [here / "w.pth", here / "table.csv"]
    assert THINGS.build(reader.spec) == reader


def test_a_file_that_changes_is_another_thing_and_a_copy_is_not(here):
    before = THINGS.build("reader[weights=w.pth]").portable
    (here / "w.pth").rename(here / "v.pth")
    assert THINGS.build("reader[weights=v.pth]").portable == before
    (here / "v.pth").write_text("other")
    assert THINGS.build("reader[weights=v.pth]").portable != before


def test_files_in_a_list_and_with_any_name(here):
    reader = THINGS.build('reader[more=["a, b.pth",~/w.pth],weights=none]')
    assert reader.more == (here / "a, b.pth", here / "home" / "w.pth")
    digests = ",".join(sha256(name.encode()).hexdigest() for name in ("a, b.pth", "home/w.pth"))
    assert reader.portable == f"reader[more=[{digests}]]"
    assert reader.short_name == 'reader[more=["a, b.pth",w.pth]]'
    assert THINGS.build(reader.spec) == reader


@THINGS.register("outer")
class Outer(Parameters):
    """Holds the spec of another thing."""

    inner: str = "thing"

    def parts(self):
        return [self, THINGS.build(self.inner)]


def test_files_of_a_nested_spec_are_hashed_too(here):
    outer = THINGS.build(THINGS.build(f"outer[inner=reader[weights={here / 'w.pth'}]]").spec)
    assert outer.portable == f"outer[inner=reader[weights={sha256(b'w.pth').hexdigest()}]]"
    assert outer.short_name == "outer[inner=reader[weights=w.pth]]"
    assert THINGS.build("outer[inner=thing[count=4]]").portable == "outer[inner=thing[count=4]]"


def test_a_file_at_its_default_is_not_in_the_spec(here):
    assert Reader().spec == THINGS.build("reader[table=table.csv,more=[]]").spec == "reader"


@pytest.mark.parametrize(
    ("path", "reason"), [("gone.pth", "there is no such file"), ("home", "it cannot be read .Is a")]
)
def test_a_file_that_is_missing_is_named_where_it_is_hashed(here, path, reason):
    reader = THINGS.build(f"reader[weights={path}]")
    with pytest.raises(UsageError, match=f"reader: weights='{here / path}': {reason}"):
        _ = reader.portable


def test_a_home_of_nobody_stays_in_the_path(here):
    assert THINGS.build("reader[weights=~nobody-at-all/w.pth]").weights == here / "~nobody-at-all/w.pth"


def test_lists_of_numbers():
    reader = THINGS.build("reader[mean=[0.485,0.456,0.406],steps=[1/4,2]]")
    assert reader.mean == (0.485, 0.456, 0.406) and reader.steps == [0.25, 2.0]
    assert reader.spec == "reader[mean=[0.485,0.456,0.406],steps=[0.25,2]]"
    assert THINGS.build(reader.spec) == reader
    assert THINGS.build("reader[steps=none]").steps is None
    with pytest.raises(UsageError, match=r"reader: mean\.0='a': "):
        THINGS.build("reader[mean=[a]]")
    with pytest.raises(UsageError, match="reader: mean='3': "):
        THINGS.build("reader[mean=3]")

import pytest

from benchmark.core.errors import UsageError
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry


class Animal(Parameters):
    legs: int = 4


@pytest.fixture
def animals():
    registry = Registry("animal", Animal)

    @registry.register("ant")
    class Ant(Animal):
        legs: int = 6

    @registry.register("cat")
    class Cat(Animal):
        pass

    return registry


def test_names_in_the_order_of_registration(animals):
    assert animals.names() == ["ant", "cat"]
    assert [(name, cls.name) for name, cls in animals.items()] == [("ant", "ant"), ("cat", "cat")]


def test_builds_from_a_spec(animals):
    assert animals.build("ant").legs == 6
    assert animals.build("cat[legs=3]").spec == "cat[legs=3]"


def test_an_unknown_name_gets_the_nearest_and_the_list(animals):
    with pytest.raises(UsageError) as caught:
        animals.build("cta[legs=3]")
    assert str(caught.value) == "Unknown animal 'cta'. Did you mean 'cat'? Valid: ant, cat."
    with pytest.raises(UsageError) as caught:
        animals.get("zzzzzz")
    assert str(caught.value) == "Unknown animal 'zzzzzz'. Valid: ant, cat."


def test_an_empty_registry_says_so():
    with pytest.raises(UsageError, match="Valid: none"):
        Registry("animal", Animal).get("cat")


def test_a_name_is_taken_once(animals):
    class Other(Animal):
        pass

    with pytest.raises(UsageError, match="animal name 'cat' is already taken"):
        animals.register("cat")(Other)
    assert animals.get("cat").__name__ == "Cat"
    assert Other.name == ""


def test_the_same_class_may_come_again(animals):
    def define():
        class Dog(Animal):
            pass

        return Dog

    first, again = define(), define()
    animals.register("dog")(first)
    animals.register("dog")(again)
    assert animals.get("dog") is again


def test_a_class_has_one_name(animals):
    cat = animals.get("cat")
    with pytest.raises(UsageError, match="'feline' needs a class of its own: this one is the animal 'cat'"):
        animals.register("feline")(cat)
    assert animals.build("cat").spec == "cat"
    animals.register("feline")(type("Feline", (cat,), {}))
    assert animals.build("feline").spec == "feline"
    assert animals.build("cat").spec == "cat"


@pytest.mark.parametrize("wrong", [Parameters, int, Animal(), "cat"])
def test_a_class_of_another_kind_is_refused(animals, wrong):
    with pytest.raises(UsageError, match="'fish' is not a animal: its class must derive from Animal"):
        animals.register("fish")(wrong)
    assert "fish" not in animals.names()


def test_fallbacks_are_called_in_turn_for_unknown_names_only():
    asked = []

    def fallback(name):
        asked.append(name)
        return type("Found", (Animal,), {"name": name}) if name.startswith("wild_") else None

    registry = Registry("animal", Animal)
    registry.add_fallback(lambda name: None)
    registry.add_fallback(fallback)
    registry.register("cat")(type("Cat", (Animal,), {}))
    assert registry.build("cat").spec == "cat"
    assert asked == []
    assert registry.build("wild_cat[legs=2]").spec == "wild_cat[legs=2]"
    with pytest.raises(UsageError, match="Unknown animal 'tame_cat'"):
        registry.build("tame_cat")


def test_a_name_that_means_something_beside_the_registry_is_refused():
    registry = Registry("thing", Animal)
    registry.add_meaning(lambda name: "a group of things" if name == "both" else "")
    with pytest.raises(UsageError, match=r"^'both' cannot be the name of a thing: it is the name"):
        registry.register("both")(type("Both", (Animal,), {}))
    registry.register("other")(type("Other", (Animal,), {}))


def test_it_is_known_whether_a_name_hides_that_of_a_fallback():
    def fallback(name):
        if name != "known":
            raise UsageError("there is none")
        return Animal

    registry = Registry("thing", Animal)
    assert not registry.hides("known")
    registry.add_fallback(fallback)
    assert registry.hides("known") and not registry.hides("unknown")

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamaduo.base.files import fingerprint

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.dictionaries(st.text(), scalars))
def test_a_fingerprint_does_not_depend_on_the_order_of_keys(identity):
    turned = dict(reversed(identity.items()))
    try:
        assert fingerprint("s", identity) == fingerprint("s", turned)
    except ValueError:
        assert any(v in (float("inf"), float("-inf")) for v in identity.values())


@given(st.dictionaries(st.text(min_size=1), st.integers(), min_size=1), st.integers())
def test_another_value_or_another_name_makes_another_fingerprint(identity, value):
    key = next(iter(identity))
    assert fingerprint("a", identity) != fingerprint("b", identity)
    if identity[key] != value:
        assert fingerprint("a", identity) != fingerprint("a", {**identity, key: value})


@pytest.mark.parametrize("identity", [{1: "a"}, {"a": {True: 1}}, {"a": [{None: 1}]}])
def test_keys_that_are_no_strings_are_refused(identity):
    with pytest.raises(TypeError, match="keys are strings"):
        fingerprint("s", identity)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_what_json_cannot_say_in_one_way_is_refused(value):
    with pytest.raises((ValueError, TypeError)):
        fingerprint("s", {"a": value})

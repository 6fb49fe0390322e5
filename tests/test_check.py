"""What is a number, a count, a flag, a name, a list of these; and what the refusal of all else says."""

import math
import subprocess
import sys

import numpy as np
import pytest
from omegaconf import OmegaConf

from snnbench import check
from snnbench.errors import UserError
from tests.conftest import ROOT

TAKEN = [
    (check.number, (3, "[1, inf)"), 3.0),
    (check.number, (1, "[1, inf)"), 1.0),
    (check.number, (0.5, "(0, 1]"), 0.5),
    (check.number, (-1e30,), -1e30),
    (check.number, (np.float32(0.25), "[0, 1]"), 0.25),
    (check.number, (math.inf, "(0, inf]"), math.inf),
    (check.count, (1,), 1),
    (check.count, (0, 0), 0),
    (check.count, (np.int64(7), 1, 7), 7),
    (check.flag, (False,), False),
    (check.choice, ("tanh", {"tanh": 1, "none": 2}), "tanh"),
    (check.choices, (["b", "a"], "abc"), ("b", "a")),
    (check.choices, ([], ["a"]), ()),
    (check.numbers, ([0, 0.5],), (0.0, 0.5)),
    (check.numbers, (OmegaConf.create([1, 2]), "(0, inf)"), (1.0, 2.0)),
    (check.counts, ([2, 3],), (2, 3)),
]

REFUSED = [
    (check.number, (1, "(1, inf)"), "a.b=1: must be a number in (1, inf)."),
    (check.number, (1.5, "[0, 1]"), "a.b=1.5: must be a number in [0, 1]."),
    (check.number, (math.nan,), "a.b=nan: must be a finite number."),
    (check.number, (math.inf,), "a.b=inf: must be a finite number."),
    (check.number, (-math.inf, "(-inf, 0)"), "a.b=-inf: must be a number in (-inf, 0)."),
    (check.number, (1e39,), "a.b=1e+39: must be a finite number."),  # it would be infinity in float32
    (check.number, ("1",), "a.b='1': must be a finite number."),
    (check.number, (True,), "a.b=true: must be a finite number."),
    (check.number, (None,), "a.b=null: must be a finite number."),
    (check.number, (10**400,), f"a.b=1{'0' * 79}...: must be a finite number."),
    (check.count, (0,), "a.b=0: must be a whole number of at least 1."),
    (check.count, (2.0,), "a.b=2.0: must be a whole number of at least 1."),
    (check.count, (True,), "a.b=true: must be a whole number of at least 1."),
    (check.count, (2**63,), "a.b=9223372036854775808: must be a whole number of at least 1."),  # more than int64 holds
    (check.count, (8, 1, 7), "a.b=8: must be a whole number from 1 to 7."),
    (check.flag, (1,), "a.b=1: must be true or false."),
    (check.flag, ("no",), "a.b='no': must be true or false."),
    (check.choice, ("tnah", ["tanh", "none"]), "a.b='tnah': unknown. Did you mean 'tanh'? Allowed: tanh, none."),
    (check.choice, (None, ["tanh"]), "a.b=null: unknown. Allowed: tanh."),
    (check.choice, ([], {"tanh": 1}), "a.b=[]: unknown. Allowed: tanh."),
    (check.choices, ("weight", ["weight", "bias"]), "a.b='weight': must be a list of names, each one of weight, bias."),
    (check.choices, (["wait"], ["weight"]), "a.b='wait': unknown. Did you mean 'weight'? Allowed: weight."),
    (check.numbers, ([],), "a.b=[]: must be a list of finite numbers."),
    (check.numbers, (0.5,), "a.b=0.5: must be a list of finite numbers."),
    (check.numbers, ([1, None],), "a.b=[1, None]: must be a list of finite numbers."),
    (check.numbers, ([0, 1], "(0, inf)"), "a.b=[0, 1]: must be a list of numbers in (0, inf)."),
    (check.counts, ("12",), "a.b='12': must be a list of whole numbers of at least 1."),
    (check.counts, ([1, 0],), "a.b=[1, 0]: must be a list of whole numbers of at least 1."),
]


@pytest.mark.parametrize(("take", "arguments", "expected"), TAKEN)
def test_what_is_right_comes_back_in_its_type(take, arguments, expected):
    found = take("a.b", *arguments)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(("take", "arguments", "message"), REFUSED)
def test_all_else_is_refused_in_one_line(take, arguments, message):
    with pytest.raises(UserError) as caught:
        take("a.b", *arguments)
    assert str(caught.value) == message


def test_other_values_may_be_taken_as_they_are():
    assert check.number("a", None, "(0, 1)", also=(None,)) is None
    assert check.count("a", "auto", also=(None, "auto")) == "auto"
    assert check.number("a", 1, also=(True,)) == 1.0
    with pytest.raises(UserError, match=r"^a=true: must be a finite number, or 1.$"):
        check.number("a", True, also=(1,))
    with pytest.raises(UserError, match=r"^a='atuo': must be a whole number of at least 0, null, or auto. Did you"):
        check.count("a", "atuo", 0, also=(None, "auto"))


def test_a_list_may_have_a_length():
    assert check.numbers("a", [1, 2], length=2) == (1.0, 2.0)
    assert check.counts("a", [], empty=True) == ()
    with pytest.raises(UserError, match=r"^a=\[1, 2\]: must be a list of finite numbers, of length 3. One for each.$"):
        check.numbers("a", [1, 2], length=3, hint="One for each.")
    with pytest.raises(UserError, match=r"^a=\[1\]: must be a list of whole numbers from 0 to 4, of length 2.$"):
        check.counts("a", [1], 0, 4, length=2)
    with pytest.raises(UserError, match=r"^a=null: must be a list"):
        check.counts("a", None, empty=True)


def test_it_needs_no_torch():
    code = "import sys, snnbench.check, snnbench.registry; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr

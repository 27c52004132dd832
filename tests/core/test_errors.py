"""Errors as users and shells meet them: a problem in words, and an exit code."""

from __future__ import annotations

import pickle

import pytest

from mlopt.core import errors
from mlopt.core.errors import DataError, ExitCode, IntegrityError, MloptError, Problem, RecipeError


def test_a_problem_is_told_with_the_details_it_has_one_a_line() -> None:
    whole = Problem("no such input", "r.yaml:3", "'imge'", "'image'", "rename it")
    assert str(whole).splitlines() == [
        "r.yaml:3: no such input", "  got       'imge'", "  expected  'image'", "  fix       rename it",
    ]  # fmt: skip
    assert str(Problem("no such input", fix="rename it")).splitlines() == ["no such input", "  fix       rename it"]


def test_an_error_of_several_problems_keeps_their_kind_and_shows_all() -> None:
    problems = [Problem("one", "a"), Problem("two", "b")]
    error = RecipeError.of(iter(problems))
    assert type(error) is RecipeError
    assert error.problems == tuple(problems)
    assert str(error) == "a: one\nb: two"


def test_an_error_of_no_problem_cannot_be_made() -> None:
    with pytest.raises(TypeError):
        MloptError.of([])


@pytest.mark.parametrize("error", [DataError("bad", where="x.npz"), DataError(Problem("a"), Problem("b", fix="c"))])
def test_an_error_comes_whole_out_of_another_process(error: DataError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is DataError
    assert (back.problems, str(back)) == (error.problems, str(error))


def test_every_error_is_the_users_to_fix_but_a_broken_artifact() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, MloptError)]
    codes = {kind: kind.exit_code for kind in kinds}
    assert codes.pop(IntegrityError) is ExitCode.INTEGRITY
    assert set(codes.values()) == {ExitCode.USAGE}
    assert len({int(code) for code in ExitCode}) == len(ExitCode)


def test_an_error_in_brief_is_its_first_problem() -> None:
    assert MloptError("it is refused", got="an operator", fix="another").brief == "it is refused: an operator"
    assert MloptError.of([Problem("it hangs"), Problem("and more", got="x")]).brief == "it hangs"

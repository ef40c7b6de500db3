"""The steps of a trial: it ends at the first that fails, and a doubt fails nothing."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from ingestion.connectors import connection_trial
from ingestion.connectors.connection_trial import (
    Outcome,
    StepDoubtful,
    StepFailed,
    TrialStep,
    failed,
    run,
)


def fails(error: Exception) -> Callable[[], str]:
    def act() -> str:
        raise error

    return act


def test_a_trial_goes_through_all_steps_that_succeed() -> None:
    trial = run("a:1", [(TrialStep.NAME, lambda: "known"), (TrialStep.ROUTE, lambda: "open")], "n")
    assert [(one.step, one.outcome, one.said) for one in trial.findings] == [
        (TrialStep.NAME, Outcome.GOOD, "known"),
        (TrialStep.ROUTE, Outcome.GOOD, "open"),
    ]
    assert (trial.subject, trial.note, trial.is_good, trial.failure) == ("a:1", "n", True, None)


def test_no_step_is_taken_after_one_that_fails() -> None:
    called: list[str] = []
    trial = run(
        "a:1",
        [
            (TrialStep.NAME, lambda: "known"),
            (TrialStep.ROUTE, fails(StepFailed("closed", "open it"))),
            (TrialStep.TLS, lambda: called.append("tls") or ""),  # type: ignore[func-returns-value]
            (TrialStep.LOGIN, lambda: called.append("login") or ""),  # type: ignore[func-returns-value]
        ],
    )
    assert [one.outcome for one in trial.findings] == [
        Outcome.GOOD,
        Outcome.FAILED,
        Outcome.NOT_REACHED,
        Outcome.NOT_REACHED,
    ]
    assert called == []
    assert not trial.is_good
    assert trial.failure is trial.findings[1]
    assert (trial.failure.said, trial.failure.mend) == ("closed", "open it")


def test_a_doubt_is_said_and_ends_nothing() -> None:
    trial = run(
        "a:1",
        [(TrialStep.TLS, fails(StepDoubtful("expires", "renew"))), (TrialStep.LOGIN, lambda: "in")],
    )
    doubt, login = trial.findings
    assert (doubt.outcome, doubt.said, doubt.mend) == (Outcome.DOUBTFUL, "expires", "renew")
    assert login.outcome is Outcome.GOOD
    assert (trial.is_good, trial.failure) == (True, None)


def test_a_mistake_of_our_own_is_no_finding() -> None:
    with pytest.raises(KeyError):
        run("a:1", [(TrialStep.NAME, fails(KeyError("x")))])


def test_each_step_says_how_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1.0, 1.5, 2.0, 4.0])
    monkeypatch.setattr(connection_trial, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    trial = run(
        "a:1", [(TrialStep.NAME, lambda: ""), (TrialStep.ROUTE, fails(StepFailed("closed", "")))]
    )
    assert [one.seconds for one in trial.findings] == [0.5, 2.0]


def test_an_address_that_is_none_fails_at_the_first_step() -> None:
    trial = failed("?", [TrialStep.NAME, TrialStep.ROUTE], StepFailed("no address", "write"), "n")
    assert [one.outcome for one in trial.findings] == [Outcome.FAILED, Outcome.NOT_REACHED]
    assert (trial.findings[0].said, trial.note) == ("no address", "n")

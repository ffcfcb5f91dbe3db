"""What earlier jobs took corrects what the next one is said to take."""

from __future__ import annotations

import pytest


@pytest.fixture
def timing(scene):
    from MedSRLib.Timing import Timing

    return Timing()


def test_the_first_job_is_told_what_the_library_says(timing):
    assert timing.expected(26, "mr-3d", isWarm=True) == 26
    assert timing.expected(26, "mr-3d") == 27  # the process has to start


def test_a_slow_machine_is_known_after_a_few_jobs(timing):
    for _ in range(8):
        timing.note(26, 98, "mr-3d", startSeconds=11)
    assert timing.expected(26, "mr-3d", isWarm=True) == pytest.approx(98, rel=0.1)
    assert timing.expected(26, "mr-3d") == pytest.approx(98 + 11, rel=0.1)
    assert timing.expected(26, "ct-3d", isWarm=True) == pytest.approx(98, rel=0.1)  # the machine is slow, not the model


def test_one_long_job_says_most(timing):
    """26 s were told and 98 taken: the next time, it is not 26 again."""
    timing.note(26, 98, "mr-3d")
    assert 60 < timing.expected(26, "mr-3d", isWarm=True) < 98


def test_models_are_told_apart(timing):
    for _ in range(8):
        timing.note(100, 400, "mr-3d")
        timing.note(100, 100, "tikhonov")
    assert timing.expected(100, "mr-3d", isWarm=True) > 350
    assert timing.expected(100, "tikhonov", isWarm=True) < 130


def test_one_short_job_says_little(timing):
    timing.note(0.2, 3, "tikhonov")
    assert timing.expected(60, "tikhonov", isWarm=True) < 70


def test_a_machine_that_was_busy_is_forgiven(timing):
    timing.note(60, 600, "mr-3d")
    busy = timing.expected(60, "mr-3d", isWarm=True)
    for _ in range(8):
        timing.note(60, 60, "mr-3d")
    assert timing.expected(60, "mr-3d", isWarm=True) < 80 < busy


@pytest.mark.parametrize("kept", ["quick", "", None, "nan", "-3", [1]])
def test_settings_of_another_hand_do_no_harm(kept):
    from MedSRLib.Timing import Memory, Timing

    store = Memory()
    store.setValue("MedSR/speed/mr-3d", kept)
    assert Timing(store).expected(10, "mr-3d", isWarm=True) == 10


def test_a_job_teaches_what_it_took(resolver, a_volume):
    from MedSRLib.Timing import Timing

    class Heard(Timing):
        def note(self, told, taken, model, startSeconds=None):
            self.heard = told, taken, model, startSeconds

    resolver.timing = Heard()
    resolver.superResolve(a_volume, scale=2, model="linear")
    told, taken, model, start = resolver.timing.heard
    assert model == "linear"
    assert told == resolver.planner._planned.plan.estimate()["seconds"]
    assert taken > 0
    assert start > 0  # the process was started for it, however quickly
    resolver.superResolve(a_volume, scale=1.5, model="linear")
    assert resolver.timing.heard[3] is None  # it was there

"""medsr train: where it writes, and what it shows."""

import pytest

pytestmark = pytest.mark.network


def test_folders_above_the_output_are_made_and_one_bar_counts_all_steps(medsr, a_recipe, tmp_path):
    pytest.importorskip("lightning")
    ended = medsr("train", a_recipe, "--smoke", "--output", tmp_path / "runs" / "deep" / "smoke")
    assert ended.code == 0, ended.err
    assert (tmp_path / "runs/deep/smoke/weights.pt").is_file()
    assert [line for line in ended.err.splitlines() if line.startswith("Step")] == [
        "Step 1 of 4 ...", "Step 2 of 4 ...", "Step 4 of 4 ...",
    ]  # fmt: skip
    assert "Epoch" not in ended.err + ended.out


def test_a_file_in_the_way_of_the_output_is_told(medsr, a_recipe, tmp_path):
    (tmp_path / "runs").write_text("x")
    ended = medsr("train", a_recipe, "--smoke", "--output", tmp_path / "runs" / "smoke")
    assert ended.code == 4 and "Traceback" not in ended.err


def test_time_left_is_told_from_the_steps_of_this_run(monkeypatch):
    pytest.importorskip("lightning")
    from medsr.training import watching

    class Trainer:
        is_global_zero, max_epochs, current_epoch = True, 10, 4

    clock = iter([100.0, 103.0, 106.0])
    monkeypatch.setattr(watching.time, "monotonic", lambda: next(clock))
    told = []
    watcher = watching.Watcher(lambda *values: told.append(values), steps_per_epoch=5)
    for number in (0, 1):
        watcher.on_train_batch_start(Trainer, None, None, number)
        watcher.on_train_batch_end(Trainer, None, None, None, number)
    # Resumed at step 20 of 50: three seconds a step, 29 and then 28 steps to go.
    assert told == [(21, 50, 87.0), (22, 50, 84.0)]

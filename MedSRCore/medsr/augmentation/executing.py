"""The function that an executor calls for many tasks, here or on other machines."""

from __future__ import annotations

from collections.abc import Callable

from medsr.augmentation.tasks import Task
from medsr.cohort.work import TaskResult
from medsr.jobs import Progress


def execute_task(task: Task, cancelled: Callable[[], bool] | None = None) -> TaskResult:
    """Make one copy: image, label map and sidecar, all or nothing.

    A copy that is complete and was made from the same task is kept as it is.

    Args:
        task: what to make.
        cancelled: asked often; True raises CancelledError and leaves nothing behind.

    Returns:
        The result; a failure is told, not raised.
    """
    # Late: a scheduler may hold tasks without SimpleITK or torch.
    from medsr.augmentation.making import make_copy

    return make_copy(task, Progress(cancelled=cancelled))

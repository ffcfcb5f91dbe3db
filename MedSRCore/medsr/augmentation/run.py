"""From a job to a new training set: check, plan, make every copy, describe, report."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from medsr.augmentation.cases import BACKGROUND, Case, Dataset
from medsr.augmentation.checks import Refused
from medsr.augmentation.datasets import RECORD, check_nnunet, division_faults, read_dataset
from medsr.augmentation.describing import describe_plan
from medsr.augmentation.executing import execute_task
from medsr.augmentation.folder import PAGE, check_output, clear_drafts, prepare_output, record_text, write_texts
from medsr.augmentation.making import is_complete
from medsr.augmentation.originals import place_file, place_original
from medsr.augmentation.page import render_page
from medsr.augmentation.planning import CohortPlan, plan_cohort
from medsr.augmentation.quality import examine
from medsr.augmentation.spec import AugmentSpec
from medsr.augmentation.splits import make_splits
from medsr.cohort.work import FAILED, KEPT, MADE, Executor, SerialExecutor, TaskResult
from medsr.errors import CancelledError, InputError
from medsr.jobs import Progress, ResultEvent

_CHECKED, _PLACED, _MADE = 0.05, 0.08, 0.96
_MOST_WARNINGS = 20


def augment(spec: AugmentSpec, progress: Progress, executor: Executor | None = None) -> ResultEvent:
    """Do the job that `spec` describes.

    Cases that cannot be used and copies that fail are told in the report; they do not stop the others. When the work is
    stopped, the copies made so far stay, and the same call goes on from there.

    Args:
        spec: what was asked.
        progress: receives stages, fractions and warnings, and may cancel.
        executor: who makes the copies; None for what `spec` says.

    Returns:
        The output folder and a report: ``plan``, ``made``, ``kept``, ``failed``, ``refused``, ``warnings``, ``page``,
        ``dataset``, ``next``, ``seconds``.

    Raises:
        MedSRError: nothing could be done at all, or the work was stopped.
    """
    started = time.perf_counter()
    progress.stage("Checking the cases")
    contrasts = [part.strip() for part in spec.channels.split(",")] if spec.channels else []
    dataset = read_dataset(spec.source, spec.images, spec.labels, spec.subjects, contrasts)
    plan = plan_cohort(spec, dataset, progress.section(0.0, _CHECKED))
    for text in _limited(plan.warnings):
        progress.warn(text)
    for found in plan.refused:
        progress.warn(f"{found.case} is left out: {found.problem}")
    output = Path(spec.output)
    check_output(plan, output, overwrite=spec.overwrite)
    report: dict[str, Any] = {
        "plan": describe_plan(plan),
        "made": 0,
        "kept": 0,
        "failed": [],
        "refused": _refused(plan),
        "warnings": list(plan.warnings),
        "page": None,
        "dataset": None,
    }
    report["next"] = report["plan"]["next"]
    if not spec.dry_run:
        options = {key: value for key, value in dataclasses.asdict(spec).items() if key not in ("source", "output")}
        prepare_output(plan, output, options)
        try:
            report.update(_work(plan, spec, options, executor, progress))
        except (CancelledError, KeyboardInterrupt) as error:
            # The signal may have come while a copy was tidying up after itself.
            clear_drafts(plan)
            done = sum(map(is_complete, plan.tasks))
            raise CancelledError(
                f"Stopped: {done} of {len(plan.tasks)} copies are finished and stay; the same call goes on from there."
            ) from error
    progress.at(1.0)
    report["seconds"] = round(time.perf_counter() - started, 2)
    return ResultEvent(str(output), report)


def _work(
    plan: CohortPlan, spec: AugmentSpec, options: Mapping[str, Any], executor: Executor | None, progress: Progress
) -> dict[str, Any]:
    """Place the originals, make the copies, describe all; this part of the report."""
    plan = _place_originals(plan, spec.originals, progress)
    with _executor(spec, plan, executor) as runner:
        results = _make_copies(plan, runner, progress)
    summary = _finish(plan, results, options, spec.seed, progress)
    if plan.format == "nnunet":
        progress.stage("Checking as nnU-Net does")
        faults = division_faults(read_dataset(plan.output))
        summary["nnunet_faults"] = faults + check_nnunet(plan.output, progress.section(_MADE, 1.0))
        for fault in summary["nnunet_faults"]:
            progress.warn(f"nnU-Net would complain: {fault}")
    return summary


def _place_originals(plan: CohortPlan, how: str, progress: Progress) -> CohortPlan:
    """Put the originals in place; the plan without those that could not be read after all."""
    progress.stage("Placing the originals")
    section = progress.section(_CHECKED, _PLACED)
    unreadable: dict[str, Refused] = {}
    for number, (source, placed) in enumerate(plan.originals, 1):
        try:
            place_original(source, placed, plan.values, how)
        except InputError as error:
            progress.warn(f"{source.name} is left out: {error}")
            unreadable[placed.name] = Refused(source.name, str(error))
        section(number / len(plan.originals))
    for place, file in plan.dataset.carried.items() if plan.carries else ():
        place_file(Path(file), plan.output / place, how)
    return dataclasses.replace(
        plan,
        originals=tuple(pair for pair in plan.originals if pair[1].name not in unreadable),
        tasks=tuple(task for task in plan.tasks if task.case not in unreadable),
        refused=(*plan.refused, *unreadable.values()),
    )


def _executor(spec: AugmentSpec, plan: CohortPlan, given: Executor | None) -> AbstractContextManager[Executor]:
    if given is not None:
        return nullcontext(given)
    if spec.cluster is None and spec.workers == 1:
        return nullcontext(SerialExecutor())
    # Late: only here is Dask needed.
    from medsr.cohort.cluster import open_cluster

    return open_cluster(spec.cluster, spec.workers, spec.memory, plan.memory_bytes)


def _make_copies(plan: CohortPlan, executor: Executor, progress: Progress) -> list[TaskResult]:
    """Run all tasks; the progress counts each by the time that it was estimated to take."""
    cost = {task.name: 0.0 if is_complete(task) else task.seconds for task in plan.tasks}
    total, spent = max(sum(cost.values()), 1e-9), 0.0
    results: list[TaskResult] = []
    section = progress.section(_PLACED, _MADE)
    progress.stage("Making the copies")
    for result in executor.run(plan.tasks, execute_task, progress):
        results.append(result)
        spent += cost[result.name]
        if result.status == FAILED:
            progress.warn(f"{result.name} failed: {result.error}")
        progress.stage(f"Made {len(results)} of {len(plan.tasks)}: {result.name}")
        section(spent / total)
    return results


def _finish(
    plan: CohortPlan, results: list[TaskResult], options: Mapping[str, Any], seed: int, progress: Progress
) -> dict[str, Any]:
    """Describe what is there, draw the page, and return this part of the report."""
    progress.stage("Writing the description and the report")
    finished = {result.name for result in results if result.status in (MADE, KEPT)}
    made = _made_set(plan, finished, seed)
    findings = examine(made.real, [task for task in plan.tasks if task.name in finished])
    case_of = {task.name: task.case for task in plan.tasks}
    failed = [{"name": r.name, "case": case_of[r.name], "error": r.error} for r in results if r.status == FAILED]
    documents = plan.layout.documents(made)
    page = plan.layout.records / PAGE
    summary = {
        "made": sum(result.status == MADE for result in results),
        "kept": sum(result.status == KEPT for result in results),
        "failed": failed,
        "refused": _refused(plan),
        "flagged": [{"name": f.name, "reasons": list(f.reasons)} for f in findings if f.reasons],
        "page": str(page),
        "dataset": str(next(iter(documents))),
    }
    problems = [(found.case, found.problem) for found in plan.refused] + [(f["name"], f["error"]) for f in failed]
    write_texts(
        {
            **documents,
            page: render_page(made, findings, problems, plan.warnings, describe_plan(plan)),
            plan.layout.records / RECORD: record_text(plan, options, {"state": "finished", **summary}),
        }
    )
    return summary


def _made_set(plan: CohortPlan, finished: Collection[str], seed: int) -> Dataset:
    """The training set with its originals, the copies that are `finished`, and its splits."""
    real = [placed for _, placed in plan.originals]
    keys = {placed.name: placed.keys for placed in real}
    copies = [
        Case(
            task.name,
            task.subject,
            task.image_outputs,
            task.label_output,
            task.case,
            str(task.recipe["name"]),
            keys[task.case],
        )
        for task in plan.tasks
        if task.name in finished
    ]
    renamed = {source.name: placed.name for source, placed in plan.originals}
    given = [
        dataclasses.replace(split, train=_translated(split.train, renamed), val=_translated(split.val, renamed))
        for split in plan.dataset.splits
    ]
    return Dataset(
        root=str(plan.layout.records),
        format=plan.format,
        name=plan.dataset.name,
        cases=(*real, *copies),
        channels=plan.channels,
        labels={BACKGROUND: 0, **plan.structures},
        splits=make_splits(real, copies, given, seed),
        description=plan.dataset.description,
        lists=plan.dataset.lists if plan.carries else {},
        carried=plan.dataset.carried if plan.carries else {},
    )


def _refused(plan: CohortPlan) -> list[dict[str, str]]:
    return [{"case": found.case, "error": found.problem} for found in plan.refused]


def _translated(names: tuple[str, ...], renamed: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(renamed[name] for name in names if name in renamed)


def _limited(warnings: tuple[str, ...]) -> list[str]:
    more = len(warnings) - _MOST_WARNINGS
    return [*warnings[:_MOST_WARNINGS], *([f"{more} more warnings are in {RECORD}."] if more > 0 else [])]

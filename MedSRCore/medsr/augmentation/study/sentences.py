"""What was found, in sentences: also when it is nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medsr.augmentation.study.design import COPIES, DUPLICATE, REAL, StudyDesign, arm_and_place
from medsr.augmentation.study.findings import Finding, format_gain

LEARNED = 0.2
"""Mean Dice below which a network has learned next to nothing: less than a blob at the most frequent place gets."""


def conclusions(findings: Sequence[Finding], design: StudyDesign, dice: Mapping[int, float] | None = None) -> list[str]:
    """One sentence for each size and arm on Dice, the measure that was chosen before looking.

    Args:
        findings: of the comparisons.
        design: what was compared.
        dice: size -> mean Dice of its best arm. Where none learned, equal failures are no finding.
    """
    main = [f for f in findings if f.metric == "dice" and not f.structure and f.gain is not None]
    found = []
    untrained = {size: best for size, best in (dice or {}).items() if best < LEARNED}
    for size, best in untrained.items():
        found.append(
            f"With {subjects_text(size)} the networks learned next to nothing (Dice {best:.2f}, the best arm), so "
            "these runs say nothing about the copies. Train longer (--set steps=...), or look at the images and labels."
        )
    main = [f for f in main if f.size not in untrained]
    for size in design.sizes:
        here = [f for f in main if f.size == size]
        found += [_sentence(f, _controls(f, here, design)) for f in here if _is_main(f, design)]
    if not found:
        return ["No pair of runs is finished that could be compared."]
    return [*found, *_noise(main)]


def subjects_text(size: int) -> str:
    """``16 training subjects``, ``all training subjects``."""
    return f"{size or 'all'} training subjects"


def _is_main(finding: Finding, design: StudyDesign) -> bool:
    """What a sentence is about; the controls are told within the sentence of the arm that they stand against."""
    (arm, _), (base, other) = arm_and_place(finding.arm), arm_and_place(finding.baseline)
    if arm == base:
        return other in ("", *design.test_on[:1])
    return base == REAL and arm != f"{REAL}+{DUPLICATE}"


def _sentence(finding: Finding, controls: Sequence[Finding]) -> str:
    (arm, place), (base, other) = arm_and_place(finding.arm), arm_and_place(finding.baseline)
    text = f"With {subjects_text(finding.size)}, "
    if arm == base:
        text += f"segmenting {place} instead of {other or 'the real images'} by networks of {arm} changed Dice by "
    elif place in ("", COPIES):
        how = " and segmenting copies of the test images" if place else ""
        text += f"training with {arm}{how} instead of {REAL} changed Dice by "
    else:
        text += f"training with {arm} instead of {REAL} changed Dice on {place} by "
    text += _of(finding)
    gain = finding.gain
    if gain is None or not gain.is_certain:
        return f"{text}: no effect was found."
    text += ": better." if gain.mean > 0 else ": worse."
    for control in controls:
        against = f" Against {control.baseline} the difference is {_of(control)}"
        if control.gain is None or not control.gain.is_certain:
            text += f"{against}, so the effect need not come from what {arm} adds beyond that control."
        else:
            text += f"{against}."
    return text


def _controls(finding: Finding, findings: Sequence[Finding], design: StudyDesign) -> list[Finding]:
    """The same networks and images against those of every control."""
    if finding.baseline != REAL or arm_and_place(finding.arm)[0] == REAL:
        return []
    return [f for f in findings if f.arm == finding.arm and not _is_main(f, design)]


def _noise(findings: Sequence[Finding]) -> list[str]:
    """What two trainings on the same images differ by."""
    same = [f for f in findings if f.arm == f"{REAL}+{DUPLICATE}" and f.baseline == REAL]
    if not same:
        return []
    values = ", ".join(f"{_of(f)} at {subjects_text(f.size)}" for f in same)
    return [
        f"Duplicates hold nothing new, so their difference shows what the luck of the training alone makes: {values}."
    ]


def _of(finding: Finding) -> str:
    return format_gain(finding.gain, finding.metric)

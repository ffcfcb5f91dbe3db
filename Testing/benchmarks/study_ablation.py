"""Short trainings that differ in one thing: the gates of edsr-se, its loss, or one vdsr7 for all scales.

    python Testing/benchmarks/study_ablation.py --data DIR --output DIR --page docs/reference/systems.md
    python Testing/benchmarks/study_ablation.py --data DIR --output DIR --only gates --steps 100 --seeds 1

The same images, steps and seeds for every variant; the gain over bicubic is judged on the held-out images. A minute or
two of one core each: such trainings show what helps early, not what is best in the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from held_out import HeldOutVolumes
from pages import note, write_between

from medsr.cli.train import RECIPES
from medsr.evaluation.protocols import CASES
from medsr.evaluation.rows import BICUBIC, EvaluationTable
from medsr.evaluation.run import evaluate
from medsr.evaluation.statistics import gain, means
from medsr.evaluation.tables import format_gain, format_value, from_json, markdown_table, to_json
from medsr.training.bundling import write_bundle
from medsr.training.model_card import Card
from medsr.training.recipe import Recipe
from medsr.training.run import train
from medsr.training.sections import AdversaryRecipe, LossRecipe, NetworkRecipe, OptimiserRecipe
from medsr.volume import Volume

SCALES = (2, 3, 4, 8)
LEARNED_FROM = ("sub01", "sub60", "flair_openms_p19", "adi", "ISIC_0010459", "ISIC_0012126", "us_breast", "cxr")
"""Parts of the names of the images of `images.data.json` that are learned from: few, to be read quickly."""
CROPS = {"MR": (192, 192, 8), "CT": (112, 120, 8), "photo": (384, 384, 1)}
FUSION = LossRecipe(l1=1.0, mse=1.0, perceptual=0.006, adversarial=5e-3, relativistic="full")


class Study:
    """Trains variants and judges them.

    Args:
        data: folder of the images.
        output: gets a folder per training and the figures.
        steps: of every training.
        seeds: how many trainings of each variant.
    """

    def __init__(self, data: Path, output: Path, steps: int, seeds: int) -> None:
        self.data, self.output, self.steps, self.seeds = data, output, steps, seeds
        self.images: dict[str, Volume] = {}
        for group, crop in CROPS.items():
            self.images |= HeldOutVolumes(data, [group], crop)
        self.list = output / "few.data.json"
        whole = json.loads((RECIPES / "images.data.json").read_text(encoding="utf-8"))
        few = [entry for entry in whole["train"] if any(part in entry["file"] for part in LEARNED_FROM)]
        self.list.write_text(json.dumps({"train": few, "validation": whole["validation"][:1]}), encoding="utf-8")

    def gates(self) -> list[str]:
        """Improved squeeze-and-excitation against the plain one against none."""
        table = EvaluationTable()
        for seed in self._seeds():
            for gate in ("none", "plain", "improved"):
                trained = self._train(self._edsr(gate), f"edsr-{gate}", seed)
                table += self._judge(trained, gate, seed, [4])
            table += self._judge(BICUBIC, BICUBIC, seed, [4])
        return self._lines("gates", table, baseline="none")

    def fusion(self) -> list[str]:
        """The same network trained on with L1, and with the fusion loss of the source."""
        table = EvaluationTable()
        for seed in self._seeds():
            start = self._train(self._edsr("improved"), "edsr-improved", seed).parent / "weights.pt"
            onward = dataclasses.replace(
                self._edsr("improved"),
                warm_start=str(start.absolute()),
                optimiser=OptimiserRecipe(learning_rate=1e-4, warmup=20, cooldown=self.steps // 4),
            )
            fused = dataclasses.replace(onward, family="gan", losses=FUSION, adversary=AdversaryRecipe())
            for name, recipe in (("l1", onward), ("fusion", fused)):
                table += self._judge(self._train(recipe, f"edsr-{name}", seed), name, seed, [4])
            table += self._judge(BICUBIC, BICUBIC, seed, [4])
        return self._lines("fusion", table, baseline="l1")

    def scales(self) -> list[str]:
        """One vdsr7 for all scales against one per scale, each with as many steps; and with a quarter of them."""
        table = EvaluationTable()
        for seed in self._seeds():
            one = self._train(self._vdsr7(SCALES, self.steps), "vdsr7-all", seed)
            table += self._judge(one, "one for all", seed, SCALES)
            for scale in SCALES:
                for name, steps in (("one per scale", self.steps), ("a quarter of the steps", self.steps // 4)):
                    trained = self._train(self._vdsr7((scale,), steps), f"vdsr7-x{scale}-{steps}", seed)
                    table += self._judge(trained, name, seed, [scale])
            table += self._judge(BICUBIC, BICUBIC, seed, SCALES)
        return self._lines("scales", table, baseline="one for all")

    def _seeds(self) -> range:
        return range(1, self.seeds + 1)

    def _edsr(self, gate: str) -> Recipe:
        options = {"channels": 1, "scale": 4, "features": 32, "blocks": 8, "attention": gate, "reduction": 8}
        return self._recipe("edsr-se", options, patch=96, batch=8, steps=self.steps)

    def _vdsr7(self, scales: Sequence[int], steps: int) -> Recipe:
        loss = LossRecipe(l1=0.6, structural=0.4)
        options = {"channels": 1, "scales": list(scales), "widths": [8, 16, 32, 48, 48, 48]}
        recipe = self._recipe("vdsr7", options, patch=48, batch=8, steps=steps)
        return dataclasses.replace(recipe, losses=loss)

    @staticmethod
    def _recipe(architecture: str, options: Mapping[str, Any], *, patch: int, batch: int, steps: int) -> Recipe:
        return Recipe(
            name="ablation",
            family="enlarge",
            network=NetworkRecipe(architecture, 2, options),
            optimiser=OptimiserRecipe(learning_rate=1e-3, warmup=20, cooldown=steps // 3),
            patch=patch,
            batch=batch,
            steps=steps,
            steps_per_epoch=steps,
            validate_every=1000,
        )

    def _train(self, recipe: Recipe, name: str, seed: int) -> Path:
        """The bundle of a training; one that exists is taken as it is."""
        folder = self.output / f"{name}-{seed}"
        bundle = folder / "bundle"
        if not (bundle / "configs" / "metadata.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            recipe = dataclasses.replace(recipe, name=name, seed=seed)
            weights = train(recipe, self.list, self.data, folder)
            card = dataclasses.replace(Card.of_training(recipe), modalities=("MR", "CT"))
            write_bundle(bundle, recipe, weights, card, name=name)
            note(f"trained {folder.name}")
        return bundle

    def _judge(self, model: Path | str, name: str, seed: int, scales: Sequence[int]) -> EvaluationTable:
        """Rows of one network, which stands under `name`, its seed in the case."""
        cases = [CASES[f"bicubic{scale}"] for scale in scales]
        table = evaluate(self.images, [str(model)], cases)
        for row in table.failures:
            note(f"{row.model} failed on {row.volume}, {row.case}: {row.error}")
        return EvaluationTable(
            tuple(dataclasses.replace(row, model=name, case=f"{row.case} seed {seed}") for row in table)
        )

    def _lines(self, part: str, table: EvaluationTable, baseline: str) -> list[str]:
        """Mean figures of each seed, and the paired difference to `baseline` over the images."""
        stored = self.output / f"{part}.json"
        stored.write_text(to_json(table), encoding="utf-8")
        table = from_json(stored.read_text(encoding="utf-8"))
        lines = []
        for case in dict.fromkeys(case.partition(" seed ")[0] for case in table.cases):
            cases = [c for c in table.cases if c.startswith(f"{case} ")]
            chosen = EvaluationTable(tuple(row for row in table if row.case in cases))
            for model in chosen.models:
                if model == BICUBIC:
                    continue
                seeds = [gain(chosen, "psnr", model, BICUBIC, case=c) for c in cases]
                ssim = [means(chosen, "ssim")[c, model] for c in cases]
                against = "" if model == baseline else format_gain(gain(chosen, "psnr", model, baseline))
                lines.append(
                    [
                        case, model, ", ".join(f"{found.mean:+.2f}" for found in seeds if found),
                        format_value("ssim", sum(ssim) / len(ssim)), against,
                    ]
                )  # fmt: skip
        head = ["case", "variant", "gain over bicubic by seed, dB", "SSIM", f"against '{baseline}', dB"]
        return markdown_table(head, lines)


def main() -> None:
    """Train, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["gates", "fusion", "scales"]
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=parts, choices=parts)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    study = Study(arguments.data, arguments.output, arguments.steps, arguments.seeds)
    for part in arguments.only:
        write_between(arguments.page, f"ablation-{part}", getattr(study, part)())


if __name__ == "__main__":
    main()

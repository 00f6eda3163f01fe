"""The claims of the articles: complete, about arms one switch apart that can be built, and decided by a rule that can say three things."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from convrnn import zoo
from convrnn.core.language import catalogue, speaking
from convrnn.layers.base import Spec
from convrnn.modality.augment import check_augmentations
from convrnn.study.articles import GROUNDS
from convrnn.study.claims import Arm, Claim, Comparison, Effect, Verdict, claims, crossed, together, verdict
from convrnn.training import Settings
from convrnn.zoo import Fingerprint

CLAIMS = claims()
SERIES = Fingerprint("series", (2,), 3, 600, (20, 30, 40))


def test_twelve_claims_in_two_languages() -> None:
    assert sorted((claim.id for claim in CLAIMS), key=lambda name: int(name[1:])) == [f"K{number}" for number in range(1, 13)]
    with speaking("zh"):
        chinese = claims()
    assert all(catalogue()[claim.sentence] == other.sentence != claim.sentence for claim, other in zip(CLAIMS, chinese, strict=True))


def test_claims_rest_on_items_that_there_are(root: Path) -> None:
    items = {row["id"] for row in yaml.safe_load((root / "docs" / "articles.yaml").read_text(encoding="utf-8"))}
    assert all(claim.items and set(claim.items) <= items for claim in CLAIMS)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_an_experiment_is_whole(claim: Claim) -> None:
    """Every arm is compared and every one that is compared is there; sets have names that are known."""
    names = [arm.name for arm in claim.arms]
    compared = {name for part in claim.decided_by for name in ((part.first, part.second) if isinstance(part, Comparison) else part.arms)}
    assert len(set(names)) == len(names) and set(names) == compared
    assert claim.sets and set(claim.sets) <= set(GROUNDS)
    assert all(part.margin >= 0 for part in claim.decided_by)


@pytest.mark.parametrize("arm", {arm.name: arm for claim in CLAIMS for arm in claim.arms}.values(), ids=lambda arm: arm.name)
def test_an_arm_can_be_built(arm: Arm) -> None:
    """Its options are those of the model or of the training; a stored spec builds."""
    if isinstance(arm.model, dict):
        assert Spec.from_dict(arm.model).build(2) and set(arm.options) <= set(Settings.__dataclass_fields__)
        return
    entry = zoo.get(arm.model)
    mine = {key: value for key, value in arm.options.items() if key in entry.options}
    settings = Settings.from_dict(
        {"settings": "training", **entry.settings_for(SERIES), **{k: v for k, v in arm.options.items() if k not in mine}}
    )
    check_augmentations(settings.augment, "image" if "pictures" in arm.name else "series")
    assert entry.spec(SERIES, **mine).build(2)


SWITCHED = [(claim, part) for claim in CLAIMS for part in claim.decided_by if isinstance(part, Comparison)]


@pytest.mark.parametrize(("claim", "part"), SWITCHED, ids=lambda value: value.id if isinstance(value, Claim) else f"{value[0]}-{value[1]}")
def test_compared_arms_are_one_switch_apart(claim: Claim, part: Comparison) -> None:
    """Another model with the same options, or the same model with one option (or, of a spec, one field) that differs."""
    first, second = (next(arm for arm in claim.arms if arm.name == name) for name in part[:2])
    differing = {key for key in {*first.options, *second.options} if first.options.get(key) != second.options.get(key)}
    assert (first.model != second.model) + len(differing) == 1


# ---- the rule


@pytest.mark.parametrize(
    ("effect", "better", "no_worse"),
    [
        (Effect(0.030, 0.010, 0.050), "held", "held"),
        (Effect(0.003, 0.001, 0.006), "cannot be told", "held"),  # there, but it may be too small to matter
        (Effect(0.002, 0.001, 0.003), "did not hold", "held"),  # there, and too small to matter
        (Effect(0.010, -0.02, 0.040), "cannot be told", "cannot be told"),
        (Effect(0.000, -0.004, 0.004), "did not hold", "held"),  # the same in practice
        (Effect(-0.004, -0.008, 0.000), "did not hold", "cannot be told"),
        (Effect(-0.030, -0.05, -0.010), "did not hold", "did not hold"),
    ],
)
def test_verdict(effect: Effect, better: Verdict, no_worse: Verdict) -> None:
    assert (verdict(effect, 0.005), verdict(effect, 0.005, "no worse")) == (better, no_worse)


@pytest.mark.parametrize("effect", [Effect(0.1, 0.2, 0.3), Effect(0.4, 0.2, 0.3)])
def test_an_effect_lies_in_its_interval(effect: Effect) -> None:
    with pytest.raises(ValueError, match="low <= mean <= high"):
        verdict(effect, 0.0)


def test_a_margin_is_not_negative() -> None:
    with pytest.raises(ValueError, match="margin"):
        verdict(Effect(0, 0, 0), -1)


def test_more_data_never_turn_one_verdict_into_the_other() -> None:
    """As an interval shrinks around its effect, only `cannot be told` gives way."""
    for mean in (-0.03, -0.004, 0.0, 0.003, 0.02):
        for relation in ("better", "no worse"):
            said = [verdict(Effect(mean, mean - half, mean + half), 0.005, relation) for half in (0.1, 0.03, 0.01, 0.003, 0.001, 0.0)]
            told = [each for each in said if each != "cannot be told"]
            assert len(set(told)) == 1 and said[0] == "cannot be told" and said[said.index(told[0]) :] == told


UP, DOWN, SAME, WIDE = Effect(0.03, 0.02, 0.04), Effect(-0.03, -0.04, -0.02), Effect(0, -0.001, 0.001), Effect(0.01, -0.1, 0.12)


@pytest.mark.parametrize(
    ("first", "second", "want"),
    [
        (UP, DOWN, "held"),
        (UP, UP, "did not hold"),
        (UP, SAME, "did not hold"),
        (UP, WIDE, "cannot be told"),
        (WIDE, WIDE, "cannot be told"),
    ],
)
def test_best_arm_depends_on_the_set(first: Effect, second: Effect, want: Verdict) -> None:
    assert crossed({("here", "a", "b"): first, ("there", "a", "b"): second}, ("a", "b"), 0.005) == want


HERE, THERE = ({(name, *pair): UP for pair in (("a", "b"), ("a", "c"), ("b", "c"))} for name in ("here", "there"))


@pytest.mark.parametrize(
    ("effects", "want"),
    [
        (HERE | THERE, "did not hold"),
        (HERE, "cannot be told"),  # one set does not show that sets make no difference
        (HERE | {("there", "b", "c"): UP}, "cannot be told"),  # the best arm failed there
        ({(name, "a", "b"): UP for name in ("here", "there")}, "cannot be told"),  # nor is anything known of c
        (HERE | {("there", "b", "c"): DOWN}, "held"),
    ],
)
def test_that_one_arm_is_best_takes_every_arm_on_two_sets(effects: dict[tuple[str, str, str], Effect], want: Verdict) -> None:
    assert crossed(effects, ("a", "b", "c"), 0.005) == want


def test_parts_of_a_claim() -> None:
    assert together(["held", "held"]) == "held" and together(["held", "did not hold", "cannot be told"]) == "did not hold"
    assert together(["held", "cannot be told"]) == together([]) == "cannot be told"

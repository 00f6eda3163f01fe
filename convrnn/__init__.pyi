"""The typed twin of `__init__.py`, whose names load on first use; a test holds the two to each other."""

from convrnn.api.compare import Study as Study, compare as compare, compare_articles as compare_articles, resume_study as resume_study
from convrnn.api.estimators import Classifier as Classifier, Regressor as Regressor
from convrnn.api.looking import picture as picture
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
from convrnn.core.language import speaking as speaking
from convrnn.core.seq import Ids as Ids, Seq as Seq
from convrnn.deploy.model import Model as Model, load as load
from convrnn.layers.attend import Attend as Attend
from convrnn.layers.base import Layer as Layer, Out as Out, Spec as Spec
from convrnn.layers.blocks import DenseBlock as DenseBlock, FiLM as FiLM, Highway as Highway, Repeat as Repeat
from convrnn.layers.both_ways import BothWays as BothWays
from convrnn.layers.combine import Parallel as Parallel, Residual as Residual, Serial as Serial
from convrnn.layers.conv import Conv as Conv
from convrnn.layers.convrecurrent import ConvGRU as ConvGRU, ConvLSTM as ConvLSTM, ConvRNN as ConvRNN
from convrnn.layers.dropout import Dropout as Dropout
from convrnn.layers.embed import Embedding as Embedding
from convrnn.layers.framewise import Activation as Activation, Flatten as Flatten, Fold as Fold, Linear as Linear
from convrnn.layers.gated import GLU as GLU, Channels as Channels
from convrnn.layers.log_mel import LogMel as LogMel
from convrnn.layers.norm import BatchNorm as BatchNorm, LayerNorm as LayerNorm, RMSNorm as RMSNorm
from convrnn.layers.norm_whole import CumulativeNorm as CumulativeNorm, GroupNorm as GroupNorm, InstanceNorm as InstanceNorm
from convrnn.layers.pool import Pool as Pool
from convrnn.layers.pool_cumulative import CumulativePool as CumulativePool
from convrnn.layers.pool_whole import GlobalPool as GlobalPool
from convrnn.layers.recurrent import GRU as GRU, LSTM as LSTM, RNN as RNN, IndRNN as IndRNN, LiGRU as LiGRU
from convrnn.layers.scan import QRNN as QRNN, SRU as SRU, MinGRU as MinGRU, MinLSTM as MinLSTM
from convrnn.layers.squeeze import SqueezeExcite as SqueezeExcite
from convrnn.layers.stream import Stream as Stream
from convrnn.layers.trace import Trace as Trace
from convrnn.layers.transposed import ConvTranspose as ConvTranspose, Upsample as Upsample
from convrnn.layers.weight_norm import WeightNorm as WeightNorm
from convrnn.layers.window import TimeDistributed as TimeDistributed, Window as Window
from convrnn.modality.sound import Resampler as Resampler, Sound as Sound
from convrnn.study.plan import Arm as Arm

__version__: str
__all__: list[str]

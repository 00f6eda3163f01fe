"""The zoo: published models as functions from the fingerprint of the data to a spec. Importing it enters every entry."""

from convrnn.zoo import convolutional, convrecurrent, hybrid, recurrent, residual, scans
from convrnn.zoo.base import SPEC_FILES, Entry, Fingerprint, Option, Paper, Value, entry, from_file, from_yaml, get, names, scaled_settings

__all__ = [
    "SPEC_FILES",
    "Entry",
    "Fingerprint",
    "Option",
    "Paper",
    "Value",
    "convolutional",
    "convrecurrent",
    "entry",
    "from_file",
    "from_yaml",
    "get",
    "hybrid",
    "names",
    "recurrent",
    "residual",
    "scaled_settings",
    "scans",
]

"""Trained models outside training: load, predict, stream, save, export. Never imports `train`."""

from convrnn.deploy.model import Model, load

__all__ = ["Model", "load"]

"""Records of a run -> figures and one page to read. Draws what was recorded; knows no model, no data and no training.

`render(run_dir)` writes the report, `heatmap(inner)` draws what went on in a layer. `findings(epochs)` says in a sentence what learning
curves show; it and `read_history` need neither matplotlib nor a finished run, so that a command can print the sentence when training ends.
"""

from convrnn.report.curves import Finding, findings
from convrnn.report.records import Epoch, Inner, Step, read_history
from convrnn.report.render import heatmap, render
from convrnn.report.scores import chance_loss

__all__ = ["Epoch", "Finding", "Inner", "Step", "chance_loss", "findings", "heatmap", "read_history", "render"]

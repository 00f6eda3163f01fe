"""Records of a run -> figures and one page to read. Draws what was recorded; knows no model, no data and no training.

`render(run_dir)` writes the report, `heatmap(inner)` draws what went on in a layer. `findings(epochs)` says in a sentence what learning
curves show. `render_study(folder)` writes the report of a study, many runs; `verdict` and `leaderboard` are its sentences and its table for
a terminal. All but the drawing needs neither matplotlib nor a finished run, so that a command can print the sentence when training ends.
"""

from convrnn.report.curves import Finding, findings
from convrnn.report.records import Epoch, Inner, Step, read_history
from convrnn.report.render import heatmap, render
from convrnn.report.scores import chance_loss
from convrnn.report.study_records import is_study, read_study
from convrnn.report.study_render import render_study
from convrnn.report.study_words import Verdict, leaderboard, verdict

__all__ = [
    "Epoch",
    "Finding",
    "Inner",
    "Step",
    "Verdict",
    "chance_loss",
    "findings",
    "heatmap",
    "is_study",
    "leaderboard",
    "read_history",
    "read_study",
    "render",
    "render_study",
    "verdict",
]

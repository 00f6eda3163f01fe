"""A model of one's own is a spec: a value that can be printed, stored, compared, and trained like a name of the zoo."""

import convrnn as cr

body = cr.Spec.from_yaml("""
- fold                      # the 8 pixels of a column become 8 channels; time runs along the width
- {conv: 32, kernel: 3}
- activation
- parallel:                 # side by side: what was there, and in which order
  - [{conv: 32}, {global_pool: max}]
  - [{gru: 32}, {global_pool: last}]
""")
assert body == cr.Serial(
    cr.Fold(),
    cr.Conv(32, kernel=3),
    cr.Activation(),
    cr.Parallel(cr.Serial(cr.Conv(32), cr.GlobalPool("max")), cr.Serial(cr.GRU(32), cr.GlobalPool("last"))),
)

# The task appends its head, here `Linear(10)`; widths are inferred from what goes in.
run = cr.train("digits", model=body, epochs=3)
print(run.model.spec.to_yaml())
print(f"{run.metrics['parameters']:,} parameters, test accuracy {run.metrics['test']['accuracy']:.3f} after 3 epochs")

try:
    cr.Spec.from_yaml("- {gru: 64, bidirectoinal: true}")
except cr.SpecError as error:
    print(error)

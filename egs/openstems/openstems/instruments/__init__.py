"""Everything that turns notes into sound: sampled, synthesised and recorded instruments.

All of them give float32 arrays of shape (2, samples) at `music.RATE`, and the same samples for the
same notes, parameters and random stream. `palette` chooses among them and renders the choice.
"""

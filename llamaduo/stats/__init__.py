"""Pure functions of verdicts: figures with intervals, agreement and bias, and the gate."""

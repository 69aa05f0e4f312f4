"""Templates of other tools as ours: one module for each tool reads what its users write into a draft (`draft.py`)."""

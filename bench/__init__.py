"""The bench: the service against what bounds it and against its peers, side by side in one run. `python -m bench` runs it."""

import warnings

warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")  # where the PostgreSQL wheel keeps its lock is its own concern

"""The bench: measures the service beside the database alone and beside its peers, in one run. `python -m bench` runs it."""

import warnings

warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")  # the PostgreSQL wheel warns about the place of its lock

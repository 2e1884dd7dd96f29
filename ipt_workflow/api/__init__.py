"""The HTTP layer: it translates and decides nothing. Contract: paths, shapes and order of checks of `docs/http.md`."""

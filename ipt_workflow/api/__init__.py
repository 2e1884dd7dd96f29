"""The HTTP layer. It translates requests and answers, and decides nothing. `docs/http.md` has paths, shapes and order of checks."""

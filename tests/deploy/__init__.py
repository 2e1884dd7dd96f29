"""The examples under `deploy/`, and what `docs/operating.md` says to do, done: real proxies, poolers, backups and units."""

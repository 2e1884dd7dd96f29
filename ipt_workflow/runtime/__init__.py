"""What every process needs: settings, clock, logs, metrics, event loop, garbage collection."""

"""Pages of supervision: a supervisor's day, agreements, the agenda and its records, emergency accesses, cover."""

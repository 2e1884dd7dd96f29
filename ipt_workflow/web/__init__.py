"""Pages for people: signing in, choosing a role, and the sessions that are open."""

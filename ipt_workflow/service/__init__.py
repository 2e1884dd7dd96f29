"""The verbs: what anybody can do here, by subject."""

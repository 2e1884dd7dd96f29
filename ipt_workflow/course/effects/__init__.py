"""The effect of each trigger on a course, by clinical subject. `apply` chooses the effect."""

"""The pages of a course's history: its steps with their corrections, as known on a day, one on paper, and putting one right."""

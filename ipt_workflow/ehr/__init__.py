"""EHR systems: what they are told, and how what they tell us is known to be theirs."""

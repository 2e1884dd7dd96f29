"""The pages of administrators: people, cover, programs, what comes in and goes out, protocols, and what the organisation decides."""

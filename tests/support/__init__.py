"""What several tests use: walks through courses, groups and services, databases, and the other side of the wire."""

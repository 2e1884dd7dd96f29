"""The service under faults, driven from outside: real processes, real HTTP, real databases that stop, hang and fill up."""

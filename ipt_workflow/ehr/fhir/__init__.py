"""FHIR R4: what a course, its journal, its protocol and the audit log are as FHIR resources.

A pure mapping onto own small Structs: no I/O and no clock. `docs/fhir.md` is the table of it.
"""

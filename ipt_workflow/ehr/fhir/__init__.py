"""FHIR R4: courses, their journals, protocols and the audit log as FHIR resources.

A pure mapping onto small Structs of our own, without I/O and without a clock. `docs/fhir.md` holds it as a table.
"""

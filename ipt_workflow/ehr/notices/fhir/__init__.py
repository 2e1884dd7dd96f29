"""FHIR resources, as notices bring them."""
